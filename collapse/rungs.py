r"""Floor 5. The one-layer networks that small weights make of a deep one: the rungs of a ladder.

====  ==============================================================  =====  ============
rung  S′(X)                                                           heads  error
====  ==============================================================  =====  ============
0     :math:`X`                                                       0      :math:`η`
1     :math:`X + \sum_\ell A_\ell(X)`                                 LH     :math:`η^2`
2     :math:`X + J X (W - I)`                                         1      :math:`η^3`
3     :math:`X + \sum_{\ell,h} P_{\ell h}(X) X V_{\ell h} W_{>\ell}`  LH     :math:`η^4`
====  ==============================================================  =====  ============

Here :math:`W_{>\ell} = (I + V_{\ell+1}) \cdots (I + V_L)` with :math:`V_\ell = \sum_h V_{\ell h}`,
:math:`W = W_{>0}`, and J X is the mean token in every row.
"""

from __future__ import annotations

from typing import Any

from collapse.attention import Network
from collapse.numeric import Number, require
from collapse.stack import stacked

RUNGS = (0, 1, 2, 3)


def surrogate(network: Network, rung: int) -> Network:
    r"""The one-layer network of a rung: a Network of depth 1 of the same kind.

    With ``norm="pre"`` rung 1 reads normalised tokens, and rung 2 is the one-head network
    :math:`X + J N(X) \sum_\ell V_\ell`, which reaches the best order there.

    Args:
        network: A Network or ExactNetwork with skip 1 and without ``norm="row"``. Rungs 2 and 3
            want no mask, rung 3 no norm either.
        rung: 0, 1, 2 or 3.

    Returns:
        A network of depth 1, of the same class, dtype, device and batch, with the number of heads
        of the table. A mixer scale is folded into its values.

    Raises:
        ValueError: If the rung is not in the list, or not derived for an option of the network.

    Source:
        rung-0, rung-1, rung-2, rung-3, preln-floor

    >>> import torch
    >>> deep = Network.random(4, 2, 3, 2, eta=0.1, generator=torch.Generator().manual_seed(0))
    >>> [surrogate(deep, rung).heads for rung in (0, 1, 2, 3)]
    [0, 8, 1, 8]
    """
    require(rung in RUNGS, "rung", "0, 1, 2 or 3", rung)
    require(network.skip == 1, "skip", "1 for a surrogate", network.skip)
    require(network.norm != "row", "norm", 'None or "pre" for a surrogate', network.norm)
    require(network.mask is None or rung < 2, "mask", f"None for rung {rung}", "a mask")
    require(network.norm is None or rung < 3, "norm", "None for rung 3", network.norm)

    query, key = _side_by_side(network.query), _side_by_side(network.key)
    if rung == 2:
        if network.norm == "pre":
            return mean_head(network)
        value, output = later_products(network)[0][..., None, None, :, :], None
        query = key = query[..., :0, :, :].sum(-3)[..., None, :, :]
    else:
        value, output = _values(network, carried=rung == 3)
    if rung == 0:
        query, key, value = (w[..., :0, :, :] for w in (query, key, value))
        output = None if output is None else output[..., :0, :, :]
    return network.replace(query=query, key=key, value=value, output=output, mixer_scale=None)


def mean_field(network: Network) -> Network:
    r"""The same stack with uniform attention: of each layer only the averages remain.

    .. math:: X \leftarrow X + C X \textstyle\sum_h V_h, \qquad\text{in all}\qquad
        \sum_k C^k X e_k(V), \quad
        e_k = \sum_{\ell_1 < \dots < \ell_k} V_{\ell_1} \cdots V_{\ell_k},

    with C the average over what the mask shows. Without mask C = J, and the whole is rung 2.

    Args:
        network: A Network or ExactNetwork. A mixer scale is folded into its values.

    Returns:
        A network of the same depth and options with one silent head a layer.

    Source:
        causal-floor

    >>> import torch
    >>> deep = Network.random(3, 2, 1, 1, eta=0.5, generator=torch.Generator().manual_seed(0))
    >>> X = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    >>> torch.allclose(mean_field(deep)(X), surrogate(deep, 2)(X))
    True
    """
    V = network.value_output.sum(-3)[..., None, :, :]
    silent = network.query[..., :0, :, :].sum(-3)[..., None, :, :]
    return network.replace(query=silent, key=silent, value=V, output=None, mixer_scale=None)


def mean_head(network: Network) -> Network:
    r"""The best single head where order or length of the tokens matters: uniform attention.

    .. math:: S'(X) = X + C N(X) \textstyle\sum_\ell V_\ell,

    with C the average over what the mask shows, N(X) = X without a norm.

    Args:
        network: A Network or ExactNetwork. A mixer scale is folded into its values.

    Returns:
        A network of depth 1 with one silent head and the options of the given one.

    Source:
        causal-floor, preln-floor

    >>> import torch
    >>> deep = Network.random(3, 2, 1, 1, eta=0.5, generator=torch.Generator().manual_seed(0))
    >>> mean_head(deep).depth, mean_head(deep).heads
    (1, 1)
    """
    stack = mean_field(network)
    silent = stack.query[..., :0, :, :, :].sum(-4)[..., None, :, :, :]
    total = stack.value.sum(-4)[..., None, :, :, :]
    return stack.replace(query=silent, key=silent, value=total)


def later_products(network: Network) -> list[Number]:
    r"""What the layers after each one do to a constant token, less the token itself.

    .. math:: U_\ell = W_{>\ell} - I, \qquad U_L = 0, \quad
        U_{\ell-1} = V_\ell + U_\ell + V_\ell U_\ell ,

    a recursion that loses no digits to the identity. :math:`W - I = U_0`.

    Args:
        network: A Network or ExactNetwork; a mixer scale is folded into V.

    Returns:
        The list :math:`U_0, \dots, U_L`, each of shape (\*batch, d, d).

    Source:
        rung-2, rung-3

    >>> import torch
    >>> deep = Network.random(2, 1, 1, 1, eta=0.5, generator=torch.Generator().manual_seed(0))
    >>> v = deep.value_output.flatten()
    >>> torch.allclose(later_products(deep)[0].flatten(), (1 + v[:1]) * (1 + v[1:]) - 1)
    True
    """
    V = network.value_output.sum(-3)
    products = [V[..., :0, :, :].sum(-3)]
    for layer in reversed(range(network.depth)):
        step = V[..., layer, :, :]
        products.append(step + products[-1] + step @ products[-1])
    return products[::-1]


def _values(network: Network, carried: bool) -> tuple[Number, Number | None]:
    """Values and outputs of all heads side by side, with or without the later layers' products."""
    value, output = network.value, network.output
    if network.mixer_scale is not None:
        value, output = network.value_output, None
    if carried and network.depth:
        later = stacked(later_products(network)[1:], -3)[..., None, :, :]
        if output is None:
            value = value + value @ later
        else:
            output = output + output @ later
    return _side_by_side(value), None if output is None else _side_by_side(output)


def _side_by_side(weights: Any) -> Any:
    """The heads of all layers as the heads of one: (*batch, L, H, ·, ·) → (*batch, 1, LH, ·, ·)."""
    *batch, layers, heads, rows, columns = weights.shape
    return weights.reshape(*batch, 1, layers * heads, rows, columns)
