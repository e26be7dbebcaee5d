"""What the theme and its companions leave unnamed for screen readers, put right in every page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx

OPENER = "Show or hide the pages below"


def named_openers(toctree: Callable[..., Any]) -> Callable[..., Any]:
    """The theme's side bar with a name on each chevron that opens a part of it."""

    def generate(*arguments: Any, **options: Any) -> Any:
        found = toctree(*arguments, **options)
        soup = found if isinstance(found, BeautifulSoup) else BeautifulSoup(found, "html.parser")
        for opener in soup.select("details > summary"):
            opener["aria-label"] = OPENER
        return soup if isinstance(found, BeautifulSoup) else str(soup)

    return generate


def _repair(
    app: Sphinx,
    pagename: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    context["generate_toctree_html"] = named_openers(context["generate_toctree_html"])
    if "body" in context:
        # sphinxcontrib-bibtex marks up a list whose entries have a role that no list may hold.
        context["body"] = context["body"].replace(' role="doc-biblioentry"', ' role="listitem"')


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension; it sees each page after the theme has prepared it."""
    app.connect("html-page-context", _repair, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
