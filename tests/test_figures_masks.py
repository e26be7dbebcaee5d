"""The data behind chapter 8's figures on masks and components, and that they can be drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import pytest
import torch
from drawing import draw_and_write

from collapse.figures import ablation, masks, masks_worst
from collapse.figures.data import FigureData
from collapse.norms import composite_residual_norm

SCALES = (0.1, 1, 10, 100)
FIGURES: dict[str, tuple[Callable[[], FigureData], Any, float]] = {
    "masks-decay": (lambda: masks.decay(9, 4, 2, 24, 0), masks.draw_decay, 1.9),
    "masks-rate": (lambda: masks.rates([6, 9], [1, 2], 3, 120, 0), masks.draw_rates, 3.2),
    "masks-temperature": (
        lambda: masks.temperature(8, 4, 2, 60, SCALES, 8, 0),
        masks.draw_temperature,
        3.0,
    ),
    "masks-worst": (lambda: masks_worst.worst(6, 0.2, 40, [1, 2, 3]), masks_worst.draw_worst, 3.0),
    "ablation-components": (
        lambda: ablation.components(7, 12, 2, 16, 3, 0),
        ablation.draw_components,
        3.3,
    ),
    "ablation-paths": (
        lambda: ablation.path_lengths(4, 2, 3, 4, 0),
        ablation.draw_path_lengths,
        2.4,
    ),
}


@pytest.fixture(scope="module")
def data() -> dict[str, FigureData]:
    return {name: make() for name, (make, *_) in FIGURES.items()}


@pytest.mark.parametrize("name", FIGURES)
def test_figure_draws_and_writes_its_data(
    name: str, data: dict[str, FigureData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, draw, height = FIGURES[name]
    written = draw_and_write(data[name], draw, height, tmp_path, monkeypatch)
    assert written["parameters"]
    for panel in written["panels"]:
        assert all(len(curve["x"]) == len(curve["y"]) >= 2 for curve in panel["series"])


@pytest.mark.parametrize("name", FIGURES)
def test_figure_data_is_reproducible(name: str, data: dict[str, FigureData]) -> None:
    assert FIGURES[name][0]() == data[name]


def test_masks_with_a_centre_decay_and_the_controls_do_not(data: dict[str, FigureData]) -> None:
    for panel in data["masks-decay"].panels:
        seen, bound = panel["observed"].y, panel["bound"].y
        assert all(low <= high + 1e-9 for low, high in zip(seen, bound, strict=True))
        control = panel.title in (masks.DISCONNECTED, masks.REVERSED)
        assert (seen[-1] > -1.5) == control
        assert (bound[-1] > -1e-9) == control


def test_the_late_rate_is_that_of_the_mask(data: dict[str, FigureData]) -> None:
    facts = data["masks-decay"].parameters["masks"]
    for name in ("causal", "sliding window 2", "star", masks.DISCONNECTED, masks.REVERSED):
        assert facts[name]["late rate"] == pytest.approx(facts[name]["limit rate"], abs=0.02)
    assert data["masks-rate"].parameters["median error of 1 - rate"] < 1e-3
    first, second = data["masks-rate"].panels
    for name in ("sliding window", "one-sided window", "random sparse"):
        below = zip(first[f"{name}, bound"].y, first[name].y, strict=True)
        assert all(bound < found * 1.1 for bound, found in below)
    found, bound = (second[f"sliding window{end}"].y for end in ("", ", bound"))
    assert found[-1] > 10 * bound[-1]  # the radius is not in the exponent of softmax attention


def test_temperature_does_not_change_the_late_rate(data: dict[str, FigureData]) -> None:
    curves, late = data["masks-temperature"].panels
    assert late["median"].y == pytest.approx([1] * len(SCALES), abs=0.01)
    assert curves["s = 100"].y[4] > curves["s = 0.1"].y[4] + 0.2


def test_the_worst_cases_meet_their_bounds(data: dict[str, FigureData]) -> None:
    walk, drift = data["masks-worst"].panels
    assert walk["observed"].y == pytest.approx(walk["walk bound"].y, rel=1e-12)
    assert walk["centre bound"].y[-1] > 0.99
    for r in (1, 2, 3):
        gaps, bounds = drift[f"r = {r}"], drift[f"r = {r}, bound"].y
        assert all(g > 0.999 * b for g, b in zip(gaps.y, bounds, strict=True))
        assert gaps.y[0] / bounds[0] == pytest.approx(r, rel=0.1)


def test_what_the_components_do(data: dict[str, FigureData]) -> None:
    single, deep = data["ablation-components"].panels
    unit = single["unit roundoff"].y[0]
    for name in (ablation.WITH_SKIP, ablation.BOTH):
        assert single[name].y[-1] > -1.5
    for name in (ablation.PURE, ablation.WITH_MLP):
        true = single[f"{name}, true"].y
        assert true[-1] < 10 * unit and len(single[name].y) < len(true)
        assert true[:3] == pytest.approx(single[name].y[:3], abs=0.01)
        assert deep[name].y[-1] / deep[name].y[-2] == pytest.approx(3, abs=0.1)


def test_the_relative_residual_is_that_of_the_tokens() -> None:
    network, mlp = ablation.random_blocks(2, 2, 8, 0)
    X = torch.randn(5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logs = ablation.centred_residual(network, X, mlp)
    assert float(10 ** logs[0]) == pytest.approx(float(ablation.relative_residual(X)), rel=1e-12)
    after = mlp(network(X) * 0 + network.layers(0, 1)(X), 0)
    assert float(10 ** logs[1]) == pytest.approx(float(ablation.relative_residual(after)), rel=1e-8)
    whole = after.abs()
    size = (whole.sum(-2).max() * whole.sum(-1).max()).sqrt()
    assert ablation.relative_residual(after) == composite_residual_norm(after) / size


def test_paths_add_up(data: dict[str, FigureData]) -> None:
    sizes, counts = data["ablation-paths"].panels
    assert counts["paths"].y == [1, 8, 24, 32, 16]
    together, single = sizes.series
    assert all(a > 0 and b > 0 for a, b in zip(together.y, single.y, strict=True))
    assert single.y[-1] < single.y[0] / 4
