"""Mixers: matrix, recurrence and slow twin agree; limits; bad input."""

from __future__ import annotations

import math
from typing import Any

import mpmath
import pytest
import reference_ssm as slow
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import generator, normal

from collapse.exact import lift
from collapse.numeric import exact, rounding_allowance
from collapse.ssm import (
    LTI,
    MIXERS,
    LinearAttention,
    Mixer,
    ScalarSSM,
    SelectiveSSM,
    SoftmaxAttention,
    discretise,
)

N, D, STATES = 6, 3, 2
OPERATIONS = 500
PHI = {"elu": lambda x: x + 1 if x > 0 else math.exp(x), "identity": lambda x: x, "exp": math.exp}
pytestmark = pytest.mark.label("ssm-lti-exact")

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in MIXERS),
    ("softmax attention", {"causal": False}),
    *(("linear attention", {"feature_map": phi}) for phi in ("identity", "exp")),
    *((name, {"discretisation": "euler"}) for name in list(MIXERS)[2:]),
]
IDS = ["-".join([name, *map(str, options.values())]) for name, options in VARIANTS]


def drawn(name: str, seed: int, **options: Any) -> Mixer:
    return MIXERS[name].random(D, STATES, generator(seed), 0.7, **options)


def matrices(mixer: Any, X: torch.Tensor) -> list[list[list[float]]]:
    """The slow twin's matrices, one a channel."""
    x = X.tolist()
    part = {name: getattr(mixer, name) for name in mixer.__dataclass_fields__}
    part = {name: p.tolist() if isinstance(p, torch.Tensor) else p for name, p in part.items()}
    if isinstance(mixer, SoftmaxAttention):
        return [slow.softmax_matrix(x, part["query"], part["key"], mixer.causal)]
    if isinstance(mixer, LinearAttention):
        return [slow.linear_matrix(x, part["query"], part["key"], PHI[mixer.feature_map])]
    rule = mixer.discretisation
    if isinstance(mixer, LTI):
        rows = zip(part["rate"], part["step"], part["write"], part["read"], strict=True)
        return [slow.fixed_matrix(len(x), *row, rule) for row in rows]
    rates = part["rate"] if isinstance(mixer, SelectiveSSM) else [part["rate"] * STATES]
    return [
        slow.selective_matrix(
            x, rate, [[row[c]] for row in part["step"]], part["step_bias"][c], part["write"],
            part["write_bias"], part["read"], part["read_bias"], rule,
        )
        for c, rate in enumerate(rates)
    ]  # fmt: skip


def scale(mixer: Mixer, X: torch.Tensor) -> torch.Tensor:
    """Size of the largest number between input and output."""
    plain = mixer.replace(normalise=False, gate=None)
    weights = plain.matrix(X).abs()
    sums = mixer.replace(normalise=False).matrix(X).sum(-1).abs().amin() if mixer.normalise else 1
    gate = 1 if mixer.gate is None else (X @ mixer.gate).abs().amax() + 1
    values = X if mixer.value is None else X @ mixer.value
    return weights.sum(-1).amax() * values.abs().amax() * gate * (1 + 1 / sums) ** 2 + 1


def assert_close(one: torch.Tensor, other: torch.Tensor, size: torch.Tensor) -> None:
    assert one.shape == other.shape
    assert (one - other).abs().max() <= rounding_allowance(size, OPERATIONS, one.dtype)


# --- matrix, recurrence, slow twin ---------------------------------------------------------------


@pytest.mark.parametrize(("name", "options"), VARIANTS, ids=IDS)
@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("gated", [False, True])
def test_matrix_recurrence_and_loops_agree(
    name: str, options: dict[str, Any], normalise: bool, gated: bool
) -> None:
    gate = normal(D, D, seed=3) if gated else None
    for seed in range(4):
        mixer = drawn(name, seed, gate=gate, normalise=normalise, **options)
        X = normal(N, D, seed=100 + seed)
        size = scale(mixer, X)
        by_matrix, by_recurrence = mixer(X), mixer.recur(X)
        assert_close(by_matrix, by_recurrence, size)
        assert mixer.value is not None
        loops = slow.output(
            X.tolist(), matrices(mixer, X), mixer.value.tolist(),
            None if gate is None else gate.tolist(), normalise,
        )  # fmt: skip
        assert_close(by_matrix, torch.tensor(loops, dtype=torch.float64), size)


@pytest.mark.parametrize("name", MIXERS)
def test_a_wrong_recurrence_would_be_noticed(name: str) -> None:
    """Negative control: one per cent off in one token is far above the allowance."""
    mixer, X = drawn(name, 0), normal(N, D, seed=1)
    moved = X.clone()
    moved[0] *= 1.01
    gap = (mixer(X) - mixer.recur(moved)).abs().max()
    assert gap > 100 * rounding_allowance(scale(mixer, X), OPERATIONS)


@pytest.mark.parametrize("name", MIXERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_batches_of_weights_and_tokens_broadcast(name: str, dtype: torch.dtype) -> None:
    kinds = [drawn(name, seed) for seed in range(3)]
    fields = [f for f in kinds[0].__dataclass_fields__ if torch.is_tensor(getattr(kinds[0], f))]
    # A dimension for tokens in front of which the three mixers stand.
    stacked = {f: torch.stack([getattr(m, f) for m in kinds])[:, None].to(dtype) for f in fields}
    batch, X = kinds[0].replace(**stacked), normal(2, N, D, seed=9, dtype=dtype)
    for run in ("apply", "recur"):
        found = getattr(batch, run)(X)
        assert found.shape == (3, 2, N, D) and found.dtype == dtype
        for i, mixer in enumerate(kinds):
            same = mixer.replace(**{f: getattr(mixer, f).to(dtype) for f in fields})
            assert_close(found[i], getattr(same, run)(X), scale(same, X))
    assert batch.matrix(X).shape == (3, 2, kinds[0].channels, N, N)


@pytest.mark.parametrize("name", MIXERS)
def test_mixers_are_causal_but_for_full_softmax(name: str) -> None:
    X = normal(N, D, seed=4)
    M = drawn(name, 2).matrix(X)
    assert (M.triu(1) == 0).all() and (M.diagonal(dim1=-2, dim2=-1) != 0).all()
    full = drawn("softmax attention", 2, causal=False).matrix(X)
    assert (full > 0).all()


# --- limits --------------------------------------------------------------------------------------


def test_without_selection_a_selective_model_is_fixed() -> None:
    g, zero = generator(5), torch.zeros(D, STATES, dtype=torch.float64)
    fixed = LTI.random(D, STATES, g)
    write, read = fixed.write[:1], fixed.read[:1]
    fixed = fixed.replace(write=write.expand(D, STATES), read=read.expand(D, STATES))
    selective = SelectiveSSM(
        rate=fixed.rate, step=zero[:, :1].expand(D, D), step_bias=fixed.step.expm1().log(),
        write=zero, write_bias=write[0], read=zero, read_bias=read[0], value=fixed.value,
        discretisation="zoh",
    )  # fmt: skip
    X = normal(N, D, seed=6)
    assert_close(selective(X), fixed(X), scale(fixed, X))
    chosen = selective.replace(step=normal(D, D, seed=7))
    assert (chosen(X) - fixed(X)).abs().max() > 1e-3  # control: tokens that choose


@pytest.mark.parametrize("rule", ["zoh", "euler"])
def test_the_scalar_model_is_the_selective_one_with_equal_rates(rule: Any) -> None:
    scalar = ScalarSSM.random(D, STATES, generator(8), discretisation=rule)
    fields = ("step", "step_bias", "write", "write_bias", "read", "read_bias", "value")
    parts = {name: getattr(scalar, name) for name in fields}
    rate = scalar.rate[:, None].expand(1, STATES)
    selective = SelectiveSSM(rate=rate, discretisation=rule, **parts)
    X = normal(N, D, seed=9)
    assert_close(selective(X), scalar(X), scale(scalar, X))
    assert_close(selective.recur(X), scalar.recur(X), scale(scalar, X))
    uneven = selective.replace(rate=torch.tensor([[1.0, 2.0]], dtype=torch.float64))
    assert (uneven(X) - scalar(X)).abs().max() > 1e-3  # control


def test_no_decay_is_linear_attention() -> None:
    """As the rate goes to 0 with a step of 1, the scalar model is linear attention."""
    linear = LinearAttention.random(D, STATES, generator(10), feature_map="identity")
    none = torch.zeros(STATES, dtype=torch.float64)
    scalar = ScalarSSM(
        rate=torch.tensor([1e-13], dtype=torch.float64), step=torch.zeros(D, 1).double(),
        step_bias=torch.tensor([1.0], dtype=torch.float64).expm1().log(), write=linear.key,
        write_bias=none, read=linear.query, read_bias=none, value=linear.value,
        discretisation="euler",
    )  # fmt: skip
    X = normal(N, D, seed=11)
    assert torch.allclose(scalar(X), linear(X), rtol=0, atol=1e-11)
    assert not torch.allclose(scalar.replace(rate=scalar.rate * 1e10)(X), linear(X), atol=1e-5)


# --- discretisation ------------------------------------------------------------------------------


@given(st.floats(1e-3, 30), st.floats(1e-3, 3))
def test_zero_order_hold_solves_the_equation(rate: float, step: float) -> None:
    """exp of the matrix [[−rate, 1], [0, 0]]·step holds decay and write."""
    log_decay, write = discretise(rate, step, "zoh")
    with mpmath.workdps(30):
        solved = mpmath.expm(mpmath.matrix([[-rate, 1], [0, 0]]) * step)
        assert math.exp(log_decay) == pytest.approx(float(solved[0, 0]), rel=1e-13)
        assert write == pytest.approx(float(solved[0, 1]), rel=1e-13)
    euler = discretise(rate, step, "euler")
    assert euler[0] == log_decay and euler[1] > write  # Euler is not exact: e^−x > 1 − x


def test_the_rules_agree_to_second_order_in_the_step() -> None:
    gaps = []
    for step in (1e-2, 1e-3):
        _, zoh = discretise(1.0, step, "zoh")
        _, euler = discretise(1.0, step, "euler")
        gaps.append(euler - zoh)
    assert math.log10(gaps[0] / gaps[1]) == pytest.approx(2, abs=0.01)


# --- exact numbers, bad input --------------------------------------------------------------------


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.parametrize("name", MIXERS)
def test_balls_contain_the_floats(name: str) -> None:
    mixer, X = drawn(name, 12, normalise=name == "linear attention"), normal(4, D, seed=13)
    fields = [f for f in mixer.__dataclass_fields__ if torch.is_tensor(getattr(mixer, f))]
    lifted = mixer.replace(**{f: lift(getattr(mixer, f), "arb") for f in fields})
    found = mixer(X)
    for run in (lifted.apply, lifted.recur):
        balls = run(lift(X, "arb"))
        middle = torch.tensor([[float(b.mid()) for b in row] for row in balls], dtype=X.dtype)
        assert_close(found, middle, scale(mixer, X))
        assert max(float(b.rad()) for b in balls.flat) < 1e-40


def test_linear_attention_takes_fractions() -> None:
    one = exact([["1/2"]])
    mixer = LinearAttention(query=one, key=one, feature_map="identity")
    assert (mixer(exact([[1], [2]])) == mixer.recur(exact([[1], [2]]))).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": -torch.ones(1)}, "rate: expected entries > 0"),
        ({"discretisation": "bilinear"}, "discretisation: expected one of"),
        ({"step": torch.ones(D, 2)}, "step: expected shape"),
        ({"read": torch.full((D, STATES), math.nan)}, "read: expected finite"),
        ({"value": torch.ones(D, D + 1)}, "value: expected shape"),
    ],
)
def test_bad_weights_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        drawn("scalar SSM (Mamba-2)", 0).replace(**change)


def test_other_bad_input_is_refused() -> None:
    fixed = drawn("LTI SSM (S4)", 0)
    with pytest.raises(ValueError, match="step: expected entries > 0"):
        fixed.replace(step=torch.zeros(D))
    with pytest.raises(ValueError, match="rate: expected 1 or d = 3 rows"):
        fixed.replace(rate=torch.ones(2, STATES))
    with pytest.raises(ValueError, match="feature_map: expected one of"):
        drawn("linear attention", 0, feature_map="relu")
    with pytest.raises(ValueError, match="X: expected width 3"):
        fixed(torch.ones(4, 2))
    with pytest.raises(ValueError, match="rows of M"):
        zero = torch.zeros(1, 1)
        LinearAttention(query=zero, key=zero, feature_map="identity", normalise=True)(zero + 1)
