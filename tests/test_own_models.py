"""A model of one's own, described by sites, gives the report of its twin in a known class."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from collapse import diagnose
from collapse.inspection import Projections, Report, Site, Subject, multihead_site

D, HEADS, GROUPS, IDS = 16, 4, 2, 32


def shake(model: nn.Module, seed: int) -> nn.Module:
    """Large random entries, so that nothing agrees by being small."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=g))
    return model.eval()


def numbers(value: Any) -> list[float]:
    """All numbers of a report that are measured, in order."""
    if isinstance(value, Report):
        kept = ("layers", "final", "removed", "first_input", "averaged", "margins")
        return numbers([value.to_json()[name] for name in kept])
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for each in value for number in numbers(each)]
    return [float(value)] if isinstance(value, int | float) else []


# --- after torch.nn.TransformerEncoder ----------------------------------------------------------


class PostBlock(nn.Module):
    """Attention of torch.nn and an MLP, normalised after each."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(D, HEADS, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(D) for _ in range(2))
        self.wide, self.narrow = nn.Linear(D, 24), nn.Linear(24, D)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norms[0](x + self.attention(x, x, x, need_weights=False)[0])
        return self.norms[1](x + self.narrow(self.wide(x).relu()))


def post_subject() -> tuple[Subject, nn.Module]:
    """Three such blocks, described, and the same as an encoder of torch."""
    blocks = [PostBlock() for _ in range(3)]
    for seed, block in enumerate(blocks):
        shake(block, seed)
    layer = nn.TransformerEncoderLayer(D, HEADS, 24, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    for own, theirs in zip(blocks, encoder.layers, strict=True):
        parts = {"self_attn": own.attention, "norm1": own.norms[0], "norm2": own.norms[1]}
        for name, part in parts.items():
            setattr(theirs, name, part)
        theirs.linear1, theirs.linear2 = own.wide, own.narrow
    before = [None, *(block.norms[1] for block in blocks)]
    sites = tuple(
        multihead_site(f"layers.{i}.self_attn", block.attention, block, before[i])
        for i, block in enumerate(blocks)
    )
    model = nn.Sequential(*blocks)
    return Subject(model, sites, model, D, "three attention layers, normalised after"), encoder


# --- after LlamaModel ---------------------------------------------------------------------------


class Rotary(nn.Module):
    """Causal attention with grouped queries and rotary positions."""

    def __init__(self) -> None:
        super().__init__()
        k = D // HEADS
        self.q, self.o = nn.Linear(D, D, bias=False), nn.Linear(D, D, bias=False)
        self.k, self.v = (nn.Linear(D, GROUPS * k, bias=False) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part(x).unflatten(-1, (count, -1)).transpose(1, 2)
            for part, count in ((self.q, HEADS), (self.k, GROUPS), (self.v, GROUPS))
        )
        cos, sin = angles(x.shape[1])
        q, k = (y * cos + torch.cat((-y[..., 2:], y[..., :2]), -1) * sin for y in (q, k))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o(mixed.transpose(1, 2).flatten(2))


def angles(n: int, stretch: float = 1.0) -> tuple[Tensor, Tensor]:
    turn = stretch * torch.arange(n)[:, None] * 10_000.0 ** (-torch.arange(0, 4, 2) / 4)
    turn = torch.cat((turn, turn), -1)
    return turn.cos(), turn.sin()


class PreBlock(nn.Module):
    """Rotary attention and a gated MLP, each behind RMSNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.RMSNorm(D, eps=1e-6), nn.RMSNorm(D, eps=1e-6)
        self.mixer = Rotary()
        self.gate, self.up = nn.Linear(D, 24, bias=False), nn.Linear(D, 24, bias=False)
        self.down = nn.Linear(24, D, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(self.first(x))
        y = self.second(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


def rotary_site(name: str, block: PreBlock) -> Site:
    own = block.mixer

    def projections(dtype: torch.dtype) -> Projections:
        parts = [(part.weight, part.bias) for part in (own.q, own.k, own.v, own.o)]
        return Projections.from_linear(parts, HEADS, GROUPS, dtype=dtype)

    return Site(
        name, own, block, HEADS, projections, norm=block.first, pre=True,
        causal=True, rotary="halves", angles=angles,
    )  # fmt: skip


def rotary_subject() -> tuple[Subject, nn.Module]:
    """Two such blocks behind an embedding, described, and the same as a LlamaModel."""
    from transformers import LlamaConfig, LlamaModel

    config = LlamaConfig(
        vocab_size=IDS, hidden_size=D, num_hidden_layers=2, num_attention_heads=HEADS,
        num_key_value_heads=GROUPS, intermediate_size=24, max_position_embeddings=20,
        bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    llama: Any = shake(LlamaModel(config), 3)
    blocks = []
    for layer in llama.layers:
        block, theirs = PreBlock(), layer.self_attn
        block.first.weight = layer.input_layernorm.weight
        block.second.weight = layer.post_attention_layernorm.weight
        block.mixer.q, block.mixer.k = theirs.q_proj, theirs.k_proj
        block.mixer.v, block.mixer.o = theirs.v_proj, theirs.o_proj
        block.gate, block.up, block.down = (
            layer.mlp.gate_proj, layer.mlp.up_proj, layer.mlp.down_proj)  # fmt: skip
        blocks.append(block)
    model = nn.Sequential(llama.embed_tokens, *blocks, llama.norm)
    sites = tuple(rotary_site(f"layers.{i}.self_attn", block) for i, block in enumerate(blocks))
    return Subject(model, sites, model, D, "two rotary layers", vocabulary=IDS), llama


def test_blocks_of_ones_own_give_the_report_of_an_encoder() -> None:
    subject, encoder = post_subject()
    subject.model.double()  # both share their weights
    X = torch.randn(2, 7, D, generator=torch.Generator().manual_seed(5))
    ours, theirs = diagnose(subject, X), diagnose(encoder, X)
    assert (ours.model, theirs.model) == ("Sequential", "TransformerEncoder")
    assert len(numbers(ours)) > 200
    assert numbers(ours) == pytest.approx(numbers(theirs), rel=1e-9)


def test_grouped_rotary_blocks_give_the_report_of_a_llama() -> None:
    subject, llama = rotary_subject()
    ids = torch.randint(IDS, (3, 9), generator=torch.Generator().manual_seed(6))
    ours, theirs = diagnose(subject, ids), diagnose(llama, ids)
    assert len(numbers(ours)) > 150
    assert numbers(ours) == pytest.approx(numbers(theirs), rel=1e-5)  # in float32
    # The control: an angle that is one per cent off is no rotation of this model.
    sites = tuple(dataclasses.replace(s, angles=lambda n: angles(n, 1.01)) for s in subject.sites)
    with pytest.raises(ValueError, match=r"layers.0.self_attn \(Rotary\): expected the output"):
        diagnose(dataclasses.replace(subject, sites=sites), ids)


def rotary(**changes: Any) -> Subject:
    subject, _ = rotary_subject()
    sites = tuple(dataclasses.replace(site, **changes) for site in subject.sites)
    return dataclasses.replace(subject, sites=sites)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no mask": ({"causal": False}, r"\(Rotary\): expected the output that its weights"),
    "no rotation": ({"rotary": None}, r"\(Rotary\): expected the output that its weights"),
    "no angles": ({"angles": None}, "rotary angles with the call"),
    "no norm": ({"norm": None}, "layer of layers.0.self_attn: expected the module whose input"),
    "the norm outside": ({"pre": False}, "layer of layers.0.self_attn: expected the module whose"),
    "a norm that did not run": ({"norm": nn.RMSNorm(D)}, "a normalisation that ran before"),
    "a layer beside": ({"layer": nn.Identity()}, "layer of layers.0.self_attn: expected a module"),
    "heads": ({"heads": 2}, "heads of layers.0.self_attn: expected 4, received 2"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_description_that_does_not_fit_is_refused(name: str) -> None:
    changes, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        diagnose(rotary(**changes), torch.arange(9), margin=False)


def test_sites_out_of_order_are_refused() -> None:
    subject, _ = post_subject()
    turned = dataclasses.replace(subject, sites=subject.sites[::-1])
    with pytest.raises(ValueError, match="sites: expected the order in which they run, layers.0"):
        diagnose(turned, torch.randn(7, D))
    few = dataclasses.replace(subject, sites=subject.sites[:2])
    with pytest.raises(ValueError, match=r"received 2.attention \(MultiheadAttention\)"):
        diagnose(few, torch.randn(7, D))


def test_an_attention_module_that_stands_in_several_layers_is_refused() -> None:
    layer = nn.TransformerEncoderLayer(D, HEADS, 8, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
    encoder.layers = nn.ModuleList([encoder.layers[0]] * 3)
    with pytest.raises(ValueError, match="expected one module a layer, received a module of 3"):
        diagnose(encoder, torch.randn(7, D))


def test_what_run_takes_and_returns_is_checked() -> None:
    subject = rotary()

    def wrapped(ids: Tensor) -> Any:
        return (subject.run(ids),)

    tuples = dataclasses.replace(subject, run=wrapped)
    with pytest.raises(ValueError, match="what run returns: expected a tensor, received tuple"):
        diagnose(tuples, torch.arange(9))
    with pytest.raises(ValueError, match="token ids from 0 to 31"):
        diagnose(subject, torch.tensor([3, IDS]))
    with pytest.raises(ValueError, match="no vocabulary"):
        diagnose(dataclasses.replace(subject, vocabulary=None), torch.arange(9))
    with pytest.raises(ValueError, match="mask: expected None: the sites"):
        diagnose(subject, torch.arange(9), mask=torch.ones(9, 9, dtype=torch.bool))


def test_projections_of_linear_layers_in_plain_loops() -> None:
    linear = [nn.Linear(6, size, bias=bias) for size, bias in ((8, True), (4, False), (4, True))]
    linear.append(nn.Linear(8, 6))
    for each in linear:
        each.requires_grad_(False)
    made = Projections.from_linear([(each.weight, each.bias) for each in linear], 4, 2)
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q, k, v = made.apply(x)
    parts = ((q, linear[0], 1, 1 / math.sqrt(2)), (k, linear[1], 2, 1.0), (v, linear[2], 2, 1.0))
    for h in range(4):
        for part, each, shared, factor in parts:
            for i in range(3):
                for a in range(2):
                    row = 2 * (h // shared) + a
                    bias = 0.0 if each.bias is None else float(each.bias[row])
                    entry = sum(float(x[i, b]) * float(each.weight[row, b]) for b in range(6))
                    assert float(part[h, i, a]) == pytest.approx(factor * (entry + bias), abs=1e-6)
    assert torch.equal(made.output[1, 0], linear[3].weight[:, 2].double())


UNFIT: dict[str, tuple[int, int | None, int, str]] = {
    "heads": (0, None, 4, "heads: expected a number > 0, received 0"),
    "groups": (4, 3, 4, "groups: expected a divisor of 4, received 3"),
    "three parts": (4, None, 3, "parts: expected query, key, value and output, received 3 parts"),
    "rows": (3, None, 4, "weights: expected rows of 3 heads, equally many, received 8"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_layers_that_do_not_split_into_heads_are_refused(name: str) -> None:
    heads, groups, count, message = UNFIT[name]
    parts = [(torch.zeros(8, 6), None)] * 3 + [(torch.zeros(6, 8), None)]
    Projections.from_linear(parts, 4)
    with pytest.raises(ValueError, match=message):
        Projections.from_linear(parts[:count], heads, groups)
