"""``make bench``: measure all ratios and write the file that the book shows."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.cases import GROUPS
from benchmarks.record import RESULTS, measure, save


def main(words: Sequence[str] | None = None) -> int:
    """Run the groups asked for; write a file if all were or one is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--out", type=Path, help="file to write; benchmarks/results.json by default"
    )
    parser.add_argument("--only", nargs="+", choices=list(GROUPS), help="these groups alone")
    asked = parser.parse_args(words)
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("no GPU here: torch finds none")
    chosen = {name: GROUPS[name] for name in asked.only or GROUPS}
    results = measure(chosen, asked.device)
    out = asked.out or (None if asked.only else RESULTS)
    if out is not None:
        save(results, out)
        print(f"wrote {out} in {results['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
