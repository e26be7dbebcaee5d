r"""Floor 9. The ledger: every claim of the book with verdict, provenance and evidence.

The statements stand in one module per part of the theory, in reading order: ``reported`` (what the
paper claims), ``residuals``, ``perturbation``, ``contraction``, ``layers``, ``cost``, ``learning``,
``neighbours``, ``weighted_skips`` and ``state_spaces``. ``model`` says what an entry is and which
chapters are released; ``record`` reads the marks that a run of the referee has given.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from collapse.ledger import (
    contraction,
    cost,
    layernorm,
    layers,
    learning,
    neighbours,
    perturbation,
    reported,
    residuals,
    state_spaces,
    weighted_skips,
    wild,
)
from collapse.ledger.model import KINDS, RELEASED, Claim, Kind
from collapse.ledger.record import Record, StaleRecordWarning

__all__ = [
    "KINDS",
    "RELEASED",
    "Claim",
    "Kind",
    "Record",
    "StaleRecordWarning",
    "claims",
    "get",
]

_LEDGER: tuple[Claim, ...] = (
    *reported.CLAIMS,
    *residuals.CLAIMS,
    *perturbation.CLAIMS,
    *contraction.CLAIMS,
    *layers.CLAIMS,
    *cost.CLAIMS,
    *learning.CLAIMS,
    *neighbours.CLAIMS,
    *layernorm.CLAIMS,
    *weighted_skips.CLAIMS,
    *state_spaces.CLAIMS,
    *wild.CLAIMS,
)
_BY_LABEL = {claim.label: claim for claim in _LEDGER}


def claims(record: Record | str | Path | None = None) -> tuple[Claim, ...]:
    """Every claim of the book, in reading order.

    Evidence comes from a run of the referee and from nowhere else: without a record every check
    that applies is pending.

    Args:
        record: The record of a run, or the ``claims.json`` that holds it; ``make claims`` writes
            one to ``_build``.

    Returns:
        The whole ledger, released chapters and later ones alike.

    Raises:
        ValueError: If the file is no record of this kind.

    Warns:
        StaleRecordWarning: If a module that the run used has changed since.

    >>> claims()[0].label
    'as25-res'
    """
    if record is None:
        return _LEDGER
    if not isinstance(record, Record):
        record = Record.read(record)
    if message := record.stale():
        warnings.warn(message, StaleRecordWarning, stacklevel=2)
    return tuple(replace(claim, marks=record.marks.get(claim.label, {})) for claim in _LEDGER)


def get(label: str) -> Claim:
    """The claim with a given label.

    Args:
        label: A label of the ledger, for example ``"softmax-tv"``.

    Returns:
        The claim.

    Raises:
        ValueError: If no claim has that label; the message offers the nearest ones.

    >>> get("softmax-tv").title
    'Softmax moves by at most tanh(θ/4)'
    """
    if label in _BY_LABEL:
        return _BY_LABEL[label]
    near = get_close_matches(str(label), _BY_LABEL, n=3, cutoff=0.4)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise ValueError(f"label: expected a label of the ledger{hint}, received {label!r}")
