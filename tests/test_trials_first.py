"""The trials of chapters 1 to 3: the same in every number type, attained where they are sharp."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
import torch
from strategies import stochastic as random_rows
from trial_cases import allowed, points, rationals, sides

from collapse.exact import lift
from collapse.ledger import claims
from collapse.norms import residual_lipschitz, residual_norm
from collapse.numeric import exact
from collapse.referee.cases import in_floats, measure, split
from collapse.referee.controls import control_sides
from collapse.referee.trial import Trial
from collapse.referee.trials import contraction, depth, domain, perturbation, residuals, rows
from collapse.softmax import balance, extremal_pair
from collapse.witnesses import contraction as by_contraction
from collapse.witnesses import res as by_res

TRIALS = tuple(
    trial
    for module in (residuals, perturbation, rows, contraction, depth)
    for trial in module.TRIALS
)


def params(chosen: Iterable[Trial]) -> list[Any]:
    return [
        pytest.param(trial, id=f"{trial.label}: {trial.name}", marks=pytest.mark.label(trial.label))
        for trial in chosen
    ]


DEEP = [trial for trial in TRIALS if trial.name == "six layers of two heads"]
IN_FLOATS = [trial for trial in TRIALS if trial not in DEEP]  # the others fall below 1e-17
HOLDING = [trial for trial in TRIALS if trial.holds]
REFUTED = [trial for trial in TRIALS if not trial.holds]
IDENTITIES = {"centred-propagation", "path-decomposition"}


def one(label: str, name: str) -> Trial:
    (found,) = (trial for trial in TRIALS if (trial.label, trial.name) == (label, name))
    return found


# --- all of them ---------------------------------------------------------------------------------


def test_every_claim_of_the_three_chapters_is_tried_in_three_ways() -> None:
    for claim in claims():
        if claim.chapter in (1, 2, 3) and claim.label != "as25-lem-4.2":
            kinds = {kind for trial in TRIALS if trial.label == claim.label for kind in trial.kinds}
            missing = {"attacked"} if claim.label in IDENTITIES else set()
            assert kinds | missing == {"certified", "attacked", "property"}, claim.label
            assert missing <= set(claim.inapplicable)
    names = [(trial.label, trial.name) for trial in TRIALS]
    assert len(set(names)) == len(names)


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.parametrize("trial", params(IN_FLOATS))
def test_floats_and_balls_see_the_same(trial: Trial) -> None:
    """A batch in torch against one case after another in exact numbers, both sides."""
    point = points(trial, 3, seed=1)
    measured = sides(trial, point)
    assert [tuple(side.shape) for side in measured] == [(3,), (3,)]
    wide = sides(trial, point.reshape(3, 1, -1).expand(3, 2, -1))
    for side, again in zip(measured, wide, strict=True):
        assert torch.allclose(again, side[:, None].expand(3, 2), rtol=1e-9, atol=1e-13)
    for i in range(3):
        free = rationals(trial, point[i])
        if "certified" in trial.kinds:
            truth = measure(trial, free, 300)
            assert truth.arithmetic in ("exact", "balls")
        else:
            truth = in_floats(trial, free)
        slack = allowed(*(side[i] for side in measured))
        for side, value in zip(measured, (truth.observed, truth.bound), strict=True):
            value = float(value)
            assert abs(side[i] - value) <= slack
            assert abs(value) < 1e-9 or abs(side[i] - 1.01 * value) > slack


@pytest.mark.parametrize("trial", params(DEEP))
def test_whole_networks_are_decided_in_balls(trial: Trial) -> None:
    for point in points(trial, 2, seed=1):
        free = rationals(trial, point)
        few, many = (measure(trial, free, bits) for bits in (1200, 2400))
        assert few.arithmetic == "balls" and few.proved and many.proved
        assert few.observed.overlaps(many.observed) and few.bound.overlaps(many.bound)
        assert many.bound > 0


@pytest.mark.parametrize("trial", params(IN_FLOATS))
def test_what_holds_holds_and_what_is_refuted_does_not(trial: Trial) -> None:
    observed, bound = sides(trial, points(trial, 400, seed=2))
    excess = observed - bound - allowed(observed, bound)
    if trial.holds:
        assert (excess <= 0).all()
        assert "attacked" not in trial.kinds or (observed > 0).any()
    else:
        assert (excess > 0).any()


@pytest.mark.parametrize("trial", params(HOLDING))
def test_the_control_of_what_holds_is_false(trial: Trial) -> None:
    """In some explicit case; where it is 1 % of a sharp bound, half of the bound is."""
    percent = 50 if trial.control is None else 99
    cases = [rationals(trial, point) for point in points(trial, 200, seed=3)]
    control = control_sides(trial, percent)
    assert any(measure(trial, free, 300, control).refuted for free in cases)


@pytest.mark.parametrize("trial", params(REFUTED))
def test_the_control_of_what_is_refuted_is_true(trial: Trial) -> None:
    cases = [rationals(trial, point) for point in points(trial, 20, seed=4)]
    found = [measure(trial, free, 300, control_sides(trial)) for free in cases]
    assert not any(sides.refuted for sides in found)
    # Where both sides vanish, or agree in all digits, balls leave it open.
    assert sum(sides.proved for sides in found) > 10


@pytest.mark.parametrize("trial", params(HOLDING))
def test_what_is_not_sharp_brings_its_own_control(trial: Trial) -> None:
    assert trial.sharp != (trial.control is not None)


# --- attained at the witnesses of the book -------------------------------------------------------


def ratio(label: str, name: str, **objects: Any) -> Any:
    """Observed ÷ bound at given objects, in their own numbers."""
    observed, bound = one(label, name).sides(**objects)
    return observed / bound


@pytest.mark.label("as25-lem-4.1", "res-lipschitz")
def test_the_witnesses_of_the_lemma_are_cases_of_its_trial() -> None:
    quotients = [ratio("as25-lem-4.1", "three tokens", A=A, B=B) for A, B in by_res.lemma_4_1()]
    assert quotients == [2, Fraction(5, 4)]
    for n, name in ((2, "two tokens"), (3, "three tokens"), (4, "four tokens")):
        A, B = by_res.lipschitz(n)
        assert ratio("res-lipschitz", name, A=A, B=B) == 1
    A, B = by_res.mean_lipschitz(3)
    assert abs(ratio("res-lipschitz", "about the mean", A=A, B=B) - 1) < 1e-15


@pytest.mark.label("res-any-centre")
def test_the_mean_attains_the_least_stretch() -> None:
    third = Fraction(1, 3)
    w = exact([third] * 3)
    assert ratio("res-any-centre", "linear centres", w=w) == 1
    assert ratio("res-any-centre", "linear centres", w=exact([third + 1, third - 1, third])) < 1
    # The steps of the trial are those of the walk, and the mean rises evenly over it.
    walk = by_res.walk(4)
    rises = exact([(b - a).sum() / 4 for a, b in zip(walk, walk[1:], strict=False)])
    assert ratio("res-any-centre", "any centre", rises=rises) == 1


@pytest.mark.label("res-right", "res-left", "res-norm-lipschitz")
def test_extremal_tokens_attain_the_rules() -> None:
    W = exact([[1, 2], [3, -4]])
    assert ratio("res-right", "tokens", X=by_res.stretched(W), W=W) == 1
    P = exact([["1/2", "1/3", "1/6"], ["1/8", "1/4", "5/8"], [0, 1, 0]])
    X = by_res.kept_apart(P, exact([2, -1]))
    for name in ("p = 1", "p = inf"):
        assert ratio("res-left", name, P=P, X=X) == 1
    assert ratio("res-left", "for every matrix", P=P) == 1
    A = exact([[1], [-1]])
    for name in ("norms", "differences"):
        assert ratio("res-norm-lipschitz", name, A=A, B=0 * A) == 1


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.label("metric-dictionary")
def test_the_dictionary_is_attained() -> None:
    for name, X in zip(("below", "above"), by_res.dictionary(3, 2), strict=True):
        assert ratio("metric-dictionary", name, X=lift(X, "arb")).overlaps(flint.arb(1))
    _, X = by_res.dictionary(4, 1)
    assert ratio("metric-dictionary", "above, four tokens", X=lift(X, "arb")) > flint.arb("0.999")


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.label("softmax-tv", "softmax-entry")
@pytest.mark.parametrize("theta", ["1/8", "2", "20"])
def test_the_extremal_pair_attains_the_bounds_on_softmax(theta: str) -> None:
    A, E = extremal_pair(lift(Fraction(theta), "arb"))
    for label, name in (
        ("softmax-tv", "two logits"),
        ("softmax-entry", "any entry"),
        ("softmax-entry", "rising"),
        ("softmax-entry", "falling"),
        ("softmax-entry", "given the entry"),
    ):
        quotient = ratio(label, name, A=A, E=E)
        assert abs(quotient - 1) < flint.arb(10) ** -20, name


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.label("uniform-tv", "retrieval")
def test_two_levels_attain_the_rows() -> None:
    for label, name, m, s in (
        ("uniform-tv", "at n = 3", 3, 1),
        ("uniform-tv", "at n = 4", 4, 1),
        ("retrieval", "1 of 3 tokens", 3, 1),
        ("retrieval", "2 of 4 tokens", 4, 2),
    ):
        A = lift(exact([[3] * s + [0] * (m - s)]), "arb")
        quotient = ratio(label, name, A=A)
        assert quotient > flint.arb("0.9") and not quotient > 1
        assert label == "uniform-tv" or quotient.overlaps(flint.arb(1))


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.label("contraction", "as25-lem-5.1", "double-exponential")
def test_the_extremal_pair_attains_the_contraction() -> None:
    one_, half = flint.arb(1), flint.arb(1) / 2
    for label, name, layers in (
        ("contraction", "two tokens, p = 1", 1),
        ("contraction", "two tokens, p = inf", 1),
        ("as25-lem-5.1", "three tokens, two heads", 1),
        ("double-exponential", "recursion", 2),
    ):
        network, X = by_contraction.extremal(half, one_, one_, layers)
        assert abs(ratio(label, name, network=network, X=X) - 1) < flint.arb(10) ** -20, name
    weak, X = by_contraction.extremal(half / 10**4, one_, one_, 2)
    for label, name in (("double-exponential", "closed form"), ("as25-eq-1", "without skips")):
        assert flint.arb("0.999") < ratio(label, name, network=weak, X=X) < 1


@pytest.mark.usefixtures("ball_precision")
@pytest.mark.label("rope-collapse", "contraction")
def test_the_witnesses_of_masks_and_positions_are_cases_of_the_trials() -> None:
    beta, gap = flint.arb(1), flint.arb(1) / 1000
    network, X = by_contraction.causal_pair(beta, gap)
    assert ratio("contraction", "the plain factor, causal mask", network=network, X=X) > 10**5
    network, X = by_contraction.rope_pair(beta, beta, gap)
    assert ratio("contraction", "the plain factor, rotary positions", network=network, X=X) > 10**5
    case = one("rope-collapse", "no faster").build(
        **{name: np.array([x], object) for name, x in
           (("beta", beta), ("v", flint.arb(1000)), ("gap", flint.arb(1) / 30))}
    )  # fmt: skip
    witness, tokens = by_contraction.rope_pair(beta, case["v"], case["X"][1, 0] - 1, 2)
    same = case["network"].replace(rope=witness.rope)(case["X"]) - witness(tokens)
    assert all(abs(x) < flint.arb(10) ** -20 for x in same.flat)
    quotient = ratio("rope-collapse", "no faster", **case)
    assert flint.arb("0.99") < quotient < 1


# --- the domains are what the hypotheses say -----------------------------------------------------


def test_domains_reach_their_ends_and_go_no_farther() -> None:
    x = torch.linspace(-50, 50, 20_001, dtype=torch.float64)
    for image, low, high in ((domain.unit(x), 0, 1), (domain.within(x), -1, 1)):
        assert abs(image.min() - low) < 1e-15 and image.max() == high
    inside = domain.inner(x)
    assert 0 < inside.min() < 1e-5 and 0.999 < inside.max() < 1


@pytest.mark.label("res-left")
def test_rows_are_stochastic_and_every_row_is_near_one_of_them() -> None:
    free = torch.randn(1000, 3, 3, dtype=torch.float64)
    P = domain.stochastic(free)
    assert (P > 0).all() and (P.sum(-1) - 1).abs().max() < 1e-14
    wanted = random_rows(1000, 3, 3, seed=5)
    assert (domain.stochastic(wanted.sqrt()) - wanted).abs().max() < 1e-5
    third = domain.stochastic(exact([[1, 2, 3]]))
    assert third.sum() == 1


@pytest.mark.label("softmax-tv", "retrieval")
def test_rows_keep_their_distance() -> None:
    row, gap = torch.randn(1000, 3, dtype=torch.float64), torch.randn(1000, 1, dtype=torch.float64)
    spread = domain.apart(row, gap)
    assert (balance(spread[:, None]) >= 0.125 - 1e-12).all()
    assert (spread[:, 1:] == row[:, 1:]).all()


@pytest.mark.label("res-formula")
def test_minimisers_are_minimisers_in_one_number_type_and_all() -> None:
    trial = one("res-formula", "minimisers")
    case = trial.build(**split(trial, points(trial, 300, seed=6)))
    X, y = case["X"], case["y"]
    rho = residual_norm(X)[:, None]
    assert (y >= X.amax(-2) - rho - 1e-12).all() and (y <= X.amin(-2) + rho + 1e-12).all()
    narrow = (X.amax(-2) - X.amin(-2)) < 2 * rho - 1e-9
    assert narrow.any() and (y - (X.amax(-2) + X.amin(-2)) / 2).abs()[narrow].max() > 0.1


@pytest.mark.label("retrieval")
def test_mass_and_entries_stay_in_their_ranges() -> None:
    trial = one("retrieval", "two levels suffice")
    delta = trial.build(**split(trial, points(trial, 300, seed=7)))["delta"]
    assert (delta > 0).all() and (delta < 3 / 5).all()
    trial = one("retrieval", "entries of Q and K")
    case = trial.build(**split(trial, points(trial, 300, seed=8)))
    assert (case["Q"].abs() <= case["B"][:, None] * (1 + 1e-15)).all()
    assert (case["K"].abs() <= case["B"][:, None, None] * (1 + 1e-15)).all()


def test_trials_do_not_know_the_witnesses() -> None:
    for module in (residuals, perturbation, rows, contraction, depth, domain):
        names: Mapping[str, Any] = vars(module)
        homes = [getattr(x, "__module__", "") for x in names.values()]
        assert not any(home.startswith("collapse.witnesses") for home in homes)
        assert "collapse.witnesses" not in str(names.get("__file__")) and "witnesses" not in names


def test_constants_are_the_packages() -> None:
    assert residual_lipschitz(4) == 2 and math.isclose(residual_lipschitz(4, "mean"), 1.5)
