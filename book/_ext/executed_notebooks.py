"""Hand Sphinx the executed copy of each notebook page, while links keep the clean notebook.

The toc, the download button and the source links name ``notebooks/x.ipynb``, whose outputs are
stripped.  What is read for the page is ``_build/executed/x.ipynb``.
"""

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError


def executed_copy(app: Sphinx, docname: str) -> Path | None:
    """Where the executed copy of a page lies; None for a page that is no notebook."""
    source = Path(app.env.doc2path(docname))
    if source.suffix != ".ipynb":
        return None
    return Path(app.srcdir) / "_build" / "executed" / source.name


def _read_executed(app: Sphinx, docname: str, source: list[str]) -> None:
    copy = executed_copy(app, docname)
    if copy is None:
        return
    if not copy.is_file():
        raise ExtensionError(f"{docname}.ipynb has no executed copy; `make book` makes it")
    app.env.note_dependency(str(copy))
    source[0] = copy.read_text("utf-8")


def _refresh_all(app: Sphinx, env: BuildEnvironment) -> list[str]:
    # A number glued on another page is looked up when that page is written, not read.
    return sorted(env.all_docs)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", _read_executed)
    app.connect("env-updated", _refresh_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
