"""The trials of every claim, gathered from one module a chapter.

>>> [trial.name for trial in trials("as25-lem-4.1")][0]
'three tokens'
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from types import MappingProxyType
from typing import Any

from collapse.referee.trial import Trial


@cache
def gathered() -> Mapping[str, tuple[Trial, ...]]:
    """All trials by label, in the order of the book."""
    # Named one by one, so that the build sees on which modules the checks depend.
    from collapse.referee.trials import (
        contraction,
        cost,
        depth,
        lambda_skip,
        layernorm,
        layers,
        learning,
        masks,
        perturbation,
        residuals,
        rows,
        skips,
        ssm,
    )

    found: dict[str, tuple[Trial, ...]] = {}
    for module in (
        residuals,
        perturbation,
        rows,
        contraction,
        depth,
        layers,
        skips,
        cost,
        learning,
        masks,
        layernorm,
        lambda_skip,
        ssm,
    ):
        for trial in module.TRIALS:
            found[trial.label] = (*found.get(trial.label, ()), trial)
    return MappingProxyType(found)


def __getattr__(name: str) -> Any:
    """Gather TRIALS on first use."""
    if name != "TRIALS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return gathered()


def trials(label: str, name: str | None = None) -> tuple[Trial, ...]:
    """The trials of a claim, or the one of a given name.

    Args:
        label: The claim's label.
        name: Name of one of its trials, or None for all.

    Returns:
        One trial or more.

    Raises:
        ValueError: If the claim has no trial, or none of that name.

    >>> trials("softmax-tv")[0].sharp
    True
    """
    if label not in gathered():
        near = get_close_matches(str(label), gathered(), n=3, cutoff=0.4)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise ValueError(f"label: expected a claim that has trials{hint}, received {label!r}")
    chosen = tuple(trial for trial in gathered()[label] if name in (None, trial.name))
    if not chosen:
        names = ", ".join(repr(trial.name) for trial in gathered()[label])
        raise ValueError(f"trial: expected one of {names} for {label}, received {name!r}")
    return chosen
