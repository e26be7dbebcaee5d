"""``collapse certify``: decide a claim at exact inputs, or decide certificates again."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from collapse.commands import Answer, progress_console, require_file

if TYPE_CHECKING:
    from rich.console import RenderableType

    from collapse.referee import Certificate

HELP = "Decide a claim at exact rational inputs in ball arithmetic"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("label", metavar="LABEL", nargs="?", help="a claim, for example rung-2")
    parser.add_argument("--trial", metavar="NAME", help="only this trial of the claim")
    parser.add_argument("--cases", type=int, help="random cases of each trial")
    parser.add_argument("--precision", type=int, metavar="BITS", help="bits to begin with")
    parser.add_argument("--max-precision", type=int, metavar="BITS", help="bits to end with")
    parser.add_argument("--seed", type=int, default=0, help="seed of the cases (default 0)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the certificates there")
    parser.add_argument(
        "--recheck", type=Path, metavar="FILE", help="decide the certificates of a file again"
    )


def run(arguments: Namespace) -> Answer:
    """Certify, or check certificates."""
    from collapse.referee.certificates import recheck_file

    if (arguments.label is None) == (arguments.recheck is None):
        raise ValueError("certify: expected either LABEL or --recheck FILE")
    if arguments.recheck:
        with progress_console().status(f"deciding {arguments.recheck} again"):
            again = tuple(recheck_file(arguments.recheck))
        lines = [f"{len(again)} certificates come out as they say."]
        return _answer(again, lines, status=0)
    certificates = _certify(arguments)
    return _answer(certificates, [], status=_contradicts(arguments.label, certificates))


def _certify(arguments: Namespace) -> tuple[Certificate, ...]:
    from collapse.ledger import get
    from collapse.referee import certify
    from collapse.referee.certificates import write_certificates

    get(arguments.label)
    if arguments.out:
        require_file("out", arguments.out)
    names = ("cases", "precision", "max_precision")
    given = {name: getattr(arguments, name) for name in names}
    with progress_console().status(f"deciding {arguments.label}"):
        certificates = certify(
            arguments.label,
            arguments.trial,
            seed=arguments.seed,
            **{name: value for name, value in given.items() if value is not None},
        )
    if arguments.out:
        write_certificates(arguments.out, certificates)
    return certificates


def _contradicts(label: str, certificates: Sequence[Certificate]) -> int:
    """1 where a case decides against a trial that holds."""
    from collapse.referee.trials import trials

    holds = {trial.name: trial.holds for trial in trials(label)}
    return int(any(c.outcome == "refuted" and holds[c.trial] for c in certificates))


def _answer(certificates: Sequence[Certificate], lines: list[str], status: int) -> Answer:
    import json

    contents = [json.loads(certificate.to_json()) for certificate in certificates]
    counts = dict(Counter(certificate.outcome for certificate in certificates))
    data = {"outcomes": counts, "contradicts_the_ledger": bool(status), "certificates": contents}
    return Answer(data, lambda: _shown(certificates, lines, status), status)


def _shown(
    certificates: Sequence[Certificate], lines: list[str], status: int
) -> list[RenderableType]:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("claim", "trial", "outcome", "arithmetic", "bits", "observed", "bound"):
        table.add_column(name, overflow="fold")
    for c in certificates:
        table.add_row(
            c.label,
            c.trial,
            c.outcome,
            c.arithmetic,
            str(c.precision or ""),
            _short(c.observed),
            _short(c.bound),
        )
    if status:
        lines = [*lines, "failed: a case is refuted that the ledger says holds"]
    return [table, *lines]


def _short(number: str | None, length: int = 24) -> str:
    if number is None:
        return "unknown"
    return number if len(number) <= length else f"{number[: length - 1]}…"
