"""The report as one figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from collapse.inspection.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, INK = "#0072B2", "#D55E00", "#009E73", "#1b1b1b"


def draw_report(report: Report) -> Figure:
    """Four panels: oscillations, contraction, the stream, and what substitutes change."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 6.8), layout="constrained")
    axes = figure.subplots(2, 2)
    for ax, draw in zip(axes.flat, (_oscillations, _contraction, _stream, _changes), strict=True):
        draw(ax, report)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=8.5)
    for ax in axes.flat[:3]:
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


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
    need = [h.threshold for h in report.heads if h.threshold is not None]
    if need:
        ax.axhline(sorted(need)[len(need) // 2], color=INK, ls="--", lw=1, label="log(m − 1)")
    _name(ax, "Do rows of logits reach the threshold?", "layer", "oscillation θ")
    if min(low) > 0:
        ax.set_yscale("log")


def _contraction(ax: Any, report: Report) -> None:
    layers = range(len(report.layers))
    for p, colour in ((1, BLUE), (2, ORANGE)):
        bound = [layer.contraction[p] for layer in report.layers]
        actual = [layer.measured[p] for layer in report.layers]
        ax.plot(layers, bound, "--o", ms=3, color=colour, lw=1.2, label=f"bound K, p = {p}")
        ax.plot(layers, actual, "-o", ms=3, color=colour, label=f"measured, p = {p}")
    ax.axhline(1, color=INK, lw=0.8, ls=":")
    if min(layer.measured[p] for layer in report.layers for p in (1, 2)) > 0:
        ax.set_yscale("log")
    _name(ax, "By what factor does attention scale distances?", "layer", "factor")


def _stream(ax: Any, report: Report) -> None:
    depth = range(len(report.layers) + 1)
    diameters = [*(layer.diameter[2] for layer in report.layers), report.final["diameter_2"]]
    sizes = [*(layer.size for layer in report.layers), report.final["size"]]
    ax.plot(depth, diameters, "-o", ms=3, color=BLUE, label="diam₂ of the stream")
    ax.plot(depth, sizes, "--", color=INK, lw=1.2, label="longest token")
    shares = [layer.share * layer.size for layer in report.layers]
    ax.plot(depth[:-1], shares, "s", ms=4, color=GREEN, label="written by attention (share × size)")
    _name(ax, "Do tokens stay apart?", "layer (last: behind the stack)", "length")
    ax.set_ylim(bottom=0)


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
    ax.set_ylim(0, 1.6 * max(report.removed, report.averaged, report.first_input, *alone, 1e-12))


def _name(ax: Any, title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left", fontsize=10.5)
    ax.set(xlabel=x, ylabel=y)
