"""Any figure of the book again, from the data that its run has written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from collapse.figures.data import SCHEMA, Axis, FigureData, Panel, Series
from collapse.figures.style import paint
from collapse.numeric import require


def read(path: str | Path) -> tuple[FigureData, dict[str, Any]]:
    """A figure's data, and by whom it was drawn.

    Args:
        path: A file that :func:`~collapse.figures.style.show` has written.

    Returns:
        The data, and the entry ``drawn_by``: module, function, height and columns.

    Raises:
        ValueError: If the file holds something else.
    """
    try:
        found = json.loads(Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"figure: expected JSON in {path}, received {error}") from None
    known = isinstance(found, dict) and found.get("schema") == SCHEMA
    require(known, "figure", f"data of schema {SCHEMA}", path)
    require("drawn_by" in found, "figure", "data that name who draws them", path)
    fields = ("label", "parameters", "seed", "device", "dtype")
    try:
        panels = tuple(
            Panel(
                panel["title"],
                Axis(**panel["x"]),
                Axis(**panel["y"]),
                tuple(Series(**line) for line in panel["series"]),
            )
            for panel in found["panels"]
        )
        data = FigureData(panels=panels, **{name: found[name] for name in fields})
        by = {name: found["drawn_by"][name] for name in ("module", "function", "height", "columns")}
    except (KeyError, TypeError) as error:
        raise ValueError(f"figure: expected a whole figure in {path}: {error!r}") from None
    return data, by


def redraw(path: str | Path, out: str | Path) -> FigureData:
    """Draw a figure from its data into a file, SVG, PDF or PNG by its ending.

    Args:
        path: The figure's JSON.
        out: The file to write.

    Returns:
        The data.

    Raises:
        ValueError: If the JSON is no figure of this package.
    """
    import matplotlib

    matplotlib.use("Agg")
    data, by = read(path)
    figure = paint(data, _drawer(by), by["height"], by["columns"])
    undated = {"Date": None} if Path(out).suffix == ".svg" else None
    figure.savefig(out, facecolor="white", dpi=200, metadata=undated)
    import matplotlib.pyplot as plt

    plt.close(figure)
    return data


def _drawer(by: dict[str, Any]) -> Callable[[Sequence[Any], FigureData], None]:
    """The function that draws; only those of this package are called."""
    module, name = str(by.get("module")), str(by.get("function"))
    ours = module.startswith("collapse.figures.") and name.startswith("draw")
    require(ours, "figure", "data drawn by a function of collapse.figures", f"{module}.{name}")
    function = getattr(import_module(module), name, None)
    require(callable(function), "figure", f"a function {name} in {module}", function)
    assert function is not None
    found: Callable[[Sequence[Any], FigureData], None] = function
    return found
