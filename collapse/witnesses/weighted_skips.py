"""Floor 7. Mixers that make two tokens equal in one step, with a skip of negative weight."""

from __future__ import annotations

import numpy as np

from collapse import numeric
from collapse.attention import Network
from collapse.bounds.weighted_pairs import row_normalised
from collapse.numeric import Number, exact


def cancelling(skip: Number) -> tuple[Number, Number]:
    r"""A mixer and tokens that become equal in one step under any λ < 0, with C_V = I.

    .. math:: M = -\frac\lambda2 \begin{pmatrix} 1 & -1 \\ -1 & 1 \end{pmatrix},\quad Y = I_2:
        \qquad MY + \lambda Y = \frac\lambda2 \mathbf 1 \mathbf 1^\top .

    Args:
        skip: λ < 0.

    Returns:
        M and Y, both of shape (2, 2).

    Source:
        j24-lower-bound

    >>> M, Y = cancelling(-1)
    >>> [str(z) for z in (M @ Y - Y).ravel()]
    ['-1/2', '-1/2', '-1/2', '-1/2']
    """
    (skip,) = exact([skip])
    half, one = -skip / 2, 1 + 0 * skip
    M = np.array([[half, -half], [-half, half]], dtype=object)
    return M, np.array([[one, 0 * one], [0 * one, one]], dtype=object)


def softmax_cancelling(weight: Number) -> tuple[Network, np.ndarray]:
    r"""The same in softmax attention: W_Q W_Kᵀ = κI and V = I on Y = I₂, with λ = −tanh(κ/2).

    Args:
        weight: κ > 0, a ball or a symbol.

    Returns:
        A network with row normalisation, and the tokens, shape (2, 2).

    Source:
        j24-lower-bound

    >>> import flint
    >>> network, Y = softmax_cancelling(flint.arb(3).log())
    >>> network.skip.str(6, radius=False), network.replace(norm=None)(Y)[0, 0].str(6, radius=False)
    ('-0.500000', '0.250000')
    """
    one, zero = 1 + 0 * weight, 0 * weight
    unit = np.array([[one, zero], [zero, one]], dtype=object)
    return row_normalised(weight * unit, unit, unit, -numeric.tanh(weight / 2)), unit
