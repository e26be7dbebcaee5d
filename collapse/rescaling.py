r"""Floor 5. A weighted skip is a skip of weight 1 on other weights.

Without normalisation a stack with skips λ_ℓ and one with skips 1 differ by a factor alone.
"""

from __future__ import annotations

from torch import Tensor

from collapse.attention import Network
from collapse.numeric import Number, require
from collapse.stack import column, stacked


def unit_skip(network: Network, weights: Number | None = None) -> tuple[Network, Number]:
    r"""The same function with skip 1: weights of skips are sizes of weight matrices.

    With λ_ℓ the weight of layer ℓ's skip and Λ_ℓ = λ_1⋯λ_ℓ,

    .. math:: S_\lambda(X) = \Lambda_L\, S_1(X), \qquad
        M_\ell \to \Lambda_{\ell-1}^2 M_\ell, \quad V_\ell \to V_\ell / \lambda_\ell ;

    with row normalisation M stays, and Λ is the product of the signs.

    Args:
        network: norm None or "row", no skip 0.
        weights: λ_ℓ, shape (\*batch, L) or (L,); by default the network's skip in every layer.

    Returns:
        A network with skip 1, and Λ_L, shape (\*batch,) or ().

    Raises:
        ValueError: On norm "pre", or a weight 0.

    Source:
        lambda-rescaling

    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> network = Network.random(3, 1, 2, 2, eta=0.5, generator=g).replace(skip=-2.0)
    >>> plain, scale = unit_skip(network)
    >>> X = torch.eye(2, dtype=torch.float64)
    >>> plain.skip, bool((scale * plain(X) - network(X)).abs().max() < 1e-12)
    (1.0, True)
    """
    require(network.norm in (None, "row"), "norm", 'None or "row"', network.norm)
    factors = _factors(network, weights)
    for factor in factors:
        require((factor > 0) | (factor < 0), "weights", "numbers other than 0", factor)
    scale, query, value = 1 + 0 * network.skip, [], []
    for layer, factor in enumerate(factors):
        W = network.query[..., layer, :, :, :]
        query.append(W if network.norm == "row" else W * column(scale * scale, 3))
        value.append(network.value[..., layer, :, :, :] / column(factor, 3))
        scale = scale * (factor / abs(factor) if network.norm == "row" else factor)
    parts = {"query": query, "value": value} if factors else {}
    changed = {name: stacked(layers, -4) for name, layers in parts.items()}
    one = 1.0 if isinstance(network.query, Tensor) else 1
    return network.replace(**changed, skip=one), scale


def _factors(network: Network, weights: Number | None) -> list[Number]:
    """The weight of each layer's skip."""
    if weights is None:
        return [network.skip] * network.depth
    shape = tuple(getattr(weights, "shape", ()))
    require(shape[-1:] == (network.depth,), "weights", f"{network.depth}, one a layer", weights)
    return [weights[..., layer] for layer in range(network.depth)]
