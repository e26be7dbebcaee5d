"""Pure attention, layer after layer without skips: how fast the diameter must fall."""

from __future__ import annotations

import math

from collapse import numeric
from collapse.bounds.ladder import Sizes, State, spread
from collapse.norms import value_norm
from collapse.numeric import Number, require


def contraction_factor(sizes: Sizes, layer: int, phi: Number, D: Number) -> Number:
    r"""The factor K by which one attention layer can at most scale the diameter.

    .. math:: \mathrm{diam}_p(A(X)) \le K\, \mathrm{diam}_p(X), \qquad
        K = \sum_h \nu_p(V_h) \tanh\bigl(\beta_p(M_h)\, \mathrm{diam}_p(X)^2 / 4\bigr);

    Σν under a mask, with RoPE or without, and Σν tanh(βφ²) with RoPE alone.

    Args:
        sizes: The network's weights.
        layer: Index of the layer, counted from 0.
        phi: ‖X‖, used with RoPE and no mask only.
        D: diam(X).

    Returns:
        K, of the number type of the inputs.

    Source:
        contraction

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> contraction_factor(Sizes(one, one[0], one), 0, torch.tensor(1.0), torch.tensor(2.0))
    tensor(0.7616)
    """
    zero = 0 * D
    return spread(sizes, layer, State(phi, D, zero, zero), phi).contraction


def diameter_recursion(sizes: Sizes, D0: Number) -> list[Number]:
    r"""Bounds on the diameter after each layer without skips: D ← K(D) D.

    Args:
        sizes: The network's weights; with RoPE only under a mask.
        D0: diam(X), shape (\*batch,); mpmath floats do not underflow where floats would.

    Returns:
        The bounds :math:`D_0, \dots, D_L`.

    Raises:
        ValueError: With RoPE and no mask, where the recursion would need ‖X‖ too.

    Source:
        double-exponential

    >>> import torch
    >>> one = torch.ones(3, 1)
    >>> [round(float(D), 4) for D in diameter_recursion(Sizes(one, one[:, 0], one), 1.0)]
    [1.0, 0.2449, 0.0037, 0.0]
    """
    known = sizes.masked or not sizes.rotary
    require(known, "attention", '"plain", or under a mask', sizes.attention)
    bounds = [D0]
    for layer in range(sizes.layer_value.shape[-1]):
        D = bounds[-1]
        bounds.append(contraction_factor(sizes, layer, 0 * D, D) * D)
    return bounds


def double_exponential(c: Number, D0: Number, layers: int) -> Number:
    r"""The closed form of the cubic recursion D ← c D³.

    .. math:: D_L \le c^{(3^L - 1)/2}\, D_0^{3^L}, \qquad c = \max_\ell \sum_h \nu_h \beta_h / 4

    bounds the diameter, since tanh x ≤ x.

    Args:
        c: Coefficient of the recursion, ≥ 0.
        D0: Start, ≥ 0; mpmath floats do not underflow.
        layers: L ≥ 0.

    Returns:
        The bound, of the number type of the inputs.

    Raises:
        ValueError: If an argument is negative.

    Source:
        double-exponential

    >>> double_exponential(2.0, 0.5, 2)
    0.03125
    """
    require(layers >= 0, "layers", "an integer >= 0", layers)
    require(c >= 0, "c", "a number >= 0", c)
    require(D0 >= 0, "D0", "a number >= 0", D0)
    return c ** ((3**layers - 1) // 2) * D0 ** (3**layers)


def dong_bound(gamma: Number, beta: Number, m0: Number, layers: int, constant: int = 4) -> Number:
    r"""D21's bound after L layers without skips, in D21's measure.

    .. math:: m(X_L) \le (4\gamma\beta)^{(3^L - 1)/2}\, m(X)^{3^L}, \qquad
        m(X) = \min_x \sqrt{\lVert R \rVert_1 \lVert R \rVert_\infty},\; R = X - \mathbf 1 x^\top .

    The constant 1 in place of 4 is proved too, and without D21's condition on the logits.

    Args:
        gamma: The largest :func:`dong_gamma` of the layers, or its safe value √n.
        beta: The largest :func:`dong_beta` of the layers.
        m0: m(X), or the same with any other x, for example the mean token; mpmath floats do not
            underflow.
        layers: L ≥ 0.
        constant: 4 for the bound as reported, 1 for the sharpened one.

    Returns:
        The bound, of the number type of the inputs.

    Raises:
        ValueError: If an argument is negative, or the constant neither 1 nor 4.

    Source:
        double-exponential

    >>> dong_bound(0.5, 0.25, 1.0, 2)
    0.0625
    """
    require(gamma >= 0, "gamma", "a number >= 0", gamma)
    require(beta >= 0, "beta", "a number >= 0", beta)
    require(constant in (1, 4), "constant", "1 or 4", constant)
    return double_exponential(constant * gamma * beta, m0, layers)


def dong_beta(M: Number, V: Number) -> Number:
    r"""The size of one layer's weights in D21's bound; M and V as matrices on columns.

    .. math:: \beta^2 = \sum_h \lVert M_h \rVert_1 \lVert V_h \rVert_1 \cdot
        \sum_h \lVert M_h \rVert_\infty \lVert V_h \rVert_\infty .

    For one head it is D21's product of the composite norms of M and V. The composite norm obeys no
    triangle inequality, so several heads need the two sums.

    Args:
        M: Query–key matrices of the heads, scale folded in, shape (\*batch, H, d, d).
        V: Value matrices of the heads, shape (\*batch, H, d, d).

    Returns:
        β, shape (\*batch,).

    Raises:
        ValueError: On wrong shapes or dtypes, NaN or infinity.

    Source:
        double-exponential

    >>> import torch
    >>> dong_beta(2 * torch.eye(3)[None], torch.eye(3)[None])
    tensor(2.)
    """
    columns, rows = ((value_norm(M, p) * value_norm(V, p)).sum(-1) for p in (math.inf, 1))
    return numeric.sqrt(columns * rows)


def dong_gamma(E: Number) -> Number:
    r"""How far the logits' moving part E = R M Rᵀ is from filling its norms: D21's γ, measured.

    .. math:: \gamma^2 = \max_h \frac{\sum_i \max_j \lvert E_{ij} \rvert}{\lVert E \rVert_1}
        \cdot \max_h \frac{\max_{ij} \lvert E_{ij} \rvert}{\lVert E \rVert_\infty} \le n .

    Args:
        E: One matrix a head, none zero, shape (\*batch, H, n, n).

    Returns:
        γ, shape (\*batch,), at most √n.

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity, or a zero matrix.

    Source:
        double-exponential

    >>> import torch
    >>> dong_gamma(torch.eye(4)[None]), dong_gamma(torch.ones(1, 4, 4))
    (tensor(2.), tensor(0.5000))
    """
    columns, rows = value_norm(E, math.inf), value_norm(E, 1)
    require(rows > 0, "E", "a nonzero matrix for every head", 0)
    largest = numeric.amax(abs(E), -1)
    spread_out = numeric.amax(largest.sum(-1) / columns, -1)
    return numeric.sqrt(spread_out * numeric.amax(numeric.amax(largest, -1) / rows, -1))
