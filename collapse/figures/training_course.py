"""The figures on the course of training: residuals and rungs by step, first weights compared."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.axes import Axes

from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS, INK
from collapse.figures.training import LAYER, LOSS, losses_to_the_end, plain_ticks, settings
from collapse.rungs import RUNGS
from collapse.training.measures import layer_measures, rung_errors
from collapse.training.run import Trained, held_out

STEP = Axis("step", scale="log")
TOKENS = 50  # held-out sequences on which layers are measured


def steps_of(run: Trained) -> list[int]:
    """The steps at which a run kept its weights, without the one before the first."""
    return [step for step in sorted(run.kept) if step > 0]


def residual_tracking(run: Trained, etas: Sequence[float]) -> FigureData:
    """Residuals, contraction factors and rung errors through training.

    Args:
        run: A run with skips that kept its weights at several steps.
        etas: The bounds to show, one a column.

    Returns:
        Panels row by row: ρ(X_ℓ), K_ℓ, relative error of the rungs. The series of a layer or rung
        is the mean over seeds, with the least and the largest beside it.

    Source:
        contraction, rung-2, rung-3
    """
    tokens, steps = held_out(run.plan).tokens[:TOKENS], steps_of(run)
    rows = {eta: run.where(eta=eta, skip=1.0) for eta in etas}
    traced: dict[str, dict[float, list[torch.Tensor]]] = {
        name: {eta: [] for eta in etas} for name in ("residual", "contraction", "rungs")
    }
    for step in steps:
        for eta in etas:
            model = run.model(step).members(rows[eta])
            measures = layer_measures(model, tokens)
            traced["residual"][eta].append(measures.residual)
            traced["contraction"][eta].append(measures.contraction)
            traced["rungs"][eta].append(rung_errors(model, tokens))
    axes = {
        "residual": (Axis("ρ(X$_ℓ$)", scale="log"), range(run.plan.depth + 1), "layer"),
        "contraction": (Axis("factor K$_ℓ$", scale="log"), range(1, run.plan.depth + 1), "layer"),
        "rungs": (Axis("relative error", scale="log"), RUNGS, "rung"),
    }
    panels = []
    for name, (axis, indices, word) in axes.items():
        for eta in etas:
            values = torch.stack(traced[name][eta])  # (steps, seeds, layers or rungs)
            curves: list[Series] = []
            for j, index in enumerate(indices):
                curves += spread(f"{word} {index}", steps, values[:, :, j])
            title = f"η = {eta:g}" if name == "residual" else ""
            panels.append(Panel(title, STEP, axis, tuple(curves)))
    parameters = {**settings(run), "depth": run.plan.depth, "etas": list(etas)}
    return FigureData("trained-residuals", tuple(panels), parameters, dtype="float64")


def spread(name: str, x: Sequence[float], values: torch.Tensor) -> list[Series]:
    """Mean, least and largest over the second dimension, as three series."""
    parts = {"": values.mean(1), ", least": values.amin(1), ", largest": values.amax(1)}
    return [series(name + suffix, x, part) for suffix, part in parts.items()]


def draw_residual_tracking(axes: Sequence[Axes], data: FigureData) -> None:
    """One colour a layer or rung, the range over seeds shaded; equal scales in a row."""
    for row in range(3):
        pair = list(zip(data.panels, axes, strict=True))[2 * row : 2 * row + 2]
        for panel, ax in pair:
            names = [s.name for s in panel.series if "," not in s.name]
            for i, name in enumerate(names):
                layer = i if row != 1 else i + 1
                draw_spread(ax, panel, name, LAYER[layer % len(LAYER)], name)
        low = min(ax.get_ylim()[0] for _, ax in pair)
        high = max(ax.get_ylim()[1] for _, ax in pair)
        for _, ax in pair:
            ax.set_ylim(low, high)
            plain_ticks(ax)
        pair[1][1].set_ylabel("")
    for ax in axes[2:4]:
        ax.axhline(1, color=INK, lw=0.8, ls=":")
    axes[0].legend(loc="upper left", fontsize=7.5)
    axes[5].legend(loc="lower right", fontsize=7.5)


def draw_spread(ax: Axes, panel: Panel, name: str, colour: str, label: str) -> None:
    """A mean as a line over the shaded range."""
    low, high = (panel[f"{name}, {word}"].y for word in ("least", "largest"))
    ax.fill_between(panel[name].x, low, high, color=colour, alpha=0.2, lw=0)
    ax.plot(panel[name].x, panel[name].y, color=colour, lw=1.5, label=label)


def inits_compared(run: Trained) -> FigureData:
    """Loss, residual and rung error by step for each way to draw the first weights.

    Args:
        run: A run with members of several inits that kept its weights at several steps.

    Returns:
        Three panels over the step; the series of an init is the mean over seeds, with the least
        and the largest beside it.

    Source:
        rung-3
    """
    tokens, steps = held_out(run.plan).tokens[:TOKENS], steps_of(run)
    names = list(dict.fromkeys(member.init for member in run.plan.members))
    models = {step: run.model(step) for step in steps}
    residual = torch.stack([layer_measures(m, tokens).residual[:, -1] for m in models.values()])
    error = torch.stack([rung_errors(m, tokens)[:, 3] for m in models.values()])
    looks, losses = losses_to_the_end(run)

    def curves(x: Sequence[float], values: torch.Tensor) -> tuple[Series, ...]:
        each = [spread(name, x, values[:, run.where(init=name)]) for name in names]
        return tuple(part for parts in each for part in parts)

    panels = (
        Panel("", STEP, LOSS, curves(looks[1:], losses[1:])),  # the first is at step 0
        Panel("", STEP, Axis("ρ(X$_L$)", scale="log"), curves(steps, residual)),
        Panel("", STEP, Axis("error of rung 3 ÷ ‖S(X)‖", scale="log"), curves(steps, error)),
    )
    return FigureData("trained-inits", panels, settings(run), dtype="float64")


def draw_inits_compared(axes: Sequence[Axes], data: FigureData) -> None:
    """One colour an init, the range over seeds shaded."""
    for panel, ax in zip(data.panels, axes, strict=True):
        names = [s.name for s in panel.series if "," not in s.name]
        for name, colour in zip(names, ("blue", "green", "red"), strict=False):
            draw_spread(ax, panel, name, COLOURS[colour], name)
    axes[0].legend(loc="lower left")
    axes[0].set_ylim(bottom=-0.1)
    for ax in axes[1:]:
        plain_ticks(ax)
