"""The command line: ``collapse COMMAND``, or ``python -m collapse COMMAND``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from collapse.commands import NAMES, Answer, command

MISTAKE, INTERRUPTED = 2, 130


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line, without repeating the usage."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        self.exit(MISTAKE, f"error: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = _Parser(prog="collapse", description="Rank collapse and layer collapse of transformers.")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in NAMES:
        module = command(name)
        sub = commands.add_parser(name, help=module.HELP, description=f"{module.HELP}.")
        module.add_arguments(sub)
        sub.add_argument("--json", action="store_true", help="print the answer as JSON")
    return top


def _print(answer: Answer, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer.data, indent=1, allow_nan=False))
        return
    from rich.console import Console

    # A file or a pipe has no width; the tables should not be squeezed into 80 columns for it.
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120
    console = Console(highlight=False, markup=False, width=wide)
    for part in answer.show():
        console.print(part)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after ``collapse``; those of the process if None.

    Returns:
        The exit status: 0; 1 if the answer is a failure; 2 after a mistake in the input, which is
        named in one line on standard error; 130 if interrupted.

    >>> main(["certify", "no-such-claim"])
    2
    """
    parsed = parser().parse_args(arguments)
    try:
        answer = command(parsed.command).run(parsed)
        _print(answer, parsed.json)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:  # the reader, for example `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "collapse":
            raise
        return _fail(f"{parsed.command} needs the package {error.name}: {_REMEDY}", MISTAKE)
    except OSError as error:
        if error.filename is None:
            raise
        return _fail(f"{error.filename}: {error.strerror}", MISTAKE)
    except ValueError as error:
        return _fail(" ".join(str(error).split()), MISTAKE)
    return answer.status


_REMEDY = "pip install 'collapse-companion[commands]'"


def _fail(message: str, status: int) -> int:
    print(message if status == INTERRUPTED else f"error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
