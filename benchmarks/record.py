"""The results as a file: every ratio with its target and both times, and the machine."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.timing import CORES, RESOLUTION, Times
from collapse.figures.cost import machine
from collapse.stamp import commit, versions

ROOT = Path(__file__).resolve().parents[1]
RESULTS, ON_CUDA = (ROOT / "benchmarks" / name for name in ("results.json", "results-cuda.json"))
SCHEMA = 1
Relation = Literal["<=", ">="]


@dataclass(frozen=True)
class Measured:
    """One line of the table.

    Attributes:
        group: What it belongs to.
        case: What was run.
        relation: "<=" for a cost, ours over theirs; ">=" for a gain, theirs over ours.
        target: What the ratio or value should meet; None where it is only told.
        met: Whether it does; None without a target.
    """

    group: str
    case: str
    relation: Relation
    target: float | None
    met: bool | None


@dataclass(frozen=True)
class Ratio(Measured):
    """Two sides measured in turn."""

    threads: int
    ours: str
    theirs: str
    ours_seconds: float
    theirs_seconds: float
    ratio: float
    spread: tuple[float, float]
    turns: int


@dataclass(frozen=True)
class Figure(Measured):
    """One number with its unit."""

    quantity: str
    value: float
    unit: str


Case = Callable[[], Ratio | Figure]  # what one line takes to be measured


def ratio(
    group: str,
    case: str,
    ours: str,
    times: Times,
    relation: Relation = "<=",
    target: float | None = None,
) -> Ratio:
    """A line from the times of two sides, on the threads that torch has now.

    >>> ratio("g", "c", "f", Times(1.0, 2.0, "h", (1.9, 2.2), 9), ">=", 3.0).met
    False
    """
    gain = times.theirs / times.ours
    low, high = times.quartiles
    value = gain if relation == ">=" else 1 / gain
    spread = (low, high) if relation == ">=" else (1 / high, 1 / low)
    met = met_by(value, relation, target)
    count = torch.get_num_threads()
    seconds = times.ours, times.theirs
    return Ratio(
        group, case, relation, target, met, count, ours, times.rival, *seconds, value, spread,
        times.turns,
    )  # fmt: skip


def figure(
    group: str,
    case: str,
    quantity: str,
    value: float,
    unit: str = "",
    relation: Relation = "<=",
    target: float | None = None,
) -> Figure:
    """A line from a number.

    >>> figure("g", "c", "slope", 1.01, target=1.05).met
    True
    """
    met = met_by(value, relation, target)
    return Figure(group, case, relation, target, met, quantity, value, unit)


def met_by(value: float, relation: Relation, target: float | None) -> bool | None:
    """Whether a value meets a target, to the resolution of the clock where the target is 1.

    >>> met_by(1.02, "<=", 1.0), met_by(1.32, "<=", 1.3), met_by(2.9, ">=", 3.0)
    (True, False, False)
    """
    if target is None:
        return None
    allowed = target * (1 + RESOLUTION) if target == 1 and relation == "<=" else target
    return value <= allowed if relation == "<=" else value >= allowed


def measure(groups: dict[str, Callable[[str], Iterator[Case]]], device: str) -> dict[str, Any]:
    """Run the cases of all groups on a device; the contents of the file."""
    start, load, processor = time.perf_counter(), os.getloadavg()[0], time.process_time()
    lines: list[Ratio | Figure] = []
    for name, cases in groups.items():
        for case in cases(device):
            lines.append(case())
            print(name, told(lines[-1]), flush=True)
    spent = time.perf_counter() - start
    on = machine()
    name = torch.cuda.get_device_name(0) if device == "cuda" else on["processor"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "schema": SCHEMA,
        "machine": {
            "device": device,
            "name": name,
            "cores": CORES,
            "memory_gib": round(memory, 1),
            "load_before": round(load, 2),
            "load_after": round(os.getloadavg()[0], 2),
            "processor_share": round((time.process_time() - processor) / spent, 2),
        },
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(ROOT),
        "threads": torch.get_num_threads(),
        "versions": versions(["torch", "numpy", "mpmath"]),
        "seconds": round(spent, 1),
        "ratios": [asdict(line) for line in lines if isinstance(line, Ratio)],
        "figures": [asdict(line) for line in lines if isinstance(line, Figure)],
    }


def told(line: Ratio | Figure) -> str:
    """A line of the log.

    >>> told(figure("g", "d = 16", "time", 0.5, "s", "<=", 1.0))
    'd = 16: time 0.5 s (<= 1.0)'
    """
    if isinstance(line, Figure):
        what = f"{line.case}: {line.quantity} {line.value:.4g} {line.unit}".rstrip()
    else:
        what = (
            f"{line.case}, {line.threads} thread(s): {line.ours} {line.ours_seconds:.3g} s,"
            f" {line.theirs} {line.theirs_seconds:.3g} s, ratio {line.ratio:.3g}"
            f" [{line.spread[0]:.3g}, {line.spread[1]:.3g}] in {line.turns} turns"
        )
    mark = {True: "", False: " MISSED", None: ""}[line.met]
    return what if line.target is None else f"{what} ({line.relation} {line.target}){mark}"


def save(results: dict[str, Any], path: Path) -> None:
    """Write the file."""
    path.write_text(json.dumps(results, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def load(path: Path) -> dict[str, Any]:
    """Read the file.

    Raises:
        ValueError: If it is of another schema.
    """
    results: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if results.get("schema") != SCHEMA:
        raise ValueError(f"{path.name}: expected schema {SCHEMA}, received {results.get('schema')}")
    return results
