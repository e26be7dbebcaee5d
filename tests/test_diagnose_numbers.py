"""Every number of a report against a slow twin, on a tiny random model of each family."""

from __future__ import annotations

from typing import Any

import inspected
import inspected_numbers
import numpy as np
import pytest
import substituted
import torch

from collapse import diagnose
from collapse.inspection.report import Report

TOLERANCE = 0.05
# Norms of transformers round to float32 whatever the model's type; others are float64 throughout.
ROUGH = {"Llama", "Qwen2", "Mistral"}


@pytest.fixture(scope="module", params=inspected.CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, inspected.Case, Report]:
    made = inspected.CASES[request.param]()
    return (
        request.param,
        made,
        diagnose(made.model, made.inputs, tolerance=TOLERANCE, **made.options),
    )


def close(found: Any, expected: Any, name: str) -> bool:
    rel = 2e-5 if name in ROUGH else 1e-9
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        return all(close(found[key], expected[key], name) for key in found)
    return bool(np.allclose(found, expected, rtol=rel, atol=1e-9))


@pytest.mark.label("contraction", "uniform-tv", "retrieval")
def test_every_number_of_every_head(case: tuple[str, inspected.Case, Report]) -> None:
    name, made, report = case
    seen, _ = made.layers()
    assert [len(layer.heads) for layer in report.layers] == [inspected.HEADS] * len(seen)
    for layer, own in zip(report.layers, seen, strict=True):
        assert layer.kind == made.kind
        for h, head in enumerate(layer.heads):
            for number, expected in inspected_numbers.head_numbers(own, h, made.kind).items():
                found = getattr(head, number)
                assert close(found, expected, name), (layer.name, h, number, found, expected)


def test_every_number_of_every_layer(case: tuple[str, inspected.Case, Report]) -> None:
    name, made, report = case
    seen, final = made.layers()
    for layer, own in zip(report.layers, seen, strict=True):
        for number, expected in inspected_numbers.layer_numbers(own, made.kind).items():
            found = getattr(layer, number)
            assert close(found, expected, name), (layer.name, number, found, expected)
    assert close(report.final["diameter_2"], inspected_numbers.spread(final, 2), name)
    assert close(report.final["diameter_1"], inspected_numbers.spread(final, 1), name)
    rho = max((column.max() - column.min()) / 2 for column in final.T)
    size = max(inspected_numbers.distance(row, 0 * row, 2) for row in final)
    assert close(report.final["residual_norm"], rho, name)
    assert close(report.final["size"], size, name)


def test_substitutes(case: tuple[str, inspected.Case, Report]) -> None:
    name, made, report = case
    whole = {"removed": report.removed, "first": report.first_input, "average": report.averaged}
    for what, found in whole.items():
        expected = substituted.change(made, what)
        assert close(found, expected, name), (what, found, expected)
        assert what == "first" or expected > 1e-3  # a substitute that changes nothing shows nothing
    for index, layer in enumerate(report.layers):
        alone = substituted.change(made, "average", layers=(index,))
        assert close(layer.averaged, alone, name)


@pytest.mark.label("rung-1", "rung-2")
def test_margins(case: tuple[str, inspected.Case, Report]) -> None:
    _, made, report = case
    assert report.margins is not None
    for what, s in report.margins.items():
        assert s > 0
        assert substituted.change(made, what, s) <= TOLERANCE * (1 + 1e-4)
        if s < 1:
            assert substituted.change(made, what, 1.0101 * s) > TOLERANCE


@pytest.mark.label("contraction", "uniform-tv", "res-left")
def test_nothing_measured_exceeds_its_bound(case: tuple[str, inspected.Case, Report]) -> None:
    _, _, report = case
    for layer in report.layers:
        for head in layer.heads:
            assert head.tv <= head.tv_bound
            for p in (1, 2):
                assert head.measured[p] <= head.by_dobrushin[p] * (1 + 1e-9)
                assert head.by_dobrushin[p] <= head.value[p] * (1 + 1e-9)
                assert head.measured[p] <= head.contraction[p] * (1 + 1e-9)
        assert all(layer.measured[p] <= layer.contraction[p] for p in (1, 2))


@pytest.mark.label("contraction")
@pytest.mark.parametrize("name", ["network, rope", "Llama"])
def test_the_rotary_norm_covers_every_offset_and_one_offset_does_not(name: str) -> None:
    made = inspected.CASES[name]()
    report = diagnose(made.model, made.inputs, margin=False)
    short = 0
    for layer, own in zip(report.layers, made.layers()[0], strict=True):
        for h, head in enumerate(layer.heads):
            k = own.query.shape[-1]
            exact: dict[int, list[float]] = {1: [], 2: []}
            for turn in range(200):
                R = np.zeros((k, k))
                for index, (a, b) in enumerate(own.pairs):
                    angle = 0.1 * turn * (1 + 2**0.5 * index)
                    R[a, a] = R[b, b] = np.cos(angle)
                    R[a, b], R[b, a] = np.sin(angle), -np.sin(angle)
                M = own.query[h] @ R @ own.key[h].T
                exact[1].append(float(abs(M).max()))
                exact[2].append(float(np.linalg.norm(M, 2)))
            for p in (1, 2):
                assert max(exact[p]) <= head.query_key[p] * (1 + 1e-6)
                short += exact[p][0] < 0.99 * max(exact[p])
    assert short > 0


def test_the_twin_would_notice_a_gain_left_out() -> None:
    made = inspected.CASES["GPT2"]()
    report = diagnose(made.model, made.inputs, margin=False)
    for block in made.model.transformer.h:
        torch.nn.init.ones_(block.ln_1.weight)
    changed = made.layers()[0][0]
    assert not close(
        report.layers[0].heads[0].query_key[2], inspected_numbers.beta(changed, 0, 2), "GPT2"
    )
