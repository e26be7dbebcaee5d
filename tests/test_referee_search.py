"""The search finds suprema known by hand, claims no more than is so, and repeats itself."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from toy_trials import (
    CALLED_FALSE,
    CALLED_SHARP,
    CALLED_TRUE,
    DECAY,
    FALSE,
    FALSE_CONTROL,
    LIMIT_TOO_LOW,
    LOOSE,
    PAIR,
    SHARP,
    TRUE_CONTROL,
    toys,
    two,
)

import collapse
from collapse.adversary import ascend
from collapse.numeric import Evidence
from collapse.referee import evaluate
from collapse.referee.cases import join, measure, read, split, write
from collapse.referee.climbing import draw_starts, log_ratio, polish
from collapse.referee.rounding import simplify
from collapse.referee.search import SHARP as REACHED
from collapse.referee.search import attack, search_outcome
from collapse.referee.trial import Trial
from collapse.referee.trials import trials

__all__ = ["toys"]


# --- what it finds -------------------------------------------------------------------------------


@pytest.mark.label("as25-lem-4.1")
def test_it_rediscovers_that_lemma_4_1_is_false() -> None:
    found = attack("as25-lem-4.1", "three tokens")
    assert found.ratio == 2 and found.violated and found.measured.arithmetic == "exact"
    A, B = (
        [Fraction(row[0]) for row in found.witness[name]] for name in ("A", "B")
    )  # the rest in plain arithmetic, with nothing of the package

    def centred(column: list[Fraction]) -> list[Fraction]:
        return [x - (max(column) + min(column)) / 2 for x in column]

    moved = max(abs(a - b) for a, b in zip(centred(A), centred(B), strict=True))
    assert moved == 2 * max(abs(a - b) for a, b in zip(A, B, strict=True)) > 0
    assert found.objects()["A"].shape == (3, 1)


@pytest.mark.parametrize("label", ["softmax-tv", "contraction", "rung-0", "rung-3"])
def test_it_finds_the_extremal_family_of_sharp_claims(label: str) -> None:
    """Two trials of each, for time; the ledger's own run searches them all."""
    sharp = [trial for trial in trials(label) if trial.sharp and "attacked" in trial.kinds]
    for trial in sharp[:2]:
        assert REACHED <= attack(label, trial.name).ratio <= 1


@pytest.mark.parametrize(("trial", "supremum"), [(SHARP, 1), (DECAY, 1), (LOOSE, 0.5), (FALSE, 2)])
def test_it_finds_suprema_known_by_hand(trial: Trial, supremum: float) -> None:
    outcome = search_outcome(trial)
    assert outcome.ratio is not None and 0.999 * supremum <= outcome.ratio <= supremum
    assert (outcome.evidence, outcome.noticed) == (Evidence.PASSED, True)


@pytest.mark.parametrize(
    ("trial", "evidence"),
    [
        (CALLED_TRUE, Evidence.FAILED),
        (CALLED_FALSE, Evidence.FAILED),
        (LIMIT_TOO_LOW, Evidence.FAILED),
        (CALLED_SHARP, Evidence.UNDECIDED),
    ],
)
def test_it_contradicts_a_wrong_ledger(trial: Trial, evidence: Evidence) -> None:
    assert search_outcome(trial).evidence is evidence


@pytest.mark.parametrize("trial", [TRUE_CONTROL, FALSE_CONTROL])
def test_it_says_when_a_control_went_unnoticed(trial: Trial) -> None:
    assert not search_outcome(trial).noticed


@pytest.mark.parametrize("percent", [99, 101])
def test_one_per_cent_is_noticed(percent: int) -> None:
    def scaled(x: Any, y: Any) -> tuple[Any, Any]:
        observed, bound = SHARP.sides(x, y)
        return observed, bound * percent / 100

    outcome = search_outcome(replace(SHARP, sides=scaled))
    assert outcome.evidence is (Evidence.FAILED if percent < 100 else Evidence.UNDECIDED)


def test_it_does_not_take_rounding_for_a_violation() -> None:
    """Zero in exact arithmetic; in floats above a bound that tends to zero."""

    def nothing(x: Any, y: Any) -> tuple[Any, Any]:
        return abs((x + y) - x - y), x * x * y * y / 10**18

    noisy = Trial("toy", "rounding", PAIR, two, nothing, control=squares_of_one)
    outcome = search_outcome(noisy)
    assert outcome.ratio == 0 and outcome.evidence is Evidence.PASSED


def squares_of_one(x: Any, y: Any) -> tuple[Any, Any]:
    return 1 + x * x, 0 * y


def test_a_bound_of_zero_is_violated_by_anything_more() -> None:
    outcome = search_outcome(
        Trial("toy", "zero", PAIR, two, squares_of_one, control=squares_of_one)
    )
    assert outcome.ratio == math.inf and outcome.evidence is Evidence.FAILED


# --- how it behaves ------------------------------------------------------------------------------


@pytest.mark.usefixtures("toys")
def test_the_same_seed_finds_the_same_case() -> None:
    first, again, other = (attack("toy-false", seed=seed) for seed in (3, 3, 4))
    assert replace(first, seconds=0) == replace(again, seconds=0)
    assert other.seed == 4


@pytest.mark.usefixtures("toys")
def test_all_trials_of_a_label_are_searched_and_the_tightest_is_returned() -> None:
    assert attack("toy-both").trial == "means"
    assert attack("toy-both", "half").ratio == 0.5


@pytest.mark.usefixtures("toys")
def test_it_says_in_which_arithmetic_the_ratio_was_found() -> None:
    assert attack("toy-sharp").measured.arithmetic == "exact"
    assert attack("toy-decay").measured.arithmetic == "balls"
    assert attack("toy-floats").measured.arithmetic == "float64"


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("label", ["toy-false", "toy-decay"])
def test_it_prints_as_code_that_runs(label: str) -> None:
    found, names = attack(label), {}
    exec(str(found), names)
    assert str(names["case"]) == str(found.measured)
    assert ("assert case.refuted" in str(found)) == found.violated


@pytest.mark.usefixtures("toys")
def test_given_time_it_goes_on() -> None:
    short, long = attack("toy-loose"), attack("toy-loose", seconds=0.3)
    assert long.ratio >= short.ratio and long.seconds >= 0.3


@pytest.mark.label("as25-lem-4.1")
def test_neither_search_nor_trials_know_the_witnesses() -> None:
    code = (
        "import sys; from collapse.referee import attack;"
        "from collapse.referee.trials import TRIALS;"
        "assert len(TRIALS) > 10; attack('as25-lem-4.1');"
        "raise SystemExit(any(name.startswith('collapse.witnesses') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    seeing = code.replace("import sys;", "import sys, collapse.witnesses;")
    assert subprocess.run([sys.executable, "-c", seeing], check=False).returncode == 1


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown label": ({"label": "toy-shar"}, "label: .*near it: toy-sharp.*'toy-shar'"),
    "unknown trial": ({"label": "toy-sharp", "trial": "x"}, "trial: expected one of 'means'.*'x'"),
    "not searched": ({"label": "toy-balls"}, "trial: expected one of toy-balls that a search"),
    "no time": ({"label": "toy-sharp", "seconds": 0}, "seconds: expected a time > 0, received 0"),
    "negative time": ({"label": "toy-sharp", "seconds": -1.0}, "seconds: .*received -1.0"),
    "time nan": ({"label": "toy-sharp", "seconds": math.nan}, "seconds: .*received nan"),
    "no starts": ({"label": "toy-sharp", "starts": 0}, "starts: expected an integer >= 1"),
    "no steps": ({"label": "toy-sharp", "steps": 0}, "steps: expected an integer >= 1"),
    "bad seed": ({"label": "toy-sharp", "seed": -1}, "seed: expected an integer from 0 to"),
    "huge seed": ({"label": "toy-sharp", "seed": 2**64}, "seed: expected an integer from 0 to"),
}


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("name", REFUSED)
def test_bad_input(name: str) -> None:
    options, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        attack(**options)


def test_it_is_a_public_name() -> None:
    assert collapse.attack is attack


def test_impossible_trials_are_refused() -> None:
    with pytest.raises(ValueError, match="control: expected a control or a limit"):
        replace(FALSE, limit=None)
    with pytest.raises(ValueError, match="sharp: expected False for a refuted claim"):
        replace(FALSE, sharp=True)
    with pytest.raises(ValueError, match="free: expected shapes"):
        replace(SHARP, free={"x": ()})


# --- the parts -----------------------------------------------------------------------------------


def test_starts_are_gaussian_in_half_of_the_cases_and_of_mixed_scale_in_the_others() -> None:
    wide = replace(SHARP, free={"x": (40,), "y": (3, 5)}, spread=2.0)
    starts = draw_starts(wide, 2000, torch.Generator().manual_seed(0))
    assert starts.shape == (2000, 55)
    assert abs(float(starts[::2].std()) - 2) < 0.02
    sizes = starts[1::2, :40].square().mean(1).sqrt() / 2
    assert 0.02 < float(sizes.min()) < 0.05 and 2.5 < float(sizes.max()) < 4.5


def test_a_polish_without_gradients_climbs_where_gradients_zigzag() -> None:
    """The largest of many slopes, which ascent along the gradient overshoots at its last steps."""
    source = torch.Generator().manual_seed(0)
    slopes = torch.randn(12, 5, generator=source, dtype=torch.float64)

    def roof(x: torch.Tensor) -> torch.Tensor:
        return -(x @ slopes.T).abs().amax(-1) - x.abs().amax(-1)

    start = torch.randn(2, 5, generator=source, dtype=torch.float64)
    rough, point = ascend(roof, start, 20, 0.1)
    value, where = polish(roof, point, source)
    assert bool((value > rough).all()) and torch.equal(value, roof(where))


@pytest.mark.parametrize("numbers", [[0.50003, 0.49998], [3.14159, 3.1416], [1e-3, 1e-3]])
def test_rounding_keeps_the_ratio_and_finds_the_simplest_numbers(numbers: list[float]) -> None:
    x, y = simplify(log_ratio(FALSE), torch.tensor(numbers, dtype=torch.float64))
    assert abs(x) == abs(y) == 1


def test_rounding_does_not_spoil_what_it_cannot_simplify() -> None:
    target = torch.tensor([math.pi, math.e], dtype=torch.float64)
    found = simplify(lambda x: -1e9 * (x - target).square().sum(-1), target)
    assert all(abs(float(x) - t) < 1e-6 for x, t in zip(found, target.tolist(), strict=True))


def test_laying_free_numbers_end_to_end_loses_nothing() -> None:
    wide = replace(SHARP, free={"x": (2,), "y": (2, 3)})
    entries = [Fraction(k, 7) for k in range(8)]
    arrays = join(wide, entries)
    tensors = split(wide, torch.arange(8) / 7)
    for name in wide.free:
        assert arrays[name].astype(float).tolist() == pytest.approx(tensors[name].numpy())
    assert read(wide, write(arrays))["y"].tolist() == arrays["y"].tolist()


def test_a_binary_float_among_exact_numbers_is_refused() -> None:
    def tenth(x: Any, y: Any) -> tuple[Any, Any]:
        return x * y, (x * x + y * y) * 0.1

    with pytest.raises(
        ValueError, match="sides: expected exact numbers, received the binary float"
    ):
        measure(replace(SHARP, sides=tenth), read(SHARP, {"x": [1], "y": ["1/3"]}))


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("free", "message"),
    [
        ({"x": [1]}, "free: expected the arrays"),
        ({"x": [1], "y": [1, 2]}, r"shape of y: expected \(1,\), received \(2,\)"),
        ({"x": [1], "y": ["one"]}, "y: expected rationals such as '1/3'"),
        ({"x": [1], "y": [[1], 2]}, "y: expected rationals such as '1/3'"),
        ({"x": [1], "y": ["1/0"]}, "y: expected rationals such as '1/3'"),
    ],
)
def test_bad_cases_are_refused(free: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate("toy-sharp", "means", free)
