"""The marks of a run of the referee, and whether the package is still the one that was examined."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from collapse.ledger.model import Kind
from collapse.numeric import Evidence, require

SCHEMA = "collapse-claims/1"
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
_ENTRY = {"failures", "inapplicable", "marks", "ratio", "verdict"}
PACKAGE = Path(__file__).resolve().parent.parent


class StaleRecordWarning(UserWarning):
    """The package has changed since the run whose record is read."""


@dataclass(frozen=True)
class Record:
    """What the ledger takes from the record of a run.

    Attributes:
        commit: The commit that was examined, "" where that is unknown.
        date: When the run ended.
        marks: The outcome of each kind of check, by label; a kind without check is left out.
        sources: Fingerprints of the modules that the run used, by file name within the package.
    """

    commit: str
    date: str
    marks: Mapping[str, Mapping[Kind, Evidence]]
    sources: Mapping[str, str]

    @classmethod
    def read(cls, path: str | Path) -> Record:
        """Read ``claims.json``.

        Raises:
            ValueError: If the file is not such a record.
        """
        data = read_json(path)
        marks = {
            label: MappingProxyType({kind: Evidence(mark) for kind, mark in entry["marks"].items()})
            for label, entry in data["claims"].items()
        }
        return cls(data["commit"], data["date"], MappingProxyType(marks), data["sources"])

    def changed(self) -> tuple[str, ...]:
        """Files of the package that are no longer what the run used."""
        now = fingerprints(self.sources)
        return tuple(name for name, was in self.sources.items() if now[name] != was)

    def stale(self) -> str:
        """Which files changed since the run, in a sentence; "" if none did."""
        if not (names := self.changed()):
            return ""
        few = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "")
        at = f" at commit {self.commit}" if self.commit else ""
        return f"the record of {self.date}{at} is stale: {few} changed since"


def read_json(path: str | Path) -> dict[str, Any]:
    """The plain values of a ``claims.json``.

    Args:
        path: The file.

    Returns:
        Its contents.

    Raises:
        ValueError: If the file is not JSON of this schema.
    """
    try:
        data = json.loads(Path(path).read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"record: expected JSON, received {path}: {error}") from None
    schema = data.get("schema") if isinstance(data, dict) else None
    require(schema == SCHEMA, "record", f"a file of schema {SCHEMA!r}", f"{path} of {schema!r}")
    missing = sorted({"claims", "commit", "date", "failures", "sources"} - set(data))
    require(not missing, "record", "a whole one", f"{path} without {', '.join(missing)}")
    entries = data["claims"].values() if isinstance(data["claims"], dict) else [None]
    whole = all(isinstance(entry, dict) and _ENTRY <= set(entry) for entry in entries)
    require(whole, "claims", f"an entry of {', '.join(sorted(_ENTRY))} each", path)
    return data


def fingerprints(names: Iterable[str]) -> dict[str, str]:
    """Fingerprints of files of the package, "" for one that is not there.

    Args:
        names: File names within the package.

    Returns:
        The first sixteen digits of each file's SHA-256.

    >>> list(fingerprints(["numeric.py"]))
    ['numeric.py']
    """
    paths = {name: PACKAGE / name for name in names}
    return {
        name: sha256(path.read_bytes()).hexdigest()[:16] if path.is_file() else ""
        for name, path in paths.items()
    }


def shown_ratio(ratio: float | None) -> str:
    """A ratio with at most four decimals, cut off and not rounded: it never claims too much.

    Args:
        ratio: A finite number, or None where nothing was measured.

    Returns:
        Its digits, "" for None.

    >>> [shown_ratio(x) for x in (0.99999, 1.0, 2.0, 1e-7, 1357.9)]
    ['0.9999', '1', '2', '< 0.0001', '1.3 × 10³']
    """
    if ratio is None:
        return ""
    if ratio <= 0:
        return "0"
    if ratio < 1e-4:
        return "< 0.0001"
    if ratio < 1000:
        return f"{math.floor(ratio * 10**4) / 10**4:.4f}".rstrip("0").rstrip(".")
    power = math.floor(math.log10(ratio))
    return f"{math.floor(10 * ratio / 10**power) / 10} × 10{str(power).translate(_RAISED)}"
