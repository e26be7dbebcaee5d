"""The figures of chapter 3 show what they say, and nothing in them overlaps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import mpmath
import pytest
import torch
from drawing import draw_and_write

from collapse.bounds.contraction import double_exponential
from collapse.exact import lift
from collapse.figures import contraction, iteration, positions
from collapse.figures.data import FigureData
from collapse.norms import residual_norm
from collapse.softmax import tv_bounds

Make = tuple[Callable[[], FigureData], Callable[..., None], float]
MAKE: dict[str, Make] = {
    "attained": (
        lambda: contraction.attained(6, 60, 4, 2, 5, 500, 0), contraction.draw_attained, 3.4
    ),
    "norms": (lambda: contraction.norms([2, 8], 5, 50, 0), contraction.draw_norms, 2.3),
    "depth": (lambda: iteration.depth(5, 4, 3, 0.01, 13, 1), iteration.draw_depth, 3.2),
    "exponents": (
        lambda: iteration.exponents(60, 5, 4, 3, 0.01, 0), iteration.draw_exponents, 2.8
    ),
    "near": (lambda: positions.near_tokens(13), positions.draw_near_tokens, 3.2),
    "positions": (
        lambda: positions.positions(16, 5, 4, 0.5, 0.7, 1), positions.draw_positions, 3.4
    ),
}  # fmt: skip


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


# --- one layer -----------------------------------------------------------------------------------


@pytest.mark.label("contraction")
def test_the_family_and_the_search_lie_on_one_and_nothing_above() -> None:
    (panel,) = data("attained").panels
    assert panel["extremal family"].x[0] == pytest.approx(1e-3)
    assert panel["extremal family"].x[-1] == pytest.approx(100)
    assert min(panel["extremal family"].y) > 0.999
    assert min(panel["best found by search"].y) > 0.999
    for line in panel.series:
        assert max(line.y) < 1 + 1e-12
    older = panel["extremal family, e^θ − 1 route"]
    for x, y in zip(older.x, older.y, strict=True):
        assert y == pytest.approx(math.tanh(x) / tv_bounds(4 * x)["as25"])


@pytest.mark.label("norm-choice")
def test_each_kind_has_its_norm_and_p_2_is_the_best_of_dense_layers() -> None:
    best = {"M and V dense": "2", "the identity": "2", "one-hot": "1", "one entry in M": "∞"}
    for panel, (word, p) in zip(data("norms").panels, best.items(), strict=True):
        assert word in panel.title
        shares = {name: panel[f"p = {name}, share of least K"].y[-1] for name in "12∞"}
        assert shares[p] == max(shares.values()) > 0.9
        assert panel[f"p = {p}, K over least K"].y[-1] == 1
        for name in "12∞":
            assert 0 < panel[f"p = {name}, 5%"].y[-1] <= panel[f"p = {name}, max"].y[-1] <= 1


# --- depth ---------------------------------------------------------------------------------------


@pytest.mark.label("double-exponential")
def test_every_bound_stays_above_and_in_the_proved_order() -> None:
    bounds = data("depth").panels[0]
    seen = bounds["centred propagation"].y
    assert seen[-1] < -500
    order = ["tanh recursion", "closed form"]
    dong = ["D21 with constant 1", "D21, γ measured", "D21, γ = √n"]
    for names in (order, dong):
        for layer, rho in enumerate(seen):
            values = [rho] + [bounds[name].y[layer] for name in names]
            assert all(a <= b + 1e-9 for a, b in itertools.pairwise(values))


@pytest.mark.label("centred-propagation")
def test_plain_floats_stop_at_their_roundoff() -> None:
    _, plain, _ = data("depth").panels
    for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
        level = math.log10(torch.finfo(dtype).eps / 2)
        assert plain[f"{name} unit roundoff"].y == pytest.approx([level, level])
        assert level - 1.5 < plain[name].y[-1]
    assert plain["float32"].x[-1] <= plain["float64"].x[-1] < 5
    assert plain["with skips"].y[-1] > -0.1


@pytest.mark.label("double-exponential")
def test_the_extremal_family_follows_the_recursion_while_the_closed_form_explodes() -> None:
    strong = data("depth").panels[2]
    seen, recursion = strong["centred propagation"].y, strong["tanh recursion"].y
    assert seen == pytest.approx(recursion, rel=1e-9) and seen[-1] < -30
    assert strong["closed form"].y[3] == pytest.approx(math.log10(double_exponential(1.0, 1.5, 3)))
    assert strong["closed form"].y[-1] > 100


@pytest.mark.label("double-exponential")
def test_bounds_are_what_the_formulas_say_for_one_layer() -> None:
    batch, X = iteration.orthogonal_stack(1, 1, 4, 3, 0.1, 5)
    found = iteration.bounds(iteration.one(batch, 0), X[0])
    assert float(found.recursion[0]) == pytest.approx(float(residual_norm(X[0])))
    assert found.recursion[1] <= found.closed[1]
    assert float(found.dong_measured[1] / found.dong_sharpened[1]) == pytest.approx(4)
    ratio = float(found.dong_safe[1] / found.dong_measured[1])
    assert ratio == pytest.approx(math.sqrt(4) / found.gamma[0])


@pytest.mark.label("centred-propagation")
def test_centred_error_compares_with_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    batch, X = iteration.orthogonal_stack(1, 3, 4, 3, 0.05, 2)
    network = iteration.one(batch, 0)
    assert iteration.centred_error(network, X[0]) < 1e-12
    shifted = network.replace(value=1.01 * network.value)
    trace = iteration.centred_trace(shifted, X[0])
    monkeypatch.setattr(iteration, "centred_trace", lambda *_: trace)
    assert iteration.centred_error(network, X[0]) > 1e-2


@pytest.mark.label("double-exponential")
def test_the_exponent_is_three() -> None:
    fit = data("exponents").parameters
    assert fit["points"] == 240 and fit["deepest"] < -500
    assert abs(fit["slope"] - 3) < 4 * fit["slope_error"] < 0.01
    low, middle, high = data("exponents").panels[0].series
    for a, b, c in zip(low.y, middle.y, high.y, strict=True):
        assert a <= b <= c
    assert high.y[-1] - low.y[-1] < 0.1 and abs(middle.y[-1] - 3) < 0.01


def test_the_line_through_noise() -> None:
    x = torch.linspace(0, 10, 200, dtype=torch.float64)
    noise = torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    slope, error, constant = iteration.fit_line(x, 2 - 3 * x + 0.1 * noise)
    assert abs(slope + 3) < 3 * error and abs(constant - 2) < 0.1
    assert error == pytest.approx(0.1 / math.sqrt(float((x - x.mean()).square().sum())), rel=0.2)


# --- masks and positions -------------------------------------------------------------------------


@pytest.mark.label("contraction")
@pytest.mark.label("rope-collapse")
def test_near_tokens_exceed_the_plain_factor_by_the_square_of_their_distance() -> None:
    (panel,) = data("near").panels
    assert max(abs(y - 1) for y in panel["plain"].y) < 1e-12
    # β_∞ of the identity of width 2 is 2, and of width 1 it is 1.
    for name, limit in (("causal mask", 2), ("RoPE", 2 * math.tanh((1 - math.cos(1)) / 2))):
        for gap, over in list(zip(panel[name].x, panel[name].y, strict=True))[:6]:
            assert over * gap**2 == pytest.approx(limit, rel=2e-2)


@pytest.mark.label("rope-collapse")
def test_depth_with_positions_is_straight_or_a_parabola() -> None:
    (panel,) = data("positions").panels
    assert panel["plain"].y[-1] < -20 and len(panel["plain"].y) == 5
    rates = data("positions").parameters["decades per layer"]
    assert -1.0 < rates["causal mask"] < -0.1
    assert -2.5 < rates["RoPE"] < -0.5
    curvature = data("positions").parameters["curvature"]
    assert curvature == pytest.approx(math.log10(0.7), rel=0.25)
    # Straight and curved differ: the shrunk curve falls ever faster.
    shrunk = panel["RoPE, values shrunk"].y
    assert shrunk[-1] - shrunk[-5] < 2 * (shrunk[5] - shrunk[1])


def test_digits_suffice_for_the_exact_twin() -> None:
    """Negative control: in 15 digits the exact twin stops where float64 does."""
    batch, X = iteration.orthogonal_stack(1, 4, 4, 3, 0.01, 1)
    with mpmath.workdps(15):
        network = lift(iteration.one(batch, 0), "mpf")
        coarse = residual_norm(network.trace(lift(X[0], "mpf")))
    assert coarse[-1] == 0 or mpmath.log10(coarse[-1]) > -18
