"""What one check of one kind says about a claim: the record that all engines share.

The engines are ``search_outcome``, ``ball_outcome`` and ``property_outcome``. Search comes first:
its witness and control_witness are cases for the balls, as a control that lowers a sharp bound by
1 % is refuted only near the extremal family.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from collapse.ledger import Kind
from collapse.numeric import Evidence


@dataclass(frozen=True)
class Outcome:
    """The result of one engine on one trial, with that of its negative control.

    Attributes:
        kind: "certified", "attacked" or "property".
        label: The claim's label.
        trial: Name of the trial; of a symbolic proof, its functions.
        evidence: PASSED where the check supports the ledger: no violation of a claim that holds
            (and 0.999 reached where it is sharp), a violation of one that is refuted. Else FAILED,
            or UNDECIDED where balls overlap up to the last precision.
        noticed: Whether the negative control came out as it must.
        control: What the negative control drops, in words.
        ratio: The tightest observed ÷ bound that was met, None where nothing was measured.
        detail: What was done and found, in one short sentence for people.
        code: Python that reproduces the tightest case or the counterexample, where there is one.
        witness: The free numbers of that case, as nested lists of "p/q".
        control_witness: A case in which the control fails, as a search found it.
        seconds: Wall time.
    """

    kind: Kind
    label: str
    trial: str
    evidence: Evidence
    noticed: bool
    control: str
    ratio: float | None
    detail: str
    code: str | None = None
    witness: Mapping[str, Any] = field(default_factory=dict)
    control_witness: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
