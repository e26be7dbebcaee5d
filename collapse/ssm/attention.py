r"""Floor 8. Attention as a mixer: softmax, which keeps every key; linear, which keeps a matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from collapse import numeric
from collapse.bounds.states import stacked
from collapse.numeric import Number, require
from collapse.softmax import softmax
from collapse.ssm.mixer import Mixer, decays

Features = Literal["elu", "identity", "exp"]


@dataclass(frozen=True, kw_only=True)
class _QueryKey(Mixer):
    query: Number
    key: Number

    @property
    def width(self) -> int:
        """Number d of features of a token."""
        return self.query.shape[-2]

    @classmethod
    def random(
        cls, width: int, state: int, generator: torch.Generator, scale: float = 1.0, **options: Any
    ) -> Self:
        r"""Weights with entries uniform in [−scale, scale].

        Args:
            width: Features d of a token.
            state: Width k of queries and keys.
            generator: Source of randomness.
            scale: Largest entry of W_Q, W_K and V.
            **options: Further attributes.

        Returns:
            A mixer in float64.

        Source:
            ssm-lti-exact
        """
        query, key = (uniform(generator, scale, width, state) for _ in range(2))
        weights = {"query": query, "key": key, "value": uniform(generator, scale, width, width)}
        return cls(**weights | options)

    def __post_init__(self) -> None:
        """Refuse weights of a wrong shape."""
        super().__post_init__()
        shape = (self.width, self.query.shape[-1])
        self._check(query=shape, key=shape)


@dataclass(frozen=True, kw_only=True)
class SoftmaxAttention(_QueryKey):
    r"""M = softmax(X W_Q W_Kᵀ Xᵀ), each row over the tokens up to its own.

    The recurrent twin keeps keys and values and passes once over them, with the running maximum,
    sum and weighted mean of each query: the online softmax.

    Attributes:
        query: W_Q, shape (\*batch, d, k); a factor such as 1/√k is folded in.
        key: W_K, shape (\*batch, d, k).
        causal: False lets every token see all.

    Raises:
        ValueError: On wrong shapes, NaN or infinity.

    Source:
        ssm-lti-exact

    >>> mixer = SoftmaxAttention(query=torch.zeros(2, 1), key=torch.zeros(2, 1))
    >>> mixer(torch.eye(2))
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000]])
    """

    causal: bool = True

    def _weights(self, X: Number) -> Number:
        logits = (X @ self.query) @ (X @ self.key).swapaxes(-1, -2)
        n = X.shape[-2]
        seen = torch.ones(n, n, dtype=torch.bool).tril() if self.causal else None
        return softmax(logits, seen)[..., None, :, :]

    def _scan(self, X: Number, values: Number) -> Number:
        queries, keys = X @ self.query, X @ self.key
        top = (queries * keys[..., :1, :]).sum(-1)[..., None]
        total = 0 * top + 1
        mixed, done = total * values[..., :1, :], []
        for j in range(X.shape[-2]):
            if j > 0:
                logit = (queries * keys[..., j : j + 1, :]).sum(-1)[..., None]
                higher = numeric.maximum(top, logit)
                old, new = numeric.exp(top - higher), numeric.exp(logit - higher)
                total, top = old * total + new, higher
                mixed = old * mixed + new * values[..., j : j + 1, :]
            if self.causal:  # query j has seen its last key
                done.append((mixed / total)[..., 0, :])
                queries, top, total, mixed = (x[..., 1:, :] for x in (queries, top, total, mixed))
        return stacked(done, -2) if self.causal else mixed / total


@dataclass(frozen=True, kw_only=True)
class LinearAttention(_QueryKey):
    r"""M_ij = φ(q_i)·φ(k_j) for j ≤ i; with ``normalise`` its rows are stochastic where φ > 0.

    The recurrent twin keeps the matrix S = Σ φ(k_j)ᵀ v_j.

    Attributes:
        query: W_Q, shape (\*batch, d, k).
        key: W_K, shape (\*batch, d, k).
        feature_map: φ, entry by entry: "elu" (1 + x for x > 0, else eˣ), "identity" or "exp".

    Raises:
        ValueError: On wrong shapes, NaN or infinity, or another feature map.

    Source:
        ssm-lti-exact

    >>> one = torch.ones(1, 1)
    >>> LinearAttention(query=one, key=one, feature_map="identity")(torch.tensor([[1.0], [2.0]]))
    tensor([[ 1.],
            [10.]])
    """

    feature_map: Features = "elu"

    def __post_init__(self) -> None:
        """Refuse weights of a wrong shape, and an unknown feature map."""
        super().__post_init__()
        known = ("elu", "identity", "exp")
        require(self.feature_map in known, "feature_map", f"one of {known}", self.feature_map)

    def _phi(self, x: Number) -> Number:
        if self.feature_map == "identity":
            return x
        if self.feature_map == "exp":
            return numeric.exp(x)
        return numeric.maximum(x, 0 * x) + numeric.exp(numeric.minimum(x, 0 * x))

    def _weights(self, X: Number) -> Number:
        scores = self._phi(X @ self.query) @ self._phi(X @ self.key).swapaxes(-1, -2)
        one = decays(0 * scores[..., 0])  # all that was written is left
        return (scores * one)[..., None, :, :]

    def _scan(self, X: Number, values: Number) -> Number:
        queries, keys = self._phi(X @ self.query), self._phi(X @ self.key)
        state, rows = 0, []
        for i in range(X.shape[-2]):
            state = state + keys[..., i, :, None] * values[..., i, None, :]
            rows.append((queries[..., i, None, :] @ state)[..., 0, :])
        return stacked(rows, -2)


def uniform(generator: torch.Generator, scale: float, *shape: int) -> Tensor:
    """Numbers uniform in [−scale, scale], in float64."""
    return scale * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)
