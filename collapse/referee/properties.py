"""Random testing: Hypothesis draws small rationals and shrinks a violation to its simplest form."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from random import Random
from typing import Any

import torch

from collapse.numeric import Evidence, require
from collapse.referee.cases import code, join, judge, numbers, write
from collapse.referee.climbing import log_ratio
from collapse.referee.controls import control_sides, dropped
from collapse.referee.outcome import Outcome
from collapse.referee.trial import Trial
from collapse.referee.trials import trials

EXAMPLES = 100
_LONG = 400  # where a violation is expected: the first one ends it
_PERCENT = 50  # left of a sharp bound as the control: random cases do not come within 1 %
_LARGEST = 12  # of the numerators; with the denominators below, numbers up to 12
_DENOMINATORS = (1, 2, 4, 8, 64, 1024)
_CLOSE = -1e-6  # log(observed ÷ bound) above which floats leave the decision to exact numbers


@dataclass(frozen=True)
class PropertyCheck:
    """What random testing found.

    Attributes:
        label: The claim's label.
        trial: Name of the trial.
        examples: How many cases were tried, shrinking included.
        tightest: The largest observed ÷ bound among them.
        counterexample: Free numbers of a minimal violation, as nested lists of "p/q"; or None.
        seed: Seed of the draws.
    """

    label: str
    trial: str
    examples: int
    tightest: float
    counterexample: Mapping[str, Any] | None
    seed: int

    @property
    def violated(self) -> bool:
        """Whether a violation was found."""
        return self.counterexample is not None

    def __str__(self) -> str:
        """Python that reproduces the violation, or a sentence that there is none."""
        if self.counterexample is None:
            return f"no violation of {self.label} ({self.trial}) in {self.examples} cases"
        (trial,) = trials(self.label, self.trial)
        return code(trial, self.counterexample, violated=True)


def hypothesis_check(
    label: str, trial: str | None = None, *, seed: int = 0, examples: int = EXAMPLES
) -> tuple[PropertyCheck, ...]:
    """Try a claim on random small rationals; shrink a violation to a minimal one.

    A violation counts only if exact rationals or balls confirm it, wherever they can evaluate the
    trial; else if it exceeds the rounding of floats.

    Args:
        label: A claim that has trials.
        trial: Name of one of them; None for all.
        seed: Seed of the draws, ≥ 0.
        examples: Number of cases to draw for each trial, ≥ 1.

    Returns:
        What was found, for each trial.

    Raises:
        ValueError: On an unknown label or trial, one that cannot be tested, or bad sizes.
        ImportError: If Hypothesis is not installed.

    Source:
        as25-lem-4.1

    >>> hypothesis_check("as25-lem-4.1")[0].violated
    True
    """
    chosen = trials(label, trial)
    tested = [one for one in chosen if "property" in one.kinds]
    names = ", ".join(one.name for one in chosen)
    require(tested, "trial", f"one of {label} for random testing", names)
    return tuple(_check(one, seed, examples) for one in tested)


def property_outcome(trial: Trial, seed: int = 0) -> Outcome:
    """Test a trial and its negative control on random cases.

    Args:
        trial: What to test; "property" must be among its kinds.
        seed: Seed of the draws.

    Returns:
        PASSED if the claim holds and no violation was found, or if it is refuted and one was. A
        sharp claim without a control of its own has its bound halved as the control.

    Raises:
        ValueError: If the trial cannot be tested.
        ImportError: If Hypothesis is not installed.
    """
    require("property" in trial.kinds, "trial", "one for random testing", trial.name)
    begin = time.perf_counter()
    found = _check(trial, seed, EXAMPLES if trial.holds else _LONG)
    other = replace(trial, sides=control_sides(trial, _PERCENT))
    control = _check(other, seed, _LONG if trial.holds else EXAMPLES, shrink=False)
    violation = found.counterexample
    ending = "a violation, shrunk" if found.violated else "no violation"
    return Outcome(
        kind="property",
        label=trial.label,
        trial=trial.name,
        evidence=Evidence.PASSED if found.violated != trial.holds else Evidence.FAILED,
        noticed=control.violated == trial.holds,
        control=dropped(trial, _PERCENT),
        ratio=found.tightest,
        detail=f"{found.examples} cases, {ending}",
        code=None if violation is None else code(trial, violation, violated=True),
        witness=violation or {},
        seconds=time.perf_counter() - begin,
    )


def _check(trial: Trial, seed: int, examples: int, shrink: bool = True) -> PropertyCheck:
    require(isinstance(seed, int) and seed >= 0, "seed", "an integer >= 0", seed)
    require(isinstance(examples, int) and examples >= 1, "examples", "an integer >= 1", examples)
    try:
        import hypothesis
        from hypothesis import HealthCheck, Phase
        from hypothesis import strategies as st
    except ImportError as error:
        raise ImportError(
            "random testing needs Hypothesis: pip install 'collapse-companion[referee]'"
        ) from error
    phases = [Phase.generate, Phase.target] + ([Phase.shrink] if shrink else [])
    settings = hypothesis.settings(
        max_examples=examples,
        database=None,
        derandomize=False,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    entry = st.builds(Fraction, st.integers(-_LARGEST, _LARGEST), st.sampled_from(_DENOMINATORS))
    size = numbers(trial)
    objective = log_ratio(trial)
    tried, tightest = 0, (-math.inf, [Fraction(0)] * size)

    def violates(entries: list[Fraction]) -> bool:
        point = torch.tensor([[float(x) for x in entries]], dtype=torch.float64)
        with torch.no_grad():
            value = objective(point).item()
        hypothesis.target(value)
        nonlocal tried, tightest
        tried, tightest = tried + 1, max(tightest, (value, entries))
        if value <= _CLOSE:
            return False
        return judge(trial, join(trial, entries)).refuted

    strategy = st.lists(entry, min_size=size, max_size=size)
    try:
        minimal = hypothesis.find(strategy, violates, settings=settings, random=Random(seed))
    except hypothesis.errors.NoSuchExample:
        minimal = None
    return PropertyCheck(
        label=trial.label,
        trial=trial.name,
        examples=tried,
        tightest=judge(trial, join(trial, tightest[1])).least,
        counterexample=None if minimal is None else write(join(trial, minimal)),
        seed=seed,
    )
