"""Rung 2 as an algorithm: a whole network in time linear in n, with a certified error."""

from __future__ import annotations

import math

from collapse.attention import Network
from collapse.bounds import collapse_bound
from collapse.bounds.certificates import network_sizes
from collapse.bounds.ladder import ladder
from collapse.checks import check_finite
from collapse.norms import token_norm
from collapse.norms.tokens import vector_norm
from collapse.numeric import Bound, Number, require
from collapse.stack import column


def certified_forward(network: Network, X: Number, p: float = math.inf) -> tuple[Number, Bound]:
    r"""Rung 2 of a network, without any n×n matrix, and how far it is from the network's output.

    .. math:: S'(X) = X + \mathbf 1\, \bar x (W - I), \qquad
        \lVert S(X) - S'(X) \rVert_p \le E_2 ,

    with :math:`E_2` from :func:`~collapse.bounds.ladder.ladder`, where
    :func:`diameter_upper` stands for the diameter if p = 1 or 2. O(nd + LHd²) operations, those
    for the norms of the weights apart.

    Args:
        network: A Network or ExactNetwork with skip 1, no mask and norm None.
        X: Tokens, shape (\*batch, n, d).
        p: Norm of the bound: 1, 2 or ``math.inf``.

    Returns:
        S'(X), shape (\*batch, n, d), and a Bound with a value of shape (\*batch,).

    Raises:
        ValueError: On bad input, or an option of the network for which there is no proof.

    Source:
        linear-time

    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> network = Network.random(4, 2, 3, 3, eta=0.1, generator=g)
    >>> X = torch.rand(5, 3, generator=g, dtype=torch.float64)
    >>> near, bound = certified_forward(network, X)
    >>> bool((network(X) - near).abs().max() <= bound.value)
    True
    """
    require(network.mask is None, "mask", "None for rung 2", "a mask")
    require(network.skip == 1, "skip", "1 for rung 2", network.skip)
    require(network.norm is None, "norm", "None for rung 2", network.norm)
    X = network.prepare(X)
    near = X + _moved_mean(network, mean_token(X))
    check_finite(near, "output S'(X)")
    if p == math.inf:
        return near, collapse_bound(network, X, 2)
    sizes = network_sizes(network, X.shape[-2], p)
    value = ladder(sizes, token_norm(X, p), diameter_upper(X, p), 2)
    note = f"beta exact, p = {p}", "diam at most 2 max ‖x_i − mean‖"
    return near, Bound(value, "linear-time", "upper", note)


def _moved_mean(network: Network, mean: Number) -> Number:
    """x̄(W − I), one layer after another: vectors times matrices, never matrices times matrices."""
    moved = 0 * mean
    for layer in range(network.depth):
        heads = (mean + moved)[..., None, :, :] @ network.value[..., layer, :, :, :]
        if network.output is not None:
            heads = heads @ network.output[..., layer, :, :, :]
        scale = 1 if network.mixer_scale is None else column(network.mixer_scale, 2)
        moved = moved + scale * heads.sum(-3)
    return moved


def mean_token(X: Number) -> Number:
    r"""The mean token, shape (\*batch, 1, d)."""
    return X.sum(-2)[..., None, :] / X.shape[-2]


def diameter_upper(X: Number, p: float) -> Number:
    r"""Upper bound of the diameter in linear time.

    .. math:: \mathrm{diam}_p(X) \le 2 \max_i \lVert x_i - \bar x \rVert_p
        \qquad\text{and never more than } 2\,\mathrm{diam}_p(X).

    Args:
        X: Tokens, shape (\*batch, n, d).
        p: 1, 2 or ``math.inf``; for ∞ :func:`~collapse.norms.diameter` is itself linear.

    Returns:
        The bound, shape (\*batch,).

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity, or p outside the list.

    Source:
        linear-time

    >>> import torch
    >>> X = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    >>> diameter_upper(X, 2)
    tensor(5.)
    """
    return 2 * token_norm(X - mean_token(X), p)


def distinction_bound(network: Network, X: Number, Y: Number, p: float = math.inf) -> Bound:
    r"""How differently a network can treat two inputs, token by token.

    .. math:: \lVert S(X)_i - S(Y)_i \rVert_p \le \lVert x_i - y_i + (\bar x - \bar y)(W - I)
        \rVert_p + E_2(X) + E_2(Y) .

    A token that stands in both inputs, with the same mean token around it, looks the same to
    rung 2: then the sum of the two errors is all that is left to tell the inputs apart.

    Args:
        network: A Network or ExactNetwork with skip 1, no mask and norm None.
        X: Tokens, shape (\*batch, n, d).
        Y: Other tokens of the same shape.
        p: 1, 2 or ``math.inf``.

    Returns:
        A Bound; its value has shape (\*batch, n).

    Raises:
        ValueError: On bad input, or an option of the network for which there is no proof.

    Source:
        large-weights-needed

    >>> import torch
    >>> g = torch.Generator().manual_seed(0)
    >>> network = Network.random(2, 1, 2, 2, 0.1, g)
    >>> X = torch.rand(3, 2, generator=g, dtype=torch.float64)
    >>> Y = X[[1, 0, 2]]  # token 2 stays where it is
    >>> distinction_bound(network, X, Y).value[2] < 0.01
    tensor(True)
    """
    require(X.shape[-2] == Y.shape[-2], "tokens of Y", f"n = {X.shape[-2]} as of X", Y.shape[-2])
    (near_x, error_x), (near_y, error_y) = (certified_forward(network, Z, p) for Z in (X, Y))
    apart = vector_norm(near_x - near_y, p)
    errors = error_x.value + error_y.value
    # Without a batch, exact numbers are scalars and have no axis to add.
    value = apart + (errors[..., None] if hasattr(errors, "shape") else errors)
    return Bound(value, "large-weights-needed", "upper", error_x.assumptions)
