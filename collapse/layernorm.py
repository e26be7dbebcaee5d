r"""Floor 8. Networks with normalised rows: hemispheres, equilibria, basins, one-layer twins."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from collapse import numeric
from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.equilibria import two_token_preimage, two_token_step
from collapse.bounds.normalised import postln_collapse, preln_collapse
from collapse.kernels import unit_rows
from collapse.norms import diameter
from collapse.norms.tokens import vector_norm
from collapse.numeric import Bound, Number, require, rounding_allowance
from collapse.rungs import surrogate

TOP, SECOND, UNDECIDED = 0, 1, 2


def projected(X: Number, axis: Number) -> Number:
    r"""Tokens of an open hemisphere, projected from 0 onto the plane at distance 1.

    .. math:: y_i = \frac{x_i}{a \cdot x_i}

    Args:
        X: Tokens, shape (\*batch, n, d).
        axis: a, a unit vector of shape (d,) or (\*batch, d).

    Returns:
        Y, the shape of X.

    Raises:
        ValueError: If a token is not in the open hemisphere.

    Source:
        ln-orthogonal, ln-contraction

    >>> projected(torch.tensor([[0.6, 0.8]]), torch.tensor([0.0, 1.0]))
    tensor([[0.7500, 1.0000]])
    """
    heights = (X * axis[..., None, :]).sum(-1)
    require(heights > 0, "X", "tokens with a·x > 0", heights)
    return X / heights[..., None]


def tangent_jacobian(network: Network, X: Tensor) -> Tensor:
    r"""The derivative of a network at unit tokens, as a map of their tangent spaces.

    Args:
        network: A Network with ``norm="row"``.
        X: Unit tokens, shape (n, d), a fixed point; the eigenvalues are its multipliers.

    Returns:
        Shape (n(d − 1), n(d − 1)), in an orthonormal basis of each tangent space.

    Raises:
        ValueError: With another norm, or on tokens that are not of length 1, or that move by more
            than a millionth.

    Source:
        ln-equilibria

    >>> one = torch.eye(2, dtype=torch.float64)[None, None]
    >>> layer = Network(one, one, one, skip=0.0, norm="row")
    >>> tangent_jacobian(layer, torch.eye(2, dtype=torch.float64)[[0, 0]])
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]], dtype=torch.float64)
    """
    require(network.norm == "row", "norm", '"row"', network.norm)
    _check_unit(X)
    moved = float((network(X) - X).abs().max())
    require(moved <= 1e-6, "X", "a fixed point", f"tokens that move by {moved:.3g}")
    n, d = X.shape
    whole = torch.eye(d, dtype=X.dtype).expand(n, -1, -1)
    bases = torch.linalg.qr(torch.cat((X[:, :, None], whole), -1)).Q[:, :, 1:]
    full: Tensor = torch.autograd.functional.jacobian(network, X)  # (n, d, n, d)
    return torch.einsum("ida,idje,jeb->iajb", bases, full, bases).reshape(n * (d - 1), n * (d - 1))


def two_token_limits(w: Tensor, first: Tensor, second: Tensor, layers: int) -> Tensor:
    r"""To which of its two limits the second of two tokens goes, told without a tolerance.

    The tokens of :func:`~collapse.witnesses.layernorm.two_tokens`. They are followed until the
    second is where theory knows its limit: right of the vertical or with slope at least
    √(w² − 1), from where it goes to (0, 1); or less than half a turn ahead of the first, with
    slope at most 0, once slope 0 would fall, from where it goes to the second limit. How near it
    is to a limit is never asked, since the first token comes to rest only like 1/(wt).

    Args:
        w: w > 1, shape (\*batch,).
        first: Angle of x₁ in radians, in (−π/2, π/2], of a shape that broadcasts.
        second: Angle of x₂ in radians.
        layers: How long to follow them.

    Returns:
        Of the broadcast shape: ``TOP``, ``SECOND`` or ``UNDECIDED``. Where x₂ = −x₁ within
        rounding, the layer adds them up to nothing, and the pair stays undecided.

    Raises:
        ValueError: If w ≤ 1, or on an angle of x₁ out of range.

    Source:
        ln-two-token

    >>> w, up, x2 = torch.tensor(2.0), torch.tensor(math.pi / 2), torch.tensor([2.0, 2.2, 4.6])
    >>> two_token_limits(w, up, x2, 100)
    tensor([0, 1, 1])
    """
    require(w > 1, "w", "w > 1", w)
    require((first > -math.pi / 2) & (first < 2), "first", "angles in (-π/2, π/2]", first)
    w, first, second = torch.broadcast_tensors(w, first, second)
    upright = first.cos() <= rounding_allowance(1.0, 4, first.dtype)
    slope = torch.where(upright, math.inf, first.tan())
    token = torch.stack((second.cos(), second.sin()), -1)
    found = torch.full(w.shape, UNDECIDED)
    edge = torch.sqrt(w * w - 1)
    for _ in range(layers):
        c = 1 / torch.sqrt(1 + slope * slope)
        rise = torch.where(upright, 1, c * slope)  # ∞ · 0 otherwise
        total = token + torch.stack((c, rise), -1)
        opposite = vector_norm(total, 2) <= rounding_allowance(2.0, 16, total.dtype)
        sheared = torch.stack((total[..., 0], total[..., 1] + w * total[..., 0]), -1)
        token = unit_rows(torch.where(opposite[..., None], token, sheared))
        slope = slope + w
        left, right = token[..., 0] < 0, token[..., 0] >= 0  # neither for NaN
        s = token[..., 1] / -token[..., 0]
        top = ~opposite & (right | (left & (s >= edge)))
        # Slope 0 falls if c a/(1 − c) < w, and from then on at every layer.
        c = 1 / torch.sqrt(1 + slope * slope)
        rise = torch.where(upright, 1, c * slope)
        ahead = c * token[..., 1] > rise * token[..., 0]  # within half a turn of the first
        caught = ~opposite & left & ahead & (s <= 0) & (slope > 0) & (rise < w * (1 - c))
        open_ = found == UNDECIDED
        found = torch.where(open_ & top, TOP, torch.where(open_ & caught, SECOND, found))
        token = torch.where(opposite[..., None], torch.nan, token)  # undecided for ever
    return found


def repelling_slope(w: Number, slope: Number | None = None, layers: int = 200) -> Number | None:
    r"""Slope of the second token on the edge of its second basin: (−1, s) in the left half-plane.

    For x₁ = (0, 1) it is √(w² − 1). For x₁ = (1, a)/√(1 + a²), a > 0, the edge after t layers lies
    between 0 and √(w² − 1), as soon as slope 0 falls; the preimages of that interval under t
    layers, of which each is a rational, increasing map, enclose the edge at the start.

    Args:
        w: w > 1.
        slope: a > 0, or None for x₁ = (0, 1).
        layers: t, large enough for slope 0 to fall; t = 200 leaves less than 10⁻⁵⁰ for w = 2
            (balls want 600 bits for it).

    Returns:
        The slope; for balls one that contains it for certain. None if the edge lies beyond −x₁:
        then nothing but the first basin is left.

    Raises:
        ValueError: If an argument leaves its range, or t is too small.

    Source:
        ln-two-token

    >>> round(repelling_slope(2.0, 1.0), 6)
    0.068191
    """
    require(w > 1, "w", "w > 1", w)
    edge = numeric.sqrt(w * w - 1)
    if slope is None:
        return edge
    require(slope > 0, "slope", "a > 0", slope)
    require(two_token_step(0 * w, w, slope + layers * w) < 0, "layers", "more layers", layers)
    low, high = 0 * edge, edge
    for layer in reversed(range(layers)):
        first = slope + layer * w
        # Where the sum of the tokens is no longer in front of the first one, −x₁ was passed.
        behind = first * (high + w) <= 1
        if behind:
            return None
        require(first * (low + w) > 1, "layers", "more layers, or balls of more bits", layers)
        low, high = (
            up / -across for across, up in (two_token_preimage(s, w, first) for s in (low, high))
        )
    return low.union(high) if hasattr(low, "union") else (low + high) / 2


def normalised_layer(network: Network) -> Network:
    r"""One normalised layer in place of many: all heads read the input tokens.

    .. math:: \text{pre: } X + \textstyle\sum_\ell A_\ell(N(X)), \qquad
        \text{row: } N\bigl(X + \textstyle\sum_\ell A_\ell(X)\bigr) .

    Args:
        network: A Network or ExactNetwork with a norm and skip 1, on unit tokens if the norm is
            "row".

    Returns:
        A network of depth 1 with LH heads and the options of the given one.

    Raises:
        ValueError: Without a norm, or with another skip.

    Source:
        preln-collapse, postln-collapse

    >>> deep = Network.random(3, 2, 4, 4, 0.1, torch.Generator().manual_seed(0))
    >>> normalised_layer(deep.replace(norm="row"))
    Network(depth=1, heads=6, width=4, key_width=4, norm='row', dtype=torch.float64, device='cpu')
    """
    require(network.norm in ("pre", "row"), "norm", '"pre" or "row"', network.norm)
    return surrogate(network.replace(norm=None), 1).replace(norm=network.norm)


def normalised_bound(network: Network, X: Tensor) -> Bound:
    r"""Bound on ‖S(X) − S′(X)‖₂ for the S′ of :func:`normalised_layer`.

    Args:
        network: A Network with a norm and skip 1, with or without mask, no positions.
        X: Tokens, shape (\*batch, n, d): of length 1 if the norm is "row", none of them zero if
            it is "pre".

    Returns:
        A Bound of order η²; its value has shape (\*batch,).

    Raises:
        ValueError: Without a norm, with positions or another skip, or on such tokens.

    Source:
        preln-collapse, postln-collapse

    >>> g = torch.Generator().manual_seed(0)
    >>> deep = Network.random(3, 2, 4, 4, 0.01, g).replace(norm="row")
    >>> X = unit_rows(torch.randn(5, 4, generator=g, dtype=torch.float64))
    >>> error = (deep(X) - normalised_layer(deep)(X)).norm(dim=-1).max()
    >>> bool(error <= normalised_bound(deep, X).value)
    True
    """
    require(network.norm in ("pre", "row"), "norm", '"pre" or "row"', network.norm)
    require(network.skip == 1, "skip", "1", network.skip)
    X = network.prepare(X)
    sizes = network_sizes(network, X.shape[-2], 2)
    lengths = vector_norm(X, 2)
    if network.norm == "row":
        _check_unit(X)
        return Bound(postln_collapse(sizes, diameter(X, 2)), "postln-collapse", "upper")
    require(lengths > 0, "X", "tokens of length > 0", lengths)
    read = diameter(unit_rows(X), 2) * math.sqrt(network.width)
    value = preln_collapse(sizes, network.width, numeric.amin(lengths, -1), read)
    return Bound(value, "preln-collapse", "upper")


def _check_unit(X: Tensor) -> None:
    error = (vector_norm(X.detach(), 2) - 1).abs()
    allowed = rounding_allowance(1.0, X.shape[-1] + 8, X.dtype)
    require(error <= allowed, "X", "tokens of length 1", f"an error of {float(error.max()):.3g}")
