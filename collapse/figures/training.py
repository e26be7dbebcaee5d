"""The figures on what networks with bounded weights learn: depth, bound on the weights, skips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from collapse.bounds.learning import least_margin, margin_bound
from collapse.centred import centred_trace
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS, INK
from collapse.norms import residual_norm
from collapse.tasks import Recall
from collapse.training.measures import certified_margin, observed_margin
from collapse.training.run import Trained, held_out

Runs = Mapping[str, Trained]
LOSS = Axis("held-out loss", "nats")
ETA = Axis("bound η on the weights", scale="log")
LAYER = (COLOURS["grey"], COLOURS["blue"], COLOURS["green"], COLOURS["red"], COLOURS["purple"])


def settings(run: Trained) -> dict[str, Any]:
    """The shared settings of a run as plain JSON values."""
    fields = asdict(run.plan)
    for name in ("members", "depth", "keep"):
        del fields[name]
    return {**fields, "seeds": sorted({member.seed for member in run.plan.members})}


def bounds_of(run: Trained, **where: Any) -> list[float]:
    """The bounds η that occur in a run, in rising order."""
    return sorted({run.plan.members[i].eta for i in run.where(**where)})


def losses_to_the_end(run: Trained) -> tuple[list[int], torch.Tensor]:
    """Held-out losses at every look that the plan has, however early the last member finished.

    Args:
        run: Any run.

    Returns:
        The steps 0, check, 2·check, ... and the last one, and the losses there, shape (looks, E);
        a finished member keeps its last loss.
    """
    looks = sorted({*range(0, run.plan.steps, run.plan.check), run.plan.steps})
    after = run.losses[-1:].expand(len(looks) - len(run.looks), -1)
    return looks, torch.cat((run.losses, after))


def loss_by_depth(runs: Sequence[Trained]) -> FigureData:
    """Final loss on recall against depth, for every bound η.

    Args:
        runs: One run a depth, with the same members.

    Returns:
        One panel over L: a series of all seeds for each η, and the loss of guessing.
    """
    curves = []
    for eta in bounds_of(runs[0], skip=1.0):
        points = [
            (run.plan.depth, float(run.final[i]))
            for run in runs
            for i in run.where(eta=eta, skip=1.0)
        ]
        curves.append(series(f"{eta:g}", *zip(*points, strict=True)))
    depths = [run.plan.depth for run in runs]
    task = runs[0].plan.source
    assert isinstance(task, Recall)
    curves.append(series("guess", depths, [task.guess] * len(depths)))
    panel = Panel("", Axis("depth L"), LOSS, tuple(curves))
    return FigureData("trained-depth", (panel,), settings(runs[0]), dtype="float32")


def draw_loss_by_depth(axes: Sequence[Axes], data: FigureData) -> None:
    """One colour a bound, from light to dark; a dot a seed, a line through the means."""
    (panel,), (ax,) = data.panels, axes
    *curves, guess = panel.series
    for i, curve in enumerate(curves):
        dots_and_means(ax, curve, shade(i, len(curves)), f"η = {curve.name}", shift=0.012 * (i - 3))
    ax.plot(guess.x, guess.y, ":", color=INK, lw=1)
    ax.text(guess.x[-1], guess.y[0] - 0.03, "guessing", ha="right", va="top", fontsize=9)
    ax.set(xticks=guess.x, ylim=(-0.06, 2.05), xlim=(0.7, guess.x[-1] + 0.4))
    ax.legend(loc=(0.5, 0.1), ncols=2)


def phases(runs: Sequence[Trained]) -> FigureData:
    """The phase diagram over (η, L) and the margins beside what theory allows.

    Args:
        runs: One run a depth, with the same members.

    Returns:
        Two panels. First the mean final loss as a grid, with the largest η for which the worst
        case of rung 2 forbids half of guessing's loss. Then over η, for the largest depth, the
        margins: worst case, certificate, observed, and the one that is needed.

    Source:
        loss-floor, rung-2
    """
    plan, task = runs[0].plan, runs[0].plan.source
    assert isinstance(task, Recall)
    needed = least_margin(task.pairs, task.solved_below)
    etas, depths = bounds_of(runs[0], skip=1.0), [run.plan.depth for run in runs]
    grid = [[mean(run.final[run.where(eta=eta, skip=1.0)]) for eta in etas] for run in runs]

    def worst(eta: float, depth: int) -> float:
        return margin_bound(
            eta, depth, plan.heads, plan.width, plan.key_width, plan.phi, plan.readout
        )

    proved = [crossing(lambda eta, L=L: worst(eta, L), needed) for L in depths]
    deepest = runs[-1]
    rows = deepest.where(skip=1.0)
    model, batch = deepest.model().members(rows), held_out(deepest.plan)
    each = [deepest.plan.members[i].eta for i in rows]
    fine = torch.logspace(math.log10(min(proved) / 2), math.log10(max(etas)), 40).tolist()
    first = Panel(
        "mean final loss [nats]",
        ETA,
        Axis("depth L"),
        (series("loss", etas, depths, grid), series("proved", proved, depths)),
    )
    second = Panel(
        f"margins at depth {deepest.plan.depth}",
        ETA,
        Axis("margin", "nats", "log"),
        (
            series("worst case", fine, [worst(eta, depths[-1]) for eta in fine]),
            series("certified", each, certified_margin(model, batch)),
            series("observed", each, observed_margin(model, batch, task.pairs)),
            series("needed", [fine[0], fine[-1]], [needed] * 2),
        ),
    )
    return FigureData("trained-phase", (first, second), settings(runs[0]), dtype="float32")


def crossing(function: Any, level: float) -> float:
    """Where an increasing function of η reaches a level, by bisection on a log scale."""
    low, high = 1e-8, 1.0
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if function(middle) < level else (low, middle)
    return low


def draw_phases(axes: Sequence[Axes], data: FigureData) -> None:
    """Cells from dark (guessing) to light (solved) right of the region that is proved."""
    (cells, margins), (left, right) = data.panels, axes
    grid, proved = cells["loss"], cells["proved"]
    edges = [math.sqrt(a * b) for a, b in zip(grid.x, grid.x[1:], strict=False)]
    edges = [grid.x[0] ** 2 / edges[0], *edges, grid.x[-1] ** 2 / edges[-1]]
    rows = [y - 0.5 for y in grid.y] + [grid.y[-1] + 0.5]
    assert grid.z is not None
    left.pcolormesh(edges, rows, grid.z, cmap="cividis_r", vmin=0, vmax=1.8, edgecolor="white")
    for y, losses in zip(grid.y, grid.z, strict=True):
        for x, loss in zip(grid.x, losses, strict=True):
            left.text(x, y, f"{loss:.1f}", ha="center", va="center", fontsize=7.5,
                      color="white" if loss > 0.9 else INK)  # fmt: skip
    for x, y in zip(proved.x, proved.y, strict=True):
        left.fill_betweenx([y - 0.5, y + 0.5], min(proved.x) / 3, x, color=COLOURS["sky"], lw=0)
    left.text(min(proved.x) / 2.7, grid.y[-1] + 0.42, "proved:\nnot learnt", va="top", fontsize=8)
    between = math.sqrt(max(proved.x) * edges[0])
    left.text(between, sum(grid.y) / len(grid.y), "neither proved\nnor trained", ha="center",
              va="center", fontsize=8, color="#5c5c5c")  # fmt: skip
    left.set(xlim=(min(proved.x) / 3, edges[-1]), yticks=grid.y)
    left.grid(False)
    look = (("worst case", COLOURS["sky"]), ("certified", COLOURS["orange"]), ("observed", INK))
    for name, colour in look:
        style = {"lw": 2} if name == "worst case" else {"ls": "", "marker": "o", "ms": 3.5}
        right.plot(margins[name].x, margins[name].y, color=colour, label=name, **style)
    right.plot(margins["needed"].x, margins["needed"].y, ":", color=INK, lw=1, label="needed")
    right.legend(loc="upper left")
    low = min(margins["observed"].y)
    right.set(ylim=(low / 3, max(margins["worst case"].y) * 2))


def other_tasks(runs: Mapping[str, Sequence[Trained]]) -> FigureData:
    """Final loss against η for other tasks.

    Args:
        runs: For each title one run a depth.

    Returns:
        A panel a task: a series of all seeds for each depth.
    """
    panels = []
    for title, by_depth in runs.items():
        curves = []
        for run in by_depth:
            points = [(m.eta, float(y)) for m, y in zip(run.plan.members, run.final, strict=True)]
            curves.append(series(f"{run.plan.depth}", *zip(*points, strict=True)))
        panels.append(Panel(title, ETA, LOSS, tuple(curves)))
    every = {title: settings(by_depth[0]) for title, by_depth in runs.items()}
    return FigureData("trained-tasks", tuple(panels), every, dtype="float32")


def draw_other_tasks(axes: Sequence[Axes], data: FigureData) -> None:
    """One colour a depth; a dot a seed, a line through the means."""
    for panel, ax in zip(data.panels, axes, strict=True):
        for i, curve in enumerate(panel.series):
            dots_and_means(ax, curve, shade(i, len(panel.series)), f"L = {curve.name}")
        low = min(min(curve.y) for curve in panel.series)
        ax.set_ylim(bottom=-0.05 if low < 1 else low - 0.1)
        eta_ticks(ax, panel.series[0].x)
    axes[0].legend(loc="lower left")


def differences_kept(run: Trained, tokens: int = 50) -> torch.Tensor:
    """ρ(X_L)/ρ(X) of each member, the geometric mean over some held-out sequences.

    Without skips it may be far below the rounding of the tokens themselves: there the centred
    propagation takes over.

    Args:
        run: A run with members of skip 0 or 1.
        tokens: Number of sequences.

    Source:
        centred-propagation
    """
    model, sequences = run.model(), held_out(run.plan).tokens[:tokens]
    kept = torch.empty(len(run.plan.members), dtype=torch.float64)
    for skip in sorted({member.skip for member in run.plan.members}):
        rows = run.where(skip=skip)
        part = model.members(rows)
        X = part.inputs(sequences)
        if skip == 0:
            log = centred_trace(part.network, X).log10_rho
        else:
            log = residual_norm(part.network.trace(X)).log10()
        kept[rows] = 10 ** (log[..., -1] - log[..., 0]).mean(-1)
    return kept


CELLS = ("small, skip", "small, none", "large, skip", "large, none")


def skip_ablation(runs: Sequence[Trained], small: float, large: float) -> FigureData:
    """Final loss, and the share of differences kept, with and without skips.

    Args:
        runs: One run a depth, with members of skip 0 and 1 at both bounds.
        small: The smaller η.
        large: The larger η.

    Returns:
        Two panels over the four cells, in the order of ``CELLS``: a series of all seeds for each
        depth.
    """
    cells = [(eta, skip) for eta in (small, large) for skip in (1.0, 0.0)]
    losses: list[Series] = []
    kept: list[Series] = []
    for run in runs:
        rows = [
            (x, i) for x, (eta, skip) in enumerate(cells) for i in run.where(eta=eta, skip=skip)
        ]
        place, members = [x for x, _ in rows], [i for _, i in rows]
        losses.append(series(f"{run.plan.depth}", place, run.final[members]))
        kept.append(series(f"{run.plan.depth}", place, differences_kept(run)[members]))
    across = Axis("weights and skip")
    panels = (
        Panel("what is learnt", across, LOSS, tuple(losses)),
        Panel("what is kept", across, Axis("ρ(X$_L$) ÷ ρ(X)", scale="log"), tuple(kept)),
    )
    parameters = {**settings(runs[0]), "small": small, "large": large, "cells": list(CELLS)}
    return FigureData("trained-skips", panels, parameters, dtype="float32")


def draw_skip_ablation(axes: Sequence[Axes], data: FigureData) -> None:
    """The four cells side by side, one marker a depth."""
    for panel, ax in zip(data.panels, axes, strict=True):
        for i, (curve, marker) in enumerate(zip(panel.series, "os", strict=False)):
            x = [place + 0.2 * (i - 0.5) for place in curve.x]
            colour = COLOURS["blue"] if i == 0 else COLOURS["red"]
            ax.plot(x, curve.y, marker, ms=5, mfc="none", color=colour, label=f"L = {curve.name}")
        ax.set_xticks(range(4), [cell.replace(", ", "\n") for cell in CELLS])
    axes[0].set_ylim(-0.06, 2.0)
    axes[0].legend(loc="center left")


def eta_ticks(ax: Axes, etas: Sequence[float]) -> None:
    """Ticks at the bounds that were trained, in plain decimals."""
    places = sorted(set(etas))
    ax.set_xticks(places, [f"{eta:g}" for eta in places])
    ax.minorticks_off()


def plain_ticks(ax: Axes) -> None:
    """Few ticks in plain decimals on a logarithmic y-axis of one decade or two."""
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())


def dots_and_means(ax: Axes, curve: Series, colour: Any, label: str, shift: float = 0.0) -> None:
    """All points of a series, and a line through the mean at each x."""
    places = sorted(set(curve.x))
    means = [
        sum(each) / len(each)
        for each in ([y for x, y in zip(curve.x, curve.y, strict=True) if x == p] for p in places)
    ]
    ax.plot([x + shift for x in curve.x], curve.y, "o", ms=3, color=colour, alpha=0.7)
    ax.plot([p + shift for p in places], means, color=colour, lw=1.4, label=label)


def shade(i: int, count: int) -> Any:
    """The i-th of so many colours of an ordered scale."""
    import matplotlib.pyplot as plt

    return plt.get_cmap("viridis")(0.05 + 0.8 * i / max(count - 1, 1))


def mean(values: torch.Tensor) -> float:
    """The mean as a float."""
    return float(values.double().mean())
