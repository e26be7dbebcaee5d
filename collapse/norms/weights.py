"""Floor 2. How large weights are, as operators on tokens."""

from __future__ import annotations

import math

import numpy as np
import torch

from collapse import numeric
from collapse.checks import check_alike, check_batches, check_finite, check_matrix, check_p
from collapse.numeric import Number, require

_BLOCK_ENTRIES = 1 << 20  # entries of the largest temporary: 8 MiB in float64


def value_norm(V: Number, p: float = math.inf) -> Number:
    r"""Operator norm of a value matrix acting on tokens from the right.

    .. math:: \nu_p(V) = \max_{x \ne 0} \lVert xV \rVert_p / \lVert x \rVert_p ,

    the largest row sum of \|V| for p = 1, the spectral norm for p = 2, the largest column sum for
    p = ∞.

    Args:
        V: Matrices, shape (\*batch, d, e).
        p: 1, 2 or ``math.inf``. p = 2 needs a floating-point tensor.

    Returns:
        The norm, shape (\*batch,).

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity, or p outside the list.

    Source:
        res-right

    >>> V = torch.tensor([[1.0, -2.0], [0.0, 2.0]])
    >>> value_norm(V, 1).item(), value_norm(V).item()
    (3.0, 4.0)
    """
    check_p(p)
    check_matrix(V, "V", "matrices of shape (*batch, d, e)")
    check_finite(V, "V")
    if p == 2:
        return _spectral_norm(V, "V")
    return numeric.amax(abs(V).sum(-1 if p == 1 else -2), -1)


def query_key_norm(M: Number, p: float = math.inf) -> Number:
    r"""Norm of the bilinear form by which two tokens meet in a logit, exactly.

    .. math:: \beta_p(M) = \max \{ u M v^\top : \lVert u \rVert_p, \lVert v \rVert_p \le 1 \},

    the largest entry of \|M| for p = 1, the spectral norm for p = 2, and for p = ∞ the ∞→1 norm
    :math:`\max_{u \in \{\pm1\}^d} \lVert u M \rVert_1`, which is NP-hard in general and is found
    here by enumerating the :math:`2^{d-1}` sign vectors up to sign.

    Args:
        M: Matrices W_Q W_Kᵀ with every scale folded in, shape (\*batch, d, e); d ≤ 24 for p = ∞.
        p: 1, 2 or ``math.inf``. p = 2 needs a floating-point tensor.

    Returns:
        The norm, shape (\*batch,).

    Raises:
        ValueError: On a wrong shape or dtype, NaN or infinity, p outside the list, or p = ∞ with
            d > 24 (use :func:`query_key_upper`).

    Source:
        contraction, norm-choice

    >>> M = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    >>> query_key_norm(M, 1).item(), query_key_norm(M).item()
    (4.0, 8.0)
    """
    check_p(p)
    check_matrix(M, "M", "matrices of shape (*batch, d, e)")
    check_finite(M, "M")
    if p == 1:
        return numeric.amax(numeric.amax(abs(M), -1), -1)
    if p == 2:
        return _spectral_norm(M, "M")
    require(
        M.shape[-2] <= 24,
        "width d",
        "d <= 24 for the exact norm at p = inf (query_key_upper bounds it at any width)",
        M.shape[-2],
    )
    if isinstance(M, torch.Tensor):
        return _infinity_to_one(widened(M)).to(M.dtype)
    return _infinity_to_one(M)


def query_key_upper(query: Number, key: Number, p: float = math.inf) -> Number:
    r"""The least cheap upper bound of β_p for M = query · keyᵀ.

    Exact for p = 1 and 2. For p = ∞ the smaller of two bounds that hold at every width,

    .. math:: \beta_\infty(M) \le \sum_{ab} \lvert M_{ab} \rvert, \qquad
        \beta_\infty(M) \le \sqrt{de}\, \lVert M \rVert_2 ,

    the second for floating-point tensors only.

    Args:
        query: W_Q, shape (\*batch, d, k).
        key: W_K, shape (\*batch, e, k).
        p: 1, 2 or ``math.inf``.

    Returns:
        An upper bound of β_p, shape (\*batch,).

    Raises:
        ValueError: On wrong shapes or dtypes, NaN or infinity, or p outside the list.

    Source:
        contraction, norm-choice

    >>> query_key_upper(torch.eye(30), torch.eye(30)).item()
    30.0
    """
    check_p(p)
    check_matrix(query, "query", "matrices of shape (*batch, d, k)")
    check_matrix(key, "key", "matrices of shape (*batch, e, k)")
    require(
        query.shape[-1] == key.shape[-1],
        "key width",
        f"the {query.shape[-1]} columns of query",
        key.shape[-1],
    )
    check_alike(key, query, "key", "query")
    check_batches(key.shape[:-2], query.shape[:-2], "key")
    M = query @ key.swapaxes(-1, -2)
    if p != math.inf:
        return query_key_norm(M, p)
    check_finite(M, "query @ key.T")
    total = abs(M).sum(-1).sum(-1)
    if not isinstance(M, torch.Tensor):
        return total
    d, e = M.shape[-2:]
    return torch.minimum(total, math.sqrt(d * e) * _spectral_norm(M, "query @ key.T"))


def _spectral_norm(M: Number, name: str) -> torch.Tensor:
    require(isinstance(M, torch.Tensor), name, "a floating-point tensor for p = 2", type(M))
    return singular_values(M)[..., 0]


def singular_values(M: torch.Tensor) -> torch.Tensor:
    """Singular values, the largest first.

    >>> singular_values(torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
    tensor([2., 1.])
    """
    return torch.linalg.svdvals(widened(M)).to(M.dtype)


def widened(M: torch.Tensor) -> torch.Tensor:
    """Half precision, which LAPACK lacks and whose sums overflow early, as float32.

    >>> widened(torch.ones(2, dtype=torch.float16)).dtype
    torch.float32
    """
    return M if M.dtype in (torch.float32, torch.float64) else M.float()


def _infinity_to_one(M: Number) -> Number:
    """Maximise ‖uM‖₁ over sign vectors u, by two half-enumerations added in blocks."""
    front = M.shape[-2] // 2
    zero = M[..., :1, :] * 0  # of the entries' own number type
    first, second = _signed_sums(M[..., :front, :], zero), _signed_sums(M[..., front:, :], zero)
    # u and −u give the same value, so the last row keeps its sign.
    second = second[..., : second.shape[-2] // 2, :]
    each = math.prod(second.shape[:-1])
    if not isinstance(M, torch.Tensor):
        each *= second.shape[-1]
    rows = max(1, _BLOCK_ENTRIES // max(1, each))
    largest = None
    for start in range(0, first.shape[-2], rows):
        lengths = _lengths_of_sums(first[..., start : start + rows, :], second)
        value = numeric.amax(numeric.amax(lengths, -1), -1)
        largest = value if largest is None else numeric.maximum(largest, value)
    return largest


def _lengths_of_sums(first: Number, second: Number) -> Number:
    """The ℓ₁ norm of the sum of each row of one with each row of the other."""
    if not isinstance(first, torch.Tensor):
        return abs(first[..., :, None, :] + second[..., None, :, :]).sum(-1)
    # A sum is a distance to the negative, and of distances torch keeps nothing but the result.
    return torch.cdist(first, -second, p=1)


def _signed_sums(rows: Number, zero: Number) -> Number:
    """All 2^m signed sums of m rows, (*batch, 2^m, e); the last row's sign changes once."""
    sums = zero
    for i in range(rows.shape[-2]):
        row = rows[..., i : i + 1, :]
        parts = (sums + row, sums - row)
        sums = torch.cat(parts, -2) if isinstance(rows, torch.Tensor) else np.concatenate(parts, -2)
    return sums
