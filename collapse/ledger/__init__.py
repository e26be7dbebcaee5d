r"""Floor 9. The ledger: every claim of the book with verdict, provenance and evidence.

The statements stand in one module per part of the theory, in reading order: ``reported`` (what the
paper claims), ``residuals``, ``perturbation``, ``contraction``, ``layers``, ``cost`` and
``neighbours``. ``model`` says what an entry is and which chapters are released.
"""

from __future__ import annotations

from difflib import get_close_matches

from collapse.ledger import (
    contraction,
    cost,
    layers,
    neighbours,
    perturbation,
    reported,
    residuals,
)
from collapse.ledger.model import KINDS, PROPERTY_TESTED, RELEASED, Claim, Kind

__all__ = ["KINDS", "PROPERTY_TESTED", "RELEASED", "Claim", "Kind", "claims", "get"]

_LEDGER: tuple[Claim, ...] = (
    *reported.CLAIMS,
    *residuals.CLAIMS,
    *perturbation.CLAIMS,
    *contraction.CLAIMS,
    *layers.CLAIMS,
    *cost.CLAIMS,
    *neighbours.CLAIMS,
)
_BY_LABEL = {claim.label: claim for claim in _LEDGER}


def claims() -> tuple[Claim, ...]:
    """Every claim of the book, in reading order.

    Returns:
        The whole ledger, released chapters and later ones alike.

    >>> claims()[0].label
    'as25-res'
    """
    return _LEDGER


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
