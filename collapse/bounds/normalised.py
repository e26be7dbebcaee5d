r"""Attention with row normalisation: how fast tokens meet, and how far one layer is from many.

Without skips, tokens :math:`x_i` in the open hemisphere of a unit axis a are followed through their
projections :math:`y_i = x_i / (a \cdot x_i)` onto the plane at distance 1, where a normalised layer
averages again. With skips, what is bounded is how far normalisation can turn or move a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from collapse import numeric
from collapse.bounds.ladder import Sizes, State
from collapse.bounds.lipschitz import attention_lipschitz
from collapse.bounds.masked import centre_factors, least_weight
from collapse.bounds.weighted_skips import row_drift
from collapse.numeric import Number, minimum, require
from collapse.softmax import tv_bound


def projected_weight(weight: Number, height: Number) -> Number:
    r"""The least weight of the average that a normalised layer takes of the projected tokens.

    .. math:: \frac{\varepsilon c}{1 - \varepsilon + \varepsilon c} \ge \varepsilon c

    for attention weights of at least ε and tokens of height at least c. Attained by a row with two
    tokens: one of weight ε and height c, one of height 1.

    Args:
        weight: ε in [0, 1], of any number type.
        height: :math:`c = \min_i a \cdot x_i` in (0, 1].

    Returns:
        The least weight, of the type of the arguments.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        ln-orthogonal

    >>> projected_weight(0.5, 1.0)
    0.5
    """
    require(weight >= 0, "weight", "a weight in [0, 1]", weight)
    require(weight <= 1, "weight", "a weight in [0, 1]", weight)
    require(height > 0, "height", "a height in (0, 1]", height)
    return weight * height / (1 - weight + weight * height)


def hemisphere_factors(
    beta: Number, visible: int, height: Number, layers: int, centres: int = 1, steps: int = 1
) -> list[Number]:
    r"""Bounds on diam₂(X_t) ÷ diam₂(Y₀) for orthogonal values and tokens in a hemisphere.

    .. math:: (1 - \lvert C \rvert\, \hat\varepsilon^r)^{\lfloor t/r \rfloor}, \qquad
        \hat\varepsilon = \frac{\varepsilon c}{1 - \varepsilon + \varepsilon c}, \quad
        \varepsilon = \frac{1}{1 + (m - 1) e^{2\beta}} .

    Args:
        beta: β₂(M) ≥ 0, the largest over the layers.
        visible: Largest number m ≥ 1 of tokens that a row may attend to.
        height: c in (0, 1], the least height of the first tokens over the plane of the hemisphere.
        layers: t ≥ 0.
        centres: Number \|C| ≥ 1 of tokens that every token reaches.
        steps: Length r ≥ 1 of the paths to them.

    Returns:
        t + 1 bounds, after 0, 1, …, t layers.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        ln-orthogonal

    >>> hemisphere_factors(0.0, 2, 1.0, layers=2)
    [1.0, 0.5, 0.25]
    """
    require(layers >= 0, "layers", "an integer >= 0", layers)
    weight = projected_weight(least_weight(2 * beta, visible), height)
    return centre_factors([weight] * layers, centres, steps)


def stretched_factor(beta: Number, diameter: Number, condition: Number = 1) -> Number:
    r"""The factor by which one normalised layer can widen the projected tokens.

    .. math:: \mathrm{diam}_2(Y_{t+1}) \le \kappa(V)\,
        \tanh\bigl(\beta_2(M)\, \mathrm{diam}_2(X_t)^2/4\bigr)\; \mathrm{diam}_2(Y_t),
        \qquad \mathrm{diam}_2(X_t) \le \mathrm{diam}_2(Y_t) .

    One head, no mask, no positions, no skip. Attained for every β and κ by two tokens at equal
    angles to the axis.

    Args:
        beta: β₂(M) ≥ 0, of any number type.
        diameter: diam₂(X_t), or a bound on it; unit tokens have at most 2.
        condition: Condition number κ ≥ 1 of V, the ratio of its extreme singular values.

    Returns:
        The factor, of the type of the arguments.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        ln-contraction

    >>> round(stretched_factor(1.0, 2.0, 3.0), 4)
    2.2848
    """
    require(beta >= 0, "beta", "beta >= 0", beta)
    require(diameter >= 0, "diameter", "diameter >= 0", diameter)
    require(condition >= 1, "condition", "condition >= 1", condition)
    return condition * tv_bound(beta * diameter * diameter)


def stretched_diameters(
    betas: Sequence[Number], conditions: Sequence[Number], D0: Number
) -> list[Number]:
    r"""Bounds on diam₂ of the projected tokens after each normalised layer.

    .. math:: D \leftarrow \kappa_t \tanh\bigl(\beta_t \min(D, 2)^2/4\bigr)\, D .

    Args:
        betas: β₂(M_t) ≥ 0 of each layer.
        conditions: κ(V_t) ≥ 1 of each layer.
        D0: diam₂(Y₀) ≥ 0; mpmath floats do not underflow.

    Returns:
        :math:`D_0, \dots, D_L`.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        ln-contraction

    >>> [round(D, 5) for D in stretched_diameters([1.0, 1.0], [1.0, 1.0], 1.0)]
    [1.0, 0.24492, 0.00367]
    """
    bounds = [D0]
    for beta, condition in zip(betas, conditions, strict=True):
        seen = minimum(bounds[-1], 2 + 0 * bounds[-1])
        bounds.append(stretched_factor(beta, seen, condition) * bounds[-1])
    return bounds


def turned(moved: Number) -> Number:
    r"""How far apart two unit vectors can be when a vector was moved before it was normalised.

    .. math:: \Bigl\lVert \frac{x}{\lVert x \rVert} - \frac{z}{\lVert z \rVert} \Bigr\rVert_2
        \le \sqrt{2 - 2\sqrt{1 - \rho^2}} \le \sqrt2\,\rho, \qquad
        \rho = \min\bigl(1, \lVert x - z \rVert_2 / \lVert x \rVert_2\bigr),

    as long as z is no farther from x than 0 is; 2 beyond. Attained by z − x orthogonal to z.

    Args:
        moved: ‖x − z‖ ÷ ‖x‖ ≥ 0: a float, a tensor, a ball or an mpmath float.

    Returns:
        The largest distance, of the same type.

    Raises:
        ValueError: If it is negative.

    Source:
        preln-collapse, postln-collapse

    >>> turned(0.0), turned(1.5)
    (0.0, 2.0)
    """
    require(moved >= 0, "moved", "a ratio >= 0", moved)
    beyond = _one_where(moved > 1)
    chord = row_drift(minimum(moved, 1 + 0 * moved))
    return chord + beyond * (2 - chord)


def preln_collapse(sizes: Sizes, width: int, shortest: Number, D0: Number) -> Number:
    r"""Bound on ‖S(X) − X − Σ A_ℓ(N(X))‖₂ for a pre-normalised network with skips.

    With :math:`v_\ell = \sum_h \nu_2(V_{\ell h})` and the shortest token r, layer by layer from
    δ = 0,

    .. math:: E \mathrel{+}= v_\ell \kappa + D_0 \textstyle\sum_h \nu_h
        \tanh\bigl(\beta_h \kappa (D + 2\sqrt d)/4\bigr), \quad
        \kappa = \sqrt d\; g(\delta/r), \quad D = \min(2\sqrt d,\, D_0 + 2\kappa), \qquad
        \delta \mathrel{+}= \sqrt d\, v_\ell,

    with g of :func:`turned`. For r > 0 this is :math:`O(\eta^2)`.

    Args:
        sizes: The network's weights in the norm p = 2, with or without a mask, no positions.
        width: d.
        shortest: :math:`r = \min_i \lVert x_i \rVert_2 > 0`.
        D0: diam₂ of the tokens that the first layer reads, of length √d.

    Returns:
        The bound, of the number type of the sizes.

    Raises:
        ValueError: If r is not positive, or with positions.

    Source:
        preln-collapse

    >>> import torch
    >>> nu = torch.full((2, 1), 0.01)
    >>> preln_collapse(Sizes(nu, nu[:, 0], 0 * nu), 4, torch.tensor(1.0), torch.tensor(2.0))
    tensor(0.0004)
    """
    require(not sizes.rotary, "attention", '"plain" or "mask"', sizes.attention)
    require(shortest > 0, "shortest", "tokens of length > 0", shortest)
    root = numeric.sqrt(width + 0 * D0)
    error = moved = 0 * D0
    for layer in range(sizes.head_value.shape[-2]):
        shift = root * turned(moved / shortest)
        error = error + _attention_moved(sizes, layer, root, shift, D0)
        moved = moved + root * sizes.head_value[..., layer, :].sum(-1)
    return error


def postln_collapse(sizes: Sizes, D0: Number) -> Number:
    r"""Bound on ‖S(X) − N(X + Σ A_ℓ(X))‖₂ for a post-normalised network and unit tokens.

    With :math:`v_\ell = \sum_h \nu_2(V_{\ell h})`, layer by layer from δ = 0 and ω = 1,

    .. math:: E \mathrel{+}= (\omega - 1) v_\ell + v_\ell \delta + D_0 \textstyle\sum_h \nu_h
        \tanh\bigl(\beta_h \delta (D + 2)/4\bigr), \quad D = \min(2, D_0 + 2\delta), \qquad
        \delta \mathrel{+}= g(v_\ell), \quad \omega \mathrel{\cdot}= 1 + v_\ell,

    and in the end :math:`g(E/(1 - \sum_\ell v_\ell))`, or 2 where :math:`\sum v_\ell \ge 1`; g is
    that of :func:`turned`. This is :math:`O(\eta^2)`.

    Args:
        sizes: The network's weights in the norm p = 2, with or without a mask, no positions.
        D0: diam₂ of the unit tokens.

    Returns:
        The bound, of the number type of the sizes, at most 2.

    Raises:
        ValueError: With positions.

    Source:
        postln-collapse

    >>> import torch
    >>> nu = torch.full((2, 1), 0.01)
    >>> round(float(postln_collapse(Sizes(nu, nu[:, 0], 0 * nu), torch.tensor(1.0))), 6)
    0.000204
    """
    require(not sizes.rotary, "attention", '"plain" or "mask"', sizes.attention)
    one = 1 + 0 * D0
    error = moved = total = 0 * D0
    scale = one
    for layer in range(sizes.head_value.shape[-2]):
        v = sizes.head_value[..., layer, :].sum(-1)
        shift = minimum(moved, 2 * one)
        error = error + (scale - 1) * v + _attention_moved(sizes, layer, one, shift, D0)
        moved, scale, total = moved + turned(v), scale * (1 + v), total + v
    left = numeric.maximum(1 - total, 0 * one)
    # Beyond Σv = 1 the quotient is put above 1, where the distance is 2.
    none = _one_where(left <= 0)
    return turned(minimum(error / (left + none), 2 * one) + 2 * none)


def postln_causal_floor(eta: Number) -> Number:
    r"""Error that every causal, post-normalised one-layer network makes somewhere on unit tokens.

    .. math:: \frac{\eta\,(s - 1)}{6 s \sqrt{a^2 + b^2}}, \quad
        s = \sqrt{1 + \eta + \eta^2/2}, \quad
        a = \tfrac{1}{\sqrt2} + \tfrac\eta3\bigl(\tfrac1{\sqrt2} + 1 + \tfrac{\eta}{2s}\bigr), \quad
        b = a - \tfrac{\eta(s - 1)}{3s}
        \qquad \Bigl(\to \frac{\eta^2}{12}\Bigr),

    in the largest entry. For two layers of uniform causal attention of width 2 with V = ηI, on
    the tokens e₁, e₂, (e₁ + e₂)/√2 or the same with the first two swapped.

    Args:
        eta: η ≥ 0, of any number type that has square roots.

    Returns:
        The floor, of the type of η.

    Raises:
        ValueError: If η is negative.

    Source:
        postln-floor

    >>> round(postln_causal_floor(0.001) / (0.001**2 / 12), 2)
    1.0
    """
    require(eta >= 0, "eta", "eta >= 0", eta)
    s = numeric.sqrt(1 + eta + eta * eta / 2)
    half = 1 / numeric.sqrt(2 + 0 * eta)
    gap = eta / 3 * ((eta + eta * eta / 2) / (s * (s + 1)))  # s − 1 without cancellation
    a = half + eta / 3 * (half + 1 + eta / (2 * s))
    b = a - gap
    return gap / (2 * numeric.sqrt(a * a + b * b))


def _one_where(condition: Any) -> Any:
    """1 where a comparison holds, else 0; balls that overlap count as not compared."""
    return condition if isinstance(condition, Tensor) else int(bool(condition))


def _attention_moved(sizes: Sizes, layer: int, phi: Number, shift: Number, D0: Number) -> Number:
    """How far attention moves when tokens of length φ, at most D₀ apart, move by at most shift."""
    seen = minimum(D0 + 2 * shift, 2 * phi)
    state = State(phi, seen, shift, 2 * shift)
    return attention_lipschitz(sizes, layer, state, phi, D0)
