"""Floor 1. Which results the book states: the labels of its ``prf:`` directives, from the sources.

Nothing heavy is imported here, since the build asks before it knows of any work to do.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

_OPTIONS = r"(?:[ \t]*:(?!label)[\w-]+:.*\n)*"
_DIRECTIVE = re.compile(
    r"^[ \t]*[:`]{3,}\{prf:\w+\}.*\n" + _OPTIONS + r"[ \t]*:label:[ \t]*(\S+)", re.MULTILINE
)
_CHECKOUT = Path(__file__).resolve().parent.parent


def find_book() -> Path | None:
    """The folder of the book's sources, None for a package that is installed without them."""
    return _CHECKOUT if (_CHECKOUT / "_toc.yml").is_file() else None


def page_source(root: Path, page: str) -> str:
    """The MyST source of a page, the markdown cells of a notebook joined.

    Args:
        root: The folder with the book's sources.
        page: Name of the page, for example "notebooks/01-res".

    Returns:
        Its text.

    Raises:
        ValueError: If there is no such page.
    """
    notebook, plain = root / f"{page}.ipynb", root / f"{page}.md"
    if notebook.is_file():
        cells = json.loads(notebook.read_text("utf-8"))["cells"]
        texts = ("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
        return "\n".join(texts)
    if not plain.is_file():
        raise ValueError(f"page: expected a page of the book in {root}, received {page!r}")
    return plain.read_text("utf-8")


def stated(source: str) -> list[str]:
    r"""Labels of the statements (``prf:`` directives) of a page.

    Args:
        source: Text in MyST.

    Returns:
        The labels, in the order of the page.

    >>> stated(":::{prf:lemma} Words\n:label: res-left\n:::\n")
    ['res-left']
    """
    return _DIRECTIVE.findall(source)
