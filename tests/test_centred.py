"""Floor 4, far below machine epsilon: centred propagation against 600-digit arithmetic.

What double precision allows: the residual is cubed in every layer, so a rounding in the first of
six layers counts 3^5 times at the end, and (3^6 - 1)/2 = 364 times with those of the other layers.
At 40 roundings a layer that is a relative error of ρ of 1.6e-12, tested here down to 1e-500.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import reference
import torch
from networks import CAUSAL, SCATTERED, D, N, build, tokens, twin, weights
from strategies import lists

from collapse.attention import Network
from collapse.centred import CentredTrace, centred_trace
from collapse.exact import lift
from collapse.norms import residual_norm
from collapse.numeric import rounding_allowance

RELATIVE_ERROR = rounding_allowance(1.0, 364 * 40)
DIGITS = 600


def value(trace: CentredTrace, layer: int) -> Any:
    """ρ of one layer as an exact mpmath number."""
    return mpmath.ldexp(mpmath.mpf(float(trace.mantissa[layer])), int(trace.exponent[layer]))


def worst_error(network: Network, X: torch.Tensor, digits: int = DIGITS) -> float:
    """The largest relative error of ρ over the layers that the digits can judge."""
    layers, options = twin(network)
    truth = reference.residual_norms(lists(X), layers, options, digits)
    trace = centred_trace(network, X)
    assert trace.mantissa.shape == trace.exponent.shape == (network.depth + 1,)
    # Too few digits are left below this; then we only ask that the trace is down there too.
    lowest = mpmath.mpf(10) ** -(digits - 100)
    errors = [mpmath.mpf(0)]
    for layer, rho in enumerate(truth):
        if rho > lowest:
            errors.append(abs(value(trace, layer) - rho) / rho)
        else:
            assert value(trace, layer) <= lowest
    return float(max(errors))


def collapsing(
    option: str = "no skip", sharpness: float = 1.0, layers: int = 6, **shape: Any
) -> Network:
    network = build(option, layers=layers, **shape)
    return network.replace(skip=0.0, query=network.query * sharpness)


# --- accuracy ------------------------------------------------------------------------------------


@pytest.mark.label("centred-propagation")
@pytest.mark.parametrize("sharpness", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(
    ("n", "width", "key_width", "heads"), [(2, 1, 1, 1), (3, 3, 2, 1), (5, 4, 4, 2), (7, 2, 2, 3)]
)
@pytest.mark.parametrize("seed", [0, 10, 20])
def test_random_networks(
    seed: int, n: int, width: int, key_width: int, heads: int, sharpness: float
) -> None:
    network = collapsing(
        sharpness=sharpness, heads=heads, width=width, key_width=key_width, seed=seed
    )
    assert worst_error(network, tokens(n, width, seed=seed)) <= RELATIVE_ERROR


@pytest.mark.label("centred-propagation")
@pytest.mark.parametrize("option", ["factored", "wide values", "mixer"])
def test_options_that_scale_the_values(option: str) -> None:
    assert worst_error(collapsing(option), tokens(N, D)) <= RELATIVE_ERROR


MASKS = {
    "causal": CAUSAL,
    "scattered": SCATTERED,
    "complete": torch.ones(N, N, dtype=torch.bool),
    "one column hidden": torch.tensor([[True, True, False, True]] * N),
    "one column seen": torch.tensor([[False, True, False, False]] * N),
    "two blocks": torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).bool(),
    "identity": torch.eye(N, dtype=torch.bool),
}


@pytest.mark.label("centred-propagation")
@pytest.mark.parametrize("seed", [0, 10])
@pytest.mark.parametrize("name", MASKS)
def test_masks(name: str, seed: int) -> None:
    network = collapsing(seed=seed).replace(mask=MASKS[name])
    assert worst_error(network, tokens(N, D, seed=seed)) <= RELATIVE_ERROR


@pytest.mark.label("centred-propagation")
@pytest.mark.parametrize("sharpness", [30.0, 1000.0])
@pytest.mark.parametrize("mask", [None, CAUSAL], ids=["unmasked", "causal"])
def test_saturated_softmax(sharpness: float, mask: torch.Tensor | None) -> None:
    """Rows of P with almost all mass on one token, where p · z would cancel."""
    network = collapsing(sharpness=sharpness, layers=4).replace(mask=mask)
    assert worst_error(network, tokens(N, D)) <= sharpness * RELATIVE_ERROR


@pytest.mark.label("centred-propagation")
@pytest.mark.parametrize("sharpness", [5.0, 23.0, 60.0, 300.0])
def test_close_tokens_far_from_zero_all_looking_at_one(sharpness: float) -> None:
    """All mass but e^-sharpness on one token other than the reference, for almost equal rows.

    The heavy entry of P - p is minus the sum of the others: computed on its own it would keep a
    relative error of 1e-16 e^sharpness.
    """
    X = 1000 + torch.tensor([[0.001, 0.0, 0.003, 0.002]], dtype=torch.float64).mT
    one = torch.ones(2, 1, 1, 1, dtype=torch.float64)
    network = Network(sharpness * one, one, one, skip=0.0)
    assert network.attention_matrices(X, 0)[0].argmax(-1).tolist() == [2] * 4
    assert worst_error(network, X) <= RELATIVE_ERROR


@pytest.mark.label("centred-propagation")
def test_much_deeper_with_more_digits() -> None:
    network, X = collapsing(sharpness=0.02), tokens(3, D)
    trace = centred_trace(network, X)
    assert trace.log10_rho[-1] < -600
    assert worst_error(network, X, digits=2500) <= RELATIVE_ERROR


WITNESS = torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)


def cancelling(delta: float, form: str, layers: slice) -> Network:
    """M = 1gᵀ + δN: differences of the witness tokens are orthogonal to 1, so only δN remains."""
    g = torch.tensor([[0.3, -0.7, 0.2]], dtype=torch.float64)
    noise = delta * weights(3, 3, seed=5, dtype=torch.float64)
    one, eye, none = torch.ones(3, 1).double(), torch.eye(3).double(), torch.zeros(3, 1).double()
    network = collapsing(heads=1, key_width=4, seed=30)
    query, key = network.query.clone(), network.key.clone()
    if form == "product":
        query[layers], key[layers] = (
            torch.cat((one @ g + noise, none), 1),
            torch.cat((eye, none), 1),
        )
    else:
        query[layers], key[layers] = torch.cat((one, eye), 1), torch.cat((g.mT, noise.mT), 1)
    return network.replace(query=query, key=key)


@pytest.mark.label("centred-propagation")
@pytest.mark.parametrize("layers", [slice(0, 1), slice(None)], ids=["first layer", "all layers"])
@pytest.mark.parametrize("form", ["product", "factors"])
@pytest.mark.parametrize("delta", [1e-1, 1e-4, 1e-8, 1e-12])
def test_the_cancellation_witness(delta: float, form: str, layers: slice) -> None:
    assert worst_error(cancelling(delta, form, layers), WITNESS) <= RELATIVE_ERROR


@pytest.mark.label("centred-propagation")
@pytest.mark.parametrize("delta", [1e-2, 1e-4, 1e-8])
def test_the_limit_of_accuracy(delta: float) -> None:
    """If V keeps the differences in the plane where 1gᵀ cancels, rounding is magnified by 1/δ.

    The residual itself is ill-conditioned there: from the second layer on the differences are
    rounded, so their sums, which should vanish, are of size 1e-16 against δ.
    """
    network = cancelling(delta, "factors", slice(None))
    network = network.replace(value=0.9 * torch.eye(3).double().expand(6, 1, 3, 3))
    assert worst_error(network, WITNESS) <= RELATIVE_ERROR / delta


@pytest.mark.label("centred-propagation")
def test_centring_at_the_midrange_would_lose_the_witness() -> None:
    """Negative control: with c the midrange, e = R M Rᵀ is of size one where its differences are δ.

    The midrange of the witness tokens is 0, so R = X and the rows of R M Rᵀ differ by δ only, in
    numbers of size one: a relative error of about 1e-16/δ before the first softmax.
    """
    delta = 1e-12
    network = cancelling(delta, "product", slice(None))
    M = network.query_key[0, 0]
    at_midrange, at_token = WITNESS @ M @ WITNESS.mT, (WITNESS - WITNESS[:1]) @ M @ WITNESS.mT
    assert at_midrange.abs().max() > 0.5
    assert at_token.abs().max() < 10 * delta
    with mpmath.workdps(50):
        exactly = lists(WITNESS - WITNESS[:1])
        truth = reference.matmul(reference.matmul(exactly, lists(M)), lists(WITNESS.mT))
    losing = at_midrange - at_midrange[:1]
    assert relative(losing, truth) > 1e-6 > RELATIVE_ERROR > relative(at_token, truth)


def relative(measured: torch.Tensor, truth: reference.Matrix) -> float:
    gap = max(
        abs(got - t) for row, exact in zip(measured.tolist(), truth, strict=True)
        for got, t in zip(row, exact, strict=True)
    )  # fmt: skip
    return float(gap / reference.largest_entry(truth))


@pytest.mark.label("centred-propagation")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_plain_floats_stop_where_centred_propagation_goes_on(dtype: torch.dtype) -> None:
    """Negative control: the reference does refute a forward pass in plain floats."""
    network, X = collapsing(seed=10).to(dtype), tokens(N, D, dtype=dtype)
    trace = centred_trace(network, X)
    plain = residual_norm(network.trace(X)).double()
    truth = torch.ldexp(trace.mantissa, trace.exponent)
    wide = trace.log10_rho > math.log10(torch.finfo(dtype).eps) + 3
    assert wide.sum() >= 3 and not wide.all()
    assert ((plain - truth).abs()[wide] <= 0.1 * truth[wide]).all()
    deep = trace.log10_rho < math.log10(torch.finfo(dtype).eps) - 3
    assert deep.any() and ((plain - truth).abs()[deep] > 0.99 * truth[deep]).all()
    assert worst_error(network, X) <= RELATIVE_ERROR


# --- edges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "X"),
    [
        (collapsing(), torch.full((N, D), 0.3).double()),
        (collapsing(), torch.zeros(N, D).double()),
        (collapsing(), tokens(1, D)),
        (collapsing(heads=0), tokens(N, D)),
        (collapsing().replace(value=torch.zeros(6, 2, D, D).double()), tokens(N, D)),
    ],
    ids=["equal rows", "zero tokens", "one token", "H = 0", "V = 0"],
)
def test_exact_collapse_is_exactly_zero(network: Network, X: torch.Tensor) -> None:
    trace = centred_trace(network, X)
    assert (trace.mantissa[1:] == 0).all()
    assert (trace.log10_rho[1:] == -math.inf).all()
    assert not torch.isnan(trace.log10_rho).any()
    assert (trace.mantissa[0] == 0) == (residual_norm(X) == 0)


def test_no_layers_and_one_feature() -> None:
    assert worst_error(collapsing(layers=0), tokens(N, D)) <= RELATIVE_ERROR
    assert worst_error(collapsing(width=1, heads=3), tokens(N, 1)) <= RELATIVE_ERROR


@pytest.mark.parametrize("size", [1e-200, 1e-5, 1e3])
def test_tokens_of_any_size(size: float) -> None:
    network, X = collapsing(layers=2), size * tokens(N, D)
    assert worst_error(network, X, digits=2500) <= RELATIVE_ERROR * max(1, size)


@pytest.mark.label("centred-propagation")
@pytest.mark.parametrize("mask", [None, CAUSAL], ids=["unmasked", "causal"])
@pytest.mark.parametrize("size", [1e-155, 1e-200, 1e-300])
def test_weights_whose_products_leave_the_floats(size: float, mask: torch.Tensor | None) -> None:
    """The logits are of size 1e-310 to 1e-600, the residual of the second layer their third power.

    Without a mask a lost logit would be a residual of zero.
    """
    network = collapsing(layers=2).replace(mask=mask)
    small = network.replace(query=network.query * size, key=network.key * size)
    assert worst_error(small, tokens(N, D), digits=3000) <= RELATIVE_ERROR
    less = small.replace(value=small.value * 1e-305)
    assert worst_error(less, tokens(N, D), digits=4500) <= RELATIVE_ERROR


@pytest.mark.parametrize("mask", [None, CAUSAL], ids=["unmasked", "causal"])
@pytest.mark.parametrize(
    ("of_network", "of_tokens"), [((), (3,)), ((2,), ()), ((2,), (3, 1)), ((2,), (0, 1))], ids=str
)
def test_batches_broadcast(
    of_network: tuple[int, ...], of_tokens: tuple[int, ...], mask: torch.Tensor | None
) -> None:
    network = collapsing(batch=of_network).replace(mask=mask)
    X = tokens(*of_tokens, N, D)
    trace = centred_trace(network, X)
    batch = torch.broadcast_shapes(of_network, of_tokens)
    assert trace.mantissa.shape == trace.log10_rho.shape == (*batch, 7)
    if 0 in batch:
        return
    last = tuple(b - 1 for b in batch)
    single = network
    if of_network:
        single = network.replace(
            **{name: getattr(network, name)[-1] for name in ("query", "key", "value")}
        )
    alone = centred_trace(single, X.expand(*batch, N, D)[last])
    ratio = torch.ldexp(
        trace.mantissa[last] / alone.mantissa, trace.exponent[last] - alone.exponent
    )
    assert ((ratio - 1).abs() <= 2 * RELATIVE_ERROR).all()


def test_the_three_fields_are_one_number() -> None:
    trace = centred_trace(collapsing(), tokens(5, N, D))
    assert trace.mantissa.dtype == torch.float64 and trace.exponent.dtype == torch.int64
    assert ((trace.mantissa >= 0.5) & (trace.mantissa < 1)).all()
    for layer in range(7):
        first = CentredTrace(trace.centre[0], trace.differences[0], trace.scale[0])
        rho = value(first, layer)
        assert float(trace.log10_rho[0, layer]) == pytest.approx(
            float(mpmath.log10(rho)), rel=1e-15
        )


@pytest.mark.parametrize("requires_grad", [False, True])
def test_the_token_order_does_not_matter(requires_grad: bool) -> None:
    network, X = collapsing(), tokens(N, D).requires_grad_(requires_grad)
    trace, turned = centred_trace(network, X), centred_trace(network, X.flip(-2))
    ratio = torch.ldexp(trace.mantissa / turned.mantissa, trace.exponent - turned.exponent)
    assert ((ratio - 1).abs() <= 2 * RELATIVE_ERROR).all()


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "skip": (lambda: centred_trace(build(), tokens(N, D)), "skip: expected 0 .*received 1.0"),
    "skips in a batch": (
        lambda: centred_trace(
            build(batch=(2,)).replace(skip=torch.tensor([0.0, 1.0])), tokens(N, D)
        ),
        "skip: expected 0",
    ),
    "pre": (lambda: centred_trace(collapsing("pre"), tokens(N, D)), "norm: expected None"),
    "row": (lambda: centred_trace(collapsing("row"), tokens(N, D)), "norm: expected None"),
    "rope": (lambda: centred_trace(collapsing("rope"), tokens(N, D)), "rope: expected None"),
    "width": (lambda: centred_trace(collapsing(), tokens(N, 2)), "width of X: expected d = 3"),
    "nan": (lambda: centred_trace(collapsing(), tokens(N, D) * math.nan), "X: expected finite"),
    "overflow": (
        lambda: centred_trace(
            collapsing(layers=1).replace(
                value=torch.full((1, 2, D, D), 1e308, dtype=torch.float64)
            ),
            tokens(N, D).abs() + 1e3,
        ),
        "tokens: expected no overflow",
    ),
    "huge logits": (
        lambda: centred_trace(collapsing(), tokens(N, D) * 1e9),
        "logits: expected at most .*received",
    ),
    "exact tokens": (
        lambda: centred_trace(lift(collapsing(), "mpf"), lift(tokens(N, D), "mpf")),
        "X: expected a torch tensor",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        call()
