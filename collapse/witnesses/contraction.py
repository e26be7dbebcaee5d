"""Floor 7. Networks and tokens that attain the contraction, or show what its hypotheses are for.

They take numbers of any type: floats or tensors give a Network, exact numbers an ExactNetwork.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from collapse.attention import Network
from collapse.exact import ExactNetwork
from collapse.numeric import Number

Instance = tuple[Network, Number]


def extremal(beta: Number, nu: Number, rho: Number, layers: int = 1) -> Instance:
    r"""Two tokens of width one on which every layer contracts by exactly ν tanh(βρ²).

    .. math:: M = \beta, \quad V = \nu, \quad X = (-\rho, \rho)^\top .

    Args:
        beta: β ≥ 0, of any number type; tensors of one shape give a batch.
        nu: ν ≥ 0.
        rho: ρ ≥ 0.
        layers: L ≥ 1, all alike.

    Returns:
        A network without skip, and its tokens, shape (\*batch, 2, 1).

    Source:
        contraction, double-exponential

    >>> network, X = extremal(1.0, 1.0, 1.0)
    >>> network(X).flatten()
    tensor([-0.7616,  0.7616], dtype=torch.float64)
    """
    query, key, value = ([[[[x]]]] * layers for x in (beta, 1 + 0 * beta, nu))
    return _instance(query, key, value, [[-rho], [rho]])


def causal_pair(beta: Number, gap: Number, layers: int = 1) -> Instance:
    r"""Two near tokens that a causal mask brings together by a factor near ½ only.

    .. math:: M = \beta, \quad V = 1, \quad X = (0, g)^\top:

    the first row sees itself alone, the second both tokens.

    Args:
        beta: β ≥ 0, of any number type.
        gap: g > 0, the distance of the tokens.
        layers: L ≥ 1, all alike.

    Returns:
        A network with mask and without skip, and its tokens, shape (2, 1).

    Source:
        contraction

    >>> network, X = causal_pair(1.0, 1e-3)
    >>> round(float(network(X)[1] / X[1]), 4)
    0.5
    """
    query, key, value = ([[[[x]]]] * layers for x in (beta, 1 + 0 * beta, 1 + 0 * beta))
    mask = torch.ones(2, 2, dtype=torch.bool).tril()
    return _instance(query, key, value, [[0 * gap], [gap]], mask=mask)


def rope_pair(beta: Number, nu: Number, gap: Number, layers: int = 1) -> Instance:
    r"""Two near tokens that RoPE keeps apart: positions tell them from each other.

    .. math:: W_Q = \beta I_2, \quad W_K = I_2, \quad V = \nu I_2, \quad
        X = \begin{pmatrix} 1 & 0 \\ 1 + g & 0 \end{pmatrix}:

    position 1 is turned by one radian, so each token prefers itself, even at g = 0, where the
    rows of attention differ by tanh(β(1 − cos 1)/2).

    Args:
        beta: β ≥ 0, of any number type.
        nu: ν ≥ 0.
        gap: g ≥ 0, the distance of the tokens.
        layers: L ≥ 1, all alike.

    Returns:
        A network with RoPE and without skip, and its tokens, shape (2, 2).

    Source:
        rope-collapse

    >>> network, X = rope_pair(1.0, 1.0, 1e-3)
    >>> round(float((network(X)[1] - network(X)[0])[0] / 1e-3), 4)
    0.2261
    """
    zero = 0 * gap
    query, key, value = (
        [[[[x, zero], [zero, x]]]] * layers for x in (beta, 1 + zero, nu)
    )  # fmt: skip
    tokens = [[1 + zero, zero], [1 + gap, zero]]
    return _instance(query, key, value, tokens, rope=10_000 + zero)


def _instance(query: Any, key: Any, value: Any, tokens: Any, **options: Any) -> Instance:
    q, k, v, X = (_array(part) for part in (query, key, value, tokens))
    kind = Network if isinstance(q, torch.Tensor) else ExactNetwork
    return kind(q, k, v, skip=0, **options), X


def _array(nested: Any) -> Number:
    """Nested lists as a tensor, entries of tensors moving to the front as the batch."""
    flat, shape = _flatten(nested)
    if any(isinstance(x, torch.Tensor) for x in flat):
        entries = torch.broadcast_tensors(*(torch.as_tensor(x) for x in flat))
        return torch.stack(entries, -1).unflatten(-1, shape)
    if all(isinstance(x, float | int) for x in flat):
        return torch.tensor(flat, dtype=torch.float64).reshape(shape)
    return np.array(flat, dtype=object).reshape(shape)


def _flatten(nested: Any) -> tuple[list[Number], tuple[int, ...]]:
    if not isinstance(nested, list):
        return [nested], ()
    parts = [_flatten(part) for part in nested]
    return [x for flat, _ in parts for x in flat], (len(parts), *parts[0][1])
