"""The data of the interactive figures of chapters 4 and 7: the ladder by size, training curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.attention import Network
from collapse.bounds import collapse_bound
from collapse.bounds.ladder import ladder
from collapse.bounds.needs import entrywise_sizes
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.orders import rung_errors
from collapse.figures.style import COLOURS, INK
from collapse.figures.training import LOSS, bounds_of, losses_to_the_end, settings, shade
from collapse.rungs import RUNGS
from collapse.tasks import Recall
from collapse.training.run import Trained

KINDS = ("bound", "certificate", "largest", "median")
STEP = Axis("step of training")


def size_grid(
    etas: Sequence[float],
    layers: Sequence[int],
    heads: Sequence[int],
    widths: Sequence[int],
    networks: int,
    tokens: int,
    seed: int,
) -> FigureData:
    """Errors and bounds of all rungs over η, depth, heads and width, for random networks.

    Args:
        etas: Bounds on the entries of the weights, which scale one draw.
        layers: Depths L, each ≥ 2.
        heads: Numbers of heads H.
        widths: Widths d = d_k.
        networks: Networks in each cell, each with tokens of its own, entries uniform in [−1, 1].
        tokens: n.
        seed: Seed of weights and tokens.

    Returns:
        A panel a rung. Its series are named "bound, L = …, H = …" and so on, grids over η and d:
        "bound" holds for all weights and tokens with such entries, "certificate" is the median of
        the networks' own bounds, "largest" and "median" are the errors found, all for p = ∞.

    Source:
        rung-0, rung-1, rung-2, rung-3
    """
    generator = torch.Generator().manual_seed(seed)
    eta = torch.tensor(etas, dtype=torch.float64)
    lines: list[list[Series]] = [[] for _ in RUNGS]
    for L, H in itertools.product(layers, heads):
        cells = [_cell(eta, L, H, d, networks, tokens, generator) for d in widths]
        for rung, kind in itertools.product(RUNGS, KINDS):
            grid = torch.stack([cell[kind][rung] for cell in cells])
            lines[rung].append(series(f"{kind}, L = {L}, H = {H}", eta, widths, _short(grid)))
    across, up = Axis("η", scale="log"), Axis("width d")
    panels = tuple(Panel(f"Rung {rung}", across, up, tuple(lines[rung])) for rung in RUNGS)
    found = {"layers": list(layers), "heads": list(heads), "widths": list(widths)}
    sizes = {"networks": networks, "tokens": tokens, "etas": list(etas)}
    return FigureData("explorer-ladder", panels, found | sizes, seed)


def _cell(
    eta: Tensor, L: int, H: int, d: int, networks: int, tokens: int, generator: torch.Generator
) -> dict[str, list[Tensor]]:
    """For each kind of number and each rung its values over η."""
    each = eta[:, None].expand(-1, networks)
    drawn = [Network.random(L, H, d, d, eta, generator) for _ in range(networks)]
    query, key, value = (
        torch.stack([getattr(one, name) for one in drawn], 1) for name in ("query", "key", "value")
    )
    network = Network(query, key, value)
    X = torch.rand(networks, tokens, d, generator=generator, dtype=torch.float64) * 2 - 1
    size = torch.ones_like(eta)
    errors = rung_errors(network, X)
    own = [collapse_bound(network, X, rung).value.expand_as(each) for rung in RUNGS]
    sizes = entrywise_sizes(eta, L, H, d, d)
    return {
        "bound": [ladder(sizes, size, 2 * size, rung) for rung in RUNGS],
        "certificate": [values.median(-1).values for values in own],
        "largest": [values.amax(-1) for values in errors],
        "median": [values.median(-1).values for values in errors],
    }


def _short(values: Tensor) -> Tensor:
    """Five significant digits, so that the file stays small."""
    return torch.tensor([[float(f"{x:.4e}") for x in row] for row in values.tolist()]).double()


def draw_size_grid(axes: Sequence[Axes], data: FigureData) -> None:
    """For the middle depth and number of heads: bounds as lines, largest errors as dots, by d."""
    L, H = (data.parameters[name][1] for name in ("layers", "heads"))
    colours = ("blue", "green", "red")
    for rung, (ax, panel) in enumerate(zip(axes, data.panels, strict=True)):
        bound, largest = (panel[f"{kind}, L = {L}, H = {H}"] for kind in ("bound", "largest"))
        assert bound.z is not None and largest.z is not None
        for i, (d, colour) in enumerate(zip(bound.y, colours, strict=False)):
            ax.plot(bound.x, bound.z[i], color=COLOURS[colour], lw=1.2, label=f"d = {d:g}")
            ax.plot(largest.x, largest.z[i], "o", ms=3.5, mfc="none", color=COLOURS[colour])
        ax.set(yscale="log", ylabel="error", xlabel="η" if rung > 1 else "")
    axes[0].set_title(f"Rung 0, L = {L}, H = {H}")
    axes[3].legend(loc="lower right", fontsize=8)


def training_curves(runs: Sequence[Trained]) -> FigureData:
    """Held-out loss through training for every depth, bound on the weights and seed.

    Args:
        runs: One run on recall a depth, with the same members.

    Returns:
        A panel a depth with the series "η = …, seed …"; one that finished early keeps its last
        loss. The loss of guessing is among the parameters.
    """
    task = runs[0].plan.source
    assert isinstance(task, Recall)
    panels = []
    for run in runs:
        looks, losses = losses_to_the_end(run)
        lines = [
            series(f"η = {eta:g}, seed {run.plan.members[i].seed}", looks, losses[:, i])
            for eta in bounds_of(run, skip=1.0)
            for i in run.where(eta=eta, skip=1.0)
        ]
        panels.append(Panel(f"L = {run.plan.depth}", STEP, LOSS, tuple(lines)))
    found = {"etas": bounds_of(runs[0], skip=1.0), "depths": [run.plan.depth for run in runs]}
    parameters = {**settings(runs[0]), **found, "guess": task.guess}
    return FigureData("explorer-training", tuple(panels), parameters, dtype="float32")


def draw_training_curves(axes: Sequence[Axes], data: FigureData) -> None:
    """One colour a bound, a line a seed; dotted, the loss of guessing."""
    etas = data.parameters["etas"]
    for ax, panel in zip(axes, data.panels, strict=True):
        for line in panel.series:
            eta, _, seed = line.name.removeprefix("η = ").partition(", seed ")
            label = f"η = {eta}" if seed == str(data.parameters["seeds"][0]) else None
            colour = shade(etas.index(float(eta)), len(etas))
            ax.plot(line.x, line.y, color=colour, lw=0.9, label=label)
        ax.axhline(data.parameters["guess"], color=INK, lw=0.8, ls=":")
        ax.set(ylim=(-0.05, 1.15 * max(y for p in data.panels for s in p.series for y in s.y)))
        ax.set_xlim(0, math.ceil(max(panel.series[0].x)))
    axes[0].legend(loc="upper right", ncols=2, fontsize=7.5)
