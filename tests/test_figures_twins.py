"""Curves of figures worked out once more, point by point, where order alone says too little."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch

from collapse import Network, collapse_bound
from collapse.exact import lift
from collapse.figures import certificates, induction, survival, tradeoff
from collapse.figures.variants import order
from collapse.tasks import Recall
from collapse.tasks.induction import embed, induction_network, labelled
from collapse.witnesses.skips import four_cells


@pytest.mark.label("large-weights-needed", "rung-2", "rung-3")
def test_the_axis_is_that_of_equal_weights_and_opposed_tokens() -> None:
    L, H, d, k, n = 2, 3, 4, 2, 50
    lost, _, task = tradeoff.one_axis(7, L, H, d, k, n, 0.1, 0.1).panels
    X = torch.ones(3, d, dtype=torch.float64)
    X[0] = -1
    for rung in (2, 3):
        line = lost[f"rung {rung}, at most"]
        for eta, found in zip(line.x, line.y, strict=True):
            query, value = (torch.full((L, H, d, c), eta, dtype=torch.float64) for c in (k, d))
            exact = collapse_bound(Network(query, query, value), X, rung).value
            assert found == pytest.approx(float(exact), rel=1e-10)
    for eta, found in zip(task["mass"].x, task["mass"].y, strict=True):
        # One token of ones among tokens of minus ones: its logits differ by 2 d²k η².
        assert found == pytest.approx(1 / (1 + (n - 1) * math.exp(-2 * d * d * k * eta**2)))


@pytest.mark.label("large-weights-suffice")
def test_the_induction_network_is_shown_on_both_sides_of_its_threshold() -> None:
    data = induction.scaling(pairs=4, points=4, count=16, seed=3)
    star, scales = data.parameters["threshold"], data.panels[0].series[0].x
    assert sum(0.998 * star < s < star for s in scales) == 1
    assert sum(star < s < 1.002 * star for s in scales) == 1
    task = Recall(4, 4, 4)
    batch = labelled(task, 2, 16, torch.Generator().manual_seed(3))
    X = embed(task, batch.tokens[:1])[0]
    for rung in (1, 2, 3):
        line = data.panels[2][f"rung {rung}, bound"]
        for s, found in zip(line.x, line.y, strict=True):
            exact = collapse_bound(induction_network(task, s), X, rung, p=2).value
            assert found == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.label("as25-skip", "rank-survives", "one-layer-floor")
@pytest.mark.parametrize("skip", [1, 0])
def test_a_cell_shows_the_input_that_keeps_less(skip: int) -> None:
    ranks, _ = survival.cells(6).panels
    word = {1: "with skips", 0: "without"}[skip]
    for eta, found in zip(ranks[word].x, ranks[word].y, strict=True):
        with mpmath.workdps(60):
            network, *inputs = (lift(part, "mpf") for part in four_cells(repr(eta), skip))
            kept = []
            for X in inputs:
                shares = []
                for tokens in (network(X), X):
                    column = [row[0] for row in tokens]
                    shares.append((max(column) - min(column)) / 2 / max(map(abs, column)))
                kept.append(shares[0] / shares[1])
            assert found == pytest.approx(float(min(kept)), rel=1e-9)


@pytest.mark.label("as25-skip", "rung-3")
def test_with_skips_rung_3_imitates_and_not_rung_2() -> None:
    imitation = survival.cells(31).panels[1]["with skips: imitation"]
    assert order(imitation, 1) == pytest.approx(4, abs=0.05)


@pytest.mark.label("as25-thm-5.3")
def test_of_the_random_inputs_the_worst_is_shown() -> None:
    few, many = (certificates.all_inputs(5, inputs, 0.2, 1) for inputs in (1, 12))
    above = 0
    for one, all_ in zip(few.panels, many.panels, strict=True):
        # The first input is among the twelve: the worst of them is at least as bad, everywhere.
        for alone, worst in zip(one["observed"].y, all_["observed"].y, strict=True):
            assert worst >= alone * (1 - 1e-9)
            above += worst > 1.1 * alone
    assert above > 0
