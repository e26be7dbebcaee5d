"""The figures on time: seconds and ranks against the number of tokens."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from matplotlib.axes import Axes

from collapse.attention import Network
from collapse.fast import (
    certified_forward,
    taylor_attention,
    taylor_bound,
    taylor_degree,
    taylor_rank,
)
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS
from collapse.kernels import fused_attention
from collapse.norms import token_norm
from collapse.numeric import require
from collapse.softmax import retrieval_threshold

WIDTH = 8  # of tokens, queries, keys and values wherever time is taken
TOKENS = Axis("tokens n", scale="log")
EXACT, RUNG = "exact attention", "rung 2"
PATIENCE = 0.3  # seconds: what takes longer is run only once
_WIDTHS = {2: "green", 4: "orange", 8: "red"}


def times(powers: Sequence[int], layers: int, repeats: int, seed: int) -> FigureData:
    """CPU seconds on one thread: one head of exact attention, and rung 2 of a whole network.

    Args:
        powers: Exponents of the numbers of tokens, n = 2^power.
        layers: Layers of the network that rung 2 replaces, certificate for p = ∞ included.
        repeats: Runs of each size, of which the median counts; one run where it takes seconds.
        seed: Seed of weights and tokens.

    Returns:
        One panel with the series "exact attention" and "rung 2".

    Source:
        linear-time
    """
    g = torch.Generator().manual_seed(seed)
    network = Network.random(layers, 1, WIDTH, WIDTH, 0.1, g, dtype=torch.float32)
    sizes = [2**power for power in powers]
    spent: dict[str, list[float]] = {EXACT: [], RUNG: []}
    certified_forward(network, torch.zeros(2, WIDTH))  # the first call loads what it needs
    for n in sizes:
        q, k, v = torch.randn(3, 1, n, WIDTH, generator=g)
        X = torch.randn(n, WIDTH, generator=g)
        spent[EXACT].append(seconds(partial(fused_attention, q, k, v, None), repeats))
        spent[RUNG].append(seconds(partial(certified_forward, network, X), repeats))
    lines = tuple(series(name, sizes, values) for name, values in spent.items())
    panel = Panel("", TOKENS, Axis("CPU time", "s", "log"), lines)
    settings = {"powers": list(powers), "layers": layers, "repeats": repeats, "width": WIDTH}
    return FigureData("cost-time", (panel,), settings | machine(), seed, dtype="float32")


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median CPU seconds of a call on one thread; the first call counts only if it is slow."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        spent: list[float] = []
        while len(spent) <= repeats:
            start = time.process_time()
            run()
            spent.append(time.process_time() - start)
            if spent[0] > PATIENCE:
                return spent[0]
        return median(spent[1:])
    finally:
        torch.set_num_threads(threads)


def machine() -> dict[str, Any]:
    """What the times were taken on.

    >>> machine()["threads"]
    1
    """
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or platform.machine()
    return {"processor": name, "processors": os.cpu_count(), "threads": 1}


def slope(line: Series, least: int) -> float:
    """Least-squares slope of log y against log x, from x = least on.

    >>> round(slope(series("square", [1, 2, 4], [3, 12, 48]), 2), 6)
    2.0
    """
    points = [(math.log(x), math.log(y)) for x, y in zip(line.x, line.y, strict=True) if x >= least]
    require(len(points) >= 2, "points", f"at least two with x >= {least}", len(points))
    x, y = torch.tensor(points, dtype=torch.float64).T
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())


def draw_times(axes: Sequence[Axes], data: FigureData) -> None:
    """Points joined by lines, named at their ends."""
    (panel,) = data.panels
    for name, colour in ((EXACT, "red"), (RUNG, "green")):
        line = panel[name]
        axes[0].plot(line.x, line.y, "o-", color=COLOURS[colour], ms=4, lw=1.2)
    axes[0].set_xscale("log", base=2)
    exact, rung = panel[EXACT], panel[RUNG]
    at = max(len(exact.x) - 3, 0)
    axes[0].annotate("one head of\nexact attention", (exact.x[at], exact.y[at]), (-8, 4),
                     textcoords="offset points", color="#a84a00", ha="right")  # fmt: skip
    text = f"rung 2 of {data.parameters['layers']} layers,\nwith its certificate"
    axes[0].annotate(text, (rung.x[-1], rung.y[-1]), (4, -26), textcoords="offset points",
                     color="#00714f", ha="right", va="top")  # fmt: skip


def crossover(
    clock: FigureData, size: float, distance: float, repeats: int, seed: int
) -> FigureData:
    """Where polynomial attention overtakes exact attention, in seconds and in rank.

    Args:
        clock: What :func:`times` made: the sizes, and the times of exact attention.
        size: Bound B on the logits.
        distance: Share of a row that may move.
        repeats: As for :func:`times`.
        seed: Seed of queries, keys and values.

    Returns:
        A panel of seconds with the series "exact attention" and "d_k = …"; and two panels of
        rank ÷ n for logits bounded by B and for logits that can look up one token of n, with
        the series "d_k = …" and "d_k = log n".

    Source:
        taylor-attention
    """
    g = torch.Generator().manual_seed(seed)
    exact = clock.panels[0][EXACT]
    sizes = [int(n) for n in exact.x]
    lines = [exact]
    degree = taylor_degree(size, distance)
    for width in _WIDTHS:
        spent = []
        for n in sizes:
            q, k = torch.randn(2, n, width, generator=g)
            q, k = q * math.sqrt(size) / token_norm(q, 2), k * math.sqrt(size) / token_norm(k, 2)
            v = torch.randn(n, WIDTH, generator=g)
            require(taylor_bound(q, k, v, degree).value >= 0, "bound", ">= 0", degree)
            spent.append(seconds(partial(taylor_attention, q, k, v, degree), repeats))
        lines.append(series(f"d_k = {width}", sizes, spent))
    time_panel = Panel("Seconds", TOKENS, Axis("CPU time", "s", "log"), tuple(lines))
    ranks = []
    for title, bounds in (
        (f"Rank ÷ n, logits at most {size:g}", [size] * len(sizes)),
        ("Rank ÷ n, logits for a lookup", [retrieval_threshold(n, 0.5) / 2 for n in sizes]),
    ):
        needed = [taylor_degree(bound, distance) for bound in bounds]
        widths: dict[str, list[int]] = {f"d_k = {w}": [w] * len(sizes) for w in _WIDTHS}
        widths["d_k = log n"] = [math.ceil(math.log(n)) for n in sizes]
        shares = tuple(
            series(name, sizes, [taylor_rank(w, d) / n for w, d, n in zip(ws, needed, sizes,
                                                                           strict=True)])
            for name, ws in widths.items()
        )  # fmt: skip
        ranks.append(Panel(title, TOKENS, Axis("rank ÷ n", scale="log"), shares))
    settings = {"size": size, "distance": distance, "degree": degree, "repeats": repeats}
    return FigureData("cost-crossover", (time_panel, *ranks), settings | machine(), seed,
                      dtype="float32")  # fmt: skip


def overtaking(data: FigureData) -> dict[str, float | None]:
    """The n from which on polynomial attention is the faster one, interpolated; None if never.

    Args:
        data: What :func:`crossover` made.

    Returns:
        For each key width the n behind which it stays below exact attention.

    Source:
        taylor-attention
    """
    exact, *others = data.panels[0].series
    found: dict[str, float | None] = {}
    for line in others:
        gain = [math.log(a / b) for a, b in zip(exact.y, line.y, strict=True)]
        behind = [i for i, value in enumerate(gain) if value <= 0]
        if not behind:
            found[line.name] = line.x[0]
        elif behind[-1] == len(gain) - 1:
            found[line.name] = None
        else:
            i = behind[-1]
            part = gain[i] / (gain[i] - gain[i + 1])
            found[line.name] = line.x[i] * (line.x[i + 1] / line.x[i]) ** part
    return found


def draw_crossover(axes: Sequence[Axes], data: FigureData) -> None:
    """Seconds above; below, rank ÷ n with the region shaded where the rank is no saving."""
    looks = {f"d_k = {width}": colour for width, colour in _WIDTHS.items()}
    looks |= {EXACT: "grey", "d_k = log n": "purple"}
    for ax, panel in zip(axes, data.panels, strict=True):
        for line in panel.series:
            style = "--" if line.name == EXACT else "-"
            label = line.name.replace("d_k", "$d_k$").replace("log n", "log $n$")
            ax.plot(line.x, line.y, style, marker=".", color=COLOURS[looks[line.name]], lw=1.3,
                    label=label)  # fmt: skip
        ax.set_xscale("log", base=2)
    for ax in axes[1:]:
        low, high = ax.get_ylim()
        ax.axhspan(1, max(high, 10), color=COLOURS["grey"], alpha=0.18, lw=0)
        ax.set_ylim(low, max(high, 10))
    axes[0].legend(loc="upper left")
    axes[1].legend(loc="lower left", ncols=2)
