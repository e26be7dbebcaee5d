"""The chapter's figures: slopes, coefficients, bounds above errors, floors below; small runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from collapse.figures import certificates, floors, orders, style
from collapse.figures.data import FigureData
from collapse.rungs import RUNGS

SMALL: dict[str, tuple[Callable[[], FigureData], Any]] = {
    "orders-ladder": (lambda: orders.ladder(17, 80, 1), orders.draw_ladder),
    "orders-dependence": (lambda: orders.dependence(3, 0.02, 1), orders.draw_dependence),
    "orders-all-inputs": (
        lambda: certificates.all_inputs(9, 6, 0.05, 1), certificates.draw_all_inputs
    ),
    "orders-slack": (lambda: certificates.slack(300, 2, 30, 1), certificates.draw_slack),
    "floors-enclosure": (
        lambda: floors.enclosure(9, 2.0, 3, 2, 60, 1), floors.draw_enclosure
    ),
    "floors-ball": (lambda: floors.ball(7, 12, 4, 60, 1e-2, 1), floors.draw_ball),
}  # fmt: skip


@pytest.fixture(scope="module")
def made() -> dict[str, FigureData]:
    return {name: make() for name, (make, _) in SMALL.items()}


@pytest.mark.parametrize("name", SMALL)
def test_a_figure_is_drawn_and_its_data_written(
    name: str, made: dict[str, FigureData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style.plt, "show", lambda: None)
    style.show(made[name], SMALL[name][1], tmp_path)
    style.plt.close("all")
    written = json.loads((tmp_path / f"{name}.json").read_text())
    assert written["schema"] == "collapse-figure/1" and written["seed"] == 1
    for panel in written["panels"]:
        for line in panel["series"]:
            assert len(line["x"]) == len(line["y"]) > 0
            assert min(line["x"]) > 0 or name == "orders-slack"
            assert panel["y"]["scale"] != "log" or min(line["y"]) > 0


@pytest.mark.label("rung-0")
@pytest.mark.label("rung-1")
@pytest.mark.label("rung-2")
@pytest.mark.label("rung-3")
@pytest.mark.parametrize("seed", range(4))
def test_slopes_are_one_to_four_and_coefficients_as_stated(seed: int) -> None:
    data = orders.ladder(17, 80, seed)
    small = [x for x in data.panels[0]["rung 3"].x if x <= orders.ASYMPTOTIC]
    assert small[-1] / small[0] >= 1e4  # over at least four decades
    for rung, (slope, deviation) in enumerate(orders.asymptotics(data)):
        assert abs(slope - (rung + 1)) < 0.02
        assert deviation < 0.01


def test_a_wrong_power_or_coefficient_would_show() -> None:
    found = orders.asymptotics(orders.ladder(17, 80, 1))
    for rung, (slope, _) in enumerate(found):
        assert all(abs(slope - other) > 0.9 for other in range(1, 5) if other != rung + 1)


def test_digits_suffice_and_float64_does_not() -> None:
    network, X = orders.example(2)
    few, many = (orders.exact_errors(network, X, [1e-8, 1e-4], digits) for digits in (60, 120))
    assert np.abs(few / many - 1).max() < 1e-14
    rough = orders.exact_errors(network, X, [1e-8], 16)
    assert abs(rough[0, 3] / many[0, 3] - 1) > 1
    panel = orders.ladder(17, 80, 2).panels[0]
    last = panel["rung 3, float64"]
    assert not last.x or last.y[0] > 1e6 * panel["rung 3"].y[0]


def test_observed_errors_lie_below_the_certificates(made: dict[str, FigureData]) -> None:
    for panel in made["orders-all-inputs"].panels:
        seen, measured, weights = (
            np.array(panel[n].y) for n in ("observed", "measured", "weights")
        )
        assert (seen <= measured * (1 + 1e-6)).all() and (measured <= weights * (1 + 1e-9)).all()
    for panel in made["orders-dependence"].panels:
        for rung in (1, 2, 3):
            seen, bound = panel[f"rung {rung}"], panel[f"rung {rung}, bound"]
            assert seen.x == bound.x and (np.array(seen.y) < np.array(bound.y)).all()
    for line in made["orders-slack"].panels[0].series:
        assert line.y == list(RUNGS) and 0 < max(line.x) <= 1 + 1e-6


def test_dependence_shows_no_rung_that_is_exact(made: dict[str, FigureData]) -> None:
    layers = made["orders-dependence"].panels[0]
    assert layers["rung 2"].x[0] == 1 and layers["rung 1"].x[0] == layers["rung 3"].x[0] == 2


def test_the_padded_sweep_is_the_sweep(made: dict[str, FigureData]) -> None:
    """The first v layers of the padded network give the errors of v layers alone."""
    g = torch.Generator().manual_seed(5)
    network, X = orders._random({"layers": 6, "heads": 2, "width": 3, "tokens": 4}, 3, 0.3, g)
    padded = orders._first(network, "layers", (2, 6))
    for rung in RUNGS:
        both = orders.rung_errors(padded, X)[rung]
        alone = orders.rung_errors(network.layers(0, 2), X)[rung]
        assert torch.allclose(both[0], alone[0], rtol=0, atol=1e-14)


@pytest.mark.label("one-layer-floor")
@pytest.mark.label("one-head-floor")
def test_floors_and_bounds_enclose_rungs_and_search(made: dict[str, FigureData]) -> None:
    data = made["floors-enclosure"]
    for panel in data.panels[:2]:
        bound, exact, floor = (np.array(panel[n].y) for n in ("bound", "rung", "floor"))
        assert (floor < exact).all() and (exact <= bound * (1 + 1e-12)).all()
    assert floors.undercut(data) >= 1 - 1e-12
    one, some = (np.array(line.y) for line in data.panels[2].series)
    assert abs(one[0] - 3) < 1e-3 and abs(some[0] - 9) < 1e-3
    assert (1 < one).all() and one.max() < 6.01 and (1 < some).all() and some.max() < 9.01


@pytest.mark.label("one-layer-floor")
def test_in_every_ball_the_order_is_the_same_from_both_sides(made: dict[str, FigureData]) -> None:
    (panel,) = made["floors-ball"].panels
    names = ("floor, three tokens", "floor, many tokens", "rung 3, worst input found",
             "bound of rung 3")  # fmt: skip
    three, wide, worst, bound = (np.array(panel[name].y) for name in names)
    order = np.minimum(1, np.array(panel[names[0]].x))
    assert (order / 40 <= three).all() and (three < wide).all()
    assert (worst <= bound * (1 + 1e-6)).all() and (bound <= 2 * order).all()


def test_the_same_seed_gives_the_same_figure() -> None:
    assert certificates.slack(50, 2, 5, 7).to_json() == certificates.slack(50, 2, 5, 7).to_json()
    assert certificates.slack(50, 2, 5, 7).panels != certificates.slack(50, 2, 5, 8).panels


def test_too_few_points_are_refused() -> None:
    with pytest.raises(ValueError, match="points: expected at least 9"):
        orders.ladder(3, 60, 0)
