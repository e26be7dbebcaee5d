"""Chapter 10 on MiniLM: what the ledger says was measured, the figures, the models beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from collapse import diagnose
from collapse.figures import wild, wild_substitutes
from collapse.figures.data import FigureData, Series
from collapse.figures.style import show
from collapse.inspection import Report
from collapse.inspection.minilm import mean_pooled, minilm, random_twin, rounded
from collapse.inspection.sentences import PAIRS, PASSAGE, SENTENCES, texts

Draw = Callable[[Sequence[Axes], FigureData], None]


@pytest.fixture(scope="module")
def models() -> tuple[Any, Any, Any]:
    model, tokenizer = minilm()
    return model, random_twin(model, torch.Generator().manual_seed(0)), tokenizer


@pytest.fixture(scope="module")
def reports(models: tuple[Any, Any, Any]) -> tuple[Report, Report]:
    model, twin, tokenizer = models
    ours, theirs = (
        diagnose(each, SENTENCES, tokenizer=tokenizer, margin=each is model)
        for each in (model, twin)
    )
    return ours, theirs


@pytest.fixture(scope="module")
def figures(models: Any, reports: Any) -> dict[str, tuple[FigureData, Draw]]:
    model, twin, tokenizer = models
    return {
        "wild-thresholds": (
            wild.growing(model, twin, tokenizer, PASSAGE, [8, 32, 128, 256]),
            wild.draw_growing,
        ),
        "wild-constants": (wild.constants(reports[0], 9), wild.draw_constants),
        "wild-shrinking": (
            wild_substitutes.shrinking(model, twin, tokenizer, 5),
            wild_substitutes.draw_shrinking,
        ),
        "wild-substituting": (
            wild_substitutes.substituting(model, twin, tokenizer),
            wild_substitutes.draw_substituting,
        ),
        "wild-rounding": (
            wild_substitutes.rounding(model, tokenizer, [3, 8, 32], 2, 0.05),
            wild_substitutes.draw_rounding,
        ),
    }


def test_figures_draw_and_write_their_data(figures: Any, tmp_path: Path) -> None:
    for name, (data, draw) in figures.items():
        assert data.label == name
        show(data, draw, tmp_path)
        plt.close("all")
        written = json.loads((tmp_path / f"{name}.json").read_text())
        assert written["drawn_by"]["function"] == draw.__name__
        assert all(len(line["x"]) > 1 for panel in written["panels"] for line in panel["series"])


@pytest.mark.label("minilm-threshold")
def test_trained_rows_pass_the_threshold_and_untrained_ones_do_not(figures: Any) -> None:
    share = figures["wild-thresholds"][0].panels[2]
    assert min(share["MiniLM: above"].y) > 0.8
    focused = share["MiniLM: focused"].y
    assert focused == sorted(focused, reverse=True) and focused[-1] < 0.3
    for word in ("above", "focused"):
        assert max(share[f"random twin: {word}"].y) == 0


@pytest.mark.label("minilm-constants")
def test_the_constants_are_vacuous(reports: tuple[Report, Report]) -> None:
    ours, control = reports
    assert all(layer.contraction[2] > 8 and layer.contraction[1] > 30 for layer in ours.layers)
    assert all(layer.measured[p] < 0.35 for layer in ours.layers for p in (1, 2))
    assert all(layer.contraction[p] > 2 for layer in control.layers for p in (1, 2))


@pytest.mark.label("minilm-margins")
def test_orders_and_margins(reports: tuple[Report, Report], figures: Any) -> None:
    panel = figures["wild-shrinking"][0].panels[0]
    orders = {n: wild_substitutes.power(panel[n], 0.01, 0.3) for n in ("average", "first")}
    assert orders["average"] == pytest.approx(3, abs=0.1)
    assert orders["first"] == pytest.approx(1, abs=0.1)
    margins = reports[0].margins or {}
    assert 0.15 < margins["average"] < 0.25 and 0.005 < margins["first"] < 0.02


@pytest.mark.label("minilm-similarity")
def test_one_layer_can_average_and_all_cannot(figures: Any) -> None:
    one, bottom, top, controls = figures["wild-substituting"][0].panels
    assert one["separation"].y == [1.0] * 7
    assert controls["separation"].y[0] < 0.9
    # Three ways to the same numbers: all layers from the bottom, from the top, and as a control.
    for label in wild_substitutes.LABELS:
        assert bottom[label].y[0] == top[label].y[0] == one[label].y[0]
        assert bottom[label].y[-1] == top[label].y[-1] == controls[label].y[0]


def test_the_sentence_vectors_are_those_of_the_model(models: Any) -> None:
    """Against the model itself, one sentence at a time, pooled in plain loops."""
    model, _, tokenizer = models
    found = wild_substitutes.similarities(wild.shown(model, tokenizer, list(texts())))
    at: Counter[str] = Counter()
    for pair in PAIRS[::5]:
        vectors = []
        for text in (pair.first, pair.second):
            with torch.no_grad():
                hidden = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
            mean = [sum(float(row[j]) for row in hidden) / len(hidden) for j in range(384)]
            size = sum(x * x for x in mean) ** 0.5
            vectors.append([x / size for x in mean])
        cosine = sum(a * b for a, b in zip(*vectors, strict=True))
        position = [p for p in PAIRS if p.label == pair.label].index(pair)
        assert float(found[pair.label][position]) == pytest.approx(cosine, abs=1e-5)
        at[pair.label] += 1
    assert len(at) == 3


def test_the_texts_are_a_fixed_balanced_set() -> None:
    assert Counter(pair.label for pair in PAIRS) == dict.fromkeys(wild_substitutes.LABELS, 16)
    assert len(set(texts())) == 96
    assert len(set(SENTENCES)) == 12
    assert "\x00" not in PASSAGE


def test_the_largest_factor_bounds_every_layer_at_full_scale(reports: Any) -> None:
    for p in (1, 2):
        one = float(wild.largest_factor(reports[0], p, 384, torch.ones(1).double())[0])
        assert one >= max(layer.contraction[p] for layer in reports[0].layers)
        half = float(wild.largest_factor(reports[0], p, 384, torch.full((1,), 0.5).double())[0])
        assert half < one


def test_the_twin_is_random_and_the_model_untouched(models: Any) -> None:
    model, twin, _ = models
    ours, theirs = (dict(each.named_parameters()) for each in (model, twin))
    assert ours.keys() == theirs.keys()
    weight = "encoder.layer.3.attention.self.query.weight"
    assert float(theirs[weight].detach().std()) == pytest.approx(0.02, rel=0.01)
    assert float(ours[weight].detach().std()) > 0.03
    assert not theirs["encoder.layer.3.attention.self.query.bias"].detach().any()
    again = random_twin(model, torch.Generator().manual_seed(0))
    assert all(torch.equal(p, theirs[name]) for name, p in again.named_parameters())


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_rounded_weights_lie_on_their_grid(models: Any, bits: int) -> None:
    model = models[0].encoder.layer[0]
    before = model.attention.self.query.weight.detach().clone()
    weight = rounded(model, bits).attention.self.query.weight.detach()
    assert torch.equal(model.attention.self.query.weight.detach(), before)
    for row, old in zip(weight[:20].numpy(), before[:20].numpy(), strict=True):
        assert len(set(row.tolist())) <= 2**bits - 1
        step = abs(old).max() / (2 ** (bits - 1) - 1)
        assert abs(row - old).max() <= step / 2 * (1 + 1e-5)
        assert np.isclose(abs(row).max(), abs(old).max())
    with pytest.raises(ValueError, match="bits"):
        rounded(model, 1)


def test_mean_pooled_and_power_and_crossing() -> None:
    pooled = mean_pooled([torch.tensor([[3.0, 0.0], [3.0, 8.0]])])
    assert pooled[0].tolist() == pytest.approx([0.6, 0.8])
    line = Series("", [0.1, 0.2, 0.4], [0.001, 0.008, 0.064])
    assert wild_substitutes.power(line, 0.1, 0.4) == pytest.approx(3)
    assert wild.crossing(line, 0.008) == pytest.approx(0.2)
    assert wild.crossing(line, 1.0) == 0.4
