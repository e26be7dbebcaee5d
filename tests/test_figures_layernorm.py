"""The data behind chapter 8's figures on normalised rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import pytest
from drawing import draw_and_write

from collapse.bounds.equilibria import two_token_multipliers
from collapse.figures import equilibria, layernorm, variants
from collapse.figures.data import FigureData

FIGURES: dict[str, tuple[Callable[[], FigureData], Any, float]] = {
    "layernorm-decay": (
        lambda: layernorm.decay(60, 4, 4, 3, 0.25, 0),
        layernorm.draw_decay,
        3.0,
    ),
    "layernorm-threshold": (
        lambda: layernorm.threshold(20, 1.0, 300),
        layernorm.draw_threshold,
        3.4,
    ),
    "layernorm-orders": (lambda: layernorm.orders(9, 2, 2, 0), layernorm.draw_orders, 2.9),
    "layernorm-spectrum": (
        lambda: equilibria.spectrum((2, 3, 4), 1, 5),
        equilibria.draw_spectrum,
        2.6,
    ),
    "layernorm-basins": (lambda: equilibria.basins(16, 24, 200), equilibria.draw_basins, 3.2),
}


@pytest.fixture(scope="module")
def data() -> dict[str, FigureData]:
    return {name: make() for name, (make, _, _) in FIGURES.items()}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_draws_and_writes_its_data(
    name: str, data: dict[str, FigureData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, draw, height = FIGURES[name]
    written = draw_and_write(data[name], draw, height, tmp_path, monkeypatch)
    assert written["schema"] == "collapse-figure/1" and written["parameters"]


@pytest.mark.parametrize("name", FIGURES)
def test_figure_data_is_reproducible(name: str, data: dict[str, FigureData]) -> None:
    assert FIGURES[name][0]() == data[name]


@pytest.mark.label("ln-orthogonal")
@pytest.mark.label("ln-contraction")
def test_every_measured_diameter_lies_below_its_bounds(data: dict[str, FigureData]) -> None:
    masked, free = data["layernorm-decay"].panels
    for name in ("causal", "window"):
        pairs = zip(masked[name].y, masked[f"{name}, bound"].y, strict=True)
        assert all(found <= bound + 1e-12 for found, bound in pairs)
        assert masked[name].y[40] < -9
    found, ahead, wide = (curve.y for curve in free.series)
    assert all(f <= a + 1e-12 for f, a in zip(found, ahead, strict=True))
    assert found[-1] / found[-2] == pytest.approx(3, abs=0.3) and wide[-1] > ahead[-1]


@pytest.mark.label("ln-contraction")
def test_the_factor_tells_which_tokens_meet(data: dict[str, FigureData]) -> None:
    grid = data["layernorm-threshold"].panels[0]["apart"]
    assert grid.z is not None
    seen = set()
    for angle, row in zip(grid.y, grid.z, strict=True):
        for condition, apart in zip(grid.x, row, strict=True):
            factor = condition * math.tanh(math.sin(math.radians(angle)) ** 2)
            assert bool(apart) == (factor > 1)
            seen.add(apart)
    assert seen == {0.0, 1.0}
    product, diameters = layernorm.survivors(100, 200, 3, 2, 0)
    assert (diameters[product < 1] < 1e-12).all() and (product > 1).any()


@pytest.mark.label("preln-collapse")
@pytest.mark.label("postln-collapse")
@pytest.mark.label("postln-floor")
def test_slopes_one_two_three_and_a_floor(data: dict[str, FigureData]) -> None:
    for panel in data["layernorm-orders"].panels:
        names = (layernorm.TOKENS, layernorm.ONE_LAYER, layernorm.AVERAGES, layernorm.BOUND)
        orders = [variants.order(panel[name]) for name in names]
        assert orders == pytest.approx([1, 2, 3, 2], abs=0.02)
        pairs = zip(panel[layernorm.ONE_LAYER].y, panel[layernorm.BOUND].y, strict=True)
        assert all(error <= bound for error, bound in pairs)
    causal = data["layernorm-orders"].panels[2]
    pairs = zip(causal["floor"].y, causal[layernorm.ONE_LAYER].y, strict=True)
    assert all(low <= error for low, error in pairs)
    assert variants.order(causal["floor"]) == pytest.approx(2, abs=0.02)


@pytest.mark.label("ln-equilibria")
def test_circles_lie_on_the_line_above_one(data: dict[str, FigureData]) -> None:
    for panel in data["layernorm-spectrum"].panels:
        closed, found = panel[equilibria.RADIUS].y, panel[equilibria.MEASURED].y
        assert found == pytest.approx(closed, rel=1e-9)
        assert min(panel[equilibria.SYMMETRIC].y) > 1


@pytest.mark.label("ln-two-token")
def test_the_grid_changes_colour_at_the_edges(data: dict[str, FigureData]) -> None:
    for panel in data["layernorm-basins"].panels:
        grid, low, high = (panel[name] for name in ("limit", "lower edge", "upper edge"))
        assert grid.z is not None
        edges = dict(zip(low.x, zip(low.y, high.y, strict=True), strict=True))
        for angle, row in zip(grid.y, grid.z, strict=True):
            for x, limit in zip(grid.x, row, strict=True):
                bottom, top = edges.get(x, (0.0, 0.0))
                assert (limit == 1) == (bottom < angle < top)
        assert 0 < sum(row.count(1) for row in grid.z) < len(grid.x) * len(grid.y) / 2


@pytest.mark.label("ln-two-token")
def test_measured_multipliers_are_the_closed_ones() -> None:
    w = 1.7
    height = math.sqrt(1 - 1 / w**2)
    points = {"top": (0.0, 1.0), "second": (-1 / w, -height), "repeller": (-1 / w, height)}
    for name, closed in two_token_multipliers(w).items():
        assert equilibria.stretch(w, points[name]) == pytest.approx(closed, rel=1e-12)
