"""The report as one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from collapse.inspection.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, INK = "#0072B2", "#D55E00", "#009E73", "#1b1b1b"


def draw_report(report: Report) -> Figure:
    """Four panels: oscillations, contraction, the stream, and what substitutes change."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9.6, 6.8), layout="constrained")
    axes = figure.subplots(2, 2)
    for ax, draw in zip(axes.flat, (_oscillations, _contraction, _stream, _changes), strict=True):
        draw(ax, report)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=8.5)
    for ax in axes.flat:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for ax in axes.flat[[0, 1, 3]]:
        ax.set_xlim(-0.6, len(report.layers) - 0.4)
    return figure


def _scale(ax: Any, values: Sequence[float], logarithmic: bool) -> None:
    """Limits with room for the legend, and a logarithmic axis where it is wanted or needed.

    Args:
        ax: The panel.
        values: What it shows, all ≥ 0.
        logarithmic: Whether it is wanted if nothing is 0. Three decades need it anyhow.
    """
    positive = [value for value in values if value > 0]
    low, high = min(positive, default=1.0), max(positive, default=1.0)
    zeros = len(positive) < len(values)
    if high <= 1000 * low and (zeros or not logarithmic):
        ax.set_ylim(0, 1.65 * high)
        return
    reach = max(high / low, 2.0)
    ax.set_yscale("log")
    ax.set_ylim(low / reach**0.1, high * reach**0.6)
    if zeros:
        ax.set_ylabel(f"{ax.get_ylabel()} (0 lies below the axis)")


def _oscillations(ax: Any, report: Report) -> None:
    xs: list[float] = []
    low: list[float] = []
    middle: list[float] = []
    high: list[float] = []
    for head in report.heads:
        count = len(report.layers[head.layer].heads)
        xs.append(head.layer + 0.6 * ((head.head + 0.5) / count - 0.5))
        for values, value in zip((low, middle, high), head.oscillation, strict=True):
            values.append(value)
    ax.vlines(xs, low, high, color=BLUE, alpha=0.35, lw=1.2)
    ax.plot(xs, middle, "o", ms=3, color=BLUE, label="a head: median, 5% to 95%")
    asked = sorted(h.threshold for h in report.heads if h.threshold is not None)
    need = asked[len(asked) // 2 :][:1]
    for level in need:
        ax.axhline(level, color=INK, ls="--", lw=1, label="log(m − 1)")
    _name(ax, "Do rows of logits reach the threshold?", "layer", "oscillation θ")
    _scale(ax, [*low, *middle, *high, *need], logarithmic=True)


def _contraction(ax: Any, report: Report) -> None:
    layers = range(len(report.layers))
    for p, colour in ((1, BLUE), (2, ORANGE)):
        bound = [layer.contraction[p] for layer in report.layers]
        actual = [layer.measured[p] for layer in report.layers]
        ax.plot(layers, bound, "--o", ms=3, color=colour, lw=1.2, label=f"bound K, p = {p}")
        ax.plot(layers, actual, "-o", ms=3, color=colour, label=f"measured, p = {p}")
    ax.axhline(1, color=INK, lw=0.8, ls=":")
    shown = [each[p] for x in report.layers for each in (x.contraction, x.measured) for p in (1, 2)]
    _name(ax, "By what factor does attention scale distances?", "layer", "factor")
    _scale(ax, [*shown, 1.0], logarithmic=True)


def _stream(ax: Any, report: Report) -> None:
    depth = range(len(report.layers) + 1)
    diameters = [*(layer.diameter[2] for layer in report.layers), report.final["diameter_2"]]
    sizes = [*(layer.size for layer in report.layers), report.final["size"]]
    ax.plot(depth, diameters, "-o", ms=3, color=BLUE, label="diam₂ of the stream")
    ax.plot(depth, sizes, "--", color=INK, lw=1.2, label="longest token")
    shares = [layer.share * layer.size for layer in report.layers]
    ax.plot(depth[:-1], shares, "s", ms=4, color=GREEN, label="written by attention (share × size)")
    _name(ax, "Do tokens stay apart?", "layer (last: behind the stack)", "length")
    _scale(ax, [*diameters, *sizes, *shares], logarithmic=False)


def _changes(ax: Any, report: Report) -> None:
    layers = range(len(report.layers))
    alone = [layer.averaged for layer in report.layers]
    ax.bar(layers, alone, color=BLUE, alpha=0.75, label="averages in this layer alone")
    for value, colour, style, name in (
        (report.removed, INK, ":", "no attention at all"),
        (report.averaged, BLUE, "-", "averages everywhere (rung 2)"),
        (report.first_input, ORANGE, "--", "first input everywhere (rung 1)"),
    ):
        ax.axhline(value, color=colour, ls=style, lw=1.4, label=name)
    _name(ax, "How much do substitutes change the outputs?", "layer", "relative change")
    shown = [report.removed, report.averaged, report.first_input, *alone]
    _scale(ax, shown, logarithmic=False)


def _name(ax: Any, title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left", fontsize=10.5)
    ax.set(xlabel=x, ylabel=y)
