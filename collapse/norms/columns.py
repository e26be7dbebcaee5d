"""Floor 2. Largest and smallest entry of every column, near the speed of memory."""

from __future__ import annotations

import torch
from torch import Tensor

_STRIPE = 64  # columns that torch reduces at once; what is left over takes ten times as long
_FOLDED = 1024  # width to which narrow rows are laid side by side
_LEFT_OVER = 1 << 14  # entries outside the stripes from which on laying rows out anew pays
_BLOCK_BYTES = 1 << 19  # of one thread, to stay in its cache between the two reductions
_WORK = 1 << 18  # entries from which on a second thread changes much
_BLOCKS = 16  # fewer are not worth the trouble


def column_range(X: Tensor) -> tuple[Tensor, Tensor]:
    r"""Largest and smallest entry of each column, by torch's reductions.

    Two things slow these down on a CPU: the tokens are read from memory twice, and columns beyond
    a multiple of 64 are read one by one. Hence blocks that stay in the cache, and a view with rows
    of a better length: several rows side by side, or a row and the beginning of the next one.

    Args:
        X: Tokens, a tensor of shape (\*batch, n, d) with n, d ≥ 1.

    Returns:
        The largest and the smallest entries, each of shape (\*batch, d); NaN where a column has
        one.

    >>> column_range(torch.tensor([[2.0, 0.0], [1.0, 3.0]]))
    (tensor([2., 3.]), tensor([1., 0.]))
    """
    # Small tokens are all overhead. A gradient through many views would cost more than they save.
    n, d = X.shape[-2:]
    if n * d < _LEFT_OVER and (d >= _STRIPE or X.numel() < _LEFT_OVER // 4):
        return X.amax(-2), X.amin(-2)
    recorded = X.requires_grad and torch.is_grad_enabled()
    if recorded or X.is_cuda or not X.is_contiguous():
        return X.amax(-2), X.amin(-2)
    threads = min(torch.get_num_threads(), _FOLDED // _STRIPE) if X.numel() >= _WORK else 1
    if d % (threads * _STRIPE) * n < _LEFT_OVER and d >= _STRIPE:
        return _by_blocks(X, threads)
    return _laid_out(X, threads)


def _laid_out(X: Tensor, threads: int) -> tuple[Tensor, Tensor]:
    """The range over rows of a better length: each several of X, or one and a part of the next."""
    *batch, n, d = X.shape
    side_by_side = -(-_FOLDED // d) if 2 * d <= _FOLDED else 1
    length = side_by_side * d
    width = -(-length // (threads * _STRIPE)) * threads * _STRIPE
    rows = (n * d - width) // length + 1  # the view ends where the tokens end
    if rows < 2:
        return _by_blocks(X, threads)
    strides = (*X.stride()[:-2], length, 1)
    view = X.as_strided((*batch, rows, width), strides, X.storage_offset())
    high, low = (part[..., :length] for part in _by_blocks(view, threads))
    if side_by_side > 1:
        high = high.unflatten(-1, (side_by_side, d)).amax(-2)
        low = low.unflatten(-1, (side_by_side, d)).amin(-2)
    rest = X[..., rows * side_by_side :, :]
    if rest.shape[-2]:
        high, low = high.maximum(rest.amax(-2)), low.minimum(rest.amin(-2))
    return high, low


def _by_blocks(X: Tensor, threads: int) -> tuple[Tensor, Tensor]:
    """The two reductions of one block after another."""
    block = threads * _BLOCK_BYTES // X.element_size()
    if X.numel() < _BLOCKS * block:
        return X.amax(-2), X.amin(-2)
    n, d = X.shape[-2:]
    if X.ndim == 2:
        return _down(X, max(1, block // d))
    several = X.flatten(0, -3).split(max(1, block // (n * d)))
    parts = [_down(matrices, max(1, block // d)) for matrices in several]
    high, low = (torch.cat(part).unflatten(0, X.shape[:-2]) for part in zip(*parts, strict=True))
    return high, low


def _down(X: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    first, *others = X.split(rows, -2)
    high, low = first.amax(-2), first.amin(-2)
    for block in others:
        high, low = high.maximum(block.amax(-2)), low.minimum(block.amin(-2))
    return high, low
