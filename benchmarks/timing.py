"""Two sides in turn: whatever slows the machine down slows down both."""

from __future__ import annotations

import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

Side = Callable[[], object]

RESOLUTION = 0.05  # how far apart two equal sides may seem; `no slower` means within it
FEWEST, MOST = 7, 400  # turns
FAR = 2.0  # rivals this many times slower than the fastest in the first turns drop out
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Times:
    """What the turns of two sides gave.

    Attributes:
        ours: Fastest run of ours, in seconds. A busy machine only ever adds time.
        theirs: Fastest run of the fastest rival.
        rival: Its name.
        quartiles: Lower and upper quartile of theirs over ours, turn by turn.
        turns: How many turns were taken.
    """

    ours: float
    theirs: float
    rival: str
    quartiles: tuple[float, float]
    turns: int


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch on a number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def seconds(side: Side) -> float:
    """Wall time of one run, the GPU's included."""
    settle()
    start = time.perf_counter()
    side()
    settle()
    return time.perf_counter() - start


def settle() -> None:
    """Wait for the GPU, where there is one in use."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def compare(ours: Side, rivals: Mapping[str, Side], budget: float = 1.0) -> Times:
    """Run ours and its rivals in turn, in an order drawn anew for each turn.

    Args:
        ours: What is measured.
        rivals: What it is measured against, by name; the fastest counts.
        budget: Seconds after which no further turn begins, once there are enough.

    >>> compare(lambda: sum(range(2000)), {"less": lambda: sum(range(1000))}, 0.01).turns >= FEWEST
    True
    """
    sides = {"": ours, **rivals}
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()  # the first run pays for what later ones find ready
    start, order = time.perf_counter(), random.Random(0)
    for turn in range(MOST):
        if turn >= FEWEST and time.perf_counter() - start > budget:
            break
        names = list(taken)
        order.shuffle(names)
        for name in names:
            taken[name].append(seconds(sides[name]))
        if turn == 1:
            limit = FAR * min(min(taken[name]) for name in rivals if name in taken)
            taken = {n: t for n, t in taken.items() if not n or min(t) <= limit}
    mine = taken.pop("")
    rival = min(taken, key=lambda name: min(taken[name]))
    ratios = [b / a for a, b in zip(mine, taken[rival], strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    return Times(min(mine), min(taken[rival]), rival, (low, high), len(mine))


def fastest(side: Side, turns: int = 3) -> float:
    """The fastest of a few runs."""
    side()
    return min(seconds(side) for _ in range(turns))
