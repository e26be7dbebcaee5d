"""No legend lies on the lines and marks of its figure, drawn from the data of the built book."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from collapse.figures.gallery import read
from collapse.figures.style import paint

OVER = 2  # pixels: the frame of a legend that has none


def covered(ax: Axes) -> int:
    """How many lines, or rows of marks, of a panel its legend lies on."""
    legend = ax.get_legend()
    if legend is None:
        return 0
    box = legend.get_window_extent().padded(-OVER)
    hits = 0
    for line in ax.lines:
        path = line.get_path().transformed(line.get_transform())
        drawn = line.get_linestyle() != "None" and path.intersects_bbox(box, filled=False)
        marked = line.get_marker() not in {"None", None, ""}
        hits += drawn or (marked and any(box.contains(x, y) for x, y in np.asarray(path.vertices)))
    return hits


@pytest.mark.book
def test_legends_leave_the_data_free(html: Path) -> None:
    found = {}
    paths = sorted((html / "figures").glob("*/*.json"))
    assert paths
    for path in paths:
        data, by = read(path)
        draw = getattr(import_module(by["module"]), by["function"])
        figure = paint(data, draw, by["height"], by["columns"])
        figure.canvas.draw()
        found[path.stem] = [covered(ax) for ax in figure.axes]
        plt.close(figure)
    assert {name: counts for name, counts in found.items() if any(counts)} == {}


@pytest.mark.parametrize("look", ["-", "o"])
@pytest.mark.parametrize(("middle", "hits"), [(1, 1), (0, 0)])
def test_a_legend_on_a_line_or_mark_is_noticed(look: str, middle: int, hits: int) -> None:
    figure, ax = plt.subplots()
    ax.plot([0, 1, 2], [0, middle, 0], look, label="words")
    ax.set_ylim(-1, 3)
    ax.legend(loc="center")
    figure.canvas.draw()
    assert covered(ax) == hits
    plt.close(figure)
