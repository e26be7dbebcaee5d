"""One look for every figure: colours, type, size, and how a figure is shown and published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from collapse.figures.data import FigureData

# Okabe and Ito's palette, distinguishable with any colour vision; ink for the text.
INK = "#1b1b1b"
COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#7a7a7a",
}
WIDTH = 5.4  # inches: at phone width, ten-point type is still about nine pixels high

_RC: Any = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.prop_cycle": cycler(color=list(COLOURS.values())),
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#9a9a9a",
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "collapse",  # the same data gives the same file
}


def use(title: str | None = None) -> None:
    """Set the look, and in a notebook SVG output with a title and without a date."""
    plt.rcParams.update(_RC)
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:
        return
    if get_ipython() is not None:
        set_matplotlib_formats("svg", metadata={"Date": None, "Title": title})


def canvas(panels: int, height: float, columns: int = 1) -> tuple[Figure, Sequence[Axes]]:
    """A figure of the common width with its axes, row by row; height in inches a row."""
    rows = -(-panels // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(WIDTH, height * rows), layout="constrained", squeeze=False
    )
    axes = list(grid.flat)
    for spare in axes[panels:]:
        spare.remove()
    return figure, axes[:panels]


def show(
    data: FigureData,
    draw: Callable[[Sequence[Axes], FigureData], None],
    folder: str | Path,
    height: float = 3.4,
    columns: int = 1,
) -> None:
    """Draw a figure, write its data to folder/label.json, and show it.

    Each panel gets its title, axis names and scales from the data; ``draw`` adds the rest.  The
    picture carries the label as its title, by which its page finds the data.

    Args:
        data: What to draw.
        draw: Puts the panels' series on the axes, one Axes a panel.
        folder: Where the JSON goes.
        height: Inches a row of panels.
        columns: Panels a row.
    """
    paint(data, draw, height, columns)
    by = {"module": draw.__module__, "function": draw.__name__}
    data.write(folder, by | {"height": height, "columns": columns})
    plt.show()


def paint(
    data: FigureData,
    draw: Callable[[Sequence[Axes], FigureData], None],
    height: float,
    columns: int,
) -> Figure:
    """The figure itself; arguments as for :func:`show`."""
    use(data.label)
    figure, axes = canvas(len(data.panels), height, columns)
    for ax, panel in zip(axes, data.panels, strict=True):
        ax.set(title=panel.title, xscale=panel.x.scale, yscale=panel.y.scale)
        for axis, setter in ((panel.x, ax.set_xlabel), (panel.y, ax.set_ylabel)):
            setter(f"{axis.name} [{axis.unit}]" if axis.unit else axis.name)
    draw(axes, data)
    return figure
