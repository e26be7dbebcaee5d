r"""How far the rungs are from the deep network: one recursion over the layers, explicit constants.

All quantities are in one token norm p. Before layer ℓ, with Δ = X_{ℓ−1} − X,

====  =====================================  ==============================================
φ     bounds ‖X_{ℓ−1}‖                       starts at ‖X‖
D     bounds diam(X_{ℓ−1})                   starts at diam(X)
δ     bounds ‖Δ‖                             starts at 0
κ     bounds diam(Δ)                         starts at 0
====  =====================================  ==============================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from collapse import numeric
from collapse.numeric import Number, require
from collapse.softmax import tv_bound

Attention = Literal["plain", "mask", "rope", "masked rope"]


@dataclass(frozen=True)
class Sizes:
    r"""The sizes of a network's weights, in the norm of the tokens.

    Attributes:
        head_value: ν(V_h), shape (\*batch, L, H); a tensor or an array of exact numbers.
        layer_value: ν(Σ_h V_h), shape (\*batch, L).
        query_key: β(M_h), or with RoPE the largest β over the offsets, shape (\*batch, L, H).
        attention: "plain", "mask", "rope" or "masked rope".
    """

    head_value: Number
    layer_value: Number
    query_key: Number
    attention: Attention = "plain"

    @property
    def masked(self) -> bool:
        """Whether rows may see different tokens."""
        return self.attention in ("mask", "masked rope")

    @property
    def rotary(self) -> bool:
        """Whether equal tokens may get different logits."""
        return self.attention in ("rope", "masked rope")


@dataclass(frozen=True)
class State:
    """Where the tokens are before a layer: the four numbers of the table above."""

    phi: Number
    D: Number
    delta: Number
    kappa: Number


@dataclass(frozen=True)
class Spread:
    """What one layer's attention can do, head by head and summed.

    Attributes:
        contraction: K, with diam(A(X)) ≤ K diam(X).
        uneven: Σ ν_h t_h, with t_h the distance of a row of attention from uniform.
        moved: Σ ν_h q_h, with q_h the distance of a row from where it was on the input tokens.
    """

    contraction: Number
    uneven: Number
    moved: Number


def spread(sizes: Sizes, layer: int, state: State, phi0: Number) -> Spread:
    r"""Bounds on what the attention of one layer does, from :func:`~collapse.softmax.tv_bound`.

    .. math:: K = \sum_h \nu_h \tanh(\beta_h D^2/4), \quad
        t_h = \tanh(\beta_h \varphi D/4), \quad
        q_h = \tanh(\beta_h(\delta D + \varphi_0 \kappa)/4).

    Under a mask the tokens seen differ by row: :math:`K = \sum_h \nu_h`, :math:`t_h = 1`. With RoPE
    equal tokens get different logits, so no difference of tokens can be used:
    :math:`K = \sum \nu_h \tanh(\beta_h \varphi^2)`, :math:`t_h = \tanh(\beta_h \varphi^2/2)`,
    :math:`q_h = \tanh(\beta_h(\delta\varphi + \varphi_0\delta)/2)`. With both, K and t are those of
    a mask, q is that of RoPE.

    Args:
        sizes: The network's.
        layer: Index of the layer, counted from 0.
        state: Before that layer.
        phi0: ‖X‖ of the input tokens.

    Returns:
        A Spread.

    Source:
        contraction, uniform-tv, attention-lipschitz
    """
    nu, beta = (size[..., layer, :] for size in (sizes.head_value, sizes.query_key))
    phi, D, delta, kappa, start = (
        _per_head(x) for x in (state.phi, state.D, state.delta, state.kappa, phi0)
    )
    if sizes.rotary:
        rows, uniform = 4 * beta * phi * phi, 2 * beta * phi * phi
        movement = 2 * beta * (delta * phi + start * delta)
    else:
        rows, uniform = beta * D * D, beta * phi * D
        movement = beta * (delta * D + start * kappa)
    moved = (nu * tv_bound(movement)).sum(-1)
    if sizes.masked:
        return Spread(nu.sum(-1), nu.sum(-1), moved)
    return Spread((nu * tv_bound(rows)).sum(-1), (nu * tv_bound(uniform)).sum(-1), moved)


def advance(sizes: Sizes, layer: int, state: State, phi0: Number) -> State:
    r"""The state after one more layer.

    .. math:: a = \min\bigl(\textstyle\sum_h \nu_h\, \varphi,\;
        \nu(V_\ell)\varphi + D \sum_h \nu_h t_h\bigr):\quad
        \delta \mathrel{+}= a,\; \varphi \mathrel{+}= a,\; \kappa \mathrel{+}= K D,\;
        D \mathrel{\cdot}= 1 + K .

    Args:
        sizes: The network's.
        layer: Index of the layer, counted from 0.
        state: Before that layer.
        phi0: ‖X‖ of the input tokens.

    Returns:
        The state after it.

    Source:
        rung-0
    """
    return _advanced(sizes, layer, state, spread(sizes, layer, state, phi0))


def _advanced(sizes: Sizes, layer: int, state: State, bound: Spread) -> State:
    step = _output(sizes, layer, state, bound)
    grown = bound.contraction * state.D
    return State(state.phi + step, state.D + grown, state.delta + step, state.kappa + grown)


def ladder(
    sizes: Sizes, phi0: Number, D0: Number, rung: int, states: Sequence[State] | None = None
) -> Number:
    r"""Bound on ‖S(X) − S′(X)‖ for the S′ of a rung; no smallness is assumed.

    With the numbers of :func:`spread` and a of :func:`advance`, layer by layer from E = 0,

    .. math::
        \text{rung 0: } & E \mathrel{+}= a \\
        \text{rung 1: } & E \mathrel{+}= \min\bigl(\textstyle\sum_h\nu_h\,\delta,\;
            \nu(V_\ell)\delta + \kappa\sum_h\nu_h t_h\bigr) + D_0\sum_h\nu_h q_h \\
        \text{rung 2: } & E = (1 + \nu(V_\ell)) E + D \sum_h \nu_h t_h \\
        \text{rung 3: } & E = (1 + \nu(V_\ell)) E + \textstyle\sum_h \nu_h (\kappa + D_0 q_h).

    The value for rung 0 is at most :math:`\varphi_0(\prod_\ell(1 + \sum_h\nu_h) - 1)`.

    Args:
        sizes: The network's weights.
        phi0: ‖X‖, shape (\*batch,).
        D0: diam(X), shape (\*batch,).
        rung: 0, 1, 2 or 3; under a mask 0 or 1.
        states: What was measured before each layer, for a certificate of one input; by default
            the recursion of :func:`advance`.

    Returns:
        The bound, shape (\*batch,).

    Raises:
        ValueError: If the rung is not in the list or has no proof under a mask.

    Source:
        rung-0, rung-1, rung-2, rung-3

    >>> import torch
    >>> one = torch.tensor([[0.1]])
    >>> ladder(Sizes(one, one[0], one), torch.tensor(1.0), torch.tensor(1.0), 2)
    tensor(0.0025)
    """
    require(rung in (0, 1, 2, 3), "rung", "0, 1, 2 or 3", rung)
    require(not sizes.masked or rung < 2, "rung", "0 or 1 under a mask", rung)
    zero = 0 * phi0
    state, error = State(phi0, D0, zero, zero), zero
    for layer in range(sizes.layer_value.shape[-1]):
        if states is not None:
            state = states[layer]
        bound = spread(sizes, layer, state, phi0)
        total = sizes.head_value[..., layer, :].sum(-1)
        whole = sizes.layer_value[..., layer]
        if rung == 0:
            error = error + _output(sizes, layer, state, bound)
        elif rung == 1:
            kept = numeric.minimum(
                total * state.delta, whole * state.delta + state.kappa * bound.uneven
            )
            error = error + kept + D0 * bound.moved
        elif rung == 2:
            error = (1 + whole) * error + state.D * bound.uneven
        else:
            error = (1 + whole) * error + total * state.kappa + D0 * bound.moved
        if states is None:
            state = _advanced(sizes, layer, state, bound)
    return error


def identity_constant(eta: Number, layers: int, heads: int, width: int) -> Number:
    r"""How far a network can be from the identity, per unit of input: :math:`(1 + Hd\eta)^L - 1`.

    Args:
        eta: Bound on the entries of W_V, ≥ 0.
        layers: Number of layers L.
        heads: Heads H of a layer.
        width: Width d of the tokens.

    Returns:
        The constant, of the type of η.

    Source:
        as25-thm-5.3

    >>> identity_constant(0.5, 2, 1, 2)
    3.0
    """
    require(eta >= 0, "eta", "eta >= 0", eta)
    return (1 + heads * width * eta) ** layers - 1


def _output(sizes: Sizes, layer: int, state: State, bound: Spread) -> Number:
    """Bound on ‖A_ℓ(X_{ℓ−1})‖: each row an average of values, or their mean and a rest."""
    total = sizes.head_value[..., layer, :].sum(-1)
    mean = sizes.layer_value[..., layer] * state.phi + state.D * bound.uneven
    return numeric.minimum(total * state.phi, mean)


def _per_head(x: Number) -> Number:
    """A size per batch entry, with an axis for the heads; scalars stay scalars."""
    return x[..., None] if hasattr(x, "shape") else x
