"""The numbers of one attention layer: how large its weights are, and what they do to the tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from collapse.bounds.contraction import contraction_factor
from collapse.bounds.ladder import Attention, Sizes
from collapse.inspection.families import UnitRows
from collapse.inspection.hooks import written
from collapse.inspection.site import Call, Projections, Site, few_heads, weights_of_patterns
from collapse.norms import (
    diameter,
    dobrushin,
    query_key_norm,
    residual_norm,
    token_norm,
    value_norm,
)
from collapse.numeric import require, rounding_allowance
from collapse.softmax import retrieval_threshold, total_variation, tv_bound

NORMS = (1, 2)  # the token norms of the report; the ∞→1 norm is out of reach at these widths
ARRAYS = 8  # arrays of heads × n × n numbers that are alive at once


@dataclass(frozen=True)
class HeadSizes:
    """Operator norms of each head, gains folded in; one entry a norm, each of shape (H,).

    Attributes:
        query_key: β_p(M), or with rotary positions an upper bound over all offsets.
        value: ν_p(V).
    """

    query_key: dict[int, Tensor]
    value: dict[int, Tensor]


def head_sizes(weights: Projections, site: Site, amplitude: float = 1.0) -> HeadSizes:
    r"""β and ν of every head, one at a time.

    The spectral norms are those of small matrices: with QR factors,
    :math:`\lVert W_QW_K^\top \rVert_2 = \lVert R_QR_K^\top \rVert_2`. Rotations turn pairs of
    entries, so with the lengths of these pairs in the place of the entries, the products bound
    every offset.

    Args:
        weights: Projections in float64, the norm's gain folded in.
        site: The layer.
        amplitude: Factor on rotated queries and keys.

    Source:
        contraction
    """
    query_key: dict[int, list[Tensor]] = {p: [] for p in NORMS}
    value: dict[int, list[Tensor]] = {p: [] for p in NORMS}
    shared = weights.heads // weights.key.shape[1]
    for h in range(weights.heads):
        query, key = weights.query[:, h], weights.key[:, h // shared]
        if site.rotary is None:
            query_key[1].append(query_key_norm(query @ key.T, 1))
            query_key[2].append(query_key_norm(_triangle(query) @ _triangle(key).T, 2))
        else:
            lengths = [_pair_lengths(w, site) for w in (query, key)]
            query_key[1].append(query_key_norm(lengths[0] @ lengths[1].T, 1) * amplitude**2)
            upper = value_norm(_triangle(query), 2) * value_norm(_triangle(key), 2)
            query_key[2].append(upper * amplitude**2)
        inner, outer = weights.value[:, h // shared], weights.output[h]
        value[1].append(value_norm(inner @ outer, 1))
        value[2].append(value_norm(_triangle(inner) @ _triangle(outer.T).T, 2))
    return HeadSizes(
        {p: torch.stack(query_key[p]) for p in NORMS}, {p: torch.stack(value[p]) for p in NORMS}
    )


@dataclass
class LayerSamples:
    """What was seen of one layer so far; lists grow by one entry a batch.

    Attributes:
        sizes: Operator norms.
        kind: Which form of the contraction applies.
        rows: By name, tensors of shape (H, rows): oscillation, tv, tv_bound, peak.
        visible: Number of visible tokens of each row, shape (rows,).
        inputs: By name, tensors with a sequence a row: stream (diameters and sizes), dobrushin
            and the contraction of every head, bound and measured.
    """

    sizes: HeadSizes
    kind: Attention
    rows: dict[str, list[Tensor]] = field(default_factory=dict)
    visible: list[Tensor] = field(default_factory=list)
    inputs: dict[str, list[Tensor]] = field(default_factory=dict)

    def row(self, name: str) -> Tensor:
        """All rows of that name, shape (H, rows)."""
        return torch.cat(self.rows[name], -1)


class Meter:
    """Collects the samples of all layers while the model runs."""

    def __init__(self, sites: tuple[Site, ...], memory: int) -> None:
        """Measure these sites; n×n temporaries take at most ``memory`` bytes."""
        self.sites = sites
        self.memory = memory
        self.layers: list[LayerSamples | None] = [None] * len(sites)
        self.final: dict[str, list[Tensor]] = {}

    def watch(self, index: int, call: Call, stream: Tensor, before: Tensor | None) -> None:
        """Measure one layer for one batch, in float64."""
        site = self.sites[index]
        given = before if site.pre and site.norm is not None else call.tokens
        same = given is None or torch.equal(given, stream)
        whose = "the module whose input attention reads, through the norm if that is its part"
        require(same, f"layer of {site.name}", whose, type(site.layer).__name__)
        raw = site.projections(torch.float64)
        gain, shift = gain_and_shift(site.norm)
        weights = raw.folded(gain, shift)
        tokens = plain_tokens(site, call, before)
        angles = None if call.angles is None else (call.angles[0].double(), call.angles[1].double())
        call = Call(tokens, call.visible, angles)
        samples = self.layers[index]
        if samples is None:
            amplitude = 1.0
            if angles is not None:
                amplitude = float((angles[0] ** 2 + angles[1] ** 2).max().sqrt())
            samples = LayerSamples(head_sizes(weights, site, amplitude), kind(site, call, weights))
            self.layers[index] = samples
        self._rows(samples, site, weights, call)
        add = written(site, weights, call)
        note(samples.inputs, "stream", stream_sizes(stream.double()))
        lengths = (torch.linalg.vector_norm(x, dim=(-2, -1)) for x in (add, stream.double()))
        note(samples.inputs, "share", ratio(*lengths))
        for p in NORMS:
            D = diameter(tokens, p)
            note(samples.inputs, f"layer {p}", ratio(diameter(add, p), D))

    def finish(self, stream: Tensor) -> None:
        """Measure the residual stream behind the last layer."""
        note(self.final, "stream", stream_sizes(stream.double()))

    def _rows(self, samples: LayerSamples, site: Site, weights: Projections, call: Call) -> None:
        batch, n, _ = call.tokens.shape
        seen = torch.full((n,), n) if call.visible is None else call.visible.sum(-1).cpu()
        samples.visible.append(seen.repeat(batch))
        D = {p: diameter(call.tokens, p) for p in NORMS}
        phi = {p: token_norm(call.tokens, p) for p in NORMS}
        parts: dict[str, list[Tensor]] = {}
        for heads in self._heads(weights.heads, batch * n * n):
            some = few_heads(weights, heads)
            P, row = row_measures(site, call, some)
            for name, value in row.items():
                note(parts, name, value)
            tau = dobrushin(P)
            note(parts, "dobrushin", tau)
            v = some.apply(call.tokens)[2]
            for p in NORMS:
                moved = [P[:, i] @ v[:, i] @ some.output[i] for i in range(some.heads)]
                spread = torch.stack([diameter(each, p) for each in moved], -1)
                note(parts, f"measured {p}", ratio(spread, D[p][:, None]))
        together = {name: torch.cat(value, 1) for name, value in parts.items()}
        for name in ROWS:
            by_head = together.pop(name).transpose(0, 1).flatten(1)
            samples.rows.setdefault(name, []).append(by_head.cpu())
        for name, value in together.items():
            note(samples.inputs, name, value)
        for p in NORMS:
            nu, beta = samples.sizes.value[p], samples.sizes.query_key[p]
            each = Sizes(nu[:, None, None], nu[:, None], beta[:, None, None], samples.kind)
            bound = contraction_factor(each, 0, phi[p][:, None], D[p][:, None])
            note(samples.inputs, f"bound {p}", bound.expand(batch, len(nu)))
            note(samples.inputs, f"tau {p}", nu * together["dobrushin"])

    def _heads(self, heads: int, entries: int) -> Iterator[range]:
        size = max(1, min(heads, self.memory // (8 * ARRAYS * entries)))
        for start in range(0, heads, size):
            yield range(start, min(start + size, heads))


ROWS = ("oscillation", "tv", "tv_bound", "peak")


def row_measures(site: Site, call: Call, weights: Projections) -> tuple[Tensor, dict[str, Tensor]]:
    r"""The patterns P and, for each row, its logits' oscillation and its distance from uniform.

    Returns:
        P, shape (batch, H, n, n), and by name tensors (batch, H, n): oscillation θ of the visible
        logits, tv from the average of the visible tokens, tanh(θ/4), and the largest entry.

    Source:
        uniform-tv, softmax-tv
    """
    q, k, _ = weights.apply(call.tokens)
    logits = call.turn(q, site) @ call.turn(k, site).transpose(-1, -2)
    high = low = logits
    if call.visible is not None:
        high = logits.masked_fill(~call.visible, -math.inf)
        low = logits.masked_fill(~call.visible, math.inf)
    theta = high.amax(-1) - low.amin(-1)
    P = torch.softmax(high, -1)
    even = weights_of_patterns(site, call, q, k, even=True)
    distance = total_variation(P, even)
    bound = tv_bound(theta)
    return P, {"oscillation": theta, "tv": distance, "tv_bound": bound, "peak": P.amax(-1)}


def thresholds(visible: Tensor, delta: float = 0.5) -> np.ndarray:
    """Oscillation that half the mass on one token needs, for rows that see at least three tokens.

    Returns:
        One threshold a row; NaN where two tokens or fewer are visible, and uniform attention is
        enough.

    Source:
        retrieval
    """
    counts = visible.tolist()
    known = {m: retrieval_threshold(m, delta) for m in set(counts) if delta * m < m - 1}
    return np.array([known.get(m, math.nan) for m in counts])


def kind(site: Site, call: Call, weights: Projections) -> Attention:
    """Which proof of the contraction covers the layer.

    A query bias is common to all rows and a key bias to all columns, so neither changes how rows
    of logits differ; under rotary positions they do, and only Σν is left.
    """
    if call.visible is not None:
        return "mask"
    if site.rotary is None:
        return "plain"
    return "rope" if all(bias is None for bias in weights.biases[:2]) else "mask"


def gain_and_shift(norm: nn.Module | None) -> tuple[Tensor | None, Tensor | None]:
    """What a normalisation multiplies and adds, in float64."""
    if norm is None or isinstance(norm, UnitRows):
        return None, None
    gain, shift = getattr(norm, "weight", None), getattr(norm, "bias", None)
    read = (None if part is None else part.detach().double() for part in (gain, shift))
    return next(read), next(read)


def plain_tokens(site: Site, call: Call, before: Tensor | None) -> Tensor:
    """The tokens that attention reads, before gain and shift of their normalisation.

    Raises:
        ValueError: If gain and shift do not give back what attention read: an unknown norm.
    """
    norm, read = site.norm, call.tokens.double()
    if norm is None or isinstance(norm, UnitRows):
        return read
    require(before is not None, site.name, "a normalisation that ran before", None)
    assert before is not None
    x = before.double()
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", 0.0)) or 0.0
    if isinstance(norm, nn.LayerNorm):
        x = x - x.mean(-1, keepdim=True)
    deviation = (x.square().mean(-1, keepdim=True) + eps).sqrt()
    plain = x / deviation
    gain, shift = gain_and_shift(norm)
    back = plain if gain is None else plain * gain
    back = back if shift is None else back + shift
    # The norms of transformers round to float32 whatever the model's type.
    worst = torch.float32 if call.tokens.dtype == torch.float64 else call.tokens.dtype
    scale = float(
        (before.abs().amax() / deviation.amin()) * (1 if gain is None else gain.abs().amax())
    )
    scale += 0.0 if shift is None else float(shift.abs().amax())
    error = float((back - read).abs().amax())
    allowed = rounding_allowance(scale, 64, worst)
    require(
        error <= allowed,
        f"norm of {site.name} ({type(norm).__name__})",
        "LayerNorm or RMSNorm",
        f"a difference of {error:.3g}",
    )
    return plain


def stream_sizes(X: Tensor) -> Tensor:
    """diam₁, diam₂, ρ and ‖X‖₂ of each sequence, shape (batch, 4)."""
    return torch.stack([diameter(X, 1), diameter(X, 2), residual_norm(X), token_norm(X, 2)], -1)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a/b, and 0 where both vanish."""
    return torch.where(b > 0, a / torch.where(b > 0, b, 1), 0 * a)


def note(lists: dict[str, list[Tensor]], name: str, value: Tensor) -> None:
    """Append to the list of that name."""
    lists.setdefault(name, []).append(value.cpu())


def _triangle(W: Tensor) -> Tensor:
    """R of W = QR: the same singular values in a matrix of the smaller width."""
    return W if W.shape[0] <= W.shape[1] else torch.linalg.qr(W, mode="r").R


def _pair_lengths(W: Tensor, site: Site) -> Tensor:
    """Lengths of the pairs of columns that a rotation turns."""
    half = W.shape[-1] // 2
    pairs = (W[:, :half], W[:, half:]) if site.rotary == "halves" else (W[:, ::2], W[:, 1::2])
    return torch.hypot(*pairs)
