"""Floor 1. What made a result: the commit of the checkout and the versions of libraries.

Nothing heavy is imported here, since the build asks for both before it knows of any work to do.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path


def commit(root: Path) -> str:
    """The commit checked out in a folder.

    Args:
        root: A folder, in a git repository or not.

    Returns:
        The first twelve digits, marked "+changes" when files differ from it; "" outside git.
    """
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:  # no git
        return ""
    return run.stdout.strip() if run.returncode == 0 else ""


def versions(modules: Iterable[str]) -> dict[str, str]:
    """Versions of Python and of the distributions behind some top-level module names.

    Args:
        modules: Names that can be imported; those of the standard library are passed over.

    Returns:
        Names of distributions, with their versions.

    >>> "numpy" in versions(["numpy", "json"])
    True
    """
    known = _distributions()
    names = {known[module][0] for module in modules if module in known}
    return {"Python": platform.python_version()} | {
        name: version(name) for name in sorted(names, key=str.lower)
    }


# Reading every distribution's files takes a while, and the build asks for each notebook.
_distributions = cache(packages_distributions)
