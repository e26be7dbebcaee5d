"""Chapter 2's figures: found worst cases lie on the bounds, no curve outruns its proof."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from matplotlib.text import Text

from collapse.figures import softmax as figures
from collapse.figures import style
from collapse.figures.data import FigureData, Series
from collapse.numeric import rounding_allowance
from collapse.softmax import entry_bound, retrieval_threshold, tv_bound, uniform_tv_bound
from collapse.symbolic.softmax import d21_limit

MAKE: dict[str, tuple[Callable[[], FigureData], Callable[..., None]]] = {
    "comparison": (lambda: figures.comparison(25, 8, 8, 0), figures.draw_comparison),
    "entry": (lambda: figures.one_entry((0.5, 2, 4), 9, 5, 24, 0), figures.draw_one_entry),
    "uniform": (lambda: figures.from_uniform((2, 3, 5), 6, 24, 0), figures.draw_from_uniform),
    "lookup": (
        lambda: figures.lookup((10, 100, 100_000), (0.1, 0.5), 6, 2, 0, searched_up_to=100),
        figures.draw_lookup,
    ),
}


@cache
def data(name: str) -> FigureData:
    return MAKE[name][0]()


def exactly(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def assert_on(found: Series, bound: Any) -> None:
    """Every found value attains the bound to 0.1% and so refutes one lowered by 1%."""
    values, bounds = exactly(found.y), torch.as_tensor(bound, dtype=torch.float64)
    assert bool((values <= bounds + rounding_allowance(1.0, 200)).all())
    assert bool((values > 0.999 * bounds).all())
    assert bool((values > 0.99 * bounds).all())


@pytest.mark.parametrize("name", MAKE)
def test_a_figure_is_drawn_without_overlapping_words_and_its_data_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style.plt, "show", lambda: None)
    style.show(data(name), MAKE[name][1], tmp_path)
    drawn = style.plt.gcf()
    drawn.canvas.draw()
    for ax in drawn.axes:
        boxes = [Text.get_window_extent(text) for text in ax.texts]  # without arrows
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)
    style.plt.close(drawn)
    written = json.loads((tmp_path / f"{data(name).label}.json").read_text())
    assert written["label"] == data(name).label and written["seed"] == 0
    assert MAKE[name][0]().panels == data(name).panels  # the seed decides


@pytest.mark.label("softmax-compare")
@pytest.mark.label("softmax-tv")
def test_the_worst_case_lies_on_the_sharp_bound_alone() -> None:
    bounds, slack = data("comparison").panels
    found = bounds[figures.OBSERVED]
    assert len(found.x) == 25 and found.x[0] == pytest.approx(0.01)
    assert found.x[-1] == pytest.approx(12)
    assert_on(found, tv_bound(exactly(found.x)))
    assert min(slack["sharp"].y) > 0.999
    assert slack["linear"].y[-1] < 0.34
    assert max(slack["as25"].y) < 0.51 and max(slack["d21"].y) < 0.26


@pytest.mark.label("softmax-compare")
def test_d21_is_drawn_only_as_far_as_it_is_proved() -> None:
    bounds, slack = data("comparison").panels
    limit = float(d21_limit())
    assert bounds["d21"].x[-1] == limit
    assert slack["d21"].x[-1] <= limit < slack["sharp"].x[-1]
    assert max(bounds["as25"].x) == 12


@pytest.mark.label("softmax-entry")
@pytest.mark.parametrize("theta", [0.5, 2, 4])
def test_the_entry_bound_is_attained_and_the_rise_alone_is_passed(theta: float) -> None:
    (panel,) = data("entry").panels
    found, rise = panel[f"found {theta:g}"], panel[f"rise {theta:g}"]
    assert_on(found, entry_bound(exactly(found.x), theta))
    assert rise.y[0] == pytest.approx(float(entry_bound(0.5, theta)))
    beyond = [(p, moved) for p, moved in zip(found.x, found.y, strict=True) if p > 0.55]
    assert beyond
    for p, moved in beyond:
        near = min(range(len(rise.x)), key=lambda k, p=p: abs(rise.x[k] - p))
        assert moved > 1.01 * rise.y[near]


@pytest.mark.label("uniform-tv")
@pytest.mark.parametrize("n", [2, 3, 5])
def test_the_distance_from_uniform_is_attained_at_each_n(n: int) -> None:
    (panel,) = data("uniform").panels
    found = panel[f"found n = {n}"]
    assert_on(found, uniform_tv_bound(exactly(found.x), n))
    assert max(panel[f"n = {n}"].y) < 1 - 1 / n < max(panel["n → ∞"].y)


@pytest.mark.label("retrieval")
def test_the_curve_of_mass_is_what_a_search_finds_and_meets_its_threshold() -> None:
    mass, scale = data("lookup").panels
    for m in (10, 100):
        found = mass[f"found m = {m}"]
        assert_on(found, [1 / (1 + (m - 1) * math.exp(-theta)) for theta in found.x])
        curve = mass[f"m = {m}"]
        assert curve.y == pytest.approx([1 / (1 + (m - 1) * math.exp(-t)) for t in curve.x])
    assert mass["thresholds"].x == [retrieval_threshold(m, 0.1) for m in (10, 100, 100_000)]
    assert not any(series.name == "found m = 100000" for series in mass.series)
    needed = scale["δ = 0.1"]
    assert needed.y[-1] == pytest.approx(math.sqrt(math.log(9 * (1e6 - 1)) / 2))


def test_the_book_searches_at_enough_points() -> None:
    runs = yaml.safe_load(Path("notebooks/parameters.yml").read_text("utf-8"))
    assert runs["02-softmax"]["parameters"]["points"] >= 25
    drawn = {label for label in runs["02-softmax"]["figures"] if not label.startswith("explorer-")}
    assert drawn == {data(name).label for name in MAKE}


def test_a_single_point_is_refused() -> None:
    with pytest.raises(ValueError, match="points: expected at least 2, received 1"):
        figures.comparison(1, 8, 8, 0)
