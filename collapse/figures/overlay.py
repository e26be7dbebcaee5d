"""The picture of a figure's change: what was expected, and what the run has found."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.pyplot import close

from collapse.figures.contract import Comparison, Leaf, leaves
from collapse.figures.style import COLOURS, canvas, use
from collapse.figures.tolerances import Values

MOST, COLUMNS = 12, 2


def draw(found: Comparison, old: dict[str, Any], new: dict[str, Any], target: Path) -> list[str]:
    """Write old and new over each other, a panel for each list of numbers that differs.

    Args:
        found: What differs.
        old: The expectation.
        new: The run's data.
        target: The PNG to write; none is written where no numbers differ.

    Returns:
        The places drawn, at most ``MOST``.
    """
    before, now = dict(leaves(old)), dict(leaves(new))
    places = [d.place.partition("[")[0] if d.place not in before | now else d.place
              for d in found.differences]  # fmt: skip
    drawn = [p for p in dict.fromkeys(places) if _drawable(before.get(p), now.get(p))][:MOST]
    if not drawn:
        return []
    matplotlib.use("Agg")
    use()
    figure, axes = canvas(len(drawn), 2.6, min(COLUMNS, len(drawn)))
    figure.set_size_inches(5 * min(COLUMNS, len(drawn)), 2.8 * math.ceil(len(drawn) / COLUMNS))
    for ax, place in zip(axes, drawn, strict=True):
        _lines(ax, place, before, now)
        _scales(ax, place, before | now)
        ax.set_title(place, fontsize=8)
    axes[0].legend()
    figure.suptitle(f"{found.label}: expected and found")
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, facecolor="white", dpi=110)
    close(figure)
    return drawn


def _drawable(*sides: Leaf | None) -> bool:
    return any(isinstance(side, np.ndarray) and side.size for side in sides)


def _lines(ax: Axes, place: str, before: dict[str, Leaf], now: dict[str, Leaf]) -> None:
    marks: dict[str, tuple[dict[str, Leaf], str, Any]] = {
        "expected": (before, COLOURS["grey"], "o"),
        "found": (now, COLOURS["red"], "x"),
    }
    for name, (side, colour, mark) in marks.items():
        y = side.get(place)
        if isinstance(y, np.ndarray):
            ax.plot(_across(place, side, y), y.ravel(), mark, color=colour, ms=4, label=name)


def _scales(ax: Axes, place: str, leaves: dict[str, Leaf]) -> None:
    """The names and scales of a curve's axes; a list elsewhere is drawn against its positions."""
    panel, _, rest = place.partition("/series/")
    if not rest.endswith("/y"):
        ax.set_xlabel("position")
        return
    for axis, name, scale in (
        ("x", ax.set_xlabel, ax.set_xscale),
        ("y", ax.set_ylabel, ax.set_yscale),
    ):
        name(str(leaves.get(f"{panel}/{axis}/name", "")))
        scale(str(leaves.get(f"{panel}/{axis}/scale", "linear")))


def _across(place: str, side: dict[str, Leaf], y: Values) -> Values:
    """The x of a curve's y; the position in the list for everything else."""
    stem, _, last = place.rpartition("/")
    x = side.get(f"{stem}/x") if last == "y" else None
    if isinstance(x, np.ndarray) and x.shape == y.shape:
        return x
    return np.arange(y.size, dtype=np.float64)
