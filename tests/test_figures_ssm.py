"""The figures on state space models show what their captions say."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from drawing import draw_and_write

from collapse.figures import ssm
from collapse.figures.data import FigureData
from collapse.figures.variants import order
from collapse.ssm import MIXERS

Make = tuple[Callable[[], FigureData], Callable[..., None], float]
MAKE: dict[str, Make] = {
    "ladder": (lambda: ssm.ladder(3, 0.5, 10, 12), ssm.draw_ladder, 4.2),
    "orders": (lambda: ssm.orders(13, 3, 3, 5, 0.03, 2), ssm.draw_orders, 3.1),
    "blind": (lambda: ssm.blind(4, 3, 2, 2, 2), ssm.draw_blind, 3.2),
    "collapse": (lambda: ssm.collapsing(30, 10, 8, 5, 2), ssm.draw_collapsing, 3.1),
}


@cache
def data(name: str) -> FigureData:
    return MAKE[name][0]()


@pytest.mark.parametrize("name", MAKE)
def test_the_figure_is_drawn_and_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, draw, height = MAKE[name]
    draw_and_write(data(name), draw, height, tmp_path, monkeypatch)
    assert MAKE[name][0]().panels == data(name).panels  # the seed decides


@pytest.mark.label("ssm-state-ladder")
def test_each_state_buys_two_powers() -> None:
    (panel,) = data("ladder").panels
    for states in range(3):
        line, floor = panel[f"{states} states"], panel[f"floor of {states}"]
        assert order(line) == pytest.approx(2 * states + 1, abs=0.02)
        assert order(floor) == pytest.approx(2 * states + 1, abs=0.02)
        assert all(low < high for low, high in zip(floor.y, line.y, strict=True))


@pytest.mark.label("ssm-selective-order")
def test_the_orders_and_that_nothing_lies_below_the_floor() -> None:
    joint, apart = data("orders").panels
    powers = {"no layer": (1, 0), "the heads side by side": (2, 0)}
    powers |= {"one layer, changed values": (3, 1), "floor": (3, 1)}
    for name, (of_both, of_sigma) in powers.items():
        assert order(joint[name]) == pytest.approx(of_both, abs=0.1)
        assert order(apart[name]) == pytest.approx(of_sigma, abs=0.1)


@pytest.mark.label("ssm-selective-order")
def test_one_layer_is_blind_in_every_mixer() -> None:
    (panel,) = data("blind").panels
    for name in MIXERS:
        assert max(panel[f"{name}, 1"].x) < 1e-13
        deep = panel[f"{name}, 2"].x
        assert max(deep) < 1e-13 if name == "LTI SSM (S4)" else min(deep) > 1e-8


@pytest.mark.label("ssm-normalised-collapse")
def test_positive_scores_collapse() -> None:
    positive, _ = data("collapse").panels
    for line in positive.series:
        assert line.y[-1] < 0.1 * line.y[0]
    assert positive["softmax"].y[-1] < 1e-4


@pytest.mark.label("j24-selective-collapse")
def test_signs_gates_and_features_of_their_own_do_not() -> None:
    _, rest = data("collapse").panels
    for name in ("Mamba-2, signed", "softmax, gated", "Mamba-2, gated"):
        assert rest[name].y[-1] > 1.5
    assert rest["Mamba-2, signed, up to sign"].y[-1] < 0.3
    assert rest["S6, rows normalised"].y[-1] < rest["S6"].y[-1]
