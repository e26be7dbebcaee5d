"""One exact case of a claim, decided; and the certificate that keeps what was decided."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from collapse.numeric import Number, require
from collapse.referee.cases import Arithmetic, Measured, Witness, settle, write
from collapse.referee.trial import Sides, Trial

Decision = Literal["proved", "refuted", "undecided"]
SCHEMA = "collapse-certificate/1"
PRECISION, MAX_PRECISION = 53, 848
_LARGEST_PRECISION = 1 << 16  # beyond this a single product takes noticeable time


@dataclass(frozen=True)
class Certificate:
    """One case of a claim, decided.

    Attributes:
        label: The claim's label.
        trial: Name of the trial.
        inputs: The free numbers, as nested lists of "p/q".
        outcome: "proved" (observed ≤ bound here), "refuted" (observed > bound here), or
            "undecided" where the balls still overlap at the last precision.
        arithmetic: "exact" for rationals, else "balls".
        precision: Bits of the balls, None for rationals.
        observed: The left side: a rational, or a ball that encloses it; None where the balls were
            too wide to be evaluated.
        bound: The right side likewise.
    """

    label: str
    trial: str
    inputs: Witness
    outcome: Decision
    arithmetic: Arithmetic
    precision: int | None
    observed: str | None
    bound: str | None

    def to_json(self) -> str:
        """The certificate as JSON text."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError: If the text is no certificate.
        """
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"certificate: expected JSON, received {error}") from None
        return from_fields(content)


def decide(
    trial: Trial,
    free: Mapping[str, np.ndarray],
    precision: int = PRECISION,
    max_precision: int = MAX_PRECISION,
    sides: Sides | None = None,
) -> tuple[Certificate, Measured | None]:
    """Decide one case, doubling the precision up to the limit.

    Args:
        trial: The trial.
        free: Arrays of Fractions.
        precision: Bits to begin with, ≥ 2.
        max_precision: Bits to end with, ≥ precision.
        sides: Other sides than the trial's, for its negative control.

    Returns:
        The certificate, and both sides themselves, None where balls stayed too wide.

    Raises:
        ValueError: On an impossible precision.
    """
    possible = f"an integer from 2 to {_LARGEST_PRECISION}"
    sane = _whole(precision) and 2 <= precision <= _LARGEST_PRECISION
    require(sane, "precision", possible, precision)
    sane = _whole(max_precision) and precision <= max_precision <= _LARGEST_PRECISION
    require(sane, "max_precision", f"{possible}, >= precision = {precision}", max_precision)
    measured, precision = settle(trial, free, precision, max_precision, sides)
    return _write_down(trial, free, measured, precision), measured


def _write_down(
    trial: Trial, free: Mapping[str, np.ndarray], measured: Measured | None, precision: int
) -> Certificate:
    outcome: Decision = "undecided"
    if measured is not None and (measured.proved or measured.refuted):
        outcome = "proved" if measured.proved else "refuted"
    exact = measured is not None and measured.arithmetic == "exact"
    return Certificate(
        label=trial.label,
        trial=trial.name,
        inputs=write(free),
        outcome=outcome,
        arithmetic="exact" if exact else "balls",
        precision=None if exact else precision,
        observed=None if measured is None else _text(measured.observed, precision),
        bound=None if measured is None else _text(measured.bound, precision),
    )


def _text(side: Number, precision: int) -> str:
    """A rational, or a ball with all digits that its precision can hold."""
    return side.str(math.ceil(precision * math.log10(2))) if hasattr(side, "str") else str(side)


def from_fields(content: Any) -> Certificate:
    """A certificate from its fields by name.

    Raises:
        ValueError: If there are other fields than a certificate's, or another schema.
    """
    sort = type(content).__name__
    require(isinstance(content, Mapping), "certificate", "a mapping of its fields", sort)
    schema = content.get("schema", SCHEMA)
    require(schema == SCHEMA, "schema", SCHEMA, schema)
    names = {field.name for field in fields(Certificate)}
    given = set(content) - {"schema"}
    require(given == names, "fields", str(sorted(names)), sorted(given))
    for name in ("label", "trial"):
        require(isinstance(content[name], str), name, "a name", content[name])
    certificate = Certificate(**{name: content[name] for name in names})
    outcomes = get_args(Decision)
    require(certificate.outcome in outcomes, "outcome", f"one of {outcomes}", certificate.outcome)
    inputs = certificate.inputs
    require(isinstance(inputs, Mapping), "inputs", "arrays by name", type(inputs).__name__)
    return certificate


def agree(stated: str | None, found: str | None) -> bool:
    """Whether two enclosures, as written, can be of one number; rationals must be equal.

    >>> agree("[0.5 +/- 1e-9]", "[0.5000000001 +/- 1e-9]"), agree("1/2", "1/3")
    (True, False)
    """
    if stated is None or found is None or "[" not in found:
        return stated == found
    import flint

    with flint.ctx.workprec(4 * len(found) + 64):
        try:
            old, new = flint.arb(stated), flint.arb(found)
        except (ValueError, TypeError):
            return False
        # An enclosure that is much wider than it need be encloses nothing in particular.
        return bool(old.overlaps(new)) and bool(old.rad() <= 1000 * new.rad())


def _whole(bits: object) -> bool:
    return isinstance(bits, int) and not isinstance(bits, bool)
