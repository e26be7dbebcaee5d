"""Certify: decide a claim at exact rational inputs, in exact arithmetic or rigorous balls.

The precision of the balls is doubled until they no longer overlap. What was decided is kept as a
certificate, from whose inputs anybody can decide it again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import numpy as np

from collapse.numeric import Evidence, require
from collapse.referee.cases import (
    Measured,
    Witness,
    code,
    join,
    numbers,
    read,
)
from collapse.referee.controls import control_sides, dropped
from collapse.referee.deciding import (
    MAX_PRECISION,
    PRECISION,
    Certificate,
    Decision,
    agree,
    decide,
    from_fields,
)
from collapse.referee.outcome import Outcome
from collapse.referee.trial import Sides, Trial
from collapse.referee.trials import trials

CASES = 3
_SHARES = tuple(Fraction(1, n) for n in (1000, 100, 10, 2))
_DENOMINATOR = 97  # of the random rationals; a prime, so that few of them are simpler


def certify(
    label: str,
    trial: str | None = None,
    *,
    seed: int = 0,
    cases: int = CASES,
    witnesses: Sequence[Witness] = (),
    precision: int = PRECISION,
    max_precision: int = MAX_PRECISION,
) -> tuple[Certificate, ...]:
    """Decide observed ≤ bound at exact rational cases, handed over and random.

    Args:
        label: A claim that has trials.
        trial: Name of one of them; None for all.
        seed: Seed of the random cases, ≥ 0.
        cases: Number of random cases of each trial, ≥ 0.
        witnesses: Further cases: free numbers as nested lists of ints, Fractions or "p/q", for
            example the ``witness`` of an attack; they need ``trial``.
        precision: Bits to begin with, ≥ 2.
        max_precision: Bits to end with, ≥ precision.

    Returns:
        A certificate for each case, those handed over first.

    Raises:
        ValueError: On an unknown label or trial, one that balls cannot evaluate, bad witnesses, no
            case at all, or an impossible precision.

    Source:
        as25-lem-4.1

    >>> case = {"A": [[2], [0], [-2]], "B": [[1], [1], [-3]]}
    >>> certify("as25-lem-4.1", "three tokens", cases=0, witnesses=[case])[0].outcome
    'refuted'
    """
    chosen = trials(label, trial)
    possible = [one for one in chosen if "certified" in one.kinds]
    names = ", ".join(one.name for one in chosen)
    require(possible, "trial", f"one of {label} that balls can evaluate", names)
    require(not witnesses or len(possible) == 1, "trial", "a name, as there are witnesses", trial)
    require(isinstance(cases, int) and cases >= 0, "cases", "an integer >= 0", cases)
    require(cases or witnesses, "cases", "at least one case or witness", cases)
    return tuple(
        decide(one, free, precision, max_precision)[0]
        for one in possible
        for free in _cases(one, seed, cases, witnesses)
    )


def recheck(certificate: Certificate | Mapping[str, Any] | str | Path) -> Certificate:
    """Decide a certificate again from its exact inputs.

    Args:
        certificate: A certificate, its fields, or the path of a JSON file that holds one.

    Returns:
        The certificate as it was just computed.

    Raises:
        ValueError: If it is no certificate, names an unknown claim or other shapes, or if the
            outcome or an enclosure does not come out as it says.

    Source:
        as25-lem-4.1

    >>> recheck(certify("softmax-tv", cases=1)[0]).outcome
    'proved'
    """
    if isinstance(certificate, str | Path):
        try:
            text = Path(certificate).read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"certificate: expected a readable file, received {error}") from None
        certificate = Certificate.from_json(text)
    elif not isinstance(certificate, Certificate):
        certificate = from_fields(certificate)
    (trial,) = trials(certificate.label, certificate.trial)
    require("certified" in trial.kinds, "trial", "one that balls can evaluate", trial.name)
    bits = PRECISION if certificate.precision is None else certificate.precision
    again, _ = decide(trial, read(trial, certificate.inputs), bits, bits)
    for name in ("outcome", "arithmetic", "precision"):
        stated, found = getattr(certificate, name), getattr(again, name)
        require(stated == found, name, f"{found}, as just computed", stated)
    for name in ("observed", "bound"):
        stated, found = getattr(certificate, name), getattr(again, name)
        require(agree(stated, found), name, f"{found}, as just computed", stated)
    return again


def ball_outcome(trial: Trial, seed: int = 0, witnesses: Sequence[Witness] = ()) -> Outcome:
    """Decide a trial and its negative control at some cases.

    Args:
        trial: What to decide; "certified" must be among its kinds.
        seed: Seed of the random cases.
        witnesses: Further cases, for example the tightest that a search found.

    Returns:
        PASSED if the claim holds and every case is proved, or if it is refuted and some case
        refutes it. The control of a claim that holds must be refuted in some case; that of a
        refuted one must be refuted in none, and proved in some.

    Raises:
        ValueError: If balls cannot evaluate the trial.
    """
    require("certified" in trial.kinds, "trial", "one that balls can evaluate", trial.name)
    begin = time.perf_counter()
    inputs = _cases(trial, seed, CASES, witnesses)
    handed = len(witnesses)
    settled, beside = _decide_all(trial, inputs, handed, seed, trial.sides)
    controls, _ = _decide_all(trial, inputs, handed, seed, control_sides(trial))
    found = [certificate for certificate, _ in settled]
    decisions = [certificate.outcome for certificate in found]
    noted = [certificate.outcome for certificate, _ in controls]
    if trial.holds:
        wrong, open_ = "refuted" in decisions, "undecided" in decisions
        noticed = "refuted" in noted
    else:
        wrong, open_ = set(decisions) == {"proved"}, "refuted" not in decisions
        noticed = "proved" in noted and "refuted" not in noted
    passed = Evidence.UNDECIDED if open_ else Evidence.PASSED
    shown = next((c for c in found if c.outcome == "refuted"), found[0])
    counts = ", ".join(f"{decisions.count(d)} {d}" for d in get_args(Decision) if d in decisions)
    bits = max((certificate.precision or 0 for certificate in found), default=0)
    return Outcome(
        kind="certified",
        label=trial.label,
        trial=trial.name,
        evidence=Evidence.FAILED if wrong else passed,
        noticed=noticed,
        control=dropped(trial),
        ratio=max((measured.least for _, measured in settled if measured), default=None),
        detail=f"cases: {counts}"
        + (f"; balls of {bits} bits" if bits else "; exact rationals")
        + (f"; {beside} beside a case where balls cannot tell the sides apart" if beside else ""),
        code=code(trial, shown.inputs, shown.outcome == "refuted"),
        witness=shown.inputs,
        seconds=time.perf_counter() - begin,
    )


def _cases(
    trial: Trial, seed: int, cases: int, witnesses: Sequence[Witness]
) -> list[dict[str, np.ndarray]]:
    require(isinstance(seed, int) and seed >= 0, "seed", "an integer >= 0", seed)
    source = random.Random(seed)
    size = numbers(trial)
    drawn = [[_small(source, trial) for _ in range(size)] for _ in range(cases)]
    return [read(trial, witness) for witness in witnesses] + [join(trial, one) for one in drawn]


def _decide_all(
    trial: Trial, inputs: Sequence[Mapping[str, np.ndarray]], handed: int, seed: int, sides: Sides
) -> tuple[list[tuple[Certificate, Measured | None]], int]:
    """Decide cases, and how many of those handed over were replaced by one beside them.

    Balls cannot tell equal from unequal, so a case that attains a bound stays undecided. It is
    moved towards a random one, by a thousandth and more, until it does not.
    """
    settled, replaced = [decide(trial, free, sides=sides) for free in inputs], 0
    for i in range(handed):
        replaced += settled[i][0].outcome == "undecided"
        source = random.Random(seed)
        for share in _SHARES if settled[i][0].outcome == "undecided" else ():
            entries = [x for name in trial.free for x in inputs[i][name].flat]
            moved = [(1 - share) * x + share * _small(source, trial) for x in entries]
            settled[i] = decide(trial, join(trial, moved), sides=sides)
            if settled[i][0].outcome != "undecided":
                break
    return settled, replaced


def _small(source: random.Random, trial: Trial) -> Fraction:
    return Fraction(round(_DENOMINATOR * source.gauss(0, trial.spread)), _DENOMINATOR)
