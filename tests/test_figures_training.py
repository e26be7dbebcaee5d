"""The data behind chapter 7's figures: complete, reproducible, and drawn without a complaint."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import pytest
from matplotlib.axes import Axes

from collapse.bounds.learning import least_margin, loss_floor
from collapse.figures import training, training_course, training_parts
from collapse.figures.data import FigureData
from collapse.figures.style import show
from collapse.training import Member, Plan, Trained, train

Draw = Callable[[Sequence[Axes], FigureData], None]
SEEDS = (0, 1)
SWEPT = tuple(Member(eta, seed) for eta in (0.05, 0.4) for seed in SEEDS)
NO_SKIP = tuple(replace(member, skip=0.0) for member in SWEPT)
PLAN = Plan("recall", 1, SWEPT + NO_SKIP, {"pairs": 2}, width=4, key_width=2, steps=12, batch=8,
            check=2, held_out=10, keep=(0, 1, 2, 4, 8), done=1.0)  # fmt: skip


@pytest.fixture(scope="module")
def runs() -> dict[str, Trained]:
    plans = {f"recall-{L}": replace(PLAN, depth=L) for L in (1, 2)}
    inits = tuple(Member(math.inf, s, init=i) for i in ("bounded", "xavier") for s in SEEDS)
    plans["inits"] = replace(PLAN, depth=2, members=inits)
    decays = tuple(Member(math.inf, s, decay=c) for c in (0.0, 0.5, 5.0) for s in SEEDS)
    plans["decay"] = replace(PLAN, depth=2, members=decays)
    for task in ("sorting", "text"):
        plans[task] = replace(PLAN, task=task, options={}, members=SWEPT)
    return {name: train(plan) for name, plan in plans.items()}


Make = Callable[[dict[str, Trained]], FigureData]


def _two(runs: dict[str, Trained]) -> list[Trained]:
    return [runs["recall-1"], runs["recall-2"]]


FIGURES: dict[str, tuple[Make, Draw]] = {
    "trained-depth": (lambda r: training.loss_by_depth(_two(r)), training.draw_loss_by_depth),
    "trained-phase": (lambda r: training.phases(_two(r)), training.draw_phases),
    "trained-tasks": (
        lambda r: training.other_tasks({t: [r[t]] for t in ("sorting", "text")}),
        training.draw_other_tasks,
    ),
    "trained-skips": (
        lambda r: training.skip_ablation(_two(r), 0.05, 0.4),
        training.draw_skip_ablation,
    ),
    "trained-residuals": (
        lambda r: training_course.residual_tracking(r["recall-2"], (0.05, 0.4)),
        training_course.draw_residual_tracking,
    ),
    "trained-inits": (
        lambda r: training_course.inits_compared(r["inits"]),
        training_course.draw_inits_compared,
    ),
    "trained-gradients": (
        lambda r: training_parts.gradients(r["recall-2"], 7),
        training_parts.draw_gradients,
    ),
    "trained-decay": (
        lambda r: training_parts.decay_and_margin(r["decay"], _two(r)),
        training_parts.draw_decay_and_margin,
    ),
    "trained-ablation": (
        lambda r: training_parts.layers_removed(_two(r), (0.05, 0.4)),
        training_parts.draw_layers_removed,
    ),
}


@pytest.fixture(scope="module")
def data(runs: dict[str, Trained]) -> dict[str, FigureData]:
    return {name: make(runs) for name, (make, _) in FIGURES.items()}


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
        assert panel["x"]["name"] and panel["y"]["name"] and panel["series"]


@pytest.mark.parametrize("name", ["trained-phase", "trained-skips", "trained-gradients"])
def test_figure_data_is_reproducible(
    name: str, runs: dict[str, Trained], data: dict[str, FigureData]
) -> None:
    assert FIGURES[name][0](runs) == data[name]


def test_every_seed_is_shown(runs: dict[str, Trained], data: dict[str, FigureData]) -> None:
    panel = data["trained-depth"].panels[0]
    for eta in (0.05, 0.4):
        shown = sorted(zip(panel[f"{eta:g}"].x, panel[f"{eta:g}"].y, strict=True))
        found = [
            (run.plan.depth, float(run.final[i]))
            for run in _two(runs)
            for i, member in enumerate(run.plan.members)
            if member.eta == eta and member.skip == 1
        ]
        assert len(found) == 4
        assert shown == sorted(found)


def test_the_proved_region_ends_where_the_worst_case_meets_the_need(
    data: dict[str, FigureData],
) -> None:
    cells, margins = data["trained-phase"].panels
    needed = least_margin(2, math.log(2) / 2)
    assert margins["needed"].y == [needed] * 2
    worst = margins["worst case"]
    below = [x for x, y in zip(worst.x, worst.y, strict=True) if y < needed]
    above = [x for x, y in zip(worst.x, worst.y, strict=True) if y > needed]
    assert max(below) <= cells["proved"].x[-1] <= min(above)
    assert cells["proved"].x[0] > cells["proved"].x[-1]  # deeper stacks are harder to bound
    for name in ("certified", "observed"):
        assert all(y > 0 for y in margins[name].y)
    pairs = zip(margins["observed"].y, margins["certified"].y, strict=True)
    assert all(observed <= certified for observed, certified in pairs)


def test_skips_keep_differences_that_small_weights_alone_do_not(
    data: dict[str, FigureData],
) -> None:
    kept = data["trained-skips"].panels[1]["2"]
    cells = {x: [y for p, y in zip(kept.x, kept.y, strict=True) if p == x] for x in range(4)}
    assert min(cells[0]) > 0.5 > 0.01 > max(cells[1])
    assert max(cells[1]) < min(cells[3])


def test_gradients_of_first_weights_have_the_predicted_powers(
    data: dict[str, FigureData],
) -> None:
    for panel, power in zip(data["trained-gradients"].panels, (2, 2, 0), strict=True):
        for layer in (1, 2):
            curve = panel[f"layer {layer}"]
            slope = math.log10(curve.y[1] / curve.y[0]) / math.log10(curve.x[1] / curve.x[0])
            assert slope == pytest.approx(power, abs=0.02)


def test_no_network_is_in_the_impossible_region(data: dict[str, FigureData]) -> None:
    panel = data["trained-decay"].panels[2]
    count = 0
    for name in ("bounded", "decayed"):
        for margin, loss in zip(panel[name].x, panel[name].y, strict=True):
            assert loss >= loss_floor(2, margin) - 1e-6  # the loss was taken in float32
            count += 1
    assert count == 2 * 4 + 6
