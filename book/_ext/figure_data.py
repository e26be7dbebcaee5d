"""The data of a notebook page's figures, one click away: under each figure, and from the stamp.

The run of a notebook writes one JSON a figure, and the picture carries the name of its file as its
title.  The files are copied into the book, one by one and as an archive for each page.
"""

from __future__ import annotations

import re
import shutil
from html import escape, unescape
from pathlib import Path
from posixpath import relpath

from docutils import nodes
from executed_notebooks import executed_copy
from sphinx.application import Sphinx

FOLDER = "figures"
_TITLE = re.compile(r"<dc:title>(.*?)</dc:title>")


def data_folder(app: Sphinx, docname: str) -> Path:
    """The folder into which a notebook page's run wrote its figure data."""
    return Path(app.srcdir) / "_build" / FOLDER / Path(docname).name


def data_links(app: Sphinx, pagename: str) -> str:
    """Links to the data of a page's figures as HTML; "" for a page without any."""
    folder = data_folder(app, pagename)
    names = sorted(path.name for path in folder.glob("*.json"))
    if not names:
        return ""
    links = [_link(pagename, f"{folder.name}/{name}", name) for name in names]
    archive = _link(pagename, f"{folder.name}.zip", "all of it as one archive")
    return f"Figure data: {', '.join(links)}; {archive}"


def title_of(picture: Path) -> str:
    """The title that an SVG carries; "" without one, or for another kind of picture."""
    if picture.suffix != ".svg" or not picture.is_file():
        return ""
    found = _TITLE.search(picture.read_text("utf-8"))
    return unescape(found[1]) if found else ""


def _link(pagename: str, target: str, text: str) -> str:
    href = relpath(f"{FOLDER}/{target}", Path(pagename).parent)
    return f'<a href="{escape(href)}" download>{escape(text)}</a>'


def _link_figures(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put a link to its data under each figure; a page on its own place only (``html``)."""
    if app.builder.name != "html" or executed_copy(app, docname) is None:
        return
    folder = data_folder(app, docname)
    for figure in doctree.findall(nodes.figure):
        image = next(iter(figure.findall(nodes.image)), None)
        title = title_of(Path(app.srcdir) / image["uri"]) if image else ""
        if title and (folder / f"{title}.json").is_file():
            link = _link(docname, f"{folder.name}/{title}.json", f"{title}.json")
            markup = f'<p class="figure-data">Data: {link}</p>'
            figure += nodes.legend("", nodes.raw("", markup, format="html"))


def _copy(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    target = Path(app.outdir) / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    for docname in app.env.found_docs:
        data = data_folder(app, docname)
        if executed_copy(app, docname) and data.is_dir():
            shutil.copytree(data, target / data.name)
            shutil.make_archive(str(target / data.name), "zip", data)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("doctree-resolved", _link_figures)
    app.connect("build-finished", _copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
