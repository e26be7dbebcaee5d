"""The objects that trials build from free numbers, in any number type."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch

from collapse.attention import Network
from collapse.exact import ExactNetwork
from collapse.ledger import Kind
from collapse.norms import token_norm
from collapse.numeric import Number

ALL = frozenset[Kind]({"certified", "attacked", "property"})
FLOATS = ALL - {"certified"}  # spectral norms, and equality in every case, are not for balls
IDENTITY = ALL - {"attacked"}  # zero everywhere: nothing to climb
BALLS = frozenset[Kind]({"certified"})  # whole networks, too large to be searched


def network(query: Number, key: Number, value: Number, **options: Any) -> Network:
    """A Network of tensors, an ExactNetwork of anything else.

    >>> from collapse.numeric import exact
    >>> one = exact([[[[1]]]])
    >>> type(network(one, one, one)).__name__
    'ExactNetwork'
    """
    kind = Network if isinstance(query, torch.Tensor) else ExactNetwork
    return kind(query, key, value, **options)


def any_network(
    query: Number, key: Number, value: Number, X: Number, over: int = 1, **options: Any
) -> dict[str, Any]:
    """Any network on any tokens; ``over`` only makes the weights of random cases small.

    >>> one = torch.ones(1, 1, 1, 1)
    >>> any_network(one, one, one, torch.ones(2, 1), over=4)["network"].value.item()
    0.25
    """
    weights = (w / over for w in (query, key, value))
    return {"network": network(*weights, **options), "X": X}


def shapes(
    layers: int, heads: int, width: int, key_width: int, tokens: int | None = None
) -> dict[str, tuple[int, ...]]:
    """Shapes of the free weights of a network, and of its tokens X if their number is given.

    >>> shapes(2, 1, 3, 1, tokens=4)["X"]
    (4, 3)
    """
    weights: dict[str, tuple[int, ...]] = {
        name: (layers, heads, width, columns)
        for name, columns in (("query", key_width), ("key", key_width), ("value", width))
    }
    return weights if tokens is None else weights | {"X": (tokens, width)}


def number(x: Number) -> Number:
    r"""The single entry of an array of shape (\*batch, 1), as a number or a batch of numbers."""
    return x[..., 0] if isinstance(x, torch.Tensor) else x.item()


def within(x: Number) -> Number:
    """A rational map onto [-1, 1] that takes both ends where its slope is zero: 2x/(1 + x²)."""
    return 2 * x / (1 + x * x)


def times(size: Number, entries: Any, over: int = 1) -> Number:
    """An array of integers times a number, over an integer; a batch of numbers comes in front.

    >>> times(torch.tensor(3.0), [[0], [1]], over=2).flatten()
    tensor([0.0000, 1.5000])
    """
    array = np.array(entries, dtype=object)
    if isinstance(size, torch.Tensor):
        whole = torch.tensor(array.astype(float), dtype=size.dtype, device=size.device)
        return size.reshape(*size.shape, *[1] * array.ndim) * whole / over
    return array * size / over


def causal(tokens: int) -> torch.Tensor:
    """The mask that shows each token itself and those before it."""
    return torch.ones(tokens, tokens, dtype=torch.bool).tril()


# Parts of chapters 1 to 3: single matrices and rows.

_GUARD = 2**20  # keeps 0/0 out at a relative cost of a millionth


def unit(x: Number) -> Number:
    r"""A rational map onto [0, 1], both ends at finite x: 4x²/(1 + x²)²."""
    return within(x) * within(x)


def inner(x: Number) -> Number:
    r"""A rational map into (0, 1), down to a millionth: (x² + 2⁻²⁰)/(x² + 1)."""
    square = x * x
    return (_GUARD * square + 1) / (_GUARD * (square + 1))


def apart(row: Number, gap: Number) -> Number:
    r"""The rows (\*batch, m) with entry 0 put above the last, by 1/8 plus the square of a gap."""
    raised = (8 * row[..., -1:] + 8 * gap * gap + 1) / 8
    return join(raised, row[..., 1:])


def stochastic(w: Number) -> Number:
    """Rows of positive numbers with sum 1: squares, divided by their sum."""
    weights = _GUARD * w * w + 1
    return weights / weights.sum(-1, keepdims=True)


def join(*parts: Number) -> Number:
    """Arrays of one number type, one after another along the last axis."""
    return torch.cat(parts, -1) if isinstance(parts[0], torch.Tensor) else np.concatenate(parts, -1)


def constant(entries: Any, like: Number) -> Number:
    """An array of integers in the number type of another array."""
    if isinstance(like, torch.Tensor):
        return torch.as_tensor(np.asarray(entries)).to(like)
    return np.array(entries, dtype=object) + 0 * like.reshape(-1)[0]


def identity(size: int, like: Number) -> Number:
    """The identity matrix in the number type of another array."""
    return constant(np.eye(size, dtype=int), like)


def sign_vectors(length: int, like: Number) -> Number:
    """All vectors of signs as rows, shape (2^length, length)."""
    return constant(list(itertools.product((1, -1), repeat=length)), like)


def equal(left: Number, right: Number) -> tuple[Number, Number]:
    """Sides of an identity between matrices of rationals: the largest difference, and zero."""
    moved = token_norm(left - right)
    return moved, 0 * moved


def agree(left: Number, right: Number) -> tuple[Number, Number]:
    """Sides of an identity that balls can prove: a difference of at most 10⁻²⁵ of the size."""
    return token_norm(left - right), (1 + token_norm(right)) / 10**13 / 10**12


def base(weight: Number) -> Number:
    """A base of rotary positions, 10, which a batch shares; any will do in two features."""
    return 10.0 if isinstance(weight, torch.Tensor) else 10 + 0 * weight.flat[0]
