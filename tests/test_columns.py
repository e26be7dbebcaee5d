"""The fast way to the largest and smallest entry of each column reads every row, in every layout.

Few tokens go straight to torch. These shapes are large enough for the other ways: narrow rows laid
side by side, rows of an awkward length, blocks, batches of blocks, several threads.
"""

from __future__ import annotations

import math

import pytest
import torch

from collapse.norms import residual_norm
from collapse.norms.columns import column_range

SHAPES = [
    (5003, 1), (5003, 3), (2731, 6), (4099, 30), (3, 2001, 5), (2, 3, 1500, 7),  # narrow
    (20_001, 65), (1001, 600), (501, 1000), (2, 900, 190), (33, 520), (17, 1030),  # awkward
    (20_003, 64), (5001, 256), (9, 2500, 64), (2, 5, 3001, 64), (300, 100, 64), (70_001, 20),
]  # fmt: skip


def planted(shape: tuple[int, ...], row: int, dtype: torch.dtype) -> torch.Tensor:
    """Noise, and in one row of each matrix the largest and smallest entry of every column."""
    g = torch.Generator().manual_seed(row)
    X = torch.rand(shape, generator=g).to(dtype)
    signs = torch.arange(shape[-1]) % 2 * 2 - 1
    X[..., row, :] = 3 * signs.to(dtype)
    X[..., row - 1, :] = -3 * signs.to(dtype)
    return X


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_no_row_is_overlooked(
    shape: tuple[int, ...], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    n = shape[-2]
    for row in {0, 1, 2, n // 3, n // 2 + 1, n - 3, n - 2, n - 1}:
        X = planted(shape, row, torch.float64)
        high, low = column_range(X)
        assert torch.equal(high, X.amax(-2)) and torch.equal(low, X.amin(-2))
        assert set(high.flatten().tolist()) == {3.0} and set(low.flatten().tolist()) == {-3.0}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES[::3], ids=str)
def test_other_number_types_take_the_same_ways(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    for row in (1, shape[-2] - 1):
        X = planted(shape, row, dtype)
        high, low = column_range(X)
        assert high.dtype == dtype
        assert torch.equal(high, X.amax(-2)) and torch.equal(low, X.amin(-2))


@pytest.mark.parametrize("shape", SHAPES[::2], ids=str)
def test_views_are_read_as_they_are_seen(shape: tuple[int, ...]) -> None:
    """A slice with an offset, a transposed, an expanded tensor: memory holds other rows too."""
    n, d = shape[-2:]
    whole = planted((*shape[:-2], n + 2, d), 1, torch.float64)  # extremes in rows 0 and 1
    for view in (whole[..., 2:, :], whole.mT[..., 2:].mT, whole.flip(-1)[..., 2:, :]):
        high, low = column_range(view)
        assert torch.equal(high, view.amax(-2)) and torch.equal(low, view.amin(-2))
        assert float(high.max()) <= 1
    single = whole[..., :1, :].expand(*shape)
    assert torch.equal(*column_range(single))


@pytest.mark.parametrize("shape", SHAPES[::2], ids=str)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_found_in_the_last_row(shape: tuple[int, ...], bad: float) -> None:
    X = torch.zeros(shape, dtype=torch.float64)
    X[..., -1, -1] = bad
    assert not all(torch.isfinite(end).all() for end in column_range(X))
    with pytest.raises(ValueError, match="X: expected finite entries"):
        residual_norm(X)


def test_gradients_flow_through_large_tokens() -> None:
    X = planted((5003, 3), 4000, torch.float64).requires_grad_()
    residual_norm(X).backward()
    assert X.grad is not None
    rows = X.grad.nonzero()[:, 0].unique().tolist()
    assert rows == [3999, 4000]
