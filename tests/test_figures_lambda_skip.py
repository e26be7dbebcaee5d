"""The data behind the figures on weighted skips: complete, reproducible, as captioned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import pytest
import torch
from drawing import draw_and_write

from collapse.figures import lambda_skip, weighted_depth, weighted_training
from collapse.figures.data import FigureData
from collapse.ssm import MIXERS
from collapse.training import Member, Plan, train

PLAN = Plan("recall", 2, (Member(0.2, 0), Member(0.2, 1)), {"pairs": 2}, width=4, key_width=2,
            steps=15, batch=8, check=5, held_out=20)  # fmt: skip


def _trained() -> FigureData:
    return weighted_training.trained_skips(train(PLAN), train(replace(PLAN, trained_skip=True)))


FIGURES: dict[str, tuple[Callable[[], FigureData], Any, float]] = {
    "lambda-one-layer": (
        lambda: lambda_skip.one_layer(9, 200, 4, 3, 0),
        lambda_skip.draw_one_layer,
        3.6,
    ),
    "lambda-map": (
        lambda: lambda_skip.guarantees(13, 16, 8, 2, 8, 4, 0),
        lambda_skip.draw_guarantees,
        3.4,
    ),
    "lambda-depth": (
        lambda: weighted_depth.through_depth(list(MIXERS), (0, 1, 8), 24, 2, 8, 4, 0, True),
        weighted_depth.draw_through_depth,
        2.2,
    ),
    "lambda-depth-raw": (
        lambda: weighted_depth.through_depth(list(MIXERS), (0, 1, 8), 24, 2, 8, 4, 0, False),
        weighted_depth.draw_through_depth,
        2.2,
    ),
    "lambda-ablations": (
        lambda: weighted_depth.ablations(
            ("softmax attention", "selective SSM (S6)"), 6, 16, 2, 8, 4, 0
        ),
        weighted_depth.draw_ablations,
        3.0,
    ),
    "lambda-two-tokens": (
        lambda: weighted_depth.two_tokens(1.5, 1.0, (0.25, 2), 20, 40),
        weighted_depth.draw_two_tokens,
        2.9,
    ),
    "lambda-trained": (_trained, weighted_training.draw_trained_skips, 2.3),
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
    for panel in written["panels"]:
        assert panel["x"]["name"] and panel["y"]["name"]


@pytest.mark.parametrize("name", FIGURES)
def test_figure_data_is_reproducible(name: str, data: dict[str, FigureData]) -> None:
    assert FIGURES[name][0]() == data[name]


def test_the_guarantee_is_attained_and_nowhere_violated(data: dict[str, FigureData]) -> None:
    panel = data["lambda-one-layer"].panels[0]
    line, family = panel["guaranteed"], panel["sharp family"]
    pairs = zip(line.x, line.y, family.y, strict=True)
    ratios = {x: bound / found for x, bound, found in pairs}
    assert all(r <= 1 + 1e-9 for r in ratios.values())
    assert min(r for x, r in ratios.items() if x > 2) > 0.99999
    least = panel["least random"].y[-len(line.y) :]
    assert all(bound <= found for bound, found in zip(line.y, least, strict=True))
    assert max(panel["two tokens merged"].y) < 1e-12


def test_every_guarantee_lies_below_what_is_observed(data: dict[str, FigureData]) -> None:
    maps, cut = data["lambda-map"].panels
    seen = dict(zip(cut["observed"].x, cut["observed"].y, strict=True))
    assert len(cut["lambda-skip"].x) >= 4
    for x, y in zip(cut["lambda-skip"].x, cut["lambda-skip"].y, strict=True):
        assert y <= seen[x]
    starts = [cut[name].x[0] for name in ("lambda-skip", "skip-drift", "J24")]
    assert starts == sorted(starts)
    for name in ("skip-drift", "J24"):
        top = max(cut["observed"].y[-3:])
        assert all(y <= top + 1e-9 for y in cut[name].y)
    ours, theirs, least = (maps[n].x for n in ("drift, half", "J24, half", "J24, anything"))
    assert all(10 * a < b for a, b in zip(ours, theirs, strict=True))
    assert all(a <= b for a, b in zip(least, theirs, strict=True))


def test_softmax_attention_collapses_and_a_large_skip_delays_it(
    data: dict[str, FigureData],
) -> None:
    soft = data["lambda-depth"].panels[0]
    ends = [soft[f"λ = {w}"].y[-1] for w in (0, 1, 8)]
    assert ends[0] < ends[1] < ends[2] and ends[0] < 1e-4 and ends[2] > 0.5
    raw = data["lambda-depth-raw"].panels
    assert len(raw[2]["λ = 1"].x) == 25 and len(raw[3]["λ = 1"].x) < 25  # S6 overflows


def test_large_tokens_have_a_measure_too() -> None:
    Y = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    expected = weighted_depth.relative_measure(Y)
    assert weighted_depth.relative_measure(1e200 * Y) == pytest.approx(float(expected))
    assert torch.isnan(weighted_depth.relative_measure(torch.inf * (Y + 1)))


def test_the_two_tokens_keep_to_their_bound(data: dict[str, FigureData]) -> None:
    angles, ends = data["lambda-two-tokens"].panels
    for curve in angles.series[::2]:
        bound = angles[f"{curve.name}, bound"].y
        sign = 1 if curve.y[-1] < 90 else -1
        assert all(sign * a <= sign * b + 1e-5 for a, b in zip(curve.y, bound, strict=True))
    for x, y in zip(ends["μ"].x, ends["μ"].y, strict=True):
        assert y == pytest.approx(0 if x > -1.5 else 2**0.5, abs=0.05)


def test_learnt_weights_start_at_one_and_move(data: dict[str, FigureData]) -> None:
    learnt, right, kept = data["lambda-trained"].panels
    values = [y for curve in learnt.series for y in curve.y]
    assert len(values) == 4 and all(0 < abs(y - 1) < 0.2 for y in values)
    assert all(0 <= y <= 1 for curve in right.series for y in curve.y)
    assert all(y > 0 for curve in kept.series for y in curve.y)
