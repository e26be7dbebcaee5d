"""The picture of the preface and the README: the errors of the four rungs, as the run has them.

    python -m collapse.figures.picture _build/figures/04-orders/orders-ladder.json ladder.svg

The file is committed.  It carries the numbers that it shows, so that a test can tell when the run
has moved on: ``make picture`` then draws it anew.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from collapse.figures.style import COLOURS, canvas, use

LINES = {
    "rung 0": ("orange", "no head: η"),
    "rung 1": ("red", "all heads: η²"),
    "rung 2": ("green", "one head: η³"),
    "rung 3": ("blue", "all heads: η⁴"),
}
SMALLEST = 1e-4  # small enough for the slopes to be plain


def shown(data: dict[str, Any]) -> dict[str, list[list[float]]]:
    """The points of the picture, by rung: η and error, to four digits.

    Args:
        data: The JSON of the figure ``orders-ladder``.

    Returns:
        For each rung the list of η and the list of errors, η ≥ 1e-4.

    >>> line = {"name": "rung 0", "x": [1e-8, 0.1], "y": [1e-8, 0.1]}
    >>> lines = [line | {"name": name} for name in LINES]
    >>> shown({"panels": [{"series": lines}]})["rung 3"]
    [[0.1], [0.1]]
    """
    (panel,) = data["panels"]
    found = {}
    for line in panel["series"]:
        if line["name"] in LINES:
            points = [(x, y) for x, y in zip(line["x"], line["y"], strict=True)
                      if x >= SMALLEST * (1 - 1e-9)]  # fmt: skip
            rows = zip(*points, strict=True)
            found[line["name"]] = [[float(f"{v:.4g}") for v in row] for row in rows]
    return {name: found[name] for name in LINES}


def _draw_ladder(ax: Axes, points: dict[str, list[list[float]]]) -> None:
    for name, (etas, errors) in points.items():
        colour, label = LINES[name]
        ax.loglog(etas, errors, "o-", color=COLOURS[colour], lw=1.4, ms=3.6)
        ax.annotate(
            f"{name}\n{label}", (etas[0], errors[0]), (-7, 0),
            textcoords="offset points", ha="right", va="center", linespacing=1.25,
        )  # fmt: skip
    ax.minorticks_off()
    ax.set(xlabel="size of the weights η", ylabel="error of the single layer", xlim=(4e-6, 2),
           ylim=(1e-18, 3e1))  # fmt: skip
    ax.set_xticks([10.0**k for k in range(-4, 1)])


def draw(data: dict[str, Any], target: Path) -> None:
    """Draw the picture as SVG; equal data give equal files."""
    use()
    figure, (ax,) = canvas(1, 3.3)
    figure.set_facecolor("white")  # a README may be read on dark ground, and has no filter
    points = shown(data)
    _draw_ladder(ax, points)
    meta = {"Date": None, "Title": "The ladder", "Description": json.dumps(points)}
    figure.savefig(target, metadata=meta, facecolor="white")
    plt.close(figure)


def draw_preview(data: dict[str, Any], target: Path) -> None:
    """Draw the picture as PNG of 1200 by 630 pixels, for links that are shared."""
    use()
    figure, ax = plt.subplots(figsize=(6, 3.15), layout="constrained", facecolor="white")
    ax.set_title("Deep attention with small weights is almost one layer", loc="left")
    _draw_ladder(ax, shown(data))
    figure.savefig(target, dpi=200, facecolor="white", bbox_inches=None)
    plt.close(figure)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text("utf-8")), Path(sys.argv[2]))
