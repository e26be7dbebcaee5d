"""The figures on what trained networks are made of: gradients, weight decay, layers removed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from matplotlib.axes import Axes

from collapse.bounds.learning import loss_floor
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS, INK
from collapse.figures.training import ETA, LAYER, LOSS, eta_ticks, settings, shade
from collapse.rungs import RUNGS
from collapse.tasks import Recall
from collapse.training.measures import (
    ablated_losses,
    gradient_norms,
    observed_margin,
    rung_losses,
    scaled,
)
from collapse.training.model import WEIGHTS, Model
from collapse.training.run import Trained, held_out

KINDS = (*WEIGHTS,)
SCALE = Axis("scale of the weights η", scale="log")


def gradients(run: Trained, points: int) -> FigureData:
    """Norms of the gradients by layer: at the first weights, scaled, and after training.

    Args:
        run: A run with skips that kept the first weights.
        points: Number of η from 10⁻³ to 0.4 for the first weights, evenly spaced in log η.

    Returns:
        A panel for each of query, key and value: by layer the mean over seeds at the first
        weights scaled to η, and all seeds after training against their bound.

    Source:
        gradient-order
    """
    batch, plan = held_out(run.plan), run.plan
    eta = torch.logspace(-3, math.log10(0.4), points, dtype=torch.float64)
    rows = run.where(skip=1.0)
    largest = max(plan.members[i].eta for i in rows)
    start = run.model(0).members(run.where(eta=largest, skip=1.0))
    first = gradient_norms(_scaled_model(start, eta), batch)
    last = gradient_norms(run.model().members(rows), batch)
    bounds = [plan.members[i].eta for i in rows]
    panels = []
    for kind in KINDS:
        curves: list[Series] = []
        for layer in range(plan.depth):
            mean = first[kind][:, layer].reshape(points, -1).mean(1)
            curves.append(series(f"layer {layer + 1}", eta, mean))
            curves.append(series(f"layer {layer + 1}, trained", bounds, last[kind][:, layer]))
        panels.append(Panel(f"{kind} weights", SCALE, Axis("‖∂L/∂W‖", scale="log"), tuple(curves)))
    parameters = {**settings(run), "depth": plan.depth, "points": points}
    return FigureData("trained-gradients", tuple(panels), parameters)


def _scaled_model(model: Model, eta: torch.Tensor) -> Model:
    """A model for every η: the weights of the stack brought to the largest entry η."""
    largest = torch.stack([getattr(model.network, name).abs().max() for name in WEIGHTS]).max()
    copies = {
        name: getattr(model, name).repeat(len(eta), 1, 1)
        for name in ("embedding", "position", "readout")
    }
    return replace(model, network=scaled(model.network, eta / largest), **copies)


def draw_gradients(axes: Sequence[Axes], data: FigureData) -> None:
    """Lines at the first weights, dots after training, one colour a layer."""
    for panel, ax in zip(data.panels, axes, strict=True):
        for i, curve in enumerate(s for s in panel.series if "trained" not in s.name):
            dots = panel[f"{curve.name}, trained"]
            ax.plot(curve.x, curve.y, color=LAYER[i + 1], lw=1.5, label=curve.name)
            shown = [(x, y) for x, y in zip(dots.x, dots.y, strict=True) if y > 0]
            ax.plot(*zip(*shown, strict=True), "o", ms=2.5, color=LAYER[i + 1], alpha=0.7)
    axes[0].legend(loc="upper left", fontsize=8)
    low = min(min(s.y) for panel in data.panels[:2] for s in panel.series if "t" not in s.name[7:])
    for ax in axes:
        ax.set_ylim(bottom=low / 2)


def decay_and_margin(decayed: Trained, swept: Sequence[Trained]) -> FigureData:
    """Loss against the strength of weight decay, and against the margin to collapse.

    Args:
        decayed: A run with members of several strengths of decay.
        swept: Runs with bounds, shown beside it in the second panel.

    Returns:
        Loss over decay; the largest weight over decay; loss over margin, with the floor.

    Source:
        loss-floor
    """
    plan, task = decayed.plan, decayed.plan.source
    assert isinstance(task, Recall)
    batch = held_out(plan)
    strength = [member.decay for member in plan.members]
    weights = decayed.kept[max(decayed.kept)]
    largest = torch.stack([weights[n].abs().flatten(1).amax(1) for n in WEIGHTS]).amax(0)
    margin = observed_margin(decayed.model(), batch, task.pairs)
    bounded_margin, bounded_loss = [], []
    for run in swept:
        rows = run.where(skip=1.0)
        found = observed_margin(run.model().members(rows), held_out(run.plan), task.pairs)
        bounded_margin += found.tolist()
        bounded_loss += run.final[rows].tolist()
    low = min([*bounded_margin, *margin.tolist()])
    grid = torch.logspace(math.log10(low), math.log10(max(bounded_margin + margin.tolist())), 60)
    positive = [(s, float(w)) for s, w in zip(strength, largest, strict=True) if s > 0]
    panels = (
        Panel("", Axis("weight decay λ"), LOSS, (series("loss", strength, decayed.final),)),
        Panel(
            "",
            Axis("weight decay λ", scale="log"),
            Axis("largest weight", scale="log"),
            (series("largest", *zip(*positive, strict=True)),),
        ),
        Panel(
            "",
            Axis("margin to rung 2", "nats", "log"),
            LOSS,
            (
                series("bounded", bounded_margin, bounded_loss),
                series("decayed", margin, decayed.final),
                series("floor", grid, loss_floor(task.pairs, grid)),
            ),
        ),
    )
    return FigureData("trained-decay", panels, settings(decayed), dtype="float64")


def draw_decay_and_margin(axes: Sequence[Axes], data: FigureData) -> None:
    """Dots for networks; the floor shaded below."""
    loss, weight, margin = data.panels
    axes[0].plot(loss["loss"].x, loss["loss"].y, "o", ms=4, color=COLOURS["red"], mfc="none")
    # Zero belongs on the axis, and the rest spreads over decades.
    axes[0].set_xscale("symlog", linthresh=min(x for x in loss["loss"].x if x > 0))
    axes[0].set_ylim(-0.06, 2.0)
    eta_ticks(axes[0], loss["loss"].x)
    axes[1].plot(weight["largest"].x, weight["largest"].y, "o", ms=4, color=COLOURS["red"],
                 mfc="none")  # fmt: skip
    x = [min(weight["largest"].x), max(weight["largest"].x)]
    axes[1].plot(x, [1 / s for s in x], ":", color=INK, lw=1)
    axes[1].text(x[1], 1.25 / x[1], "1/λ", ha="right", va="bottom")
    floor = margin["floor"]
    axes[2].fill_between(floor.x, floor.y, -0.06, color=COLOURS["sky"], alpha=0.35, lw=0)
    axes[2].plot(floor.x, floor.y, color=COLOURS["blue"], lw=1)
    for name, colour, word in (("bounded", "grey", "bounded by η"), ("decayed", "red", "decay")):
        axes[2].plot(margin[name].x, margin[name].y, "o", ms=3.5, mfc="none",
                     color=COLOURS[colour], label=word)  # fmt: skip
    axes[2].text(floor.x[0] * 1.3, 0.5, "impossible", color=COLOURS["blue"], va="center")
    axes[2].set(ylim=(-0.06, 2.0))
    axes[2].legend(loc="center right")


def layers_removed(runs: Sequence[Trained], etas: Sequence[float]) -> FigureData:
    """Loss with each layer taken out, and with the stack replaced by its rungs.

    Args:
        runs: One run a depth, with skips.
        etas: The bounds of the networks whose layers are taken out.

    Returns:
        For each η a panel over the layer removed (0: none), one series of all seeds a depth; then
        a panel over η for the deepest, a series for the stack and for each rung.

    Source:
        rung-0, rung-1, rung-2, rung-3
    """
    panels = []
    for eta in etas:
        curves = []
        for run in runs:
            rows, batch = run.where(eta=eta, skip=1.0), held_out(run.plan)
            model = run.model().members(rows)
            losses = torch.cat((model.loss(*batch)[:, None], ablated_losses(model, batch)), 1)
            places = torch.arange(run.plan.depth + 1).repeat(len(rows))
            curves.append(series(f"{run.plan.depth}", places, losses.flatten()))
        across = Axis("layer removed (0: none)")
        panels.append(Panel(f"η = {eta:g}", across, LOSS, tuple(curves)))
    deepest = runs[-1]
    rows, batch = deepest.where(skip=1.0), held_out(deepest.plan)
    model = deepest.model().members(rows)
    bounds = [deepest.plan.members[i].eta for i in rows]
    losses = rung_losses(model, batch)
    curves = [series("stack", bounds, model.loss(*batch))]
    curves += [series(f"rung {rung}", bounds, losses[:, rung]) for rung in RUNGS]
    title = f"one layer in place of {deepest.plan.depth}"
    panels.append(Panel(title, ETA, LOSS, tuple(curves)))
    parameters = {**settings(deepest), "etas": list(etas)}
    return FigureData("trained-ablation", tuple(panels), parameters)


def draw_layers_removed(axes: Sequence[Axes], data: FigureData) -> None:
    """Dots for all seeds; in the last panel a marker for the stack and for each rung."""
    *removed, replaced = data.panels
    for panel, ax in zip(removed, axes, strict=False):
        for i, curve in enumerate(panel.series):
            x = [place + 0.09 * (i - 1.5) for place in curve.x]
            ax.plot(x, curve.y, "o", ms=3.5, color=shade(i, len(panel.series)),
                    label=f"L = {curve.name}")  # fmt: skip
        ax.set_xticks(sorted({place for curve in panel.series for place in curve.x}))
    axes[0].legend(fontsize=8)
    looks = ((INK, "o"), (COLOURS["grey"], "v"), (COLOURS["orange"], "s"), (COLOURS["blue"], "D"),
             (COLOURS["red"], "x"))  # fmt: skip
    ax = axes[len(removed)]
    for curve, (colour, marker) in zip(replaced.series, looks, strict=True):
        ax.plot(curve.x, curve.y, marker, ms=4.5, mfc="none", color=colour, label=curve.name)
    eta_ticks(ax, replaced.series[0].x)
    ax.legend(fontsize=8)
