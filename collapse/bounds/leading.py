r"""What the error of a rung looks like once the weights are small: the first term of its expansion.

Leading terms are no bounds. They say which power of the weights an error has, and how large it is.
"""

from __future__ import annotations

from typing import Any

import torch

from collapse.attention import Network
from collapse.kernels import rotate
from collapse.numeric import Number, require


def leading_coefficient(network: Network, X: Number, rung: int) -> Number:
    r"""The first term of S(X) − S′(X) in powers of the weights, for the S′ of a rung.

    With :math:`\Sigma = \sum_\ell V_\ell`, :math:`T_\ell = \sum_{k<\ell} V_k` and
    :math:`C_\ell = \tfrac1n \sum_h X M_{\ell h} X^\top (I - J) X V_{\ell h}`,

    .. math::
        \text{rung 0: } & J X \Sigma \\
        \text{rung 1: } & \textstyle\sum_\ell J X T_\ell V_\ell \\
        \text{rung 2: } & \textstyle\sum_\ell C_\ell \\
        \text{rung 3: } & \textstyle\sum_\ell \bigl[\tfrac1n \sum_h J X T_\ell M_{\ell h} X^\top
            (I - J) X V_{\ell h} - \sum_{k<\ell} (I - J) C_k V_\ell\bigr].

    Under a mask J averages over the visible tokens, :math:`J^2` replaces the J of rung 1, and rungs
    0 and 1 remain. With RoPE the logits turn with the positions, and rung 3 gains the logits of X
    with the shifted keys, which no longer cancel.

    Args:
        network: A Network or ExactNetwork with skip 1 and norm None. For weights that are η times
            others, η of them in V and η² in M, the result is :math:`\eta^{\text{rung}+1}` times
            that of the others: the coefficient.
        X: Tokens, shape (\*batch, n, d).
        rung: 0, 1, 2 or 3; under a mask 0 or 1.

    Returns:
        The term, shape (\*batch, n, d).

    Raises:
        ValueError: On bad input, or an option for which there is no expansion.

    Source:
        rung-0, rung-1, rung-2, rung-3

    >>> g = torch.Generator().manual_seed(0)
    >>> network = Network.random(3, 2, 2, 2, eta=1e-3, generator=g)
    >>> X = torch.rand(4, 2, generator=g, dtype=torch.float64)
    >>> from collapse.rungs import surrogate
    >>> error = network(X) - surrogate(network, 2)(X)
    >>> bool((error - leading_coefficient(network, X, 2)).abs().max() < 1e-2 * error.abs().max())
    True
    """
    require(rung in (0, 1, 2, 3), "rung", "0, 1, 2 or 3", rung)
    require(network.skip == 1, "skip", "1 for a leading term", network.skip)
    require(network.norm is None, "norm", "None for a leading term", network.norm)
    require(network.mask is None or rung < 2, "mask", f"None for rung {rung}", "a mask")
    X = network.prepare(X)
    term = moved = uneven = 0 * X
    mean = _average(network, X)
    for layer in range(network.depth):
        V = network.value_output[..., layer, :, :, :].sum(-3)
        if rung == 0:
            term = term + mean @ V
        elif rung == 1:
            term = term + _average(network, moved) @ V
        elif rung == 2:
            term = term + _tilt(network, layer, X, X, X)
        else:
            rest = uneven - _average(network, uneven)
            term = term + _tilt(network, layer, moved, X, X) - rest @ V
            if network.rope is not None:
                term = term + _tilt(network, layer, X, moved, X)
            uneven = uneven + _tilt(network, layer, X, X, X)
        # After this layer the tokens are X + moved + uneven, to second order in the logits.
        moved = moved + mean @ V
    return term


def _average(network: Network, X: Number) -> Number:
    """The mean of the tokens that each row sees."""
    n = X.shape[-2]
    visible = torch.ones(n, n, dtype=torch.bool) if network.mask is None else network.mask
    if isinstance(X, torch.Tensor):
        weights = visible.to(dtype=X.dtype, device=X.device)
        return weights @ X / weights.sum(-1, keepdim=True)
    ones: Any = visible.long().numpy().astype(object)
    return ones @ X / ones.sum(-1, keepdims=True)


def _tilt(network: Network, layer: int, queries: Number, keys: Number, X: Number) -> Number:
    r"""The part of Σ_h P_h X V_h that is linear in logits: \frac1n Σ_h (q k^T)(I − J) X V_h."""
    part = (w[..., layer, :, :, :] for w in (network.query, network.key, network.value_output))
    query, key, V = part
    q, k = queries[..., None, :, :] @ query, keys[..., None, :, :] @ key
    if network.rope is not None:
        q, k = rotate(q, network.rope), rotate(k, network.rope)
    centred = (X - _average(network, X))[..., None, :, :]
    return (q @ (k.swapaxes(-1, -2) @ centred) @ V).sum(-3) / X.shape[-2]
