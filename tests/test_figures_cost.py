"""The figures of chapter 6: small runs, drawn without overlaps, and what they claim."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from drawing import draw_and_write

from collapse.bounds.floors import one_head_floor, one_layer_floor
from collapse.bounds.needs import lookup_entry
from collapse.fast import taylor_degree, taylor_rank
from collapse.figures import cost, induction, polynomial, tradeoff
from collapse.figures.data import FigureData, series
from collapse.softmax import retrieval_threshold
from collapse.tasks import Recall

SETTINGS = (2, 2, 8, 8, 2**17, 0.1, 0.01)


@cache
def clock() -> FigureData:
    return cost.times(range(8, 13), 2, 3, 0)


MAKE: dict[str, tuple[Callable[[], FigureData], Callable[..., None], float]] = {
    "time": (clock, cost.draw_times, 3.2),
    "crossover": (
        lambda: cost.crossover(clock(), 1.0, 0.01, 2, 0), cost.draw_crossover, 2.7
    ),
    "polynomial": (lambda: polynomial.polynomial(20, 7, 16, 0), polynomial.draw_polynomial, 3.0),
    "axis": (lambda: tradeoff.one_axis(31, *SETTINGS), tradeoff.draw_one_axis, 2.4),
    "induction": (lambda: induction.scaling(5, 9, 40, 0), induction.draw_scaling, 2.2),
    "learned": (lambda: induction.learned(3, 4, 8, 2), induction.draw_learned, 3.0),
}  # fmt: skip
TIMED = ("time", "crossover")  # what is measured differs from run to run


@cache
def data(name: str) -> FigureData:
    return MAKE[name][0]()


@pytest.mark.parametrize("name", MAKE)
def test_the_figure_is_drawn_and_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, draw, height = MAKE[name]
    written = draw_and_write(data(name), draw, height, tmp_path, monkeypatch)
    if name in TIMED:
        assert {"processor", "processors", "threads"} <= set(written["parameters"])
    else:
        assert MAKE[name][0]().panels == data(name).panels  # the seed decides


# --- time --------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.label("linear-time")
def test_exact_attention_is_quadratic_and_rung_2_far_below_it() -> None:
    exact, rung = clock().panels[0].series
    assert exact.x == rung.x == [2.0**power for power in range(8, 13)]
    assert 1.5 < cost.slope(exact, 1024) < 2.5
    assert cost.slope(rung, 1024) < cost.slope(exact, 1024) - 0.5


def test_slopes_are_those_of_powers() -> None:
    x = [1.0, 10.0, 100.0]
    assert cost.slope(series("cube", x, [v**3 / 7 for v in x]), 1) == pytest.approx(3)
    bent = series("bent", x, [5.0, 10.0, 100.0])
    assert cost.slope(bent, 10) == pytest.approx(1)
    with pytest.raises(ValueError, match="points"):
        cost.slope(bent, 100)


def test_a_slow_call_is_timed_once_and_a_short_one_by_its_median() -> None:
    calls: list[int] = []

    def slow() -> None:
        calls.append(1)
        end = cost.time.process_time() + 0.35
        while cost.time.process_time() < end:
            pass

    assert cost.seconds(slow, 5) >= 0.35
    assert len(calls) == 1
    assert cost.seconds(lambda: calls.append(1), 4) < 0.1
    assert len(calls) == 1 + 5


def test_overtaking_is_the_last_crossing() -> None:
    x = [1.0, 10.0, 100.0, 1000.0]
    lines = {"a": [10, 10, 10, 10], "b": [2, 2, 2, 2], "c": [0.1] * 4, "d": [1e6] * 4}
    times = [series("exact attention", x, x), *(series(k, x, v) for k, v in lines.items())]
    panel = cost.Panel("", cost.TOKENS, cost.TOKENS, tuple(times))
    found = cost.overtaking(FigureData("demo", (panel,)))
    assert found["a"] == pytest.approx(10)
    assert found["b"] == pytest.approx(2)
    assert found["c"] == 1
    assert found["d"] is None


@pytest.mark.label("taylor-attention")
def test_the_ranks_are_those_of_the_least_degree() -> None:
    _, small, lookup = data("crossover").panels
    for i, n in enumerate(small["d_k = 2"].x):
        assert small["d_k = 4"].y[i] == taylor_rank(4, taylor_degree(1.0, 0.01)) / n
        logits = retrieval_threshold(int(n), 0.5) / 2
        wide = math.ceil(math.log(n))
        rank = taylor_rank(wide, taylor_degree(logits, 0.01))
        assert lookup["d_k = log n"].y[i] == rank / n


# --- polynomials -------------------------------------------------------------------------------


@pytest.mark.label("taylor-attention")
def test_worst_rows_and_random_rows_stay_below_the_bound() -> None:
    tightest = 0.0
    for panel in data("polynomial").panels:
        for line in panel.series:
            kind = next(k for k in ("bound", "worst row", "random") if line.name.startswith(k))
            if kind == "bound":
                continue
            bound = panel[line.name.replace(kind, "bound")]
            assert bound.x == line.x
            for y, limit in zip(line.y, bound.y, strict=True):
                assert y <= limit * (1 + 1e-9) + 1e-14
                tightest = max(tightest, y / limit) if kind == "worst row" else tightest
    assert tightest > 0.95


# --- one axis ----------------------------------------------------------------------------------


@pytest.mark.label("large-weights-needed")
def test_the_axis_has_floors_below_bounds_and_its_turns_in_order() -> None:
    lost, fast, task = data("axis").panels
    for rung, name, floor in ((2, "one head", one_head_floor), (3, "one layer", one_layer_floor)):
        above, below = lost[f"rung {rung}, at most"], lost[f"{name}, at least"]
        for eta, low, high in zip(below.x, below.y, above.y, strict=True):
            assert low == pytest.approx(floor(8 * eta))
            assert low <= high
    turns = data("axis").parameters["turns"]
    assert turns["half"] < turns["fast"] < turns["lookup"]
    assert turns["lookup"] == lookup_entry(2**17, 0.1, 8, 8)
    mass, rank = task["mass"], fast["rank ÷ n"]
    assert all((y >= 0.9) == (x >= turns["lookup"]) for x, y in zip(mass.x, mass.y, strict=True))
    assert all((y >= 1) == (x >= turns["fast"]) for x, y in zip(rank.x, rank.y, strict=True))


# --- large weights -----------------------------------------------------------------------------


@pytest.mark.label("large-weights-suffice")
def test_everything_turns_where_it_was_predicted() -> None:
    right, tau, errors, logits = data("induction").panels
    star = data("induction").parameters["threshold"]
    worst = right["network, worst case"]
    assert worst.y == [float(s > star) for s in worst.x]
    assert tau["layer 1"].y == pytest.approx(tau["layer 1, formula"].y, abs=1e-12)
    assert logits["over the values"].y == pytest.approx(logits["formula"].y, rel=1e-9)
    level = logits["threshold log(m − 1)"].y[0]
    assert [y > level for y in logits["formula"].y] == [s > star for s in worst.x]
    for rung in (1, 2, 3):
        bound = errors[f"rung {rung}, bound"].y
        assert all(e <= b for e, b in zip(errors[f"rung {rung}"].y, bound, strict=True))
        assert max(right[f"rung {rung}, two labels"].y) < 0.95


def test_the_trained_networks_start_at_chance_and_keep_their_settings() -> None:
    (panel,) = data("learned").panels
    assert panel["order unseen"].y == [Recall().guess] * 2
    kinds = ("two layers of 2 heads", "one layer of 3 heads")
    names = [line.name for line in panel.series[:-1]]
    assert names == [f"{kind}, seed {i}" for kind in kinds for i in (0, 1)]
    assert all(1.5 < line.y[0] < 4 for line in panel.series[:-1])
    assert data("learned").parameters["steps"] == 4


def test_the_number_of_points_does_not_depend_on_when_a_network_has_learnt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(induction._PLAN, "check", 3)
    for done in (0.0, 100.0):  # nobody, and everybody before the first step
        monkeypatch.setitem(induction._PLAN, "done", done)
        *runs, _ = induction.learned(3, 7, 8, 2).panels[0].series
        assert [line.x for line in runs] == [[0, 3, 6, 7]] * 4
        assert all((len(set(line.y)) == 1) == (done > 0) for line in runs)
