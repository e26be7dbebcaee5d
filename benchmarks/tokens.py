"""How fast the norms are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.record import Case, Figure, Ratio, figure, ratio
from benchmarks.timing import CORES, Side, compare, fastest, threads
from collapse import query_key_norm, residual_norm

RESIDUAL, EXACT = "residual-norm", "exact-norm"
SIDES = (100, 316, 1000, 3162, 10_000)  # of a square X: n·d from 10⁴ to 10⁸
SHAPES = ((1302, 768), (100_000, 10))  # tokens of a usual width, and very narrow ones
DTYPES = (torch.float32, torch.float64)
EARLIER = (13, 128, 768)  # layers, tokens and width in the code of the 2021 paper
WIDTHS = (16, 20, 24)
TORCH_LIMIT, EARLIER_GAIN = 1.3, 3.0


def column_extremes(X: Tensor) -> dict[str, Side]:
    """Torch's ways to the largest and the smallest entry of every column."""
    return {
        "amax, amin": lambda: (X.amax(-2), X.amin(-2)),
        "aminmax": lambda: torch.aminmax(X, dim=-2),
        "max, min": lambda: (X.max(-2), X.min(-2)),
    }


def mean_centred(X: Tensor) -> Tensor:
    """The residual of the 2021 paper in plain torch, without any check of its input."""
    R = (X - X.mean(-2, keepdim=True)).abs()
    return (R.sum(-2).amax(-1) * R.sum(-1).amax(-1)).sqrt()


def residual(device: str) -> Iterator[Case]:
    """residual_norm against torch's reductions, the memory, and the residual of 2021."""
    for count in sorted({1, CORES} if device == "cpu" else {1}):
        for dtype in DTYPES:
            for n, d in (*((side, side) for side in SIDES), *SHAPES):
                for limit in (False, True):
                    yield partial(against_torch, n, d, dtype, count, device, limit)
        yield partial(five_calls, count, device)
        yield partial(against_2021, count, device)


def against_torch(
    n: int, d: int, dtype: torch.dtype, count: int, device: str, limit: bool
) -> Ratio:
    """Against torch's reductions by column, or against one pass over everything."""
    X = _tokens((n, d), dtype, device)
    rivals = {"aminmax of all entries": lambda: torch.aminmax(X)} if limit else column_extremes(X)
    target = None if limit else TORCH_LIMIT
    case = f"{n} × {d}, {str(dtype).removeprefix('torch.')}"
    with threads(count):
        times = compare(lambda: residual_norm(X), rivals, budget=0.4)
        return ratio(RESIDUAL, case, "residual_norm", times, target=target)


def five_calls(count: int, device: str) -> Ratio:
    """What few tokens cost at least: the calls of residual_norm without any check of its input."""
    X, half = _tokens((SIDES[0], SIDES[0]), torch.float32, device), torch.tensor(0.5, device=device)
    case = f"{SIDES[0]} × {SIDES[0]}, float32"
    with threads(count):
        times = compare(lambda: _half_range(X, half), column_extremes(X), budget=0.4)
        return ratio(RESIDUAL, case, "its calls alone", times)


def against_2021(count: int, device: str, ours: str = "residual_norm") -> Ratio:
    """Against the mean-centred residual at the size of the 2021 paper."""
    X = _tokens(EARLIER, torch.float32, device)
    case = " × ".join(map(str, EARLIER)) + ", float32"
    with threads(count):
        rivals = {"√(ℓ₁ ℓ∞) about the mean": lambda: mean_centred(X)}
        times = compare(lambda: residual_norm(X), rivals, budget=0.5)
        return ratio(RESIDUAL, case, ours, times, ">=", EARLIER_GAIN)


def exact_norm(device: str) -> Iterator[Case]:
    """The exact ∞→1 norm by width."""
    for d in WIDTHS:
        yield partial(enumeration, d, device)


def enumeration(d: int, device: str) -> Figure:
    """Seconds for one matrix."""
    M = _tokens((d, d), torch.float64, device)
    return figure(EXACT, f"d = {d}", "time", fastest(lambda: query_key_norm(M), 2), "s")


def _half_range(X: Tensor, half: Tensor) -> Tensor:
    return X.amax(-2).sub_(X.amin(-2)).max().mul_(half)


def _tokens(shape: tuple[int, ...], dtype: torch.dtype, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=dtype).to(device)
