"""Drawing a figure as a page does, and what every drawn figure must satisfy."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text

from collapse.figures import style
from collapse.figures.data import FigureData


def draw_and_write(
    data: FigureData, draw: Any, height: float, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Show a figure, check that no two of its texts overlap, and return what was written."""
    drawn: list[Any] = []
    monkeypatch.setattr(style.plt, "show", lambda: drawn.append(style.plt.gcf()))
    style.show(data, draw, folder, height)
    (figure,) = drawn
    figure.canvas.draw()
    for ax in figure.axes:
        for one, other in itertools.combinations(map(Text.get_window_extent, ax.texts), 2):
            assert not one.overlaps(other)
    style.plt.close(figure)
    written: dict[str, Any] = json.loads((folder / f"{data.label}.json").read_text())
    assert written["label"] == data.label
    return written
