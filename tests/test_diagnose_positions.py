"""Positions and masks in a report: what scales them, and which bound covers a layer with them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from collapse import diagnose
from collapse.inspection.hooks import read_call
from collapse.inspection.measure import kind
from collapse.inspection.site import Call, Projections, Site

AMPLITUDE = 1.5


def llama(**options: Any) -> Any:
    """Two layers whose heads turn a single pair, so that no pair hides another."""
    from transformers import LlamaConfig, LlamaModel

    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, intermediate_size=8, max_position_embeddings=32, bos_token_id=0,
        eos_token_id=2, initializer_range=0.5, **options,
    )  # fmt: skip
    return LlamaModel(config).double()


def stretched() -> Any:
    """Positions stretched by YaRN, which multiplies rotated queries and keys by a number."""
    scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}
    return llama(rope_scaling=scaling | {"attention_factor": AMPLITUDE})


def largest_logit(model: Any, layer: int, head: int) -> float:
    """The largest entry of M over all angles of the one pair, without what scales positions."""
    own, gain = model.layers[layer].self_attn, model.layers[layer].input_layernorm.weight
    rows, shared = slice(2 * head, 2 * head + 2), slice(2 * (head // 2), 2 * (head // 2) + 2)
    query = gain[:, None] * own.q_proj.weight[rows].T / math.sqrt(2)
    key = gain[:, None] * own.k_proj.weight[shared].T
    found = 0.0
    for step in range(3600):
        angle = math.pi * step / 1800
        cos, sin = math.cos(angle), math.sin(angle)
        turn = torch.tensor([[cos, sin], [-sin, cos]], dtype=torch.float64)
        found = max(found, float((query @ turn @ key.T).abs().max()))
    return found


@pytest.mark.label("contraction")
@pytest.mark.parametrize(("make", "factor"), [(llama, 1.0), (stretched, AMPLITUDE**2)],
                         ids=["plain", "stretched"])  # fmt: skip
def test_the_norm_of_the_logits_counts_what_scales_the_positions(make: Any, factor: float) -> None:
    model = make()
    report = diagnose(model, torch.tensor([5, 9, 7, 21, 9, 3]), margin=False)
    for head in report.heads:
        with torch.no_grad():
            largest = factor * largest_logit(model, head.layer, head.head)
        # One pair: some offset attains the norm p = 1, up to the grid of a tenth of a degree.
        assert largest == pytest.approx(head.query_key[1], rel=1e-5)
        assert largest <= head.query_key[1] * (1 + 1e-12)


def test_a_stretch_changes_the_logits_and_not_the_values() -> None:
    ids = torch.tensor([5, 9, 7, 21, 9, 3])
    plain, more = (diagnose(model, ids, margin=False) for model in (llama(), stretched()))
    for one, other in zip(plain.heads, more.heads, strict=True):
        assert other.value == one.value
        for p in (1, 2):
            assert other.query_key[p] == pytest.approx(AMPLITUDE**2 * one.query_key[p], rel=1e-12)


def site(rotary: Any) -> Site:
    def none(dtype: torch.dtype) -> Projections:
        raise NotImplementedError

    return Site("here", nn.Identity(), nn.Identity(), 1, none, rotary=rotary, base=10.0)


BIAS = torch.ones(1, 2)
BIASES: dict[str, tuple[Tensor | None, ...]] = {
    "none": (None, None, None, None),
    "query": (BIAS, None, None, None),
    "key": (None, BIAS, None, None),
    "value": (None, None, BIAS, None),
    "output": (None, None, None, BIAS),
}


@pytest.mark.label("contraction")
@pytest.mark.parametrize("name", BIASES)
def test_a_bias_that_positions_turn_leaves_the_bound_of_a_mask_alone(name: str) -> None:
    """A bias on queries or keys makes logits differ between positions at tokens of any size."""
    weight = torch.ones(2, 1, 2)
    weights = Projections(weight, weight, weight, torch.ones(1, 2, 2), BIASES[name])
    tokens = torch.ones(1, 3, 2)
    turned = name in ("query", "key")
    assert kind(site("pairs"), Call(tokens, None, None), weights) == ("mask" if turned else "rope")
    assert kind(site(None), Call(tokens, None, None), weights) == "plain"
    causal = torch.ones(3, 3, dtype=torch.bool).tril()
    assert kind(site("pairs"), Call(tokens, causal, None), weights) in ("mask", "masked rope")
    assert kind(site(None), Call(tokens, causal, None), weights) == "mask"


@pytest.mark.parametrize("others", [1, 2, 5])
def test_heads_or_sequences_with_masks_of_their_own_are_refused(others: int) -> None:
    causal = torch.ones(3, 3, dtype=torch.bool).tril()
    masks = causal.repeat(1, others + 1, 1, 1)
    tokens = torch.ones(1, 3, 2)
    call = read_call(site(None), (tokens,), {"attention_mask": masks})
    assert call.visible is not None and torch.equal(call.visible, causal)
    masks[0, -1, 2, 0] = False  # the last head alone sees less
    with pytest.raises(ValueError, match="^mask of here: expected one mask for all heads"):
        read_call(site(None), (tokens,), {"attention_mask": masks})
