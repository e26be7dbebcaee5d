"""The data of a figure, in one schema, and its JSON."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from collapse.numeric import require

SCHEMA = "collapse-figure/1"
Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Axis:
    """What an axis shows, in which unit (empty for a pure number), on which scale."""

    name: str
    unit: str = ""
    scale: Scale = "linear"


@dataclass(frozen=True)
class Series:
    """One curve or set of points, or with z a grid of values over x (columns) and y (rows)."""

    name: str
    x: list[float]
    y: list[float]
    z: list[list[float]] | None = None


@dataclass(frozen=True)
class Panel:
    """One pair of axes and what is drawn on them."""

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]

    def __getitem__(self, name: str) -> Series:
        """The series of that name."""
        names = [series.name for series in self.series]
        require(name in names, "series", f"one of {names}", name)
        return self.series[names.index(name)]


@dataclass(frozen=True)
class FigureData:
    """Everything a figure shows, and how it was made.

    Attributes:
        label: Name of the figure, unique in the book; also the name of its JSON file.
        panels: The axes, from left to right or top to bottom.
        parameters: The settings that made the data.
        seed: Seed of the generator, or None where nothing was random.
        device: Device of the computation.
        dtype: Number type of the computation.

    >>> panel = Panel("", Axis("x"), Axis("y"), (series("line", [0, 1], [0, 1]),))
    >>> FigureData("demo", (panel,)).to_json()["schema"]
    'collapse-figure/1'
    """

    label: str
    panels: tuple[Panel, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    device: str = "cpu"
    dtype: str = "float64"

    def to_json(self) -> dict[str, Any]:
        """The figure as plain JSON values, with the versions that made it."""
        versions = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        }
        return {"schema": SCHEMA, **asdict(self), "versions": versions}

    def write(self, folder: str | Path, drawn_by: dict[str, Any] | None = None) -> Path:
        """Write the JSON to folder/label.json, refusing NaN and infinity.

        Args:
            folder: Where to.
            drawn_by: Module, function, height and columns with which it is drawn, for a reader
                that draws it again.
        """
        path = Path(folder) / f"{self.label}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        found = self.to_json() | ({"drawn_by": drawn_by} if drawn_by else {})
        path.write_text(json.dumps(found, allow_nan=False, indent=1) + "\n")
        return path


def series(name: str, x: Any, y: Any, z: Any = None) -> Series:
    """A Series from tensors, arrays or lists.

    >>> series("points", torch.tensor([1.0, 2.0]), [3, 4]).x
    [1.0, 2.0]
    """
    across, up = (_numbers(v) for v in (x, y))
    require(across.ndim == up.ndim == 1, name, "one-dimensional x and y", (across, up))
    if z is None:
        require(len(across) == len(up), name, "x and y of equal length", (across, up))
        return Series(name, across.tolist(), up.tolist())
    grid = _numbers(z)
    shape = (len(up), len(across))
    require(tuple(grid.shape) == shape, name, f"z of shape {shape}", tuple(grid.shape))
    return Series(name, across.tolist(), up.tolist(), grid.tolist())


def _numbers(values: Any) -> torch.Tensor:
    # The dtype is asked for at once: a list of floats would pass through float32 otherwise.
    return torch.as_tensor(values, dtype=torch.float64).cpu()
