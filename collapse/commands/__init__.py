"""Floor 11. The commands of ``collapse``, one module each.

A module of this package is a command if ``NAMES`` lists it; its name is what users type. It has

``HELP``
    one line for ``collapse --help``, without a full stop;
``add_arguments(parser)``
    declares its arguments with argparse. ``--json`` is added to every command, not by it;
``run(arguments)``
    does the work and returns an :class:`Answer`.

The top level of a command imports only the standard library and this package, so that
``collapse --help`` is immediate; ``run`` imports what it needs. What is wrong with the input is a
``ValueError`` (or the ``OSError`` of a file that the user named), which becomes one line on
standard error and exit status 2. Progress goes to standard error, by :func:`progress_console`;
standard output holds the answer and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

if TYPE_CHECKING:
    import argparse

    import rich.console

NAMES = ("claims", "attack", "certify", "diagnose", "bound", "figure", "contract")


@dataclass(frozen=True)
class Answer:
    """What a command found out.

    Attributes:
        data: Plain JSON values, printed with ``--json``; no NaN, no infinity.
        show: Makes what is printed otherwise: strings, or tables of rich.
        status: Exit status: 0, or 1 where the answer is a failure, for example a failed check.
    """

    data: Any
    show: Callable[[], list[rich.console.RenderableType]]
    status: int = 0


class Command(Protocol):
    """What a module of this package offers."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, arguments: argparse.Namespace) -> Answer:
        """Do the work."""


def command(name: str) -> Command:
    """The command of that name.

    >>> command("claims").HELP
    'Check every claim of the book and print the ledger'
    """
    from importlib import import_module

    return cast(Command, import_module(f"collapse.commands.{name}"))


def require_file(name: str, path: Path) -> None:
    """Refuse a place where no file can be written, before the work whose answer it is for.

    Args:
        name: Name of the option.
        path: The file; folders on the way to it need not exist.

    Raises:
        ValueError: If it is a folder, or lies where no file can be made.
    """
    import os

    from collapse.numeric import require

    require(path.name and not path.is_dir(), name, "a file, not a folder", path)
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    fine = nearest.is_dir() and os.access(nearest, os.W_OK)
    require(fine, name, "a file in a folder that can be written", path)


def progress_console(quiet: bool = False) -> rich.console.Console:
    """A console on standard error, for progress; it shows nothing if quiet."""
    from rich.console import Console

    return Console(stderr=True, quiet=quiet)
