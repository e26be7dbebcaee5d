r"""With skip connections: how large the layers' outputs get, and how far apart tokens must stay.

The first two functions bound the entries of the attention outputs from entrywise bounds η on the
weights, as AS25 do: once as reported, without the width, and once with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from collapse.bounds.ladder import Sizes, State, advance, spread
from collapse.numeric import Number, maximum, require


def reported_epsilon(eta: Number, phi0: Number, heads: int, layer: int) -> Number:
    r"""The deviation of layer ℓ as AS25 are reported to bound it. It is no bound.

    .. math:: \varepsilon_\ell = 2 \eta \varphi_0 (1 + H\eta)^\ell

    Args:
        eta: Entrywise bound η ≥ 0 on the weights, of any number type.
        phi0: Entrywise bound φ₀ ≥ 0 on the tokens.
        heads: H ≥ 0.
        layer: ℓ ≥ 1, counted from 1 as in the paper.

    Returns:
        :math:`\varepsilon_\ell`, of the number type of η and φ₀.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        as25-eps

    >>> reported_epsilon(0.5, 1.0, heads=2, layer=1)
    2.0
    """
    _check(eta, phi0, heads, layer)
    return 2 * eta * phi0 * (1 + heads * eta) ** layer


def head_epsilon(eta: Number, phi0: Number, heads: int, width: int, layer: int) -> Number:
    r"""Bound on the residual of one head's output in layer ℓ, the width counted.

    .. math:: \rho(A_{\ell,h}) \le \lVert A_{\ell,h} \rVert_\infty
        \le d\eta\,\varphi_0\,(1 + Hd\eta)^{\ell-1} ;

    the layer's output is at most H times as large. Approached at every ℓ as ηφ₀ grows.

    Args:
        eta: Entrywise bound η ≥ 0 on the weights, of any number type.
        phi0: Entrywise bound φ₀ ≥ 0 on the tokens.
        heads: H ≥ 0.
        width: d ≥ 1.
        layer: ℓ ≥ 1, counted from 1.

    Returns:
        The bound, of the number type of η and φ₀.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        as25-eps, eps-counterexample

    >>> head_epsilon(0.5, 1.0, heads=2, width=3, layer=2)
    6.0
    """
    _check(eta, phi0, heads, layer)
    require(width >= 1, "width", "an integer >= 1", width)
    return width * eta * phi0 * (1 + heads * width * eta) ** (layer - 1)


def surviving_diameters(
    sizes: Sizes, phi0: Number, D0: Number, states: Sequence[State] | None = None
) -> list[Number]:
    r"""What skip connections keep of the diameter, layer after layer.

    .. math:: \mathrm{diam}(X_\ell) \ge
        \mathrm{diam}(X) \prod_{k \le \ell} \max(0, 1 - K_k), \qquad
        K_k = \sum_h \nu_h \tanh\bigl(\beta_h\,\mathrm{diam}(X_{k-1})^2/4\bigr),

    with the K of :func:`~collapse.bounds.ladder.spread` under a mask or with RoPE.

    Args:
        sizes: The network's weights; its skip is 1.
        phi0: ‖X‖, shape (\*batch,).
        D0: diam(X), shape (\*batch,).
        states: What was measured before each layer; by default the upper bounds of
            :func:`~collapse.bounds.ladder.advance`, from the weights alone.

    Returns:
        Lower bounds of :math:`\mathrm{diam}(X_0), \dots, \mathrm{diam}(X_L)`.

    Source:
        rank-survives

    >>> import torch
    >>> one = torch.ones(2, 1)
    >>> sizes = Sizes(one / 2, one[:, 0] / 2, one)
    >>> surviving_diameters(sizes, torch.tensor(1.0), torch.tensor(2.0))[1]
    tensor(1.2384)
    """
    zero = 0 * D0
    state, kept = State(phi0, D0, zero, zero), [D0]
    for layer in range(sizes.layer_value.shape[-1]):
        if states is not None:
            state = states[layer]
        K = spread(sizes, layer, state, phi0).contraction
        kept.append(kept[-1] * maximum(0 * K, 1 - K))
        if states is None:
            state = advance(sizes, layer, state, phi0)
    return kept


def _check(eta: Number, phi0: Number, heads: int, layer: int) -> None:
    require(eta >= 0, "eta", "eta >= 0", eta)
    require(phi0 >= 0, "phi0", "phi0 >= 0", phi0)
    require(heads >= 0, "heads", "an integer >= 0", heads)
    require(layer >= 1, "layer", "an integer >= 1", layer)
