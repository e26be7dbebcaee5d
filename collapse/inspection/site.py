"""One attention layer of a model: where it sits, and its weights in the notation of the book."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from collapse.kernels import rotate
from collapse.numeric import require

Rotary = Literal["halves", "pairs"]
_ENTRIES = 1 << 22  # of attention patterns that are made at once, unless one head has more


@dataclass(frozen=True)
class Projections:
    r"""The weights of one attention layer, acting on tokens from the right.

    Attributes:
        query: W_Q with the scale of the logits folded in, shape (d, H, k).
        key: W_K, shape (d, G, k); G divides H, and each key serves H/G heads in a row.
        value: W_V, shape (d, G, v).
        output: W_O, shape (H, v, d).
        biases: Biases of query (scale folded in), key, value and output, each or None.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    biases: tuple[Tensor | None, ...] = (None,) * 4

    @classmethod
    def from_linear(
        cls,
        parts: Iterable[tuple[Tensor, Tensor | None]],
        heads: int,
        groups: int | None = None,
        scaling: float | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> Projections:
        """The weights of four linear layers: query, key, value and output.

        Args:
            parts: Their weights and biases as ``torch.nn.Linear`` keeps them: (H k, d), (G k, d),
                (G v, d) and (d, H v), a head's rows together; a bias may be None.
            heads: H.
            groups: G, by default H.
            scaling: Factor on the logits, by default 1/√k.
            dtype: Number type of the result.

        Raises:
            ValueError: If there are not four parts, or their rows cannot be shared among the heads.

        >>> linear = [torch.nn.Linear(6, 6) for _ in range(4)]
        >>> Projections.from_linear([(each.weight, each.bias) for each in linear], 2).query.shape
        torch.Size([6, 2, 3])
        """
        groups = heads if groups is None else groups
        require(heads > 0, "heads", "a number > 0", heads)
        require(groups > 0 and heads % groups == 0, "groups", f"a divisor of {heads}", groups)
        given = list(parts)
        require(len(given) == 4, "parts", "query, key, value and output", f"{len(given)} parts")
        weights, biases = [], []
        *inward, (outer, last) = given
        for (weight, bias), count in zip(inward, (heads, groups, groups), strict=True):
            rows = len(weight)
            require(rows % count == 0, "weights", f"rows of {count} heads, equally many", rows)
            weights.append(read(weight, dtype).T.unflatten(1, (count, -1)))
            biases.append(None if bias is None else read(bias, dtype).unflatten(0, (count, -1)))
        width = outer.shape[-1]
        require(width % heads == 0, "output", f"columns of {heads} heads, equally many", width)
        output = read(outer, dtype).T.unflatten(0, (heads, -1))
        query, key, value = weights
        factor = 1 / math.sqrt(query.shape[-1]) if scaling is None else scaling
        return cls(query, key, value, output, (*biases, read(last, dtype))).scaled(factor)

    @property
    def heads(self) -> int:
        """Number of heads H."""
        return self.query.shape[1]

    @property
    def inward(self) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value projections, which read tokens."""
        return self.query, self.key, self.value

    def scaled(self, factor: float) -> Projections:
        """The same with a factor on the logits, folded into queries and their bias."""
        bias = self.biases[0]
        biases = (None if bias is None else bias * factor, *self.biases[1:])
        return replace(self, query=self.query * factor, biases=biases)

    def folded(self, gain: Tensor | None, shift: Tensor | None) -> Projections:
        """The weights that tokens meet before a normalisation's gain and shift are applied."""
        if gain is None and shift is None:
            return self
        weights, biases = [], []
        for weight, bias in zip(self.inward, self.biases, strict=False):
            if shift is not None:
                moved = torch.einsum("d,dhk->hk", shift, weight)
                bias = moved if bias is None else bias + moved
            weights.append(weight if gain is None else gain[:, None, None] * weight)
            biases.append(bias)
        query, key, value = weights
        return Projections(query, key, value, self.output, (*biases, self.biases[3]))

    def apply(self, tokens: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        r"""Queries, keys and values of all heads, each (\*batch, heads, n, width).

        Args:
            tokens: What attention reads, shape (\*batch, n, d).
            scale: Factor on the three projections, biases included.
        """
        parts = []
        for weight, bias in zip(self.inward, self.biases, strict=False):
            flat = tokens @ weight.flatten(1)
            part = flat.unflatten(-1, weight.shape[1:])
            part = part if bias is None else part + bias
            part = (part if scale == 1 else part * scale).transpose(-2, -3)
            shared = self.heads // weight.shape[1]
            parts.append(part if shared == 1 else part.repeat_interleave(shared, -3))
        return parts[0], parts[1], parts[2]


def read(parameter: Any, dtype: torch.dtype) -> Any:
    """A parameter's values in a number type, without gradient; None stays None."""
    return None if parameter is None else parameter.detach().to(dtype)


def few_heads(weights: Projections, heads: range) -> Projections:
    """The projections of some heads, keys and values shared by none."""
    shared = weights.heads // weights.key.shape[1]
    own, group = list(heads), [h // shared for h in heads]
    bq, bk, bv, bo = weights.biases
    biases = (
        None if bq is None else bq[own],
        None if bk is None else bk[group],
        None if bv is None else bv[group],
        bo,
    )
    return Projections(
        weights.query[:, own],
        weights.key[:, group],
        weights.value[:, group],
        weights.output[own],
        biases,
    )


@dataclass(frozen=True)
class Site:
    """One self-attention layer of a running model.

    Attributes:
        name: Name of the attention module in the model.
        attention: The module whose first argument is read and whose first output is replaced.
        layer: The module whose input and output are the residual stream.
        heads: Number of heads H.
        projections: Reads the weights when called, in a given number type.
        norm: The normalisation whose output attention reads, in this layer or in the one before.
        pre: Whether the norm is part of the layer, so that the stream is read through it.
        outside: Whether the module leaves the output projection to a later one.
        rotary: Which entries of queries and keys are rotated together, None without.
        causal: Whether the module masks the future when it is given no mask.
        base: Base of the rotation of "pairs", where the module itself knows it.
        angles: Gives cosine and sine of the rotation of "halves" for n tokens, each of shape
            (n, k), where the module makes them itself.
        mask: Booleans (n, n), True where a token is seen, where the module itself knows them.
    """

    name: str
    attention: nn.Module
    layer: nn.Module
    heads: int
    projections: Callable[[torch.dtype], Projections]
    norm: nn.Module | None = None
    pre: bool = False
    outside: bool = False
    rotary: Rotary | None = None
    causal: bool = False
    base: float | None = None
    angles: Callable[[int], tuple[Tensor, Tensor]] | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class Call:
    """What one attention layer was given, for a batch of sequences of equal length.

    Attributes:
        tokens: What attention reads, shape (batch, n, d).
        visible: Booleans (n, n), None where every token sees all.
        angles: Cosine and sine of the rotation, shape (n, k), or None.
    """

    tokens: Tensor
    visible: Tensor | None
    angles: tuple[Tensor, Tensor] | None

    def turn(self, q: Tensor, site: Site) -> Tensor:
        """Queries or keys with their positions."""
        if site.rotary is None:
            return q
        if self.angles is None:
            require(site.base is not None, site.name, "rotary angles with the call", None)
            return rotate(q, site.base)
        cos, sin = (angle.to(q) for angle in self.angles)
        first, second = q.chunk(2, -1)
        return q * cos + torch.cat((-second, first), -1) * sin


def weights_of_patterns(site: Site, call: Call, q: Tensor, k: Tensor, even: bool) -> Tensor:
    """Attention patterns of all heads; with ``even`` each row averages what it sees."""
    n = q.shape[-2]
    if even:
        visible = torch.ones(n, n) if call.visible is None else call.visible
        visible = visible.to(device=q.device, dtype=q.dtype)
        return visible / visible.sum(-1, keepdim=True)
    logits = call.turn(q, site) @ call.turn(k, site).transpose(-1, -2)
    if call.visible is not None:
        logits = logits.masked_fill(~call.visible, -math.inf)
    return torch.softmax(logits, -1)


def attend(
    site: Site, weights: Projections, call: Call, scale: float = 1.0, even: bool = False
) -> Tensor:
    """The first output of the attention module, from its weights.

    Args:
        site: The layer.
        weights: Its projections, in the number type of the tokens.
        call: What it reads.
        scale: Factor on queries, keys and values.
        even: Whether every row of attention is replaced by an average.

    Returns:
        Shape (batch, n, d), or (batch, n, H v) where a later module projects.
    """
    entries = call.tokens.shape[:-1].numel() * call.tokens.shape[-2]
    size = max(1, min(weights.heads, _ENTRIES // max(entries, 1)))
    parts = []
    for start in range(0, weights.heads, size):
        some = range(start, min(start + size, weights.heads))
        own = weights if size == weights.heads else few_heads(weights, some)
        q, k, v = own.apply(call.tokens, scale)
        parts.append(weights_of_patterns(site, call, q, k, even) @ v)
    heads = torch.cat(parts, -3).transpose(-2, -3).flatten(-2)
    return heads if site.outside else project(weights, heads)


def project(weights: Projections, heads: Tensor) -> Tensor:
    """What the heads, side by side, write: their outputs through W_O, and its bias."""
    written = heads @ weights.output.flatten(0, 1)
    return written if weights.biases[3] is None else written + weights.biases[3]
