r"""What small weights do to learning: how low the loss can get, how large gradients can be."""

from __future__ import annotations

import math

import torch

from collapse import numeric
from collapse.attention import Network
from collapse.bounds.ladder import ladder
from collapse.bounds.needs import entrywise_sizes
from collapse.norms import diameter, token_norm, value_norm
from collapse.numeric import Number, require


def loss_floor(pairs: int, margin: Number) -> Number:
    r"""The least loss on recall of a network that is close to rung 2.

    .. math:: \log\bigl(1 + (m - 1)\,e^{-a}\bigr)

    for m pairs, where on every order of the values the logits differ from those of a function of
    the query and the multiset of the tokens by an oscillation of at most a. Sharp.

    Args:
        pairs: m ≥ 1.
        margin: a ≥ 0.

    Returns:
        The loss in nats, of the type of the margin.

    Raises:
        ValueError: On values outside their ranges.

    Source:
        loss-floor

    >>> round(loss_floor(5, 0.0), 4)
    1.6094
    """
    require(pairs >= 1, "pairs", "pairs >= 1", pairs)
    require(margin >= 0, "margin", "margin >= 0", margin)
    return numeric.log(1 + (pairs - 1) * numeric.exp(-margin))


def least_margin(pairs: int, loss: Number) -> Number:
    r"""The margin that a loss on recall takes: the inverse of :func:`loss_floor`.

    .. math:: a = \log\frac{m - 1}{e^{\text{loss}} - 1}

    Args:
        pairs: m ≥ 2.
        loss: In nats, 0 < loss ≤ log m.

    Returns:
        The margin, ≥ 0.

    Raises:
        ValueError: On values outside their ranges.

    Source:
        loss-floor

    >>> round(loss_floor(5, least_margin(5, 0.1)), 12)
    0.1
    """
    require(pairs >= 2, "pairs", "pairs >= 2", pairs)
    require(loss > 0, "loss", "0 < loss <= log(pairs)", loss)
    require(loss <= math.log(pairs), "loss", "0 < loss <= log(pairs)", loss)
    return numeric.log((pairs - 1) / numeric.expm1(loss))


def margin_bound(
    eta: Number, depth: int, heads: int, width: int, key_width: int, phi: float, readout: float
) -> Number:
    r"""The largest margin of any network whose weights are bounded.

    .. math:: a \le 2dr\,E_2, \qquad \nu_\infty(V_h) \le d\eta, \quad
        \nu_\infty(V_\ell) \le Hd\eta, \quad \beta_\infty(M_h) \le d^2k\eta^2,

    with E₂ the bound of rung 2 for tokens of size φ₀ and diameter 2φ₀, and r the largest entry of
    the readout.

    Args:
        eta: η ≥ 0, the bound on the entries of W_Q, W_K and V; a float.
        depth: L.
        heads: H.
        width: d.
        key_width: k.
        phi: φ₀, the bound on the entries of the tokens.
        readout: r, the bound on the entries of the readout.

    Returns:
        The margin.

    Source:
        loss-floor, rung-2

    >>> margin_bound(0.0, 2, 2, 4, 2, 1.0, 1.0)
    0.0
    """
    require(eta >= 0, "eta", "eta >= 0", eta)
    sizes = entrywise_sizes(eta, depth, heads, width, key_width)
    start = torch.tensor(phi, dtype=torch.float64)
    return 2 * width * readout * float(ladder(sizes, start, 2 * start, 2))


def query_gradient_bound(
    network: Network, X: Number, upstream: Number, layer: int
) -> tuple[Number, Number]:
    r"""Bounds on the gradients of one layer's query and key weights.

    .. math:: \max\lvert\partial\mathcal L/\partial W_Q\rvert \le
        \tfrac14\,\lVert X\rVert_\infty \operatorname{diam}_\infty(X)^2\,
        \nu_\infty(V)\,\nu_\infty(W_K) \textstyle\sum_i\lVert u_i\rVert_1,
        \qquad u = \partial\mathcal L/\partial A(X),

    and the same for W_K with W_Q in place of W_K. Masked or not; sharp.

    Args:
        network: A Network without RoPE and norm.
        X: The tokens that enter the layer, shape (\*batch, n, d).
        upstream: The gradient u with respect to the layer's output, of the shape of X.
        layer: Index of the layer, counted from 0.

    Returns:
        Bounds on the entries of the gradients of W_Q and of W_K, both of shape (\*batch, H).

    Raises:
        ValueError: With RoPE or a norm.

    Source:
        gradient-order

    >>> one, X = torch.ones(1, 1, 1, 1), torch.tensor([[-1.0], [1.0]])
    >>> query_gradient_bound(Network(one, one, one), X, X, 0)[0]
    tensor([2.])
    """
    require(network.rope is None, "rope", "None for a gradient bound", network.rope)
    require(network.norm is None, "norm", "None for a gradient bound", network.norm)
    D, total = diameter(X), abs(upstream).sum((-2, -1))
    rows = token_norm(X) * D * D * total / 4
    # A number of one input has no axis for the heads, and needs none.
    per_head = rows[..., None] if hasattr(rows, "shape") else rows
    common = per_head * value_norm(network.value_output[..., layer, :, :, :])
    query, key = (value_norm(w[..., layer, :, :, :]) for w in (network.query, network.key))
    return common * key, common * query
