"""The data behind chapter 5's figures: complete, reproducible, and saying what the captions say."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import pytest
from matplotlib.axes import Axes

from collapse.figures import skips, survival, variants
from collapse.figures.data import FigureData
from collapse.figures.style import show

Draw = Callable[[Sequence[Axes], FigureData], None]
FIGURES: dict[str, tuple[Callable[[], FigureData], Draw]] = {
    "skips-what-moves": (lambda: skips.what_moves(13, 0), skips.draw_what_moves),
    "skips-lipschitz": (
        lambda: skips.lipschitz_slack(4, 3, 2, 100, 12, 300, 0),
        skips.draw_lipschitz,
    ),
    "skips-width": (
        lambda: skips.missing_width([1, 2, 3, 8], "1/10", 10),
        skips.draw_missing_width,
    ),
    "skips-through-depth": (
        lambda: survival.through_depth((0.2, 0.8), 0.1, 6, 2, 3, 4, 13, 0),
        survival.draw_through_depth,
    ),
    "skips-cells": (lambda: survival.cells(13), survival.draw_cells),
    "skips-floors": (lambda: variants.floors_of_variants(9, 2, 2, 0), variants.draw_floors),
    "skips-ladders": (
        lambda: variants.ladders_of_variants(9, 2, 2, 100.0, 0),
        variants.draw_ladders,
    ),
}


@pytest.fixture(scope="module")
def data() -> dict[str, FigureData]:
    return {name: make() for name, (make, _) in FIGURES.items()}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_draws_and_writes_its_data(
    name: str, data: dict[str, FigureData], tmp_path: Path
) -> None:
    figure = data[name]
    assert figure.label == name
    show(figure, FIGURES[name][1], tmp_path)
    written = json.loads((tmp_path / f"{name}.json").read_text())
    assert written["schema"] == "collapse-figure/1" and written["parameters"]
    for panel in written["panels"]:
        assert panel["x"]["name"] and panel["y"]["name"]
        assert all(len(curve["x"]) == len(curve["y"]) >= 4 for curve in panel["series"])


@pytest.mark.parametrize("name", FIGURES)
def test_figure_data_is_reproducible(name: str, data: dict[str, FigureData]) -> None:
    assert FIGURES[name][0]() == data[name]


def test_the_move_follows_neither_the_shift_nor_its_residual(data: dict[str, FigureData]) -> None:
    panel = data["skips-what-moves"].panels[0]
    orders = [variants.order(panel[name]) for name in (skips.SHIFT, skips.MOVE, skips.RESIDUAL)]
    assert orders == pytest.approx([1, 2, 3], abs=0.02)
    moves = zip(panel[skips.MOVE].y, panel[skips.BOUND].y, strict=True)
    assert all(0 < move < bound for move, bound in moves)


def test_the_search_reaches_the_lipschitz_bound_and_random_cases_do_not(
    data: dict[str, FigureData],
) -> None:
    panel = data["skips-lipschitz"].panels[0]
    assert all(0.99 < y <= 1 + 1e-12 for y in panel["search"].y)
    assert max(panel["search"].y) > 0.999
    assert all(y < 1 for y in panel["largest"].y + panel["median"].y)


def test_the_width_crosses_the_reported_bound_between_two_and_three(
    data: dict[str, FigureData],
) -> None:
    panel = data["skips-width"].panels[0]
    exceeded = [o > r for o, r in zip(panel["observed"].y, panel["as reported"].y, strict=True)]
    assert exceeded == [False, False, True, True]
    below = zip(panel["observed"].y, panel["with the width"].y, strict=True)
    assert all(o <= c for o, c in below)  # equal as floats once tanh rounds to 1


def test_rank_survives_in_the_figure_and_layers_collapse(data: dict[str, FigureData]) -> None:
    diameters, layers = data["skips-through-depth"].panels
    for nu in ("0.2", "0.8"):
        assert diameters[nu].y == pytest.approx(diameters[f"bound {nu}"].y, rel=1e-12)
    curves = (diameters[name].y for name in ("random, ahead", "random, met", "random"))
    for ahead, met, observed in zip(*curves, strict=True):
        assert ahead <= met + 1e-12 and met <= observed + 1e-12
    assert min(layers["kept diameter"].y) > 0.9
    assert variants.order(layers["rung 2"], 1.5) == pytest.approx(3, abs=0.05)


def test_the_four_cells(data: dict[str, FigureData]) -> None:
    rank, layers = data["skips-cells"].panels
    assert min(rank["with skips"].y) > 0.5 and rank["without"].y[0] < 1e-20
    for word in ("with skips", "without"):
        floor, imitation = layers[f"{word}: floor"].y, layers[f"{word}: imitation"].y
        assert all(low <= high for low, high in zip(floor, imitation, strict=True))
        assert floor[0] < 1e-4 and floor[-1] > 0.2
    assert variants.order(layers["with skips: floor"], 1) == pytest.approx(4, abs=0.05)


def test_the_strip_between_floor_and_head_is_of_order_two(data: dict[str, FigureData]) -> None:
    for panel in data["skips-floors"].panels:
        orders = [variants.order(curve) for curve in panel.series]
        assert orders == pytest.approx([2, 3, 2], abs=0.02)
        strip = zip(panel[variants.FLOOR].y, panel["one head"].y, strict=True)
        assert all(low <= high for low, high in strip)


def test_the_ladders_of_the_variants(data: dict[str, FigureData]) -> None:
    for panel in data["skips-ladders"].panels:
        orders = [variants.order(curve) for curve in panel.series]
        assert orders == pytest.approx([1, 2, 3, 4], abs=0.02)
