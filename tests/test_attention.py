"""Floor 4: the torch Network against its slow twin in every option, and as an immutable value."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import (
    CAUSAL,
    OPTIONS,
    D,
    K,
    N,
    build,
    operations,
    rounding_scale,
    tokens,
    twin_trace,
)
from strategies import DTYPES, assert_agrees, assert_below, generator, size

from collapse.attention import Network, default_device
from collapse.norms import dobrushin
from collapse.softmax import softmax


def assert_follows_the_twin(network: Network, X: torch.Tensor) -> None:
    """Each layer takes the tokens it is given to the twin's, up to the rounding of one layer."""
    steps = network.trace(X)
    assert steps.shape == (network.depth + 1, *X.shape) and steps.dtype == X.dtype
    assert torch.equal(steps[0], X) and torch.equal(steps[-1], network(X))
    for layer in range(network.depth):
        part, before = network.layers(layer, layer + 1), steps[layer]
        expected = twin_trace(part, before)[-1]
        scale = rounding_scale(part, before)
        assert_agrees(steps[layer + 1], expected, scale, operations(part, before))


# --- against the twin ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("option", OPTIONS)
def test_forward_in_every_option(option: str, dtype: torch.dtype) -> None:
    assert_follows_the_twin(build(option, dtype=dtype), tokens(N, D, dtype=dtype))


@pytest.mark.parametrize("option", ["plain", "rope", "pre", "row", "factored"])
@pytest.mark.parametrize(
    ("n", "layers", "heads", "width"),
    [(1, 2, 1, 3), (3, 2, 2, 1), (3, 0, 2, 2), (3, 2, 0, 2), (6, 5, 1, 2), (2, 1, 4, 5)],
    ids=["one token", "one feature", "L = 0", "H = 0", "five layers", "four heads"],
)
def test_forward_in_every_shape(n: int, layers: int, heads: int, width: int, option: str) -> None:
    network = build(option, layers=layers, heads=heads, width=width)
    assert_follows_the_twin(network, tokens(n, width))


@pytest.mark.parametrize(
    "X",
    [torch.zeros(N, D), torch.full((N, D), 0.3), 40 * tokens(N, D)],
    ids=["zero", "equal rows", "saturated"],
)
@pytest.mark.parametrize("option", ["plain", "causal", "pre", "no skip"])
def test_forward_at_the_edges(option: str, X: torch.Tensor) -> None:
    network, X = build(option), X.double()
    if option == "pre" and not X.any():
        assert torch.equal(network(X), X)  # zero tokens stay zero under the norm
    else:
        assert_follows_the_twin(network, X)


@pytest.mark.parametrize(("dtype", "factor"), [(torch.float64, 1 + 1e-9), (torch.float32, 1.01)])
@pytest.mark.parametrize("name", ["query", "key", "value"])
def test_the_comparison_notices(name: str, dtype: torch.dtype, factor: float) -> None:
    """Negative control: one layer with one kind of weight off by a little is seen."""
    network, X = build(layers=1, dtype=dtype), tokens(N, D, dtype=dtype)
    off = network.replace(**{name: getattr(network, name) * factor})
    assert_follows_the_twin(network, X)
    expected, scale = twin_trace(network, X)[-1], rounding_scale(network, X)
    with pytest.raises(AssertionError, match="against"):
        assert_agrees(off(X), expected, scale, operations(network, X))


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    ("of_network", "of_tokens"),
    [((2,), ()), ((), (3,)), ((2,), (3, 1)), ((3, 2), (2,)), ((2,), (0, 1)), ((0,), ())],
    ids=str,
)
def test_batches_broadcast(option: str, of_network: tuple[int, ...], of_tokens: Any) -> None:
    network, X = build(option, batch=of_network), tokens(*of_tokens, N, D)
    batch = torch.broadcast_shapes(of_network, of_tokens)
    steps = network.trace(X)
    assert steps.shape == (*batch, network.depth + 1, N, D)
    assert torch.equal(network(X), steps[..., -1, :, :])
    for index in [(0,) * len(batch), tuple(b - 1 for b in batch)] if math.prod(batch) else []:
        inputs = X.expand(*batch, N, D)[index]
        single = unbatched(network, batch, index)
        gap = (single.trace(inputs) - steps[index]).abs()
        assert_below(gap, 0.0, rounding_scale(single, inputs), 2 * operations(single, inputs))


def unbatched(network: Network, batch: tuple[int, ...], index: tuple[int, ...]) -> Network:
    fields = {}
    for name in ("query", "key", "value", "output"):
        w = getattr(network, name)
        fields[name] = None if w is None else w.expand(*batch, *w.shape[-4:])[index]
    for name in ("skip", "mixer_scale"):
        scale = getattr(network, name)
        if isinstance(scale, torch.Tensor) and scale.dim():
            fields[name] = scale.expand(batch)[index]
    return network.replace(**fields)


def test_skip_and_mixer_scale_may_be_batches() -> None:
    skip, mixer = torch.tensor([0.0, 1.0, -2.0]), torch.tensor([1.0, 0.5, 3.0])
    network = build(batch=(3,)).replace(skip=skip.double(), mixer_scale=mixer.double())
    X = tokens(N, D)
    for i in range(3):
        single = unbatched(network, (3,), (i,)).replace(
            skip=float(skip[i]), mixer_scale=float(mixer[i])
        )
        scale = rounding_scale(single, X)
        assert_below((single(X) - network(X)[i]).abs(), 0.0, scale, 2 * operations(single, X))


@pytest.mark.parametrize("option", OPTIONS)
def test_attention_and_its_matrices(option: str) -> None:
    network, X = build(option), tokens(5, N, D)
    P = network.attention_matrices(X, 1)
    assert P.shape == (5, network.heads, N, N)
    assert (dobrushin(P) <= 1 + 1e-15).all()
    read = X
    if network.norm == "pre":
        read = X / torch.linalg.vector_norm(X, dim=-1, keepdim=True) * math.sqrt(D)
    mixed = (P @ read[:, None] @ network.value_output[1]).sum(-3)
    scale, count = rounding_scale(network, X), operations(network, X)
    assert_below((network.attention(X, 1) - mixed).abs(), 0.0, scale, count)
    if network.rope is None:
        logits = read[:, None] @ network.query_key[1] @ read[:, None].mT
        assert_below((P - softmax(logits, network.mask)).abs(), 0.0, scale, count)
    if network.mask is not None:
        assert (P[..., ~network.mask] == 0).all()


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("width", "heads"), [(4, 1), (6, 3)])
def test_torch_multihead_attention(width: int, heads: int, batch_first: bool) -> None:
    torch.manual_seed(0)
    modules = [
        torch.nn.MultiheadAttention(width, heads, bias=False, batch_first=batch_first).double()
        for _ in range(2)
    ]
    X = tokens(3, 5, width)
    network = Network.from_torch(modules, skip=0.0)
    expected = X
    for module in modules:
        inputs = expected if batch_first else expected.transpose(0, 1)
        attended = module(inputs, inputs, inputs, need_weights=False)[0]
        expected = attended if batch_first else attended.transpose(0, 1)
    gap = (network(X) - expected).abs()
    assert_below(gap, 0.0, rounding_scale(network, X), 2 * operations(network, X))
    assert size(expected.detach()) > 1e-3
    causal = Network.from_torch(modules[0], mask=CAUSAL, skip=0.0)
    inputs = X[:1, :N] if batch_first else X[:1, :N].transpose(0, 1)
    masked = modules[0](inputs, inputs, inputs, attn_mask=~CAUSAL)[0].reshape(N, width)
    gap = (causal(X[0, :N]) - masked).abs()
    assert_below(gap, 0.0, rounding_scale(causal, X[0, :N]), 2 * operations(causal, X))


# --- properties ----------------------------------------------------------------------------------


@given(seed=st.integers(0, 10**6))
def test_tokens_may_be_permuted(seed: int) -> None:
    network, X = build(seed=seed), tokens(N, D, seed=seed)
    order = torch.randperm(N, generator=generator(seed))
    gap = (network(X[order]) - network(X)[order]).abs()
    assert_below(gap, 0.0, rounding_scale(network, X), 2 * operations(network, X))


@given(seed=st.integers(0, 10**6))
def test_the_causal_mask_hides_the_future(seed: int) -> None:
    network, X = build("causal", seed=seed), tokens(N, D, seed=seed)
    later = X.clone()
    later[-1] += 5
    assert torch.equal(network(later)[:-1], network(X)[:-1])
    assert not torch.equal(build(seed=seed)(later)[:-1], build(seed=seed)(X)[:-1])


@given(seed=st.integers(0, 10**6), steps=st.integers(1, 5))
def test_rope_depends_on_distances_alone(seed: int, steps: int) -> None:
    """A block of tokens, placed later among invisible ones, attends as before."""
    network, X = build("rope", seed=seed), tokens(N, D, seed=seed)
    n = N + steps
    block = torch.eye(n, dtype=torch.bool)
    block[steps:, steps:] = True
    padded = torch.cat((tokens(steps, D, seed=seed + 1), X))
    moved = network.replace(mask=block)(padded)[steps:]
    scale = rounding_scale(network, X)
    # An angle of size n is only good to n u.
    assert_below((moved - network(X)).abs(), 0.0, scale * n, 2 * operations(network, X))


@pytest.mark.parametrize("option", OPTIONS)
def test_gradients_flow_to_every_weight(option: str) -> None:
    network = build(option)
    names = [n for n in ("query", "key", "value", "output") if getattr(network, n) is not None]
    leaves = {n: getattr(network, n).clone().requires_grad_() for n in names}
    X = tokens(N, D).requires_grad_()
    network.replace(**leaves)(X).square().sum().backward()
    for leaf in (X, *leaves.values()):
        assert leaf.grad is not None and torch.isfinite(leaf.grad).all() and leaf.grad.any()


@pytest.mark.parametrize("option", ["plain", "causal", "rope", "pre", "row", "factored"])
def test_the_gradient_is_the_derivative(option: str) -> None:
    network = build(option)
    assert torch.autograd.gradcheck(network, (tokens(N, D).requires_grad_(),))


# --- a value -------------------------------------------------------------------------------------


def test_layers_compose() -> None:
    network, X = build(layers=3), tokens(N, D)
    assert torch.equal(network.layers(1, 3)(network.layers(0, 1)(X)), network(X))
    assert torch.equal(network.layers(2, 2)(X), X)
    for start, stop in ((-1, 2), (2, 1), (0, 4), (0.0, 2), (False, 2), (None, 2)):
        with pytest.raises(ValueError, match="layers: expected integers, 0 <= start <= stop <= 3"):
            network.layers(start, stop)


@pytest.mark.parametrize("option", OPTIONS)
def test_save_and_load(option: str, tmp_path: Path) -> None:
    network, X = build(option, batch=(2,)), tokens(N, D)
    network.save(tmp_path / "network.pt")
    loaded = Network.load(tmp_path / "network.pt")
    assert repr(loaded) == repr(network) and torch.equal(loaded(X), network(X))


def test_scales_take_the_dtype_of_the_weights_and_numpys_scalars_load(tmp_path: Path) -> None:
    network = build(batch=(2,)).replace(skip=torch.ones(2), mixer_scale=np.float64(0.5))
    assert network.skip.dtype == torch.float64
    network.save(tmp_path / "network.pt")
    assert Network.load(tmp_path / "network.pt").mixer_scale == 0.5


def test_load_refuses_other_files(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"query": torch.zeros(1)}, path)
    saved = path.read_bytes()
    for contents in (saved, saved[: len(saved) // 2], b"", b"hello"):
        path.write_bytes(contents)
        with pytest.raises(ValueError, match="file: expected a Network"):
            Network.load(path)
    with pytest.raises(FileNotFoundError):
        Network.load(tmp_path / "none.pt")


@pytest.mark.parametrize("option", OPTIONS)
def test_to_another_dtype(option: str) -> None:
    network = build(option).replace(skip=torch.tensor(0.5, dtype=torch.float64))
    single = network.to(torch.float32)
    assert single.query.dtype == single.skip.dtype == torch.float32
    assert network.query.dtype == torch.float64
    assert single(tokens(N, D, dtype=torch.float32)).dtype == torch.float32


def test_immutable() -> None:
    network = build()
    with pytest.raises(AttributeError, match=r"immutable; use network.replace\(skip=...\)"):
        network.skip = 0.0
    changed = network.replace(skip=0.0)
    assert (network.skip, changed.skip) == (1.0, 0.0) and changed.query is network.query
    assert repr(copy.deepcopy(network)) == repr(network)


def test_repr_shows_the_state() -> None:
    assert repr(build("all but row", batch=(2,))) == (
        "Network(batch=(2,), depth=2, heads=2, width=3, key_width=2, value_width=2, skip=2,"
        " mixer_scale=-2.0, rope=100.0, norm='pre', mask=(4, 4), dtype=torch.float64,"
        " device='cpu')"
    )


def random(**changes: Any) -> Network:
    settings = {"layers": 2, "heads": 3, "width": 4, "key_width": 5, "eta": 0.5}
    return Network.random(**{**settings, "generator": generator(0), **changes})


def test_random_networks_are_reproducible_and_scale_with_eta() -> None:
    one, again, twice = random(), random(), random(eta=1.0)
    assert torch.equal(one.query, again.query) and torch.equal(2 * one.value, twice.value)
    assert one.query.shape == (2, 3, 4, 5) and one.value.shape == (2, 3, 4, 4)
    wide = random(width=60, key_width=60)
    assert 0.499 < float(wide.query.abs().max()) <= 0.5 and abs(float(wide.query.mean())) < 0.01
    single = random(dtype=torch.float32)
    assert torch.equal(single.key, one.key.float())
    assert torch.equal(random(layers=np.int64(2), heads=np.int32(3)).query, one.query)
    sweep = random(eta=torch.tensor([0.5, 1.0]))
    assert sweep.batch == (2,) and torch.equal(sweep.query[1], twice.query)
    assert random(heads=0)(torch.eye(4, dtype=torch.float64)).equal(
        torch.eye(4, dtype=torch.float64)
    )


def test_default_device() -> None:
    assert default_device().type == ("cuda" if torch.cuda.is_available() else "cpu")


# --- bad input -----------------------------------------------------------------------------------

ZERO = torch.zeros(1, 1, D, K)
SQUARE = torch.zeros(1, 1, D, D)
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "query without layers": (lambda: Network(ZERO[0], ZERO[0], SQUARE[0]), "query: expected"),
    "query a list": (lambda: Network([[0.0]], ZERO, SQUARE), "query: expected"),
    "query of integers": (lambda: Network(ZERO.int(), ZERO, SQUARE), "query: expected .*floating"),
    "no query": (lambda: Network(None, ZERO, SQUARE), "query: expected"),
    "query of eight bits": (
        lambda: Network(*[w.to(torch.float8_e5m2) for w in (ZERO, ZERO, SQUARE)]),
        "query: expected .*16 to 64 bits",
    ),
    "key dtype": (lambda: Network(ZERO, ZERO.double(), SQUARE), "key: expected .*float32"),
    "key width": (lambda: Network(ZERO, ZERO[..., :1], SQUARE), r"key: expected shape .*\(1, 1, 3"),
    "value not square": (lambda: Network(ZERO, ZERO, ZERO), "value: expected shape"),
    "output shape": (lambda: Network(ZERO, ZERO, ZERO, ZERO), "output: expected shape"),
    "batch of value": (lambda: Network(ZERO, ZERO, SQUARE[None]), "value: expected shape"),
    "nan weight": (lambda: Network(ZERO + math.nan, ZERO, SQUARE), "query: expected finite"),
    "infinite value": (lambda: Network(ZERO, ZERO, SQUARE + math.inf), "value: expected finite"),
    "nan skip": (lambda: build().replace(skip=math.nan), "skip: expected finite"),
    "skip shape": (lambda: build().replace(skip=torch.ones(2)), r"skip: expected shape \(\)"),
    "no skip": (lambda: build().replace(skip=None), "skip: expected a real number or a tensor"),
    "complex skip": (lambda: build().replace(skip=1j), "skip: expected a real number .*1j"),
    "skip a list": (lambda: build().replace(skip=[1.0]), "skip: expected a real number"),
    "skip an array": (
        lambda: build(width=3).replace(skip=np.ones(3)),
        "skip: expected a real number or a tensor",
    ),
    "skip a fraction": (lambda: build().replace(skip=Fraction(1, 2)), "skip: expected a real"),
    "complex tensor": (
        lambda: build().replace(skip=torch.tensor(1j)),
        "skip: expected a real number or a tensor, received torch.complex64",
    ),
    "mixer of text": (lambda: build().replace(mixer_scale="2"), "mixer_scale: expected a real"),
    "mixer shape": (lambda: build().replace(mixer_scale=torch.ones(2)), "mixer_scale: expected"),
    "norm": (lambda: build().replace(norm="post"), 'norm: expected None, "pre" or "row", received'),
    "rope": (lambda: build().replace(rope=0.0), "rope: expected a base > 0, finite, received 0.0"),
    "rope switched on": (lambda: build().replace(rope=True), "rope: expected a base .*True"),
    "rope a tensor": (lambda: build().replace(rope=torch.ones(2)), "rope: expected a base > 0"),
    "rope on odd keys": (lambda: build(key_width=3).replace(rope=10.0), "key width: expected"),
    "mask of numbers": (lambda: build().replace(mask=torch.ones(N, N)), "mask: expected booleans"),
    "mask not square": (lambda: build().replace(mask=CAUSAL[:3]), "mask: expected shape"),
    "mask a text": (lambda: build().replace(mask="causal"), "mask: expected booleans, received"),
    "blind row": (lambda: build().replace(mask=CAUSAL & ~CAUSAL), "mask: expected a visible token"),
    "tokens a vector": (lambda: build()(tokens(D)), "X: expected tokens of shape"),
    "no token": (lambda: build()(tokens(0, D)), "X: expected tokens of shape"),
    "tokens too wide": (lambda: build()(tokens(N, D + 1)), "width of X: expected d = 3, received"),
    "tokens dtype": (lambda: build()(tokens(N, D).float()), "X: expected torch.float64"),
    "tokens of integers": (lambda: build()(torch.ones(N, D).int()), "X: expected .*floating"),
    "tokens a list": (lambda: build()([[0.0]]), "X: expected"),
    "nan token": (lambda: build()(tokens(N, D) + math.nan), "X: expected finite"),
    "tokens against mask": (lambda: build("causal")(tokens(N + 1, D)), "tokens of X: expected n ="),
    "batches clash": (lambda: build(batch=(2,))(tokens(3, N, D)), "batch of X: expected"),
    "overflow": (lambda: build()(tokens(N, D) * 1e200), "finite entries, received NaN or infinity"),
    "layer": (lambda: build().attention(tokens(N, D), 2), "layer: expected 0 <= layer < 2"),
    "negative layer": (lambda: build().attention_matrices(tokens(N, D), -1), "layer: expected"),
    "half a layer": (lambda: build().attention(tokens(N, D), 0.5), "layer: expected 0 <= layer"),
    "layers apart": (
        lambda: Network.stack([build(), build(dtype=torch.float32)]),
        "query: expected torch.float64 on cpu, as in the first network",
    ),
    "eta a text": (lambda: random(eta="0.1"), "eta: expected numbers >= 0, received '0.1'"),
    "no generator": (lambda: random(generator=None), "generator: expected a torch.Generator"),
    "true layers": (lambda: random(layers=True), "layers: expected an integer >= 0"),
    "eta": (lambda: random(eta=-0.1), "eta: expected finite and >= 0, received -0.1"),
    "eta nan": (lambda: random(eta=math.nan), "eta: expected finite and >= 0"),
    "heads": (lambda: random(heads=-1), "heads: expected an integer >= 0, received -1"),
    "layers": (lambda: random(layers=-1), "layers: expected an integer >= 0"),
    "width": (lambda: random(width=0), "width: expected an integer >= 1"),
    "key_width": (lambda: random(key_width=0), "key_width: expected an integer >= 1"),
    "no module": (lambda: Network.from_torch([]), "modules: expected at least one"),
    "not attention": (lambda: Network.from_torch(torch.nn.Linear(2, 2)), "modules: expected"),
    "biases": (lambda: Network.from_torch(torch.nn.MultiheadAttention(4, 2)), "no biases"),
    "sizes differ": (
        lambda: Network.from_torch([torch.nn.MultiheadAttention(d, 2, bias=False) for d in (4, 6)]),
        "modules: expected equal",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    call, said = REFUSED[name]
    with pytest.raises(ValueError, match=rf"(?s){said}"):
        call()
