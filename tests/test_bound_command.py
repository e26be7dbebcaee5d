"""``collapse bound`` at its edges: one token, two, three; one layer, one head; sizes all different.

The sizes are such that exchanging two of them, or leaving one out, changes every answer.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

from collapse import Network, collapse_bound
from collapse.__main__ import main

SIZES = {"layers": 3, "heads": 2, "width": 4, "key-width": 3, "tokens": 7, "phi": 1.5}
ETA = 0.05


@pytest.fixture
def bound(capsys: pytest.CaptureFixture[str]) -> Any:
    def answer(**changed: float) -> Any:
        sizes = {**SIZES, "eta": ETA, **{k.replace("_", "-"): v for k, v in changed.items()}}
        assert main(["bound", *(f"--{k}={v}" for k, v in sizes.items()), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return answer


def equal_weights(eta: float, layers: int, heads: int, key_width: int, width: int) -> Network:
    query, value = (
        torch.full((layers, heads, width, columns), eta, dtype=torch.float64)
        for columns in (key_width, width)
    )
    return Network(query, query, value)


def opposed(tokens: int, width: int, phi: float) -> torch.Tensor:
    X = torch.full((tokens, width), -phi, dtype=torch.float64)
    X[0] = phi
    return X


@pytest.mark.parametrize("tokens", [2, 3, 7])
def test_two_tokens_are_as_far_apart_as_many(bound: Any, tokens: int) -> None:
    found = bound(tokens=tokens)["bounds"]
    network = equal_weights(ETA, 3, 2, 3, 4)
    for rung in range(4):
        exact = float(collapse_bound(network, opposed(tokens, 4, 1.5), rung).value)
        assert found[f"rung {rung}"] == pytest.approx(exact, rel=1e-12)


def test_one_token_is_bounded_without_a_diameter(bound: Any) -> None:
    found = bound(tokens=1)["bounds"]
    network, X = equal_weights(ETA, 3, 2, 3, 4), opposed(1, 4, 1.5)
    for rung in range(4):
        exact = float(collapse_bound(network, X, rung).value)
        assert found[f"rung {rung}"] == pytest.approx(exact, rel=1e-12)


def one_layer(eta: float, t: float) -> float:
    """½ηt · u(u − 1)(u + 2) ÷ (2 + u²)(1 + 2u), with u = exp(η³t²/6)."""
    u = math.exp(eta**3 * t**2 / 6)
    return eta * t / 2 * u * (u - 1) * (u + 2) / ((2 + u * u) * (1 + 2 * u))


def one_head(eta: float, t: float) -> float:
    return eta * t / 3 * math.tanh(eta**2 * t**2 / 2)


@pytest.mark.label("one-layer-floor", "one-head-floor")
def test_the_floors_are_those_of_tokens_of_this_size(bound: Any) -> None:
    floors = bound()["floors"]
    assert floors["any heads"] == pytest.approx(one_layer(ETA, 1.5), rel=1e-9)
    assert floors["one head"] == pytest.approx(one_head(ETA, 1.5), rel=1e-9)
    assert floors["no head"] == pytest.approx(1.5 * ((1 + 2 * 4 * ETA) ** 3 - 1), rel=1e-12)


@pytest.mark.label("one-layer-floor", "one-head-floor")
def test_a_floor_is_claimed_only_where_its_networks_fit(bound: Any) -> None:
    known = one_layer(ETA, 1.5), one_head(ETA, 1.5)
    for changed, (any_heads, single) in {
        ("layers", 1): (0, known[1]),  # one layer is its own imitation
        ("tokens", 2): (0, known[1]),  # the deep pair has three tokens
        ("tokens", 1): (0, 0),
        ("heads", 1): (known[0], known[0]),  # the opposed heads are two; one head is one layer
    }.items():
        floors = bound(**dict([changed]))["floors"]
        assert floors["any heads"] == pytest.approx(any_heads, rel=1e-9), changed
        assert floors["one head"] == pytest.approx(single, rel=1e-9), changed


@pytest.mark.label("one-layer-floor", "one-head-floor")
def test_one_head_misses_at_least_what_all_heads_miss(bound: Any) -> None:
    # Short tokens under large weights: the floor for all heads is the larger of the two.
    floors = bound(eta=30.0, phi=1e-4)["floors"]
    assert one_layer(30.0, 1e-4) > 2 * one_head(30.0, 1e-4)
    assert floors["one head"] == floors["any heads"]
    assert floors["any heads"] == pytest.approx(one_layer(30.0, 1e-4), rel=1e-6)


@pytest.mark.label("large-weights-needed")
def test_at_the_lookup_eta_a_token_has_half_the_mass_and_below_it_less(bound: Any) -> None:
    eta = bound()["lookup_eta"]
    X = opposed(7, 4, 1.5)
    for factor, least, most in ((1.0, 0.5 - 1e-12, 0.5 + 1e-12), (0.99, 0.0, 0.499)):
        network = equal_weights(factor * eta, 1, 1, 3, 4)
        assert least <= float(network.attention_matrices(X, 0).max()) <= most
    assert "lookup_eta" not in bound(tokens=2)  # of two tokens one has half the mass at η = 0


def test_a_single_layer_is_imitated_exactly_by_two_of_the_rungs_alone(bound: Any) -> None:
    found = bound(layers=1, error=1e-6)
    free = [found["largest_eta"][f"rung {rung}"] is None for rung in range(4)]
    assert free == [False, True, False, True]
    one = bound(tokens=1, error=1e-6)
    assert [one["largest_eta"][f"rung {rung}"] is None for rung in range(4)] == [
        False, False, True, True
    ]  # fmt: skip
