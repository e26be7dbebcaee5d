"""Keep how long the steps of ``.ci/run`` took, and say when they took longer than they may.

    python -m benchmarks.times set-up=60 book=600 tests=500

writes ``_build/times.json``.  ``make times`` makes it the committed record of the status page.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collapse.figures.cost import machine
from collapse.stamp import commit

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "_build" / "times.json"
# Seconds on two cores: a cold `make book` is set-up, claims and book; `.ci/run` is everything.
BOOK = ("set-up", "claims", "book")
BOOK_BUDGET, ALL_BUDGET = 20 * 60, 40 * 60


def read(words: Sequence[str]) -> dict[str, int]:
    """Seconds by step.

    >>> read(["lint=3"])
    {'lint': 3}

    Raises:
        ValueError: On a word that is not STEP=SECONDS.
    """
    found = {}
    for word in words:
        name, _, seconds = word.partition("=")
        if not name or not seconds.isdigit():
            raise ValueError(f"times: expected STEP=SECONDS, received {word!r}")
        found[name] = int(seconds)
    return found


def exceeded(steps: Mapping[str, int]) -> list[str]:
    """The budgets that the steps exceed, in words.

    >>> exceeded({"book": 1201})
    ['a cold `make book` took 1201 s, more than 1200 s']
    """
    spent = {
        "a cold `make book`": (sum(steps.get(name, 0) for name in BOOK), BOOK_BUDGET),
        "`.ci/run`": (sum(steps.values()), ALL_BUDGET),
    }
    return [
        f"{what} took {seconds} s, more than {most} s"
        for what, (seconds, most) in spent.items()
        if seconds > most
    ]


def record(steps: Mapping[str, int]) -> dict[str, Any]:
    """The contents of the file: the steps, and where and when they ran."""
    on = machine()
    return {
        "schema": "collapse-times/1",
        "commit": commit(ROOT),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": on["processor"],
        "cores": on["processors"],
        "steps": dict(steps),
    }


def main(words: Sequence[str]) -> int:
    """Write the record; 1 if a budget is exceeded."""
    steps = read(words)
    RECORD.write_text(json.dumps(record(steps), indent=1) + "\n", "utf-8")
    late = exceeded(steps)
    for line in late:
        print(f"error: {line}", file=sys.stderr)
    return int(bool(late))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
