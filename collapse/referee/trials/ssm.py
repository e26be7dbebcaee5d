"""Trials of chapter 9, second part: state space models."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce

from collapse import numeric
from collapse.bounds.normalised import projected_weight
from collapse.bounds.states import (
    deep_kernel,
    hankel_determinant,
    shallow_kernel,
    stacked,
    state_floor,
)
from collapse.kernels import unit_rows
from collapse.norms import diameter, token_norm
from collapse.numeric import Number
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import (
    ALL,
    IDENTITY,
    agree,
    identity,
    inner,
    join,
    number,
    times,
    unit,
    within,
)
from collapse.ssm import LTI, ScalarSSM
from collapse.ssm.depth import Layer, exchange, exchanged, forward, one_layer

Pair = tuple[Number, Number]

# --- ssm-lti-exact -------------------------------------------------------------------------------


def _fixed(pole: Number, value: Number) -> LTI:
    r"""The mixer with kernel aᵏ for all features, a of shape (\*batch, 1)."""
    rate = -numeric.log(pole)[..., None]
    one = 0 * rate + 1
    return LTI(features=value.shape[-1], rate=rate, step=one[..., 0], write=one, read=one,
               discretisation="euler", value=value)  # fmt: skip


def _apart(free: Number) -> list[Number]:
    """Poles that no two of L layers share: layer l has one between l/L and (l + ½)/L."""
    layers, shares = free.shape[-1], inner(free)
    return [(shares[..., i : i + 1] + 2 * i) / (2 * layers) for i in range(layers)]


def _stack(poles: Number, values: Number, X: Number) -> Case:
    each = _apart(poles)
    layers = [[_fixed(a, values[..., i, :, :])] for i, a in enumerate(each)]
    return {"layers": layers, "X": X}


def _same(layers: list[Layer], X: Number) -> Pair:
    return agree(forward([one_layer(layers)], X), forward(layers, X))


def _values_kept(layers: list[Layer], X: Number) -> Pair:
    """Control: the heads side by side with the values that they had, rung 1."""
    return agree(forward([[head for layer in layers for head in layer]], X), forward(layers, X))


_EXACT = tuple(
    Trial("ssm-lti-exact", name, {"poles": (L,), "values": (L, d, d), "X": (n, d)}, _stack, _same,
          control=_values_kept, dropped="the change of the value matrices", kinds=IDENTITY)
    for name, L, d, n in (
        ("two layers of width two", 2, 2, 3),
        ("three layers of width one", 3, 1, 4),
    )
)  # fmt: skip

# --- ssm-state-ladder ----------------------------------------------------------------------------


def _geometric(eta: Number, pole: Number, weights: Number, others: Number, layers: int) -> Case:
    """L equal layers, and any sum of r geometric kernels."""
    states = weights.shape[-1]
    deep = deep_kernel(layers, number(unit(eta)), number(inner(pole)), 2 * states + 2)
    shares = inner(others)
    shallow = [
        sum(weights[..., s] * shares[..., s] ** k for s in range(states))
        for k in range(2 * states + 2)
    ]
    return {"deep": deep, "shallow": shallow, "states": states}


def _kernels_apart(deep: list[Number], shallow: list[Number], states: int) -> Pair:
    gaps = (abs(x - y) for x, y in zip(deep[1:], shallow[1:], strict=True))
    return state_floor(deep, states), reduce(numeric.maximum, gaps)


def _states_to_spare(deep: list[Number], shallow: list[Number], states: int) -> Pair:
    """Control: the deep kernel itself, which has a state more."""
    return _kernels_apart(deep, deep, states)


def _layers(eta: Number, pole: Number) -> Case:
    return {"eta": (number(unit(eta)) + number(0 * eta + 1)) / 8, "pole": number(inner(pole))}


def _all_states(eta: Number, pole: Number, fewer: int = 0) -> Pair:
    """Three layers against one of three states."""
    deep, shallow = deep_kernel(3, eta, pole, 6), shallow_kernel(3, 3 - fewer, eta, pole, 6)
    gap = reduce(numeric.maximum, (abs(x - y) for x, y in zip(deep, shallow, strict=True)))
    return agree(times(gap, [[1]]), times(0 * eta, [[1]]))


def _determinant(eta: Number, pole: Number, layers: int = 4) -> Pair:
    """The determinant of two rows and columns of four layers, by hand and in closed form."""
    kernel = deep_kernel(4, eta, pole, 4)
    found = abs(kernel[1] * kernel[3] - kernel[2] * kernel[2])
    formula, size = hankel_determinant(layers, 1, eta, pole), eta**4 * pole**4
    return agree(times(found / size, [[1]]), times(formula / size, [[1]]))


_SIZE = {"eta": (1,), "pole": (1,)}
_LADDER = (
    *(
        Trial("ssm-state-ladder", f"any kernel with {states} against {L} layers",
              _SIZE | {"weights": (r,), "others": (r,)}, partial(_geometric, layers=L),
              _kernels_apart, control=_states_to_spare, dropped="the number of states", kinds=ALL)
        for states, r, L in (("one state", 1, 2), ("two states", 2, 3))
    ),
    Trial("ssm-state-ladder", "three states for three layers", _SIZE, _layers, _all_states,
          control=partial(_all_states, fewer=3), dropped="the states", kinds=IDENTITY),
    Trial("ssm-state-ladder", "the determinant of four layers", _SIZE, _layers, _determinant,
          control=partial(_determinant, layers=5), dropped="a layer", kinds=IDENTITY),
)  # fmt: skip

# --- ssm-selective-order -------------------------------------------------------------------------

_HEADS = 2
_INPUTS = {"ends": (3, 1), "middle": (2, 1)}
_ONE_HEAD = {"rates": (1,), "steps": (1, 1), "biases": (1,), "weights": (2, 1, 1),
             "origins": (2, 1), "values": (1, 1)}  # fmt: skip
_ANY_HEADS = {name: (_HEADS, *shape) for name, shape in _ONE_HEAD.items()}


def _heads(
    rates: Number, steps: Number, biases: Number, weights: Number, origins: Number, values: Number
) -> Layer:
    """Selective heads of width one and state one, the same for each of several inputs."""
    return [
        ScalarSSM(rate=inner(rates[..., h, None, :]), step=steps[..., h, None, :, :],
                  step_bias=biases[..., h, None, :], write=weights[..., h, 0, None, :, :],
                  write_bias=origins[..., h, 0, None, :], read=weights[..., h, 1, None, :, :],
                  read_bias=origins[..., h, 1, None, :], value=values[..., h, None, :, :],
                  discretisation="euler")
        for h in range(_HEADS)
    ]  # fmt: skip


def _two_layers(eta: Number, sigma: Number, pole: Number) -> list[Layer]:
    """A fixed layer below one whose steps the tokens choose, with weight σ; values η."""
    value = times(number(unit(eta)), [[1]])[..., None, :, :]
    zero = 0 * value
    one = 1 + zero[..., 0, :]
    step = times(number(unit(sigma)), [[1]])[..., None, :, :]
    selective = ScalarSSM(rate=one, step=step, step_bias=0 * one, write=zero, write_bias=one,
                          read=zero, read_bias=one, value=value,
                          discretisation="euler")  # fmt: skip
    return [[_fixed(inner(pole)[..., None, :], value)], [selective]]


def _confused(
    eta: Number, sigma: Number, pole: Number, ends: Number, middle: Number, **free: Number
) -> Case:
    """Two layers, one layer of selective heads, and four inputs."""
    begin, other, last = (ends[..., i : i + 1, :] for i in range(3))
    return {"deep": _two_layers(eta, sigma, pole), "shallow": [_heads(**free)],
            "inputs": exchanged(begin, other, middle, last)}  # fmt: skip


def _missed(deep: list[Layer], shallow: list[Layer], inputs: Number) -> Pair:
    outputs = forward(deep, inputs)
    wrong = numeric.amax(token_norm(outputs - forward(shallow, inputs)), -1)
    return abs(exchange(outputs))[..., 0] / 4, wrong


def _itself(deep: list[Layer], shallow: list[Layer], inputs: Number) -> Pair:
    """Control: the deep network imitates itself."""
    return _missed(deep, deep, inputs)


def _blind(deep: list[Layer], shallow: list[Layer], inputs: Number) -> Pair:
    moved = exchange(forward(shallow, inputs))[..., None]
    return agree(moved, 0 * moved)


def _seeing(deep: list[Layer], shallow: list[Layer], inputs: Number) -> Pair:
    """Control: two layers see the exchange."""
    return _blind(deep, deep, inputs)


def _selected_by(what: str, over: int = 1) -> Callable[..., Case]:
    """Two layers of one head whose steps or writes are selected, on tokens in [-1, 1].

    Steps have the bias 0, so that without selection they are log 2. Neither η nor σ vanishes: on
    both sides of the claim only rounding would be left. And σ is at most 1 / ``over``.
    """

    def build(eta: Number, sigma: Number, rates: Number, X: Number) -> Case:
        eta, sigma = (15 * unit(eta) + 1) / 16, (255 * unit(sigma) + 1) / (256 * over)
        value, chosen = (times(number(size), [[1]]) for size in (eta, sigma))
        zero, shares = 0 * value, inner(rates)
        one = 1 + zero[..., 0, :]
        slow = shares[..., :1]
        heads = [
            ScalarSSM(rate=rate, step=chosen if what == "step" else zero, step_bias=0 * one,
                      write=chosen if what == "write" else zero, write_bias=one,
                      read=zero, read_bias=one, value=value, discretisation="euler")
            for rate in (slow, slow + shares[..., 1:] + one / 4)
        ]  # fmt: skip
        return {"heads": heads, "eta": number(eta), "sigma": number(sigma), "X": within(X)}

    return build


def _left(heads: list[ScalarSSM], X: Number, changed: bool = True) -> Number:
    """The network less one layer, of changed values or of the heads side by side."""
    layers = [[head] for head in heads]
    return forward(layers, X) - forward([one_layer(layers) if changed else heads], X)


def _order(
    heads: list[ScalarSSM], eta: Number, sigma: Number, X: Number, changed: bool = True
) -> Pair:
    """The error with selected steps, and the order η²σ with a constant.

    With Z the tokens after layer 1, M the mixers, T the same without selection and w the changed
    values, the error is (η − w₁)(M₁ − T₁)X + η(M₂(Z) − M₂)X + (η − w₂)(M₂ − T₂)X
    + η²(M₂(Z)M₁ − T₂T₁)X. The gaps η − w are η² log 2 times aᵢ/(a₁ − a₂); a mixer's rows have sums
    of at most m, and move by at most L times σ and the movement of the tokens.
    """
    slow, fast = (head.rate[..., 0] for head in heads)
    rest = numeric.log(1 + 0 * eta + 1)
    n = X.shape[-2]
    m = n * numeric.log(1 + numeric.exp(sigma))
    farthest = numeric.log(1 + numeric.exp(sigma * (1 + eta * m)))  # the longest step on Z
    L = n + fast * farthest * (n * (n - 1) // 2)
    first, second = (numeric.exp(-rate * rest) for rate in (slow, fast))
    gaps = rest * (first + second) / (first - second)
    bound = eta * eta * sigma * L * (gaps + (3 + eta * m) * m)
    return token_norm(_left(heads, X, changed)), bound


def _moved(
    heads: list[ScalarSSM], eta: Number, sigma: Number, X: Number, changed: bool = True
) -> Pair:
    """With selected writes the error is σ times what layer 2 makes of (Z² − X²), at rest."""
    first, second = heads
    still = second.replace(write=0 * second.write)
    Z = X + first(X)
    return agree(_left(heads, X, changed), still(times(sigma, [[1]]) * (Z * Z - X * X)))


_TWO = {"eta": (1,), "sigma": (1,), "pole": (1,)} | _INPUTS | _ANY_HEADS
_TOKENS = {"eta": (1,), "sigma": (1,), "rates": (2,), "X": (3, 1)}
_SELECTIVE = (
    Trial("ssm-selective-order", "any layer of two heads", _TWO, _confused, _missed,
          control=_itself, dropped="that S' has one layer", kinds=ALL),
    Trial("ssm-selective-order", "one layer is blind", _TWO, _confused, _blind,
          control=_seeing, dropped="that there is one layer", kinds=IDENTITY),
    Trial("ssm-selective-order", "one layer, selected steps", _TOKENS,
          _selected_by("step", 1024), _order,
          control=partial(_order, changed=False), dropped="the change of the value matrices",
          kinds=ALL),
    Trial("ssm-selective-order", "one layer, selected writes", _TOKENS, _selected_by("write"),
          _moved, control=partial(_moved, changed=False),
          dropped="the change of the value matrices", kinds=IDENTITY),
)  # fmt: skip

# --- ssm-normalised-collapse, j24-selective-collapse ----------------------------------------------


def _hemisphere(t: Number, scores: Number) -> Case:
    """Unit tokens (1, t_i)/|(1, t_i)| under a lower triangle of positive scores."""
    n = t.shape[-2]
    Y = join(0 * t + 1, t)
    lower = times(0 * t[..., 0, 0] + 1, [[int(j <= i) for j in range(n)] for i in range(n)])
    return {"X": unit_rows(Y), "M": inner(scores) * lower}


def _projected(X: Number) -> Number:
    return X / X[..., :1]


def _nearer(X: Number, M: Number, layers: int = 1) -> Pair:
    """Diameter of the projected tokens after a layer, and its bound; or that of more layers."""
    share = (M / M.sum(-1)[..., None])[..., :, 0]
    height = numeric.amin(X[..., 0], -1)
    factor = 1 - projected_weight(numeric.amin(share, -1), height)
    # In the plane the projected tokens lie on a line: every norm is the same.
    return diameter(_projected(unit_rows(M @ X))), factor**layers * diameter(_projected(X))


def _repelled(angle: Number, rate: Number) -> Case:
    """Unit tokens along (1, 0) and (−t, 1), t > 0, under orthogonal values, the identity."""
    t = number(unit(angle)) + number(0 * angle + 1) / 4
    first, second = times(0 * t + 1, [1, 0]), times(0 * t + 1, [0, 1]) - times(t, [1, 0])
    return {"X": unit_rows(stacked([first, second], -2)), "rate": inner(rate)}


def _selected(X: Number, rate: Number, seeing: bool = True) -> Pair:
    """Squared distance after a selective layer and before: it is claimed to fall.

    The scores are x_i·x_j, or with ``seeing`` False all equal to 1.
    """
    zero, none = 0 * X, 0 * rate
    weight, bias = (identity(2, X) + zero, zero[..., 0]) if seeing else (zero, 1 + zero[..., 0])
    mixer = ScalarSSM(rate=rate, step=zero[..., :1], step_bias=none, write=weight, write_bias=bias,
                      read=weight, read_bias=bias, discretisation="euler")  # fmt: skip
    return _squared_distance(unit_rows(mixer(X))), _squared_distance(X)


def _squared_distance(X: Number) -> Number:
    gap = X[..., 0, :] - X[..., 1, :]
    return (gap * gap).sum(-1)


_COLLAPSE = (
    *(
        Trial("ssm-normalised-collapse", f"{name} tokens in a hemisphere",
              {"t": (n, 1), "scores": (n, n)}, _hemisphere, _nearer, sharp=n == 2,
              control=partial(_nearer, layers=2), dropped="one of two layers", kinds=ALL)
        for name, n in (("two", 2), ("three", 3))
    ),
    Trial("j24-selective-collapse", "two tokens whose score is negative",
          {"angle": (1,), "rate": (1,)}, _repelled, _selected, holds=False,
          control=partial(_selected, seeing=False), dropped="the sign of the scores", kinds=ALL),
)  # fmt: skip

TRIALS: tuple[Trial, ...] = (*_EXACT, *_LADDER, *_SELECTIVE, *_COLLAPSE)
