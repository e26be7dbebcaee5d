"""The negative control of a trial: the statement that tells whether a check can fail at all."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from collapse.numeric import Number
from collapse.referee.trial import Sides, Trial


def control_sides(trial: Trial, percent: int = 99) -> Sides:
    """The sides of the negative control.

    Args:
        trial: The trial.
        percent: What is left of the bound where a claim that holds names no control.

    Returns:
        The trial's own control; else its sides with the bound lowered, or for a refuted claim
        raised to its limit.

    >>> from collapse.referee.trials import trials
    >>> (lemma,) = trials("as25-lem-4.1", "three tokens")
    >>> lemma.control is None, dropped(lemma)
    (True, 'the bound is multiplied by 2, which makes it true: nothing may be found')
    """
    if trial.control is not None:
        return trial.control
    return scaled(trial, Fraction(percent, 100) if trial.holds else trial.limit)


def scaled(trial: Trial, factor: Number) -> Sides:
    """The sides with the bound multiplied by an integer or a Fraction."""

    def sides(**case: Any) -> tuple[Number, Number]:
        observed, bound = trial.sides(**case)
        if isinstance(bound, int):
            bound = Fraction(bound)
        return observed, bound * factor.numerator / factor.denominator

    return sides


def dropped(trial: Trial, percent: int = 99) -> str:
    """What the negative control drops, in words.

    >>> from collapse.referee.trials import trials
    >>> dropped(trials("softmax-tv")[0], percent=50)
    'the bound is lowered by 50 %'
    """
    if trial.control is not None:
        return trial.dropped
    if trial.holds:
        return f"the bound is lowered by {100 - percent} %"
    return f"the bound is multiplied by {trial.limit}, which makes it true: nothing may be found"
