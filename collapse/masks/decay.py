r"""How fast the tokens of a network under a mask meet: bounds by layer, and the limit rate."""

from __future__ import annotations

import math

import networkx
import torch
from torch import Tensor

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.masked import centre_factors, least_weight, walk_factors
from collapse.checks import check_mask
from collapse.masks.reach import centres, choices, longest_path, mask_graph
from collapse.norms import diameter, token_norm
from collapse.numeric import require


def averaging(mask: Tensor) -> Tensor:
    r"""Attention at equal tokens: every row averages what it sees.

    .. math:: P^*_{ij} = 1/m_i \text{ where row } i \text{ sees } m_i \text{ tokens, } j
        \text{ among them.}

    Args:
        mask: Booleans of shape (n, n), some True in every row.

    Returns:
        P*, float64, shape (n, n).

    Raises:
        ValueError: On a wrong shape or dtype, or a row without visible token.

    Source:
        masked-rate

    >>> from collapse.masks.graphs import causal
    >>> averaging(causal(2))
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]], dtype=torch.float64)
    """
    seen = check_mask(mask).double()
    return seen / seen.sum(-1, keepdim=True)


def limit_rate(mask: Tensor) -> float:
    r"""The factor by which a layer shrinks the differences of nearly equal tokens, in the long run.

    .. math:: \lambda_2 = \text{the second largest modulus of an eigenvalue of } P^*,

    1 where the mask has no centre, 0 for the complete one up to rounding. Eigenvalues are found
    class by class: a triangular mask, whose matrix may have no basis of eigenvectors, gives its
    diagonal exactly.

    Args:
        mask: Booleans of shape (n, n), with all self-loops, n ≥ 2.

    Returns:
        The rate, from 0 to 1.

    Raises:
        ValueError: As for :func:`~collapse.masks.reach.mask_graph`, or for one token.

    Source:
        masked-rate

    >>> from collapse.masks.graphs import one_sided_window
    >>> limit_rate(one_sided_window(9, 3))
    0.5
    """
    mask = check_mask(mask)
    require(len(mask) >= 2, "tokens of the mask", "at least two", len(mask))
    P, moduli = averaging(mask), []
    for part in networkx.strongly_connected_components(mask_graph(mask)):
        index = torch.tensor(sorted(part))
        moduli += torch.linalg.eigvals(P[index][:, index]).abs().tolist()
    return min(1.0, sorted(moduli)[-2])


def edge_floors(network: Network, X: Tensor) -> Tensor:
    r"""The least attention weight on an edge of the mask, layer by layer, as measured.

    Args:
        network: With a mask.
        X: Tokens, shape (\*batch, n, d).

    Returns:
        ε, shape (\*batch, L), the least over the heads.

    Raises:
        ValueError: If the network has no mask or X does not fit it.

    Source:
        masked-collapse

    >>> from collapse.masks.graphs import causal
    >>> zero, one = torch.zeros(2, 1, 1, 1), torch.ones(2, 1, 1, 1)
    >>> edge_floors(Network(zero, zero, one, skip=0, mask=causal(2)), torch.ones(2, 1))
    tensor([0.5000, 0.5000])
    """
    mask = _mask(network)
    steps = network.trace(X)
    floors = []
    for layer in range(network.depth):
        P = network.attention_matrices(steps[..., layer, :, :], layer)
        floors.append(P.masked_fill(~mask.to(P.device), math.inf).amin((-3, -2, -1)))
    return torch.stack(floors, -1)


def mask_factors(mask: Tensor, weights: Tensor) -> Tensor:
    r"""The best proved bound on τ(P_t ⋯ P_1), over all choices of centres and, if acyclic, walks.

    Args:
        mask: Booleans of shape (n, n), with all self-loops.
        weights: Floors ε of every layer, shape (\*batch, L).

    Returns:
        Bounds after 0, …, L layers, shape (\*batch, L + 1); 1 throughout without a centre.

    Raises:
        ValueError: If a floor leaves its range.

    Source:
        masked-collapse, masked-walk

    >>> from collapse.masks.graphs import star
    >>> mask_factors(star(4), torch.tensor([0.5, 0.5]))
    tensor([1.0000, 0.5000, 0.2500])
    """
    layers = list(weights.unbind(-1))
    found = [torch.ones(*weights.shape[:-1], weights.shape[-1] + 1).to(weights)]
    if not layers:
        return found[0]
    for steps, count in choices(mask):
        found.append(torch.stack(centre_factors(layers, count, steps), -1))
    longest = longest_path(mask)
    if longest and len(centres(mask)) == 1:
        found.append(torch.stack(walk_factors(layers, longest), -1))
    return torch.stack(found).amin(0)


def masked_diameters(network: Network, X: Tensor, p: float = 2, data: str = "weights") -> Tensor:
    r"""Bounds on the diameter after every layer of a network with a mask and without skips.

    .. math:: D_t \le (1 - \lvert C \rvert \varepsilon^r)^{\lfloor t/r \rfloor}\,
        \textstyle\prod_s \sum_h \nu_p(V_{s,h})\; D_0,

    with the best choice of r and C. From the weights alone, ε_s is
    :func:`~collapse.bounds.masked.least_weight` at :math:`\theta_s = \beta \varphi_s D_s`, where
    φ bounds the tokens and D is the bound of the layer before.

    Args:
        network: skip 0, with a mask that has all self-loops; norm and rope None.
        X: Tokens, shape (\*batch, n, d).
        p: 1, 2 or ``math.inf``.
        data: "weights", or "measured" for the ε of :func:`edge_floors`.

    Returns:
        Bounds on diam_p, shape (\*batch, L + 1).

    Raises:
        ValueError: On bad input or another kind of network.

    Source:
        masked-collapse, masked-walk

    >>> from collapse.masks.graphs import star
    >>> zero, one = torch.zeros(2, 1, 1, 1), torch.ones(2, 1, 1, 1)
    >>> network = Network(zero, zero, one, skip=0, mask=star(3))
    >>> masked_diameters(network, torch.tensor([[0.0], [1.0], [0.0]]))
    tensor([1.0000, 0.5000, 0.2500])
    """
    mask = _mask(network)
    require(network.skip == 0, "skip", "0 for a bound under a mask", network.skip)
    require(network.norm is None, "norm", "None for a bound under a mask", network.norm)
    require(network.rope is None, "rope", "None for a bound under a mask", network.rope)
    require(data in ("weights", "measured"), "data", '"weights" or "measured"', repr(data))
    X = network.prepare(X)
    sizes, D0 = network_sizes(network, X.shape[-2], p), diameter(X, p)
    one = torch.ones_like(D0)[..., None]
    values = torch.cat((one, one * sizes.head_value.sum(-1)), -1).cumprod(-1)
    if data == "measured":
        return mask_factors(mask, edge_floors(network, X)) * values * D0[..., None]
    phi, floors = token_norm(X, p), D0.new_ones(*D0.shape, 0)
    bound = D0[..., None]
    for layer in range(network.depth):
        theta = sizes.query_key[..., layer, :].amax(-1) * phi * values[..., layer] * bound[..., -1]
        floor = least_weight(theta, int(mask.sum(-1).max()))
        floors = torch.cat((floors, floor[..., None]), -1)
        bound = mask_factors(mask, floors) * values[..., : layer + 2] * D0[..., None]
    return bound


def _mask(network: Network) -> Tensor:
    require(network.mask is not None, "mask", "a network with a mask", network.mask)
    require(network.heads > 0, "heads", "at least one", network.heads)
    assert network.mask is not None
    return network.mask
