r"""Floor 4. Self-attention networks, as immutable values.

Layer ℓ maps tokens X to

.. math:: \lambda X + s \sum_h P_h X V_h, \qquad
    P_h = \mathrm{softmax}(X M_h X^\top), \quad M_h = W_Q W_K^\top,

with skip λ and mixer scale s, by default 1 and 1. Any factor such as 1/√d_k is folded into the
weights. The batch dimensions of a network hold sweeps: seeds, weight bounds, variants.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from collapse import numeric
from collapse.checks import (
    check_alike,
    check_batches,
    check_finite,
    check_matrix,
    check_whole,
    is_whole,
)
from collapse.kernels import (
    fused_attention,
    largest_entry,
    overflow,
    rotate,
    side_by_side,
    split_heads,
    times,
    unit_rows,
)
from collapse.numeric import Number, require
from collapse.softmax import softmax
from collapse.stack import Stack, column

# Of networks that have run: how often each weight has been changed in place, as optimisers do, and
# logarithms of the steepest logits at tokens of size 1 and of growth.
_REACH: WeakKeyDictionary[Network, tuple[list[int | None], float, float]] = WeakKeyDictionary()


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU.

    >>> default_device().type in ("cpu", "cuda")
    True
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Network(Stack):
    r"""A self-attention network of L layers with H heads on tokens of width d. Immutable.

    Leading dimensions of the weights and of the tokens broadcast, so one call runs a sweep.

    Args:
        query: W_Q, shape (\*batch, L, H, d, k). L ≥ 0 and H ≥ 0 are legal.
        key: W_K, shape (\*batch, L, H, d, k).
        value: V, shape (\*batch, L, H, d, d); with ``output`` the factor (\*batch, L, H, d, v).
        output: W_O, shape (\*batch, L, H, v, d), or None. V = value · output.
        skip: λ, a number or a tensor of shape (\*batch,).
        mask: Booleans (n, n), True where row i may attend to column j, some in every row; or None.
        rope: Base of the rotary position embedding, > 0 (needs an even k), or None. Position i
            turns the pair (2a, 2a + 1) of queries and keys by the angle i · base^(−2a/k).
        norm: None; "pre": attention reads tokens scaled to ℓ₂ length √d, the skip does not;
            "row": tokens are scaled to ℓ₂ length 1 after each layer. A zero token stays zero.
        mixer_scale: s, a number or a tensor of shape (\*batch,); None for 1.

    Raises:
        ValueError: On wrong shapes or dtypes, NaN or infinity, or an option outside its list.

    Source:
        contraction

    >>> network = Network.random(2, 1, 3, 3, eta=0.5, generator=torch.Generator().manual_seed(0))
    >>> network(torch.eye(3, dtype=torch.float64)).shape
    torch.Size([3, 3])
    """

    # Making networks

    @classmethod
    def random(
        cls,
        layers: int,
        heads: int,
        width: int,
        key_width: int,
        eta: float | Tensor,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> Network:
        r"""Random weights: entries of W_Q, W_K, V uniform in [−η, η].

        The numbers are drawn on the CPU in float64 and then moved, so they are the same on every
        device, and a sweep over η scales the same draw.

        Args:
            layers: L ≥ 0.
            heads: H ≥ 0.
            width: d ≥ 1.
            key_width: k ≥ 1.
            eta: η ≥ 0, a number or a tensor of shape (\*batch,), which becomes the batch.
            generator: Source of randomness, on the CPU.
            dtype: Floating-point type of the weights.
            device: Where the weights go; the CPU by default.

        Returns:
            A Network.

        Raises:
            ValueError: On sizes or η outside their ranges, or a generator on another device.

        Source:
            as25-thm-5.3

        >>> Network.random(2, 1, 4, 3, eta=0.1, generator=torch.Generator().manual_seed(0))
        Network(depth=2, heads=1, width=4, key_width=3, dtype=torch.float64, device='cpu')
        """
        layers, heads = check_whole(layers, "layers", 0), check_whole(heads, "heads", 0)
        width, key_width = check_whole(width, "width", 1), check_whole(key_width, "key_width", 1)
        source = generator.device.type if isinstance(generator, torch.Generator) else generator
        require(source == "cpu", "generator", "a torch.Generator on the CPU", source)
        try:
            size = torch.as_tensor(eta, dtype=torch.float64, device="cpu")
        except (TypeError, ValueError, RuntimeError):
            raise ValueError(f"eta: expected numbers >= 0, received {eta!r}") from None
        require(torch.isfinite(size) & (size >= 0), "eta", "finite and >= 0", eta)

        def draw(columns: int) -> Tensor:
            shape = (layers, heads, width, columns)
            entries = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
            scaled = (entries * column(size, 4)).to(device=device, dtype=dtype)
            return side_by_side(scaled)

        return cls(draw(key_width), draw(key_width), draw(width))

    @classmethod
    def from_torch(
        cls,
        modules: torch.nn.MultiheadAttention | Iterable[torch.nn.MultiheadAttention],
        **options: Any,
    ) -> Network:
        """The network of one or several attention modules without biases, 1/√d_k folded in.

        Args:
            modules: ``torch.nn.MultiheadAttention`` of equal sizes, one a layer.
            **options: skip, mask, rope, norm and mixer_scale of the Network.

        Returns:
            A Network whose attention output equals that of the modules.

        Raises:
            ValueError: If there is no module, one has biases or other key or value widths, or
                sizes differ.

        Source:
            contraction

        >>> module = torch.nn.MultiheadAttention(4, 2, bias=False, batch_first=True)
        >>> Network.from_torch(module, skip=0.0).heads
        2
        """
        stack = list(modules) if isinstance(modules, Iterable) else [modules]
        require(len(stack) > 0, "modules", "at least one MultiheadAttention", stack)
        parts = [split_heads(module) for module in stack]
        sizes = {tuple(w.shape) for part in parts for w in part[:1]}
        require(len(sizes) == 1, "modules", "equal numbers of heads and widths", sizes)
        query, key, value, output = (torch.stack(layer) for layer in zip(*parts, strict=True))
        query, key, value = (side_by_side(weights) for weights in (query, key, value))
        return cls(query, key, value, output, **options)

    # Running them

    def __call__(self, X: Number) -> Number:
        r"""The output tokens S(X).

        Args:
            X: Tokens, shape (\*batch, n, d), of the dtype and on the device of the weights.

        Returns:
            Tokens, shape (\*batch, n, d), the batch broadcast with that of the network.

        Raises:
            ValueError: On a wrong shape, dtype or device, NaN or infinity, if n does not fit the
                mask, or if a logit or the output overflows.
        """
        X = self.prepare(X)
        watched = self._may_overflow(X)
        for layer in range(self.depth):
            X = self._layer(X, layer, watched)
        check_finite(X, "output S(X)")
        return X

    def trace(self, X: Number) -> Number:
        r"""The tokens before the first and after each layer.

        Args:
            X: As for a call.

        Returns:
            Shape (\*batch, L + 1, n, d); index 0 holds the input.

        Raises:
            ValueError: As for a call.
        """
        steps = [self.prepare(X)]
        watched = self._may_overflow(steps[0])
        for layer in range(self.depth):
            steps.append(self._layer(steps[-1], layer, watched))
        check_finite(steps[-1], "output S(X)")
        return self._stack(steps)

    def attention(self, X: Tensor, layer: int) -> Tensor:
        r"""The attention output A_ℓ(X) of one layer: no skip, mixer scale included.

        Args:
            X: Tokens, shape (\*batch, n, d).
            layer: Index of the layer, counted from 0.

        Returns:
            Shape (\*batch, n, d).

        Raises:
            ValueError: As for a call, or if there is no such layer.

        Source:
            contraction
        """
        self._check_layer(layer)
        X = self.prepare(X)
        attended = self._attend(X, layer, self._may_overflow(X))
        check_finite(attended, "output A(X)")
        return attended

    def attention_matrices(self, X: Tensor, layer: int) -> Tensor:
        r"""The matrices P_h of one layer: the only call that keeps n×n tensors.

        Args:
            X: Tokens that enter the layer, shape (\*batch, n, d).
            layer: Index of the layer, counted from 0.

        Returns:
            Shape (\*batch, H, n, n).

        Raises:
            ValueError: As for a call, or if there is no such layer.

        Source:
            contraction
        """
        self._check_layer(layer)
        q, k = self._queries_keys(self._read(self.prepare(X)), layer)
        return softmax(q @ k.swapaxes(-1, -2), self.mask)

    def _check_layer(self, layer: int) -> None:
        inside = is_whole(layer) and 0 <= layer < self.depth
        require(inside, "layer", f"0 <= layer < {self.depth}, an integer", layer)

    def _stack(self, steps: list[Any]) -> Any:
        return torch.stack(steps, -3)

    def _may_overflow(self, X: Tensor) -> bool:
        """Whether the sizes of weights and tokens leave room for a logit beyond all floats.

        With m the largest entry of the tokens, no logit exceeds k (d m max|W_Q|) (d m max|W_K|),
        and a layer multiplies m by |λ| + |s| H d max|V| at most.
        """
        parts = (self.query, self.key, self.value, self.output, self.skip, self.mixer_scale)
        # Tensors of inference mode are not counted, so nothing is kept of them.
        changes = [
            None if part.is_inference() else part._version
            for part in parts
            if isinstance(part, Tensor)
        ]
        if None in changes or self not in _REACH or _REACH[self][0] != changes:
            query, key, value, output, skip, mixer = map(largest_entry, parts)
            inner = self.width * (1 if self.output is None else self.value.shape[-1])
            grown = max(1.0, skip + mixer * self.heads * inner * value * output)
            steep = self.key_width * self.width**2 * query * key
            _REACH[self] = changes, _log(steep), self.depth * _log(grown)
        _, steepness, growth = _REACH[self]
        size = _log(largest_entry(X))
        if self.norm == "pre":
            size = _log(self.width) / 2
        else:
            size = max(0.0, size) if self.norm == "row" else size + growth
        wide = X.dtype if X.dtype == torch.float64 else torch.float32
        return not steepness + 2 * size < math.log(torch.finfo(wide).max)  # nor for NaN

    def _layer(self, X: Tensor, layer: int, watched: bool = False) -> Tensor:
        X = self._skipped(X, self._attend(X, layer, watched))
        return unit_rows(X) if self.norm == "row" else X

    def _skipped(self, X: Tensor, attended: Tensor) -> Tensor:
        if isinstance(self.skip, int | float) and self.skip in (0, 1):
            return X + attended if self.skip else attended
        return X * column(self.skip, 2) + attended

    def _read(self, X: Tensor) -> Tensor:
        """What attention reads of the tokens."""
        if self.norm != "pre":
            return X
        # The root of a number of the tokens' own type, so that balls stay balls.
        return unit_rows(X) * numeric.sqrt(X[..., :1, :1] * 0 + self.width)

    def _queries_keys(self, tokens: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        q = self._project(tokens, self._of(self.query, layer))
        k = self._project(tokens, self._of(self.key, layer))
        return (q, k) if self.rope is None else (rotate(q, self.rope), rotate(k, self.rope))

    def _of(self, weights: Any, layer: int) -> Any:
        """The weights of one layer."""
        return weights.select(-4, layer)

    def _project(self, tokens: Any, weights: Any) -> Any:
        """Tokens (*batch, n, d) times weights (*batch, H, d, k) of all heads, in one product."""
        columns = weights.transpose(-3, -2).flatten(-2)
        heads = *tokens.shape[:-1], self.heads, weights.shape[-1]
        return times(tokens, columns).view(heads).transpose(-2, -3)

    def _attend(self, X: Tensor, layer: int, watched: bool = False) -> Tensor:
        if self.heads == 0:
            return torch.zeros_like(X)
        tokens = self._read(X)
        q, k = self._queries_keys(tokens, layer)
        v = self._project(tokens, self._of(self.value, layer))
        mixed = fused_attention(q, k, v, self._mask_on(X.device))
        if self.output is None:
            attended = mixed.sum(-3)
        else:
            heads = mixed.transpose(-2, -3).flatten(-2)
            attended = times(heads, self._of(self.output, layer).flatten(-3, -2))
        if watched:
            attended = attended + overflow(q, k)
        return attended if self.mixer_scale is None else attended * column(self.mixer_scale, 2)

    def _mask_on(self, device: torch.device) -> Tensor | None:
        return None if self.mask is None else self.mask.to(device)

    def prepare(self, X: Number) -> Number:
        """Check tokens against the network and broadcast their batch with its own."""
        check_matrix(X, "X", "tokens of shape (*batch, n, d)")
        check_finite(X, "X")
        n, d = X.shape[-2:]
        require(d == self.width, "width of X", f"d = {self.width}", d)
        if self.mask is not None:
            require(n == len(self.mask), "tokens of X", f"n = {len(self.mask)} of the mask", n)
        return self._broadcast(X)

    def _broadcast(self, X: Tensor) -> Tensor:
        check_alike(X, self.query, "X", "the weights")
        return X.expand(*check_batches(X.shape[:-2], self.batch, "X"), *X.shape[-2:])


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf
