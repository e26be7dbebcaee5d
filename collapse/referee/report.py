"""What a run of the referee found, when a claim fails, and the JSON that records it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from collapse.ledger import KINDS, Claim, Kind, Record
from collapse.ledger.record import SCHEMA
from collapse.numeric import Evidence, Verdict
from collapse.referee.deciding import Certificate
from collapse.referee.outcome import Outcome
from collapse.referee.trials import TRIALS

ENOUGH = 2  # kinds of check that must pass, where so many apply
_UNCHECKED = (Verdict.OPEN, Verdict.CITED)
_FALSE = (Verdict.REFUTED, Verdict.REPAIRED)


def holds(outcome: Outcome) -> bool:
    """Whether the inequality that was tried is one that the ledger says is true."""
    return all(t.holds for t in TRIALS.get(outcome.label, ()) if t.name == outcome.trial)


@dataclass(frozen=True)
class Entry:
    """All checks of one claim.

    Attributes:
        claim: The claim.
        outcomes: What each engine said about each of its trials.
        stated: Whether the book states it; None where the book's sources are not at hand.
        asked: The kinds of check that were asked for.
    """

    claim: Claim
    outcomes: tuple[Outcome, ...] = ()
    stated: bool | None = None
    asked: Collection[Kind] = KINDS

    @property
    def marks(self) -> Mapping[Kind, Evidence]:
        """The outcome by kind, the worst of its trials; a kind without check is left out."""
        order = (Evidence.FAILED, Evidence.UNDECIDED, Evidence.PASSED)
        found: dict[Kind, Evidence] = {}
        for kind in KINDS:
            of_kind = [o for o in self.outcomes if o.kind == kind]
            if of_kind:
                worst = min((o.evidence for o in of_kind), key=order.index)
                blind = not all(o.noticed for o in of_kind)
                found[kind] = Evidence.FAILED if blind else worst
        return MappingProxyType(found)

    @property
    def tightest(self) -> Outcome | None:
        """The check that met the largest observed ÷ bound, None where nothing was measured.

        Where the claim is false as stated, that is its worst violation. Else only inequalities
        count that hold: a claim may also be tried in a form that lacks a hypothesis. An identity
        has none: its two sides differ nowhere.
        """
        false = self.claim.verdict in _FALSE and any(not holds(o) for o in self.outcomes)
        measured = [
            o
            for o in self.outcomes
            if o.ratio is not None and 0 < o.ratio < math.inf and holds(o) is not false
        ]
        return max(measured, key=lambda o: o.ratio or 0.0, default=None)

    @property
    def seconds(self) -> float:
        """Time that its checks took."""
        return sum(outcome.seconds for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the claim's verdict does not stand, one clause each; empty if it does."""
        if not self.claim.released:
            return ()
        found = [] if self.stated is not False else [f"{self.claim.page} does not state it"]
        for outcome in self.outcomes:
            what = f"{outcome.kind}, {outcome.trial}"
            if outcome.evidence is Evidence.FAILED:
                found.append(f"{what}: {outcome.detail}")
            if outcome.evidence is Evidence.UNDECIDED and outcome.kind == "attacked":
                found.append(f"{what}: the search fell short: {outcome.detail}")
            if not outcome.noticed:
                found.append(f"{what}: the control was not noticed: {outcome.control}")
            if outcome.kind in self.claim.inapplicable:
                found.append(f"{what}: a check that the ledger calls not applicable")
        if self.claim.verdict not in _UNCHECKED:
            possible = [kind for kind in KINDS if kind in self.asked]
            applicable = [kind for kind in possible if kind not in self.claim.inapplicable]
            passed = [kind for kind, mark in self.marks.items() if mark is Evidence.PASSED]
            needed = min(ENOUGH, len(applicable))
            if len(passed) < needed:
                found.append(
                    f"{needed} kind{'s' if needed > 1 else ''} of check must pass, of"
                    f" {', '.join(applicable)};"
                    f" passed: {', '.join(passed) or 'none'}"
                )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """The entry as plain JSON values."""
        claim, tight = self.claim, self.tightest
        return {
            "title": claim.title,
            "chapter": claim.chapter,
            "page": claim.page,
            "verdict": str(claim.shown_verdict),
            "provenance": str(claim.provenance),
            "marks": {kind: str(mark) for kind, mark in self.marks.items()},
            "inapplicable": dict(claim.inapplicable),
            "stated": self.stated,
            "ratio": None if tight is None else tight.ratio,
            "tightest": None
            if tight is None
            else {
                "kind": tight.kind,
                "trial": tight.trial,
                "code": tight.code,
                "witness": dict(tight.witness),
            },
            "checks": [_plain(outcome) for outcome in self.outcomes],
            "seconds": round(self.seconds, 2),
            "failures": list(self.failures),
        }


def _plain(outcome: Outcome) -> dict[str, Any]:
    ratio = outcome.ratio
    return {
        "kind": outcome.kind,
        "trial": outcome.trial,
        "holds": holds(outcome),
        "evidence": str(outcome.evidence),
        "noticed": outcome.noticed,
        "control": outcome.control,
        "ratio": ratio if ratio is None or math.isfinite(ratio) else None,
        "detail": outcome.detail,
        "code": outcome.code,
        "witness": dict(outcome.witness),
        "seconds": round(outcome.seconds, 2),
    }


@dataclass(frozen=True)
class Report:
    """The outcome of a run.

    Attributes:
        entries: One entry for each claim examined, in the order asked for.
        certificates: Cases decided in exact arithmetic or balls, one or more for each trial.
        commit: The commit that was examined, "" where that is unknown.
        date: When the run ended, UTC.
        device: Where the searches ran.
        versions: Versions of Python and of the libraries used.
        seed: Seed of the run.
        settings: The other settings.
        sources: Fingerprints of the package's files that the run used.
        seconds: Wall time.
    """

    entries: tuple[Entry, ...]
    certificates: tuple[Certificate, ...]
    commit: str
    date: str
    device: str
    versions: Mapping[str, str]
    seed: int
    settings: Mapping[str, Any]
    sources: Mapping[str, str]
    seconds: float

    @property
    def failures(self) -> tuple[str, ...]:
        """Every reason why the run does not pass, each led by the label."""
        return tuple(f"{e.claim.label}: {reason}" for e in self.entries for reason in e.failures)

    @property
    def record(self) -> Record:
        """What :func:`collapse.ledger.claims` takes from it."""
        marks = {entry.claim.label: entry.marks for entry in self.entries}
        return Record(self.commit, self.date, marks, self.sources)

    def __getitem__(self, label: str) -> Entry:
        """The entry of a claim."""
        return {entry.claim.label: entry for entry in self.entries}[label]

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "schema": SCHEMA,
            "commit": self.commit,
            "date": self.date,
            "device": self.device,
            "versions": dict(self.versions),
            "seed": self.seed,
            "settings": dict(self.settings),
            "seconds": round(self.seconds, 1),
            "failures": list(self.failures),
            "claims": {entry.claim.label: entry.to_json() for entry in self.entries},
            "sources": dict(self.sources),
        }

    def write(self, path: str | Path) -> Path:
        """Write the JSON, refusing NaN and infinity."""
        return write_json(path, self.to_json())


def write_json(path: str | Path, data: Mapping[str, Any] | Sequence[Any]) -> Path:
    """Write plain values as JSON; a reader never meets half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(json.dumps(data, allow_nan=False, indent=1, ensure_ascii=False) + "\n", "utf-8")
    part.replace(path)
    return path
