"""Floor 4: tokens and weights so large or small that a float cannot hold what they make."""

from __future__ import annotations

import pytest
import torch
from networks import D, N, build, tokens
from strategies import assert_below, generator

from collapse.attention import Network

HUGE = torch.tensor([[1.0], [1.0], [2.0]])


@pytest.mark.parametrize("mask", [None, torch.ones(3, 3, dtype=torch.bool).tril()], ids=str)
@pytest.mark.parametrize(("dtype", "scale"), [(torch.float64, 1e200), (torch.float32, 1e30)])
def test_logits_that_overflow_are_no_silent_zeros(
    dtype: torch.dtype, scale: float, mask: torch.Tensor | None
) -> None:
    """All logits of a row at −∞: torch's kernels return zeros where the softmax is undefined."""
    one = torch.ones(1, 1, 1, 1, dtype=dtype)
    network = Network(-one, one, one, skip=0, mask=mask)
    X = HUGE.to(dtype) * scale
    for call in (network, network.trace, lambda X: network.attention(X, 0)):
        with pytest.raises(ValueError, match="finite entries, received NaN or infinity"):
            call(X)
    # The control: short of an overflow the least token is what all rows look at.
    assert torch.equal(network(X / scale * 1e10), HUGE[:1].to(dtype).expand(3, 1) * 1e10)


@pytest.mark.parametrize("inference", [False, True])
def test_weights_changed_in_place_are_looked_at_again(inference: bool) -> None:
    with torch.inference_mode(inference):
        query, one = -torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
        network = Network(query, one, one, skip=0)
        assert torch.equal(network(HUGE * 1e10), HUGE[:1].expand(3, 1) * 1e10)
        query.mul_(1e25)
        with pytest.raises(ValueError, match="finite entries, received NaN or infinity"):
            network(HUGE * 1e10)


@pytest.mark.parametrize("option", ["plain", "no skip", "mixer", "pre", "factored"])
def test_one_token_attends_to_itself_or_is_refused(option: str) -> None:
    """P = 1 whatever the logit: an overflow that nobody sees would lose the attention."""
    outcomes = {"kept": 0, "refused": 0}
    for seed in range(150):
        powers = 10 ** (24 * torch.rand(3, generator=generator(seed), dtype=torch.float64))
        network = build(option, layers=3, seed=seed)
        network = network.replace(
            query=network.query * powers[0],
            key=network.key * powers[0],
            value=network.value * powers[1].pow(0.3),
        ).to(torch.float32)
        X = (tokens(1, D, seed=seed) * powers[2].pow(0.7)).float()
        try:
            found = network(X)
        except ValueError:
            outcomes["refused"] += 1
            continue
        outcomes["kept"] += 1
        wide = network.to(torch.float64)
        parts = {"value": wide.value.abs(), "skip": abs(wide.skip)}
        if wide.output is not None:
            parts["output"] = wide.output.abs()
        largest = wide.replace(**parts)(X.double().abs()).max()
        assert_below((found - wide(X.double())).float().abs(), 0.0, largest.float(), 100)
    assert min(outcomes.values()) > 10


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_may_have_logits_beyond_its_range(dtype: torch.dtype) -> None:
    one = torch.ones(1, 1, 1, 1, dtype=dtype)
    X = torch.tensor([[300.0], [304.0]], dtype=dtype)
    assert Network(-one, one, one, skip=0)(X).tolist() == [[300.0], [300.0]]


@pytest.mark.parametrize("norm", ["pre", "row"])
@pytest.mark.parametrize(("dtype", "power"), [(torch.float64, 600), (torch.float32, 90)])
def test_norms_see_no_common_factor(norm: str, dtype: torch.dtype, power: int) -> None:
    """Lengths whose squares underflow or overflow, by powers of two, which round nothing."""
    network, X = build(norm, dtype=dtype).replace(skip=0.0), tokens(N, D, dtype=dtype)
    if norm == "row":  # a single layer without attention, which is not homogeneous
        network = build(norm, layers=1, heads=0, dtype=dtype)
    for factor in (2.0**power, 2.0**-power):
        assert torch.equal(network(X * factor), network(X))
