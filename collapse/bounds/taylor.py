"""How far the Taylor polynomial of exp is from exp, and how far that moves a row of attention."""

from __future__ import annotations

from collapse import numeric
from collapse.numeric import Number, require


def taylor_error(size: Number, degree: int) -> Number:
    r"""Bound on the relative error of the Taylor polynomial of exp.

    .. math:: \lvert T_g(x) - e^x \rvert \le r\, e^x \quad (\lvert x \rvert \le B), \qquad
        r = \frac{e^B B^{g+1}}{(g+1)!} .

    Args:
        size: B ≥ 0, of any number type.
        degree: g ≥ 0.

    Returns:
        r, of the type of B.

    Raises:
        ValueError: If B or g is negative.

    Source:
        taylor-attention

    >>> round(taylor_error(1.0, 5), 6)
    0.003775
    """
    require(size >= 0, "size", "a bound B >= 0 on the logits", size)
    require(degree >= 0, "degree", "an integer >= 0", degree)
    # Factor by factor: power and factorial leave floating point where their quotient does not.
    term = 1 + 0 * size
    for m in range(1, degree + 2):
        term = term * size / m
    return numeric.exp(size) * term


def relative_tv_bound(r: Number) -> Number:
    r"""How far a softmax row moves when each weight changes by a factor between 1 − r and 1 + r.

    .. math:: \frac{1 - \sqrt{1 - r^2}}{r}
        = \tanh\Bigl(\tfrac14 \log\frac{1 + r}{1 - r}\Bigr), \qquad 0 \le r < 1,

    which is :func:`~collapse.softmax.tv_bound` at the oscillation of the logarithms. Sharp.

    Args:
        r: Relative error, 0 ≤ r < 1, of any number type.

    Returns:
        The bound on the total variation, of the type of r.

    Raises:
        ValueError: If r leaves its range.

    Source:
        taylor-attention

    >>> round(relative_tv_bound(0.6), 12)
    0.333333333333
    """
    require(r >= 0, "r", "0 <= r < 1", r)
    require(r < 1, "r", "0 <= r < 1", r)
    # The root in the denominator: a small r would cancel in 1 − √(1 − r²).
    return r / (1 + numeric.sqrt(1 - r * r))
