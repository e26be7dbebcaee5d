"""Chapter 1's witnesses are exact, and its figures show what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import generator

from collapse import diameter, dobrushin, residual_norm, value_norm
from collapse.figures import res, style
from collapse.figures.data import FigureData, series
from collapse.norms import measure_dictionary, residual_lipschitz
from collapse.numeric import exact, rounding_allowance
from collapse.witnesses import res as witnesses

inf = float("inf")


def rational(low: int, high: int, shape: tuple[int, int], seed: int) -> np.ndarray:
    return exact(torch.randint(low, high, shape, generator=generator(seed)).tolist())


# --- witnesses -----------------------------------------------------------------------------------


@pytest.mark.label("as25-lem-4.1")
def test_both_pairs_refute_the_lemma_exactly() -> None:
    pairs = witnesses.lemma_4_1()
    assert [res.entry_norm(A - B) for A, B in pairs] == [1, 4]
    assert [res.expansion(A, B) for A, B in pairs] == [2, Fraction(5, 4)]


@pytest.mark.label("res-lipschitz")
@pytest.mark.parametrize("n", [2, 3, 4, 9, 40])
def test_the_witnesses_attain_both_constants_exactly(n: int) -> None:
    assert res.expansion(*witnesses.lipschitz(n)) == residual_lipschitz(n)
    assert res.expansion(*witnesses.mean_lipschitz(n), res.mean_residual) == Fraction(2 * n - 2, n)


@pytest.mark.label("res-any-centre")
@given(
    numerators=st.lists(st.integers(-9, 9), min_size=2, max_size=7).filter(sum),
    ranked=st.booleans(),
)
def test_no_weighted_centre_beats_the_mean(numerators: list[int], ranked: bool) -> None:
    """Weights on the tokens as they stand, or on the sorted ones: median, midrange and the like."""
    n, weights = len(numerators), [Fraction(k, sum(numerators)) for k in numerators]

    def centring(X: np.ndarray) -> np.ndarray:
        return X - np.array(weights) @ (np.sort(X, axis=0) if ranked else X)

    steps = [res.expansion(A, B, centring) for A, B in pairwise(witnesses.walk(n))]
    assert max(steps) >= Fraction(2 * n - 2, n)


@pytest.mark.label("res-any-centre")
@pytest.mark.parametrize("n", [2, 3, 6])
def test_the_walk_exposes_every_centre_that_follows_shifts(n: int) -> None:
    path = witnesses.walk(n)
    assert (path[-1] - path[0] == n - 2).all()
    centrings: list[Callable[[np.ndarray], np.ndarray]] = [
        *res.CENTRINGS.values(),
        lambda X: X - X[0],
        lambda X: X - np.sort(X, axis=0)[n // 2],
    ]
    steps = [[res.expansion(A, B, c) for A, B in pairwise(path)] for c in centrings]
    assert all(max(step) >= Fraction(2 * n - 2, n) for step in steps)
    assert max(steps[1]) == Fraction(2 * n - 2, n)  # the mean does no worse
    still = [res.expansion(A, B, lambda X: X) for A, B in pairwise(path)]
    assert max(still) == 1  # a centre that ignores shifts escapes


@pytest.mark.label("res-right")
@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("seed", range(10))
def test_tokens_that_a_matrix_stretches_most(n: int, seed: int) -> None:
    W = rational(-9, 10, (4, 3), seed)
    X = witnesses.stretched(W, n)
    assert residual_norm(X) == 1
    assert residual_norm(X @ W) == value_norm(W) > Fraction(99, 100) * value_norm(W)
    assert X.shape == (n, 4)


@pytest.mark.label("res-left")
@pytest.mark.parametrize("p", [1, inf])
@pytest.mark.parametrize("seed", range(10))
def test_tokens_that_a_mixture_keeps_apart(p: float, seed: int) -> None:
    P = rational(1, 10, (4, 5), seed)
    P = P / P.sum(-1)[:, None]
    X = witnesses.kept_apart(P, exact([3, -1, 0]))
    assert diameter(X, p) > 0
    assert diameter(P @ X, p) == dobrushin(P) * diameter(X, p)


def test_equal_rows_and_a_zero_matrix_are_served_too() -> None:
    P = exact([["1/2", "1/2"]] * 3)
    X = witnesses.kept_apart(P, exact([1]))
    assert diameter(X) == 1 and diameter(P @ X) == 0
    assert residual_norm(witnesses.stretched(exact([[0], [0]]))) == 1


@pytest.mark.parametrize(
    ("build", "quantity"),
    [
        (lambda: witnesses.lipschitz(0), "n"),
        (lambda: witnesses.mean_lipschitz(0), "n"),
        (lambda: witnesses.walk(0), "n"),
        (lambda: witnesses.stretched(exact([[1]]), 1), "n"),
        (lambda: witnesses.kept_apart(exact([[1]]), exact([1])), "columns of P"),
        (lambda: witnesses.dictionary(1, 1), "n"),
        (lambda: witnesses.dictionary(2, 0), "d"),
    ],
)
def test_witnesses_refuse_bad_sizes(build: Callable[[], object], quantity: str) -> None:
    with pytest.raises(ValueError, match=f"^{quantity}: expected .*, received "):
        build()


# --- figures -------------------------------------------------------------------------------------

FIGURES = {
    "why": (res.why_it_doubles, res.draw_why_it_doubles),
    "worst": (lambda: res.worst_expansion(4, 8, 300, 0), res.draw_worst_expansion),
    "usual": (lambda: res.usual_expansion([2, 3, 32], 400, 0), res.draw_usual_expansion),
    "slack": (lambda: res.slack(4, 3, 400, 0), res.draw_slack),
    "dictionary": (lambda: res.dictionary(3, [2, 3, 4, 8], 50, 0), res.draw_dictionary),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_and_its_data_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, draw = FIGURES[name]
    monkeypatch.setattr(style.plt, "show", lambda: None)
    data = make()
    style.show(data, draw, tmp_path)
    style.plt.close("all")
    assert json.loads((tmp_path / f"{data.label}.json").read_text())["label"] == data.label
    again = make()
    assert again.panels == data.panels  # the seed decides


def test_series_keep_double_precision() -> None:
    """A list of floats must not pass through float32 on its way into the JSON."""
    line = series("thirds", [1 / 3], [2 / 3], [[0.1]])
    assert (line.x, line.y, line.z) == ([1 / 3], [2 / 3], [[0.1]])


def ordinates(data: FigureData, name: str) -> list[float]:
    return data.panels[0][name].y


def test_the_picture_shows_the_exact_witness() -> None:
    before, after = res.why_it_doubles().panels
    assert [line.y for line in before.series] == [[2, 1], [0, 1], [-2, -3], [0, -1]]
    assert [line.y for line in after.series] == [[2, 2], [0, 2], [-2, -2], [0, 0]]


@pytest.mark.label("res-lipschitz")
def test_the_search_reaches_the_constants_and_stays_below_them() -> None:
    data = FIGURES["worst"][0]()
    for centre in res.CENTRINGS:
        found, proved = (ordinates(data, f"{centre}: {word}") for word in ("found", "proved"))
        attained = ordinates(data, f"{centre}: attained")
        for value, bound, exactly in zip(found, proved, attained, strict=True):
            assert value <= bound + rounding_allowance(8.0, 12)  # entries below 8, 12 operations
            assert abs(exactly - bound) <= rounding_allowance(bound, 2)
            assert bound == 0 or value > 0.99 * bound  # a bound 1% smaller would be exceeded


def test_random_pairs_respect_what_is_proved() -> None:
    data = FIGURES["usual"][0]()
    assert max(ordinates(data, "midrange 95%")) <= 2
    assert max(ordinates(data, "mean 95%")) <= 2
    assert max(ordinates(data, "norm 95%")) <= 1
    share = ordinates(data, "share of pairs that Res moves apart")
    assert share[0] == 0 and share[1] > 0.2 and share[2] > 0.8  # none with two tokens


def test_slack_is_between_nothing_and_all() -> None:
    for line in FIGURES["slack"][0]().panels[0].series:
        assert 0 < line.x[0] < line.x[1] < line.x[2] < line.x[3] < 1


@pytest.mark.label("metric-dictionary")
def test_clouds_lie_between_the_constants_and_the_witnesses_on_them() -> None:
    panel = FIGURES["dictionary"][0]().panels[0]
    for name in ("one outlier", "Gaussian", "signs"):
        for n, quotient in zip(panel[name].x, panel[name].y, strict=True):
            lower, upper = measure_dictionary(int(n), 3)
            allowed = rounding_allowance(upper, int(2 * n * 3) + 10)
            assert lower - allowed <= quotient <= upper + allowed
    for side in ("lower", "upper"):
        witness, constant = panel[f"{side} witness"], panel[f"{side} constant"]
        for n, value, bound in zip(witness.x, witness.y, constant.y, strict=True):
            assert abs(value - bound) <= rounding_allowance(bound, int(2 * n * 3) + 10)
