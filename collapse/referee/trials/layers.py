"""Trials of chapter 4: how far each rung is from the deep network, and what no layer can do."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from collapse.attention import Network
from collapse.bounds import collapse_bound
from collapse.bounds.ladder import identity_constant
from collapse.bounds.leading import leading_coefficient
from collapse.norms import token_norm
from collapse.numeric import Number
from collapse.referee.trial import Case, Sides, Trial
from collapse.referee.trials import floors
from collapse.referee.trials.domain import (
    BALLS,
    any_network,
    base,
    causal,
    network,
    number,
    shapes,
    times,
    within,
)
from collapse.rungs import surrogate

# --- rung-0, rung-1, rung-2, rung-3 --------------------------------------------------------------


def _rotary(query: Number, key: Number, value: Number, X: Number) -> Case:
    return any_network(query, key, value, X, rope=base(query))


def _sides(
    network: Network, X: Number, rung: int, data: Any = "weights", p: float = math.inf
) -> tuple[Number, Number]:
    error = token_norm(network(X) - surrogate(network, rung)(X), p)
    return error, collapse_bound(network, X, rung, p, data).value


def _leading(network: Network, X: Number, rung: int) -> tuple[Number, Number]:
    """Control: the first term of the expansion as if it were all of the error."""
    error, _ = _sides(network, X, rung)
    return error, token_norm(leading_coefficient(network, X, rung))


def _without_skip(
    network: Network, X: Number, rung: int, data: Any = "weights", p: float = math.inf
) -> tuple[Number, Number]:
    """Control: the network without its skip connections, the rest as it was."""
    error = token_norm(network.replace(skip=0)(X) - surrogate(network, rung)(X), p)
    return error, collapse_bound(network, X, rung, p, data).value


def _masked(
    network: Network, X: Number, rung: int, data: Any = "weights", p: float = math.inf
) -> tuple[Number, Number]:
    """Control: the bound of the network without mask for the same networks with a causal one."""
    mask = causal(X.shape[-2])
    deep, shallow = network.replace(mask=mask), surrogate(network, rung).replace(mask=mask)
    error = token_norm(deep(X) - shallow(X), p)
    return error, collapse_bound(network, X, rung, p, data).value


def _plain(network: Network, X: Number, rung: int) -> tuple[Number, Number]:
    """Control: nearly equal tokens, and the bound of the network without positions."""
    X = X[..., :1, :] + X / 10**6
    error, _ = _sides(network, X, rung)
    return error, collapse_bound(network.replace(rope=None), X, rung).value


_LEADING = "all but the leading term of the error"
_SKIP = "the skip connections of the deep network"
_MASK = "that no token is masked: the networks are causal, their bound is not"

# For each rung the width in which its bound is attained on three tokens, what makes the weights of
# random cases small enough for the control to be noticed in nearly all of them, and the control.
_SMALL: tuple[tuple[int, int, Any, str], ...] = (
    (2, 1, _leading, _LEADING),
    (2, 4, _without_skip, _SKIP),
    (1, 2, _without_skip, _SKIP),
    (2, 4, _without_skip, _SKIP),
)


def _ladder(rung: int) -> tuple[Trial, ...]:
    label, sides = f"rung-{rung}", partial(_sides, rung=rung)
    width, over, control, dropped = _SMALL[rung]
    small, deep = shapes(2, 1, width, 1, tokens=3), shapes(6, 2, 3, 2, tokens=4)
    control = partial(control, rung=rung)
    states = partial(sides, data="measured", p=1)
    without: tuple[Any, str] = (_masked, _MASK) if rung == 3 else (_without_skip, _SKIP)
    lost: Sides = partial(without[0], rung=rung, data="measured", p=1)
    build = partial(any_network, over=over)
    return (
        Trial(label, "from the weights", small, build, sides, sharp=True, control=control,
              dropped=dropped),
        Trial(label, "from the states met", small, build, partial(sides, data="measured"),
              sharp=True, control=control, dropped=dropped),
        Trial(label, "six layers", deep, partial(any_network, over=2), sides,
              control=partial(_leading, rung=rung), dropped=_LEADING, kinds=BALLS),
        Trial(label, "six layers, states met, p = 1", deep, partial(any_network, over=64),
              states, control=lost, dropped=without[1], kinds=BALLS),
    )  # fmt: skip


_MASKED = tuple(
    Trial(f"rung-{rung}", "causal mask", shapes(2, 1, 2, 1, tokens=3),
          partial(any_network, over=_SMALL[rung][1], mask=causal(3)),
          partial(_sides, rung=rung), sharp=True, control=partial(_SMALL[rung][2], rung=rung),
          dropped=_SMALL[rung][3])
    for rung in (0, 1)
)  # fmt: skip
_POSITIONS = tuple(
    Trial(f"rung-{rung}", "rotary positions", shapes(2, 1, 2, 2, tokens=3), _rotary,
          partial(_sides, rung=rung), control=partial(_plain, rung=rung),
          dropped="positions in the bound")
    for rung in (2, 3)
)  # fmt: skip

# --- as25-thm-5.3 --------------------------------------------------------------------------------


def _entrywise(eta: Number, query: Number, key: Number, value: Number, X: Number) -> Case:
    """Weights with entries of size at most η, and any tokens."""
    size = eta * eta
    parts = (size[..., None, None, None] * within(w) for w in (query, key, value))
    return {"network": network(*parts), "X": X, "eta": number(size)}


def _identity(network: Network, X: Number, eta: Number) -> tuple[Number, Number]:
    constant = identity_constant(eta, network.depth, network.heads, network.width)
    return token_norm(network(X) - X), constant * token_norm(X)


def _widthless(network: Network, X: Number, eta: Number) -> tuple[Number, Number]:
    """Control: the constant without the width, where all weights are η and all tokens alike."""
    value = times(eta, np.ones(network.value.shape[-4:], int))
    ones = 0 * X + 1
    constant = identity_constant(eta, network.depth, network.heads, 1)
    return token_norm(network.replace(value=value)(ones) - ones), constant * token_norm(ones)


_THEOREM = tuple(
    Trial("as25-thm-5.3", name, {"eta": (1,)} | free, _entrywise, _identity,
          control=_widthless, dropped="the width d in the constant", **options)
    for name, free, options in (
        ("the identity", shapes(2, 1, 2, 1, tokens=2), {"sharp": True}),
        ("the identity, six layers", shapes(6, 2, 3, 2, tokens=4), {"kinds": BALLS}),
    )
)  # fmt: skip

TRIALS: tuple[Trial, ...] = (
    *(trial for rung in range(4) for trial in _ladder(rung)),
    *_MASKED,
    *_POSITIONS,
    *_THEOREM,
    *floors.TRIALS,
)
