"""``make gpu``: the tests marked ``gpu`` and the benchmarks on the GPU at hand, kept in a file.

    python -m benchmarks.gpu

``benchmarks/gpu.json`` holds device, date, commit, the outcome of the tests, and how far CPU and
GPU were apart in each quantity; ``benchmarks/results-cuda.json`` holds the benchmarks.  Both are
committed, so that the book can say when its code last ran on a GPU.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from benchmarks.record import ON_CUDA
from collapse.stamp import commit, versions

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "benchmarks" / "gpu.json"
SCHEMA = "collapse-gpu/1"
NUMBERS = ("difference", "allowed", "largest")


def outcome(report: str) -> dict[str, Any]:
    """What a run of the tests found, from its report in JUnit's XML.

    Args:
        report: The XML, with the properties that the tests have recorded.

    Returns:
        Counts of passed and failed tests; the quantities compared, with those that never came to
        a comparison left out.
    """
    counts, agreement = {"passed": 0, "failed": 0}, []
    for case in ElementTree.fromstring(report).iter("testcase"):
        failed = case.find("failure") is not None or case.find("error") is not None
        if case.find("skipped") is None:
            counts["failed" if failed else "passed"] += 1
        told = {item.get("name", ""): item.get("value", "") for item in case.iter("property")}
        if "quantity" in told:
            numbers = {name: float(told[name]) for name in NUMBERS}
            agreement.append({"quantity": told["quantity"], "dtype": told["dtype"], **numbers})
    return {"tests": counts, "agreement": agreement}


def device() -> dict[str, Any] | None:
    """The GPU at hand; None without one."""
    if not torch.cuda.is_available():
        return None
    found = torch.cuda.get_device_properties(0)
    return {
        "name": found.name,
        "memory_gib": round(found.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
    }


def record(found: Mapping[str, Any], on: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """The contents of the file: what was found, on which device, when and at which commit."""
    return {
        "schema": SCHEMA,
        "device": dict(on),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(ROOT),
        "seconds": round(seconds, 1),
        "versions": versions(["torch", "numpy"]),
        **found,
    }


def main() -> int:
    """Run tests and benchmarks; 0 if all tests pass and the benchmarks end, else 1."""
    on = device()
    if on is None:
        print("error: no GPU here: torch finds none", file=sys.stderr)
        return 1
    start, report = time.monotonic(), ROOT / "_build" / "gpu.xml"
    report.parent.mkdir(exist_ok=True)
    report.unlink(missing_ok=True)
    tests = [sys.executable, "-m", "pytest", "-m", "gpu", "tests", f"--junitxml={report}"]
    status = subprocess.run(tests, cwd=ROOT, check=False).returncode
    if not report.is_file():
        print("error: the tests wrote no report; the record is left as it was", file=sys.stderr)
        return 1
    found = outcome(report.read_text("utf-8"))
    if not found["agreement"]:
        print("error: no quantity was compared; the record is left as it was", file=sys.stderr)
        return 1
    written = record(found, on, time.monotonic() - start)
    RECORD.write_text(json.dumps(written, indent=1, allow_nan=False) + "\n", "utf-8")
    print(f"wrote {RECORD.relative_to(ROOT)}: {found['tests']}", flush=True)
    speed = [sys.executable, "-m", "benchmarks", "--device", "cuda", "--out", str(ON_CUDA)]
    ended = subprocess.run(speed, cwd=ROOT, check=False).returncode
    return int(bool(status or ended))


if __name__ == "__main__":
    sys.exit(main())
