r"""Floor 8. What all mixers have in common: O = M(X) X V, by the matrix or step by step."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch

from collapse import numeric
from collapse.checks import check_finite, check_matrix
from collapse.numeric import Number, require


@dataclass(frozen=True, kw_only=True)
class Mixer(ABC):
    r"""A layer that mixes tokens by a matrix, and its recurrent twin.

    .. math:: O = g(X) \circ \bigl(D^{-1} M(X)\, X V\bigr), \qquad
        g(X) = \mathrm{silu}(X G), \quad D = \operatorname{diag}(M\mathbf 1),

    with gate g and row normalisation D as options. Parameters and tokens are tensors, or arrays of
    exact numbers; leading dimensions of both are batch dimensions, and broadcast.

    Attributes:
        value: V, shape (\*batch, d, d), or None for the identity.
        gate: G, shape (\*batch, d, d), or None for no gate.
        normalise: Whether each row of M is divided by its sum.
    """

    value: Number | None = None
    gate: Number | None = None
    normalise: bool = False

    @property
    @abstractmethod
    def width(self) -> int:
        """Number d of features of a token."""

    @property
    def channels(self) -> int:
        """Number c of matrices, 1 if all features share one, d if each has its own."""
        return 1

    @abstractmethod
    def _weights(self, X: Number) -> Number:
        r"""M before normalisation, shape (\*batch, c, n, n)."""

    @abstractmethod
    def _scan(self, X: Number, values: Number) -> Number:
        r"""M before normalisation times the values (\*batch, n, m), one token after another."""

    def matrix(self, X: Number) -> Number:
        r"""The matrix M(X) that mixes the tokens, normalised if the mixer is.

        Args:
            X: Tokens, shape (\*batch, n, d).

        Returns:
            Shape (\*batch, c, n, n) with c = ``channels``.

        Raises:
            ValueError: On bad tokens, or a row that sums to zero where rows are normalised.

        Source:
            ssm-lti-exact
        """
        M = self._weights(self._tokens(X))
        return M / _nonzero(M.sum(-1)[..., None]) if self.normalise else M

    def apply(self, X: Number) -> Number:
        r"""The output by the matrix.

        Args:
            X: Tokens, shape (\*batch, n, d).

        Returns:
            O, shape (\*batch, n, d).

        Raises:
            ValueError: As for ``matrix``.

        Source:
            ssm-lti-exact
        """
        M, values = self.matrix(X), self._values(X)
        if self.channels == 1:
            return self._gated(X, M[..., 0, :, :] @ values)
        mixed = M @ values.swapaxes(-1, -2)[..., None]
        return self._gated(X, mixed[..., 0].swapaxes(-1, -2))

    __call__ = apply

    def recur(self, X: Number) -> Number:
        r"""The output by the recurrence: n steps, and no n × n matrix.

        Args:
            X: Tokens, shape (\*batch, n, d).

        Returns:
            O, shape (\*batch, n, d), equal to that of ``apply`` up to rounding.

        Raises:
            ValueError: As for ``matrix``.

        Source:
            ssm-lti-exact
        """
        X = self._tokens(X)
        values = self._values(X)
        mixed = self._scan(X, values)
        if self.normalise:
            mixed = mixed / _nonzero(self._scan(X, 0 * values[..., : self.channels] + 1))
        return self._gated(X, mixed)

    def replace(self, **changes: Any) -> Self:
        """A copy with some attributes changed."""
        return dataclasses.replace(self, **changes)

    def __post_init__(self) -> None:
        """Refuse weights of a wrong shape."""
        d = self.width
        self._check(value=(d, d), gate=(d, d))

    def _check(self, **shapes: tuple[int, ...]) -> None:
        for name, shape in shapes.items():
            weight = getattr(self, name)
            if weight is not None:
                require(min(shape) >= 1, name, "no empty dimension", shape)
                ends = tuple(weight.shape)[-len(shape) :]
                require(ends == shape, name, f"shape (*batch, *{shape})", tuple(weight.shape))
                check_finite(weight, name)

    def _tokens(self, X: Number) -> Number:
        check_matrix(X, "X", "tokens of shape (*batch, n, d)")
        require(X.shape[-1] == self.width, "X", f"width {self.width}", tuple(X.shape))
        check_finite(X, "X")
        return X

    def _values(self, X: Number) -> Number:
        return X if self.value is None else X @ self.value

    def _gated(self, X: Number, mixed: Number) -> Number:
        if self.gate is None:
            return mixed
        through = X @ self.gate
        return mixed * through / (1 + numeric.exp(-through))


def _nonzero(sums: Number) -> Number:
    if isinstance(sums, torch.Tensor):
        least = float(sums.abs().min())
        require(least > 0, "rows of M", "sums other than 0 where rows are normalised", least)
    return sums


def softplus(x: Number) -> Number:
    """log(1 + eˣ), for large x too.

    >>> softplus(torch.tensor([0.0, 100.0]))
    tensor([  0.6931, 100.0000])
    """
    if isinstance(x, torch.Tensor):
        return torch.logaddexp(x, torch.zeros_like(x))
    return numeric.log(1 + numeric.exp(x))


def decays(log_decay: Number) -> Number:
    r"""What is left at token i of what token j wrote: the product of the decays in between.

    .. math:: D_{ij} = \prod_{j < k \le i} a_k \;(j \le i), \qquad D_{ij} = 0 \;(j > i).

    Args:
        log_decay: log a_k ≤ 0, shape (\*batch, n).

    Returns:
        D, shape (\*batch, n, n).

    Source:
        ssm-lti-exact

    >>> decays(torch.tensor([0.5, 0.5]).log())
    tensor([[1.0000, 0.0000],
            [0.5000, 1.0000]])
    """
    total = log_decay.cumsum(-1)
    between = total[..., :, None] - total[..., None, :]
    seen = torch.ones(between.shape[-2:], dtype=torch.bool).tril()
    if isinstance(between, torch.Tensor):
        return between.masked_fill(~seen.to(between.device), -torch.inf).exp()
    return np.where(seen.numpy(), numeric.exp(between), 0)
