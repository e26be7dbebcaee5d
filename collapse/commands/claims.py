"""``collapse claims``: check every claim, and print the ledger."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collapse.commands import Answer, progress_console, require_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType
    from rich.text import Text

    from collapse.referee.report import Report
    from collapse.referee.run import Progress

HELP = "Check every claim of the book and print the ledger"
_STYLES = {"passed": "green", "failed": "bold red", "undecided": "yellow"}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--label", action="append", help="only this claim; may be repeated")
    parser.add_argument(
        "--kind",
        action="append",
        metavar="KIND",
        help="only this kind of check: symbolic, certified, attacked or property; may be repeated",
    )
    parser.add_argument(
        "--deep", type=float, metavar="SECONDS", help="search for as long as this, all told"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the run (default 0)")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes that work at once (default 2)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the record there, and certificates.json beside it",
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="check nothing; print the record of a run"
    )


def run(arguments: Namespace) -> Answer:
    """Examine the claims, or read the record of a run."""
    from collapse.ledger import Record, get
    from collapse.ledger.record import read_json

    for label in arguments.label or ():
        get(label)
    if arguments.record:
        if arguments.kind or arguments.deep is not None or arguments.out:
            raise ValueError("record: expected no --kind, --deep or --out beside it")
        data = read_json(arguments.record)
        if arguments.label:
            if missing := sorted(set(arguments.label) - set(data["claims"])):
                raise ValueError(f"label: {arguments.record} holds no {', '.join(missing)}")
            data["claims"] = {label: data["claims"][label] for label in arguments.label}
            data["failures"] = [
                f"{label}: {reason}"
                for label, entry in data["claims"].items()
                for reason in entry["failures"]
            ]
        stale = Record.read(arguments.record).stale()
    else:
        data, stale = _examine(arguments).to_json(), ""
    data["stale"] = stale
    failed = bool(data["failures"] or stale)
    told = bool(arguments.label or arguments.kind)
    return Answer(data, lambda: _shown(data, told), int(failed))


def _examine(arguments: Namespace) -> Report:
    from collapse.ledger import KINDS
    from collapse.numeric import require
    from collapse.referee.certificates import write_certificates
    from collapse.referee.run import examine

    if arguments.out:
        beside = arguments.out.parent / "certificates.json"
        require(arguments.out != beside, "out", "another name than the certificates'", beside)
        for path in (arguments.out, beside):
            require_file("out", path)
    with _bar() as progress:
        report = examine(
            arguments.label,
            seed=arguments.seed,
            seconds=arguments.deep,
            kinds=arguments.kind or KINDS,
            workers=arguments.workers,
            progress=progress,
        )
    if arguments.out:
        report.write(arguments.out)
        write_certificates(beside, report.certificates)
    return report


@contextmanager
def _bar() -> Iterator[Progress]:
    """A progress bar on standard error, from the first sign of life on."""
    from rich import progress

    columns = (
        progress.TextColumn("checking the claims"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.description}"),
    )
    bar = progress.Progress(*columns, console=progress_console())
    task = bar.add_task("")

    def show(label: str, done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total, description=label)

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()


def _shown(data: Mapping[str, Any], told: bool = False) -> list[RenderableType]:
    """The table; where single claims or kinds were asked for, each check is told as well."""
    from rich.table import Table

    from collapse.ledger import KINDS
    from collapse.ledger.record import shown_ratio

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("claim", no_wrap=True)
    for name in ("verdict", *KINDS):
        table.add_column(name)
    table.add_column("tightest ratio", justify="right")
    for label, entry in data["claims"].items():
        marks = (_mark(entry, kind) for kind in KINDS)
        table.add_row(label, entry["verdict"], *marks, shown_ratio(entry["ratio"]))
    at = f" at commit {data['commit']}" if data["commit"] else ""
    lines = [
        "",
        "The ratio is observed ÷ bound; a bound that is attained has 1, a broken one more.",
        f"{len(data['claims'])} claim{'s' if len(data['claims']) != 1 else ''}, checked in"
        f" {data['seconds']:.0f} s on"
        f" {data['device']}, {data['date']}{at}, seed {data['seed']}.",
    ]
    if data["stale"]:
        lines.append(f"note: {data['stale']}")
    lines += [f"failed: {reason}" for reason in data["failures"]]
    if not data["failures"]:
        lines.append("Every verdict stands.")
    checks = [line for entry in data["claims"].values() for line in _checks(entry)] if told else []
    return [table, *checks, *lines]


def _checks(entry: Mapping[str, Any]) -> Iterator[str]:
    """What each check found, and a minimal violation as code that a reader can copy."""
    for check in entry.get("checks", ()):
        noticed = "noticed" if check["noticed"] else "not noticed"
        yield ""
        yield f"{check['kind']}, {check['trial']}: {check['evidence']}: {check['detail']}"
        yield f"  control, {noticed}: {check['control']}"
        if check["kind"] == "property" and check["code"]:
            yield f"\n{check['code']}"


def _mark(entry: Mapping[str, Any], kind: str) -> Text:
    from rich.text import Text

    word = entry["marks"].get(kind, "n/a" if kind in entry["inapplicable"] else "pending")
    return Text(word, style=_STYLES.get(word, "dim"))
