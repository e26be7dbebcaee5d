"""Floor 4. Transformer blocks: an attention layer followed by a token-wise perceptron."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from collapse import numeric
from collapse.attention import Network
from collapse.checks import check_alike, check_batches, check_finite, check_number, is_whole
from collapse.norms import value_norm
from collapse.numeric import Number, require
from collapse.stack import column


@dataclass(frozen=True)
class MLP:
    r"""A perceptron with one hidden layer of ReLUs for each block, applied to every token.

    .. math:: f_\ell(x) = \max(0,\, x W_\ell + b_\ell)\, U_\ell .

    Attributes:
        inner: W, shape (\*batch, L, d, m).
        bias: b, shape (\*batch, L, m).
        outer: U, shape (\*batch, L, m, d).

    Raises:
        ValueError: On shapes or dtypes that do not fit each other, NaN or infinity.
    """

    inner: Number
    bias: Number
    outer: Number

    def __post_init__(self) -> None:
        """Refuse what the class does not describe."""
        for name in ("inner", "bias", "outer"):
            part = getattr(self, name)
            check_number(part, name, "weights")
            require(hasattr(part, "shape"), name, "a tensor or an array", type(part))
            check_alike(part, self.inner, name, "inner")
            check_finite(part, name)
        shape = tuple(self.inner.shape)
        require(len(shape) >= 3, "inner", "shape (*batch, L, d, m)", shape)
        *batch, depth, width, hidden = shape
        shapes = (tuple(self.bias.shape), tuple(self.outer.shape))
        want = ((*batch, depth, hidden), (*batch, depth, hidden, width))
        require(shapes == want, "bias and outer", f"shapes {want}", shapes)

    def __call__(self, X: Number, layer: int) -> Number:
        r"""Tokens after the perceptron of one layer, shape (\*batch, n, d), in any number type."""
        depth = self.inner.shape[-3]
        inside = is_whole(layer) and 0 <= layer < depth
        require(inside, "layer", f"0 <= layer < {depth}, an integer", layer)
        hidden = X @ self.inner[..., layer, :, :] + self.bias[..., layer, None, :]
        return numeric.maximum(hidden, 0 * hidden) @ self.outer[..., layer, :, :]

    def difference(self, c: Tensor, R: Tensor, scale: Tensor, layer: int) -> Tensor:
        r"""(f(c + t R) − f(c))/t without cancellation, down to t = 0.

        .. math:: \frac{\max(0, a + t e) - \max(0, a)}{t}
            = \begin{cases} \max(e, -a/t) & a > 0,\\ \max(0, e + a/t) & a \le 0, \end{cases}

        with :math:`a = cW + b` and :math:`e = RW`.

        Args:
            c: Reference token, shape (\*batch, 1, d).
            R: Differences to it, divided by t, shape (\*batch, n, d).
            scale: t ≥ 0, shape (\*batch,).
            layer: Index of the layer, counted from 0.

        Returns:
            Shape (\*batch, n, d).
        """
        W = self.inner[..., layer, :, :]
        a, e = c @ W + self.bias[..., layer, None, :], R @ W
        # An activation far from its kink on the scale of the tokens: infinity is the right limit.
        far = torch.where(a == 0, 0.0, a / column(scale, 2))
        moved = torch.where(a > 0, torch.maximum(e, -far), (e + far).clamp(min=0))
        return moved @ self.outer[..., layer, :, :]

    def lipschitz(self, p: float = math.inf) -> Number:
        r"""A Lipschitz constant of each layer's perceptron in the norm p.

        .. math:: \lambda_\ell = \nu_p(W_\ell)\, \nu_p(U_\ell) .

        Args:
            p: 1, 2 or ``math.inf``.

        Returns:
            λ, shape (\*batch, L).

        Source:
            d21-mlp
        """
        return value_norm(self.inner, p) * value_norm(self.outer, p)

    def prepare(self, network: Network, X: Tensor) -> Tensor:
        """Check the perceptrons against a network and its tokens, and broadcast their batches."""
        depth, width = self.inner.shape[-3:-1]
        want = (network.depth, network.width)
        require((depth, width) == want, "depth and width of the MLP", f"{want}", (depth, width))
        check_alike(self.inner, network.query, "MLP", "the weights")
        X = network.prepare(X)
        return X.expand(*check_batches(self.inner.shape[:-3], X.shape[:-2], "MLP"), *X.shape[-2:])

    def to(self, dtype: torch.dtype) -> MLP:
        """The same perceptrons in another floating-point type."""
        return MLP(self.inner.to(dtype), self.bias.to(dtype), self.outer.to(dtype))


def trace_blocks(network: Network, X: Tensor, mlp: MLP | None = None) -> Tensor:
    r"""The tokens before the first and after each block.

    .. math:: Y = \lambda X + A_\ell(X), \qquad X' = \lambda Y + f_\ell(Y) .

    Without perceptron this is ``network.trace``.

    Args:
        network: The attention layers; its skip λ is that of both halves of a block.
        X: Tokens, shape (\*batch, n, d).
        mlp: The perceptrons, or None.

    Returns:
        Shape (\*batch, L + 1, n, d); index 0 holds the input.

    Raises:
        ValueError: If X or the perceptrons do not fit the network, or a number overflows.

    Source:
        d21-mlp

    >>> network = Network.random(1, 1, 2, 2, 0.1, torch.Generator().manual_seed(0))
    >>> trace_blocks(network, torch.ones(3, 2, dtype=torch.float64)).shape
    torch.Size([2, 3, 2])
    """
    if mlp is None:
        return network.trace(X)
    steps = [mlp.prepare(network, X)]
    for layer in range(network.depth):
        Y = network.layers(layer, layer + 1)(steps[-1])
        steps.append(Y * column(network.skip, 2) + mlp(Y, layer))
    check_finite(steps[-1], "output")
    return torch.stack(steps, -3)
