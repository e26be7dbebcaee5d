"""``collapse contract``: the data of the book's figures against the committed expectation."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collapse.commands import Answer

if TYPE_CHECKING:
    from collapse.figures.contract import Comparison

HELP = "Compare the data of the book's figures with what the repository expects"
FIGURES, EXPECTED = Path("_build/figures"), Path("tests/expected/figures")
TOLERANCES, OUT = Path("tests/expected/tolerances.toml"), Path("_build/contract")
TOLD = 12  # lines a figure; the report on disk has all of them


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="*", metavar="NAME", help="only these figures")
    parser.add_argument(
        "--accept", action="store_true", help="say what changes, then take the run's data"
    )
    folders = {
        "--data": (FIGURES, "where the build has put the figures' data"),
        "--expected": (EXPECTED, "where the expectations are"),
        "--out": (OUT, "where report and overlays go; a summary goes beside it, as .json"),
    }
    for option, (folder, said) in folders.items():
        told = f"{said} ({folder})"
        parser.add_argument(option, type=Path, default=folder, metavar="FOLDER", help=told)
    parser.add_argument(
        "--tolerances", type=Path, default=TOLERANCES, metavar="FILE", help=f"({TOLERANCES})"
    )


def run(arguments: Namespace) -> Answer:
    """Compare, write the report and the overlays, and accept if asked to."""
    import json

    from collapse.figures import contract
    from collapse.figures.tolerances import Tolerances
    from collapse.numeric import require

    a = arguments
    require(a.out.name, "out", "a folder with a name, for the summary beside it", a.out)
    made, tolerances = contract.figures_of(a.data), Tolerances.read(a.tolerances)
    found = contract.check(made, a.expected, tolerances)
    unknown = sorted(set(a.name) - {figure.label for figure in found})
    require(not unknown, "figures", "names of figures in the run or expected", unknown)
    whole, found = found, [f for f in found if not a.name or f.label in a.name]
    written = _report(found, made, a.expected, a.out)
    if a.accept:
        for figure in found:
            if figure.state != "same":
                contract.accept(figure.label, made.get(figure.label), a.expected, tolerances)
        whole = contract.check(made, a.expected, tolerances)
    summary = contract.summary(whole)
    a.out.with_suffix(".json").write_text(json.dumps(summary, indent=1) + "\n", "utf-8")
    failed = not a.accept and any(figure.state != "same" for figure in found)
    data = {**contract.summary(found), "accepted": a.accept, "written": written}
    return Answer(data, lambda: _shown(found, a.accept, written), int(failed))


def _report(found: list[Comparison], made: dict[str, Path], expected: Path, out: Path) -> list[str]:
    """Write report.txt and an overlay for each figure that differs; the files written."""
    from collapse.figures.contract import load
    from collapse.figures.overlay import draw

    out.mkdir(parents=True, exist_ok=True)
    overlays = [out / f"{figure.label}.png" for figure in found]
    for figure, overlay in zip(found, overlays, strict=True):
        # Of an earlier run only what this one would write again: the folder is the user's.
        overlay.unlink(missing_ok=True)
        if figure.state == "different":
            old, new = load(expected / f"{figure.label}.json"), load(made[figure.label])
            draw(figure, old, new, overlay)
    lines = [line for figure in found for line in _lines(figure)]
    (out / "report.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return [str(out / "report.txt"), *(str(path) for path in overlays if path.exists())]


def _lines(figure: Comparison) -> list[str]:
    said = {
        "same": "as expected",
        "different": f"differs in {len(figure.differences)} places",
        "new": "no expectation yet: `make accept` takes the run's data",
        "missing": "expected, but the run has no such figure",
    }
    return [f"{figure.label}: {said[figure.state]}", *(f"  {d}" for d in figure.differences)]


def _shown(found: list[Comparison], accepted: bool, written: list[str]) -> list[Any]:
    lines: list[str] = []
    for figure in (f for f in found if f.state != "same"):
        told = _lines(figure)
        lines += told[:TOLD]
        if len(told) > TOLD:
            lines.append(f"  and {len(told) - TOLD} more, in {written[0]}")
    changed = sum(figure.state != "same" for figure in found)
    if written[1:]:
        lines.append(f"expected and found, one over the other: {', '.join(written[1:])}")
    if accepted:
        return [*lines, f"{changed} expectations taken from the run, {len(found) - changed} kept"]
    if changed:
        return [*lines, f"{changed} of {len(found)} figures are not as expected"]
    return [f"all {len(found)} figures are as expected"]
