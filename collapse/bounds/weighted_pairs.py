r"""Pairs of tokens, with their layers, that the statements on weighted skips name.

All parameters are numbers of any type; integers and decimal strings become Fractions. A rational
t stands for the unit vector :math:`((1 - t^2)/(1 + t^2),\; 2t/(1 + t^2))`.
"""

from __future__ import annotations

import torch

from collapse.attention import Network
from collapse.exact import ExactNetwork
from collapse.numeric import Number, exact


def direction(t: Number) -> tuple[Number, Number]:
    """The unit vector at twice the angle arctan t, by rational functions.

    >>> direction(exact(["1/2"])[0])
    (Fraction(3, 5), Fraction(4, 5))
    """
    whole = 1 + t * t
    return (1 - t * t) / whole, 2 * t / whole


def narrowing(t: Number, beta: Number, v: Number, skip: Number) -> tuple[Network, Number]:
    r"""Two tokens whose angle shrinks as far as K and v allow.

    .. math:: Y = \begin{pmatrix} c & -s \\ c & s \end{pmatrix},\quad
        M = \beta e_2 e_2^\top,\quad V = v\,\mathrm{diag}(1, -1): \qquad
        \frac{\tan(\theta'/2)}{\tan(\theta/2)} = \frac{\lambda - K}{\lambda + v},
        \quad K = v \tanh(\beta s^2) .

    Args:
        t: (c, s) is the unit vector of t.
        beta: β ≥ 0.
        v: v ≥ 0.
        skip: λ > v.

    Returns:
        A network with row normalisation, and the tokens, shape (\*batch, 2, 2).

    Source:
        lambda-skip

    >>> network, Y = narrowing(torch.tensor(0.5), torch.tensor(0.0), torch.tensor(1.0), 3.0)
    >>> network(Y)[1] / network(Y)[1, 0], Y[1] / Y[1, 0]
    (tensor([1., 1.]), tensor([1.0000, 1.3333]))
    """
    c, s = direction(t)
    zero, one = 0 * c, 1 + 0 * c
    parts = (
        [[zero], [beta + zero]],
        [[zero], [one]],
        [[v + zero, zero], [zero, -v + zero]],
        [[c, -s], [c, s]],
    )
    query, key, value, Y = (_array(part) for part in parts)
    return row_normalised(query, key, value, skip), Y


def merging(s: Number, t: Number, v: Number) -> tuple[Network, Number]:
    r"""Two tokens that one layer with \|λ\| < v makes equal: M = 0, and V turns and stretches.

    With (cos φ, sin φ) the unit vector of s and (c, d) that of t,

    .. math:: \lambda = v \cos\varphi,\quad
        Y = \begin{pmatrix} c & -d \\ c & d \end{pmatrix},\quad
        V = -v \begin{pmatrix} \cos\varphi & \sin\varphi \\ -\sin\varphi & \cos\varphi
        \end{pmatrix}:

    the rows of λY + A(Y) are :math:`(0,\; \pm\lambda d - vc\sin\varphi)`.

    Args:
        s: 0 < s < 1.
        t: 0 ≤ t < s.
        v: v > 0.

    Returns:
        A network with row normalisation, and the tokens, shape (\*batch, 2, 2).

    Source:
        lambda-skip

    >>> network, Y = merging(*exact(["1/2", "1/3", 5]))
    >>> [str(z) for z in network.replace(norm=None)(Y).ravel()]
    ['0', '-5', '0', '-7/5']
    """
    (cos, sin), (c, d) = direction(s), direction(t)
    zero = 0 * (cos + c)
    parts = (
        [[zero], [zero]],
        [[-v * cos, -v * sin], [v * sin, -v * cos]],
        [[c + zero, -d + zero], [c + zero, d + zero]],
    )
    query, value, Y = (_array(part) for part in parts)
    return row_normalised(query, query, value, v * cos), Y


def two_token_mixer(kept: Number, given: Number) -> Number:
    r"""The mixer of the two-token example, M = [[m, 0], [c, m]]: only the second token is told.

    Args:
        kept: m.
        given: c.

    Returns:
        M, shape (\*batch, 2, 2).

    Source:
        lambda-threshold

    >>> two_token_mixer(torch.tensor(1.5), torch.tensor(1.0))
    tensor([[1.5000, 0.0000],
            [1.0000, 1.5000]])
    """
    return _array([[kept, 0 * kept], [given + 0 * kept, kept]])


def row_normalised(query: Number, key: Number, value: Number, skip: Number) -> Network:
    r"""One layer of one head with row normalisation.

    Args:
        query: W_Q, shape (\*batch, d, k).
        key: W_K, shape (\*batch, d, k).
        value: V, shape (\*batch, d, d).
        skip: λ.

    Returns:
        A network of tensors or of exact numbers, as the weights are.
    """
    kind = Network if isinstance(value, torch.Tensor) else ExactNetwork
    one_head = (w[..., None, None, :, :] for w in (query, key, value))
    query, key, value = one_head
    return kind(query, key, value, skip=skip, norm="row")


def _array(entries: list[list[Number]]) -> Number:
    """A matrix of numbers, or of tensors of one shape, which becomes the batch."""
    if isinstance(entries[0][0], torch.Tensor):
        return torch.stack([torch.stack(list(row), -1) for row in entries], -2)
    return exact(entries)
