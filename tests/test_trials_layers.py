"""The trials of chapters 4 and 5: the same in every number type, attained where they are sharp."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
import torch
from trial_cases import allowed, points, rationals, sides

from collapse.exact import lift
from collapse.ledger import claims
from collapse.referee.cases import measure, split
from collapse.referee.controls import control_sides
from collapse.referee.trial import Trial
from collapse.referee.trials import floors, layers, skips
from collapse.witnesses import layers as by_layers
from collapse.witnesses import skips as by_skips

TRIALS = (*layers.TRIALS, *skips.TRIALS)
EVERY = [
    pytest.param(trial, id=f"{trial.label}: {trial.name}", marks=pytest.mark.label(trial.label))
    for trial in TRIALS
]


def one(label: str, name: str) -> Trial:
    (found,) = (trial for trial in TRIALS if (trial.label, trial.name) == (label, name))
    return found


# --- all of them ---------------------------------------------------------------------------------


def test_every_claim_of_the_two_chapters_is_tried_in_three_ways() -> None:
    for claim in claims():
        if claim.chapter in (4, 5):
            kinds = {kind for trial in TRIALS if trial.label == claim.label for kind in trial.kinds}
            assert kinds == {"certified", "attacked", "property"}, claim.label
    names = [(trial.label, trial.name) for trial in TRIALS]
    assert len(set(names)) == len(names)
    assert all(trial.holds or trial.label.startswith("as25") for trial in TRIALS)


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.parametrize("trial", EVERY)
def test_floats_and_balls_see_the_same(trial: Trial) -> None:
    """A batch in torch against one case after another in balls, both sides."""
    point = points(trial, 3, seed=1)
    measured = sides(trial, point)
    assert [tuple(side.shape) for side in measured] == [(3,), (3,)]
    wide = sides(trial, point.reshape(3, 1, -1).expand(3, 2, -1))
    for side, again in zip(measured, wide, strict=True):
        assert torch.allclose(again, side[:, None].expand(3, 2), rtol=1e-12, atol=1e-13)
    for i in range(3):
        free = {name: lift(x, "arb") for name, x in rationals(trial, point[i]).items()}
        exact = [float(flint.arb(np.asarray(x).item())) for x in trial.sides(**trial.build(**free))]
        slack = allowed(*(side[i] for side in measured))
        for side, truth in zip(measured, exact, strict=True):
            assert abs(side[i] - truth) <= slack
            assert truth == 0 or abs(side[i] - 1.01 * truth) > slack or abs(truth) < 1e-9


@pytest.mark.parametrize("trial", EVERY)
def test_what_holds_holds_and_what_is_refuted_does_not(trial: Trial) -> None:
    observed, bound = sides(trial, points(trial, 400, seed=2))
    excess = observed - bound - allowed(observed, bound)
    if trial.holds:
        assert (excess <= 0).all() and (observed > 0).any()
    elif "property" in trial.kinds:
        assert (excess > 0).double().mean() > 0.5
    else:
        assert not (excess > 0).any()  # rare: found by search only


@pytest.mark.parametrize("trial", EVERY)
def test_the_control_is_false_where_the_claim_is_true_and_the_other_way_round(
    trial: Trial,
) -> None:
    cases = [rationals(trial, point) for point in points(trial, 6, seed=3)]
    found = [measure(trial, free, 400, control_sides(trial)) for free in cases]
    if trial.holds:
        assert any(sides.refuted for sides in found)
    else:
        assert all(sides.proved for sides in found)


@pytest.mark.parametrize("trial", [param for param in EVERY if param.values[0].control is None])
def test_only_a_known_supremum_does_without_a_control(trial: Trial) -> None:
    assert trial.limit == Fraction(3, 2) and not trial.holds


# --- attained at the witnesses of the book -------------------------------------------------------

TIGHT: dict[str, Any] = {
    "rung-0": by_layers.equal_tokens(),
    "rung-1": by_layers.equal_tokens(5),
    "rung-2": by_layers.two_levels(2, 9),
    "rung-3": by_layers.moved_logits(),
}


@pytest.mark.parametrize("name", ["from the weights", "from the states met"])
@pytest.mark.parametrize("label", TIGHT)
def test_rungs_are_attained_at_the_witnesses(label: str, name: str) -> None:
    network, X = TIGHT[label]
    trial = one(label, name)
    observed, bound = trial.sides(network=network, X=X)
    assert trial.sharp and 0.999 * bound <= observed <= bound * (1 + 1e-6)


def ratio(trial: Trial, **objects: Any) -> Any:
    """Observed ÷ bound at objects made of Fractions, in balls."""
    lifted = {
        name: lift(part, "arb") if not isinstance(part, tuple) else part
        for name, part in objects.items()
    }
    observed, bound = trial.sides(**lifted)
    return observed / bound


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.parametrize("eta", ["1/100", "3"])
def test_shifts_attain_the_lipschitz_bound(eta: str) -> None:
    network, X = by_skips.common_shift(eta, "1/3")
    Z = network.layers(0, 1)(X)
    tight = [
        ratio(one("attention-lipschitz", "any step"), layer=network.layers(1, 2), X=X, Z=Z),
        ratio(one("as25-lem-5.2", "repaired"), deep=network, X=X),
    ]
    assert all(abs(x - 1) < flint.arb(10) ** -20 for x in tight)
    reported = one("as25-lem-5.2", "as reported, with g(x) = eˣ − 1")
    first, later = network.layers(0, 1), network.layers(1, 2)
    assert ratio(reported, first=first, later=later, X=X) > 1


@pytest.mark.usefixtures("ball_precision")
def test_the_width_shows_at_the_witness() -> None:
    network, X, _ = by_skips.width_missing("1/10", 40, 3)
    case = {"deep": network, "X": X, "eta": Fraction(1, 10), "phi": Fraction(40)}
    assert abs(ratio(one("as25-eps", "repaired"), **case) - 1) < flint.arb(10) ** -20
    assert ratio(one("as25-eps", "as reported"), **case) > flint.arb("1.36")
    assert ratio(one("eps-counterexample", "exceeded in width three"), **case) < 1


@pytest.mark.usefixtures("ball_precision")
def test_opposing_values_take_as_much_as_a_layer_can() -> None:
    network, X = by_skips.opposing_values("1/2", 1, 1)
    taken = ratio(one("rank-survives", "what one layer takes"), deep=network, X=X)
    assert abs(taken - 1) < flint.arb(10) ** -20


# --- the networks of the floors are those of the book --------------------------------------------

ETA, T = Fraction(4, 9), Fraction(9, 4)
ROOTS = {"eta": np.array([Fraction(2, 3)], object), "t": np.array([Fraction(3, 2)], object)}
FLOORS: dict[str, Any] = {
    "any layer of three heads": by_layers.one_layer_floor(ETA, T),
    "any head": by_layers.one_head_floor(ETA, T),
    "any layer of one head": by_skips.causal_swap(ETA, T),
}


def built(trial: Trial, **given: np.ndarray) -> Any:
    """The case with these free arrays, the other free numbers zero."""
    zeros = {name: np.full(shape, Fraction(0)) for name, shape in trial.free.items()}
    with flint.ctx.workprec(200):
        return trial.build(**{name: lift(x, "arb") for name, x in (zeros | given).items()})


def same(a: Any, b: Any) -> bool:
    with flint.ctx.workprec(200):
        difference = abs(np.asarray(a) - np.asarray(lift(b, "arb")))
    return a.shape == b.shape and all(x < flint.arb(10) ** -30 for x in difference.flat)


@pytest.mark.parametrize("name", FLOORS)
def test_floors_are_tried_on_the_networks_of_the_witnesses(name: str) -> None:
    (trial,) = (t for t in floors.TRIALS if t.name == name and t.label != "preln-floor")
    network, *inputs = FLOORS[name]
    case = built(trial, **ROOTS)
    X = np.stack(inputs) if len(inputs) > 1 else inputs[0].reshape(-1, *inputs[0].shape[-2:])
    assert same(np.stack(case["inputs"]), X)
    deep = case["deep"]
    for weight in ("query", "key", "value"):
        assert same(getattr(deep, weight), getattr(network, weight))
    assert not same(getattr(deep, weight), getattr(network, weight) * Fraction(101, 100))
    assert (deep.mask is None) == (network.mask is None)
    assert case["shallow"].depth == 1
    assert 0 < flint.arb(np.asarray(case["floor"]).item())


def test_the_other_floors_too() -> None:
    trial = one("one-layer-floor", "biases everywhere")
    network, X = by_layers.one_layer_floor_with_biases(ETA, T)
    case = built(trial, **ROOTS)
    assert same(np.stack(case["inputs"])[..., :1], X)
    assert all(same(Y[:, 1], np.full(4, Fraction(1))) for Y in case["inputs"])
    for weight, block in (("query", np.s_[..., :1, :]), ("value", np.s_[..., :1, :1])):
        assert same(getattr(case["deep"], weight)[block], getattr(network, weight))
    trial = one("preln-floor", "any layer of one head")
    lengths = np.array([Fraction(x) for x in (3, 1, 2)], object)  # squared, plus one, over eight
    eighths = [Fraction(10, 8), Fraction(2, 8), Fraction(2, 8) + Fraction(5, 8)]
    case = built(trial, eta=ROOTS["eta"], lengths=lengths)
    network, *_ = by_skips.preln_lengths(ETA, *eighths[1:])
    assert same(case["deep"].value, network.value) and case["deep"].norm == "pre"
    for Y, length in zip(case["inputs"], eighths[1:], strict=True):
        assert same(Y, np.array([[eighths[0], Fraction(0)], [Fraction(0), length]], object))


def test_inputs_that_one_layer_confuses() -> None:
    """Tokens exchanged or stretched, all others as they were."""
    for name in ("six layers, tokens exchanged", "six layers, tokens stretched"):
        (trial,) = (t for t in floors.TRIALS if t.name == name)
        case = trial.build(**split(trial, points(trial, 5, seed=4)))
        X, Y = case["inputs"]
        if "exchanged" in name:
            assert torch.equal(X[:, [1, 0, 2, 3]], Y)
        else:
            stretch = (Y.norm(dim=-1) / X.norm(dim=-1))[..., None]
            assert torch.equal(X[:, 0], Y[:, 0]) and (stretch >= 1 - 1e-12).all()
            assert (X * stretch - Y).abs().max() < 1e-12 < (X - Y).abs().max()
        one_layer = case["deep"].layers(0, 1)
        row = 2 if "exchanged" in name else 0
        assert (one_layer(X) - one_layer(Y))[:, row].abs().max() < 1e-12
        assert (case["floor"] > 1e-6).all()


def test_entries_stay_within_their_bounds() -> None:
    for label, name, eta, phi in (
        ("as25-skip", "one head for 2 layers", 0.125, 1.0),
        ("as25-thm-5.3", "the identity", None, None),
        ("as25-eps", "repaired", None, None),
    ):
        trial = one(label, name)
        case = trial.build(**split(trial, points(trial, 200, seed=5)))
        deep = case.get("deep", case.get("network"))
        largest = max(
            float((getattr(deep, w).abs().amax((1, 2, 3, 4)) / case["eta"]).nan_to_num().max())
            for w in ("query", "key", "value")
        )
        assert 0.99 < largest <= 1 + 1e-12
        if eta is not None:
            assert case["eta"].max() <= eta and case["X"].abs().max() <= phi
        if "phi" in case:
            assert (case["X"].abs().amax((1, 2)) <= case["phi"] * (1 + 1e-12)).all()
