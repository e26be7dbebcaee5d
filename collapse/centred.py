r"""Floor 4. Attention without skips, followed far below machine epsilon in double precision.

Pure attention makes the tokens equal so fast that, after three or four layers, float64 sees a
residual of exactly zero or pure noise. Here the tokens are kept as

.. math:: X = \mathbf 1 c + 2^s R, \qquad c = x_0, \quad r_0 = 0,

the first token, the differences to it, and an integer exponent. Centring at a token matters:
at the mean or the midrange, residuals much larger than the diameter cancel to nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse.attention import Network
from collapse.blocks import MLP
from collapse.checks import check_tensor
from collapse.norms import residual_norm
from collapse.numeric import require

_STEEPEST = 2.0**26


@dataclass(frozen=True)
class CentredTrace:
    r"""The tokens of every layer, their differences far below machine epsilon.

    Attributes:
        centre: The first token, float64, shape (\*batch, L + 1, 1, d).
        differences: All tokens minus the first, divided by 2^scale; shape (\*batch, L + 1, n, d).
        scale: Int64, shape (\*batch, L + 1).
    """

    centre: Tensor
    differences: Tensor
    scale: Tensor

    @property
    def mantissa(self) -> Tensor:
        r"""Of ρ = mantissa · 2^exponent; (\*batch, L + 1), in [1/2, 1), 0 when tokens are equal."""
        return torch.frexp(residual_norm(self.differences)).mantissa

    @property
    def exponent(self) -> Tensor:
        r"""Int64, shape (\*batch, L + 1)."""
        return self.scale + torch.frexp(residual_norm(self.differences)).exponent

    @property
    def log10_rho(self) -> Tensor:
        r"""Decimal logarithm of ρ, shape (\*batch, L + 1); −∞ where all tokens are equal."""
        return self.mantissa.log10() + self.exponent.double() * math.log10(2)


def centred_trace(network: Network, X: Tensor, mlp: MLP | None = None) -> CentredTrace:
    r"""The residual ρ of every layer of a network without skips, with full relative accuracy.

    A row of attention differs from the row p of the reference token by

    .. math:: P_i - p = p \circ \operatorname{expm1}(e_i - \ell_i), \qquad
        \ell_i = \log \sum_j p_j e^{e_{ij}}, \quad e_{ij} = 2^{2s}\, r_i M r_j^\top ,

    computed with the factor :math:`2^{2s}` taken out once it is small. Then
    :math:`c' = \sum_h (c + 2^s p_h R) V_h` and :math:`R' = \sum_h (P_h - \mathbf 1 p_h) R V_h`.
    As in any softmax, a rounding of the logits counts in full: the relative error grows with the
    largest of them.

    Args:
        network: skip = 0, norm None, rope None; a mask is allowed. Runs in float64.
        X: Tokens, a floating-point tensor of shape (\*batch, n, d).
        mlp: Token-wise perceptrons after each attention layer, or None.

    Returns:
        A CentredTrace; index 0 is the input.

    Raises:
        ValueError: If the network has skips, norm or rope, X or the perceptrons do not fit it, a
            number overflows, or logits beyond 2²⁶ leave less than half the digits.

    Source:
        centred-propagation

    >>> g = torch.Generator().manual_seed(0)
    >>> network = Network.random(6, 1, 3, 3, eta=0.5, generator=g).replace(skip=0.0)
    >>> centred_trace(network, torch.eye(3, dtype=torch.float64)).log10_rho[-1] < -300
    tensor(True)
    """
    require(network.skip == 0, "skip", "0 for centred propagation", network.skip)
    require(network.norm is None, "norm", "None for centred propagation", network.norm)
    require(network.rope is None, "rope", "None for centred propagation", network.rope)
    check_tensor(X, "X")
    if mlp is None:
        tokens = network.prepare(X).detach().double()
    else:
        tokens, mlp = mlp.prepare(network, X).detach().double(), mlp.to(torch.float64)
    weights = [w.detach().double() for w in (network.query, network.key, network.value_output)]
    mask = None if network.mask is None else network.mask.to(X.device)

    c = tokens[..., :1, :]
    R, exponent = _normalised(tokens - c, torch.zeros_like(tokens[..., 0, 0], dtype=torch.int64))
    steps = [(c, R, exponent)]
    for layer in range(network.depth):
        query, key, V = (w[..., layer, :, :, :] for w in weights)
        c, R, exponent = _layer(c, R, exponent, query, key, V, mask)
        R, exponent = _normalised(R, exponent)
        if mlp is not None:
            moved = mlp.difference(c, R, torch.exp2(exponent.double()), layer)
            c, (R, exponent) = mlp(c, layer), _normalised(moved, exponent)
        steps.append((c, R, exponent))
    require(torch.isfinite(c), "tokens", "no overflow in centred propagation", "NaN or infinity")
    centre, differences = (torch.stack(parts, -3) for parts in list(zip(*steps, strict=True))[:2])
    return CentredTrace(centre, differences, torch.stack([e for *_, e in steps], -1))


def _normalised(R: Tensor, exponent: Tensor) -> tuple[Tensor, Tensor]:
    """Move a power of two from R to its exponent, exactly, so that the largest entry is about 1."""
    require(torch.isfinite(R), "tokens", "no overflow in centred propagation", "NaN or infinity")
    if not R.numel():
        return R, exponent
    _, shift = torch.frexp(R.abs().amax((-2, -1)))
    return torch.ldexp(R, -shift[..., None, None]), exponent + shift


def _shared(weights: Tensor) -> tuple[Tensor, Tensor]:
    """The same for the weights of a layer, whose heads share one exponent."""
    none = torch.zeros(weights.shape[:-3], dtype=torch.int64, device=weights.device)
    scaled, exponent = _normalised(weights.flatten(-3, -2), none)
    return scaled.unflatten(-2, weights.shape[-3:-1]), exponent


def _layer(
    c: Tensor,
    R: Tensor,
    exponent: Tensor,
    query: Tensor,
    key: Tensor,
    V: Tensor,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """One layer: the new c, R and exponent. The weights hold the heads, (*batch, H, d, ·)."""
    (query, of_query), (key, of_key), (V, of_value) = (_shared(w) for w in (query, key, V))
    steep = of_query + of_key
    scale, first, square = (
        torch.exp2(power.double())[..., None, None, None]
        for power in (exponent, exponent + steep, 2 * exponent + steep)
    )
    reference, rows = c[..., None, :, :], R[..., None, :, :]

    # Row i of softmax(X M Xᵀ) is softmax(a + 2^{2s} e_i): what depends on i alone drops out.
    # W_Q and W_K meet the differences of tokens one by one: their product M would round first.
    a = first * (reference @ query @ (rows @ key).transpose(-1, -2))
    if mask is None or bool((mask == mask[:1]).all()):
        logp = torch.log_softmax(a if mask is None else a.masked_fill(~mask[:1], -math.inf), -1)
        # Each row of P − p sums to zero, so any token may be subtracted from R. The heaviest one
        # is best: its own entry of P − p, the only one that can cancel, then meets a zero.
        heaviest = logp.argmax(-1, keepdim=True).transpose(-1, -2)
        rows = rows.expand(*logp.shape[:-2], *R.shape[-2:])
        spread = rows - rows.take_along_dim(heaviest, -2)
        e = rows @ query @ (spread @ key).transpose(-1, -2)
        moved = _softmax_difference(logp, e, square) @ spread
        new_exponent = 3 * exponent + steep
    else:
        e = rows @ query @ (rows @ key).transpose(-1, -2)
        logp = torch.log_softmax(a.expand_as(e).masked_fill(~mask, -math.inf), -1)
        # Rows that see different tokens differ already at equal tokens.
        p = logp.exp()
        moved = (p - p[..., :1, :] + square * _softmax_difference(logp, e, square)) @ rows
        new_exponent = exponent
    largest = torch.maximum(*(x.abs().amax() if x.numel() else x.sum() for x in (a, square * e)))
    require(largest <= _STEEPEST, "logits", f"at most {_STEEPEST:g}", float(largest))
    centre = (reference + scale * (logp[..., :1, :].exp() @ R[..., None, :, :])) @ V
    return (
        (torch.exp2(of_value.double())[..., None, None, None] * centre).sum(-3),
        (moved @ V).sum(-3),
        new_exponent + of_value,
    )


def _softmax_difference(logp: Tensor, e: Tensor, t: Tensor) -> Tensor:
    """(softmax(log p + t e) − p) / t, to full relative accuracy down to t = 0."""
    p, x, divisor = logp.exp(), t * e, torch.where(t > 0, t, 1)

    # Small changes of the logits: P − p = p (z − p·z)/(1 + t p·z) with z = expm1(t e)/t.
    z = torch.where(x.abs() < 2.0**-60, e, torch.expm1(x) / divisor)
    mean = (p * z).sum(-1, keepdim=True)
    small = p * (z - mean) / (1 + t * mean)

    # Large ones, where z would overflow: P = p e^y, and P − p without cancellation in y.
    y = x - torch.logsumexp(logp + x, -1, keepdim=True)
    P = (logp + y).exp()
    large = torch.where(y > 0, -P * torch.expm1(-y), p * torch.expm1(y)) / divisor
    return torch.where(x.abs().amax(-1, keepdim=True) < 0.5, small, large)
