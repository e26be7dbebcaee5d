r"""State space models: what one layer can take over from many, and what not.

L layers of width one with skips, each with the kernel η aᵏ, are together a linear filter: its
generating function is (1 + x)^L with x = η/(1 − az), less 1 for the skip. A layer with r states is
any rational function of degree r. The formulas take every number type.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import comb

import numpy as np
import torch

from collapse import numeric
from collapse.numeric import Number, require


def shallow_values(poles: Number, values: Number) -> Number:
    r"""Value matrices with which one layer does the work of all.

    .. math:: W_p = \prod_{m<l}\Bigl(I + \sum_{q\in m} \tfrac{a_p}{a_p - a_q} V_q\Bigr)\, V_p
        \prod_{m>l}\Bigl(I + \sum_{q\in m} \tfrac{a_p}{a_p - a_q} V_q\Bigr)

    for head p of layer l with the kernel :math:`a_p^k`: the other layers, read at its pole.

    Args:
        poles: a, shape (\*batch, L, H), no two equal in different layers, none 0.
        values: V, shape (\*batch, L, H, d, d), the weight of each kernel folded in.

    Returns:
        W, shape (\*batch, L, H, d, d).

    Raises:
        ValueError: On shapes that do not fit, or poles that meet or vanish.

    Source:
        ssm-lti-exact

    >>> shallow_values(torch.tensor([[0.5], [0.25]]), torch.ones(2, 1, 1, 1)).flatten()
    tensor([3., 0.])
    """
    L, H = poles.shape[-2:]
    shape = tuple(values.shape)
    fits = len(shape) >= 4 and shape[-4:-2] == (L, H) and shape[-1] == shape[-2]
    require(fits, "values", f"shape (*batch, {L}, {H}, d, d)", shape)
    eye = identity_like(shape[-1], values)
    rows = []
    for layer in range(L):
        for head in range(H):
            pole = poles[..., layer, head]
            product = eye
            for other in range(L):
                if other == layer:
                    product = product @ values[..., layer, head, :, :]
                    continue
                gap = pole[..., None] - poles[..., other, :]
                require(gap != 0, "poles", "different ones in different layers", pole)
                share = (pole[..., None] / gap)[..., None, None]
                product = product @ (eye + (share * values[..., other, :, :, :]).sum(-3))
            rows.append(product)
    W = stacked(rows, -3)
    return W.reshape(*W.shape[:-3], L, H, *W.shape[-2:])


def stacked(parts: list[Number], axis: int) -> Number:
    """Arrays of one number type, of shapes that broadcast, along a new axis.

    >>> stacked([torch.ones(2), torch.zeros(1)], 0)
    tensor([[1., 1.],
            [0., 0.]])
    """
    if isinstance(parts[0], torch.Tensor):
        return torch.stack(list(torch.broadcast_tensors(*parts)), axis)
    return np.stack(np.broadcast_arrays(*parts), axis)


def deep_kernel(layers: int, eta: Number, pole: Number, tokens: int) -> list[Number]:
    r"""What L layers with skips of kernel η aᵏ make of an impulse, the impulse itself left out.

    .. math:: \kappa_k = a^k \sum_{j=1}^{L} \binom Lj \binom{k+j-1}{j-1}\, \eta^j .

    Args:
        layers: L ≥ 0.
        eta: η, of any number type.
        pole: a.
        tokens: Number n ≥ 1 of values.

    Returns:
        κ_0, …, κ_{n−1}.

    Raises:
        ValueError: If a number leaves its range.

    Source:
        ssm-state-ladder

    >>> deep_kernel(2, Fraction(1), Fraction(1, 2), 3)
    [Fraction(3, 1), Fraction(2, 1), Fraction(5, 4)]
    """
    _check(layers, tokens)
    return [
        sum((comb(layers, j) * comb(k + j - 1, j - 1) * eta**j for j in range(1, layers + 1)),
            0 * eta) * pole**k
        for k in range(tokens)
    ]  # fmt: skip


def pade(layers: int, states: int) -> tuple[list[Fraction], list[Fraction]]:
    r"""The rational function of degree r that agrees with (1 + x)^L up to x^{2r}.

    .. math:: p_k = \binom rk \frac{(L+r)\cdots(L+r-k+1)}{2r\cdots(2r-k+1)}, \qquad
        q_k = (-1)^k \binom rk \frac{(L-r)\cdots(L-r+k-1)}{2r\cdots(2r-k+1)} .

    Args:
        layers: L ≥ 0.
        states: r ≥ 0.

    Returns:
        Coefficients of numerator and denominator, lowest power first.

    Raises:
        ValueError: If a number leaves its range.

    Source:
        ssm-state-ladder

    >>> [[str(c) for c in part] for part in pade(3, 1)]
    [['1', '2'], ['1', '-1']]
    """
    _check(layers, 1)
    require(states >= 0, "states", "a number >= 0", states)
    p, q = Fraction(1), Fraction(1)
    above, below = [p], [q]
    for k in range(states):
        share = Fraction(states - k, (k + 1) * (2 * states - k))
        p, q = p * share * (layers + states - k), -q * share * (layers - states + k)
        above.append(p)
        below.append(q)
    return above, below


def shallow_kernel(
    layers: int, states: int, eta: Number, pole: Number, tokens: int
) -> list[Number]:
    r"""The kernel of one layer with r states that agrees with the deep one up to η^{2r}.

    It has the generating function P(x)/Q(x) − 1 of :func:`pade` with x = η/(1 − az), a rational
    function of degree r in z.

    Args:
        layers: L ≥ 0.
        states: r ≥ 0.
        eta: η ≥ 0, so small that Q(η) ≠ 0.
        pole: a.
        tokens: Number n ≥ 1 of values.

    Returns:
        n values.

    Raises:
        ValueError: If a number leaves its range.

    Source:
        ssm-state-ladder

    >>> shallow_kernel(2, 2, Fraction(1), Fraction(1, 2), 3)
    [Fraction(3, 1), Fraction(2, 1), Fraction(5, 4)]
    """
    _check(layers, tokens)
    above, below = (_in_z(part, eta, pole, tokens) for part in pade(layers, states))
    require(below[0] != 0, "eta", "η with Q(η) ≠ 0", eta)
    kernel: list[Number] = []
    for k in range(tokens):
        carried = sum((below[k - j] * kernel[j] for j in range(k)), 0 * eta)
        kernel.append((above[k] - carried) / below[0])
    return [kernel[0] - 1, *kernel[1:]]


def _in_z(part: Sequence[Fraction], eta: Number, pole: Number, tokens: int) -> list[Number]:
    """Coefficients in z of Σ_i c_i ηⁱ (1 − az)^{r−i}."""
    r = len(part) - 1
    return [
        sum((part[i].numerator * eta**i * comb(r - i, k) * (-pole) ** k / part[i].denominator
             for i in range(r - k + 1)), 0 * eta)
        for k in range(tokens)
    ]  # fmt: skip


def leading_constant(layers: int, states: int) -> Fraction:
    r"""The size of the first term in which :func:`pade` differs from (1 + x)^L.

    .. math:: \lvert c_r\rvert = L\, \prod_{j=1}^r (L^2 - j^2)\,
        \frac{(r!)^2}{(2r)!\,(2r+1)!},

    so that the kernels differ by :math:`c_r\binom{k+2r}{2r}a^k\eta^{2r+1} + O(\eta^{2r+2})`.

    Args:
        layers: L ≥ 1.
        states: r ≥ 0.

    Returns:
        The size of c_r, 0 for r ≥ L.

    Raises:
        ValueError: If a number leaves its range.

    Source:
        ssm-state-ladder

    >>> leading_constant(4, 1)
    Fraction(5, 1)
    """
    _check(layers, 1)
    require(states >= 0, "states", "a number >= 0", states)
    constant = Fraction(layers)
    for j in range(1, states + 1):
        # (j!)²/((2j)!(2j+1)!) by its quotient from one j to the next
        constant *= Fraction(abs(layers**2 - j**2), 4 * (4 * j * j - 1))
        if j >= layers:
            return Fraction(0)
    return constant


def state_floor(kernel: Sequence[Number], states: int) -> Number:
    r"""How far every kernel of at most r states stays from a given one.

    .. math:: \max_{k} \lvert \kappa_k - \kappa'_k\rvert \ge
        \frac{1}{\sum_{ij}\lvert(\Gamma^{-1})_{ij}\rvert}, \qquad
        \Gamma_{ij} = \kappa_{i+j+1},\; 0 \le i, j \le r .

    The Hankel matrix of κ' has rank at most r, so it is singular. κ_0, which a direct path from
    token to token can set, does not enter.

    Args:
        kernel: κ_0, κ_1, …, at least 2r + 2 values.
        states: r ≥ 0.

    Returns:
        The floor, of the type of the kernel; 0 where the matrix is singular.

    Raises:
        ValueError: If the kernel is too short.

    Source:
        ssm-state-ladder

    >>> state_floor([0.0, 1.0, 1.0, 2.0], 1)
    0.2
    """
    size = states + 1
    require(states >= 0, "states", "a number >= 0", states)
    require(len(kernel) >= 2 * size, "kernel", f"at least {2 * size} values", len(kernel))
    zero = 0 * kernel[0]
    rows = [
        [*(kernel[i + j + 1] for j in range(size)), *(zero + (i == j) for j in range(size))]
        for i in range(size)
    ]
    singular = zero != 0
    for i in range(size):  # Gauss and Jordan; the deep kernels have no vanishing leading minor
        pivot = rows[i][i]
        singular = singular | (pivot == 0)
        rows[i] = [entry / (pivot + 1 * (pivot == 0)) for entry in rows[i]]
        for k in range(size):
            if k != i:
                factor = rows[k][i]
                rows[k] = [x - factor * y for x, y in zip(rows[k], rows[i], strict=True)]
    return (1 - 1 * singular) / sum((abs(entry) for row in rows for entry in row[size:]), zero)


def hankel_determinant(layers: int, states: int, eta: Number, pole: Number) -> Number:
    r"""The determinant that no kernel of r states can match, in closed form.

    .. math:: \det(\kappa_{i+j+1})_{0 \le i, j \le r} = \pm\bigl(a y\bigr)^{(r+1)^2}
        (1 + \eta)^{L(r+1)} \prod_{s=0}^{r} c_s, \qquad y = \frac{\eta}{1 + \eta},

    with :math:`c_s` of :func:`leading_constant`: not 0 for r < L.

    Args:
        layers: L ≥ 1.
        states: r ≥ 0.
        eta: η > −1.
        pole: a.

    Returns:
        Its absolute value.

    Raises:
        ValueError: If a number leaves its range.

    Source:
        ssm-state-ladder

    >>> hankel_determinant(2, 1, Fraction(1), Fraction(1, 2))
    Fraction(1, 16)
    """
    product = abs(pole * eta / (1 + eta)) ** ((states + 1) ** 2) * (1 + eta) ** (
        layers * (states + 1)
    )
    for s in range(states + 1):
        constant = leading_constant(layers, s)
        product = product * constant.numerator / constant.denominator
    return product


def identity_like(width: int, like: Number) -> Number:
    """The identity matrix in the number type of another array.

    >>> identity_like(1, torch.ones(2))
    tensor([[1.]])
    """
    if isinstance(like, torch.Tensor):
        return torch.eye(width, dtype=like.dtype, device=like.device)
    return np.array(np.eye(width, dtype=int).tolist(), dtype=object)


def exchange_coefficient(pole: Number, rate: Number, bias: Number) -> Number:
    r"""Leading coefficient of the exchange that one selective layer cannot see.

    .. math:: s\, a f \bigl(2(f - a) - u\,(a f^2 + (a^2 + a - 1) f - a^2)\bigr), \qquad
        u = \alpha \log(1 + e^b),\; f = e^{-u},\; s = \frac{1}{1 + e^{-b}} .

    Layer 1 has the fixed kernel η aᵏ. Layer 2 has rate α, steps softplus(σx + b), writes its step
    times x (Euler), reads with 1, and has the value η. On four tokens of width one, with the
    last 0, what the exchange of tokens p and q in the middle does to the last output depends on the
    first token t by this coefficient times η²σ t (p − q), to leading order in η and in σ.

    Args:
        pole: a in (0, 1), of any number type.
        rate: α > 0.
        bias: b.

    Returns:
        The coefficient.

    Raises:
        ValueError: If the rate is not positive.

    Source:
        ssm-selective-order

    >>> round(exchange_coefficient(0.5, 1.0, 0.0), 6)
    0.021661
    """
    require(rate > 0, "rate", "rate > 0", rate)
    u = rate * numeric.log(1 + numeric.exp(bias))
    f, s = numeric.exp(-u), 1 / (1 + numeric.exp(-bias))
    a = pole
    return s * a * f * (2 * (f - a) - u * (a * f * f + (a * a + a - 1) * f - a * a))


def _check(layers: int, tokens: int) -> None:
    require(layers >= 0, "layers", "a number >= 0", layers)
    require(tokens >= 1, "tokens", "a number >= 1", tokens)
