"""What a link to a page looks like where it is shared: its title, first words, and a picture.

The picture is drawn from the run.  Where Pages serves the book follows from the repository's
address; without one the tags still hold, with a picture named relative to the page.
"""

from __future__ import annotations

import json
import re
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx.application import Sphinx

PICTURE = "_static/social.png"
SHOWS = "Errors of four single layers in the place of a deep network: lines of slope one to four"
LENGTH = 200
LADDER = "_build/figures/04-orders/orders-ladder.json"


def first_words(body: str) -> str:
    """The first sentences of a page in plain words, "" where it has none.

    A preview shows no TeX: names such as Res are put in letters, and a paragraph with other
    formulas is passed over.
    """
    for paragraph in BeautifulSoup(body, "html.parser").select("section > p"):
        text = " ".join(paragraph.get_text().split())
        text = re.sub(r"\\\((?:\\operatorname\{)?\\?(\w+)\}?\\\)", r"\1", text)
        alone = paragraph.select_one(":scope > strong:only-child")
        headline = alone is not None and alone.get_text() == paragraph.get_text()
        if len(text) > 40 and "\\" not in text and not headline:
            cut = text[: text.rfind(" ", 0, LENGTH)].rstrip(",;:. ")
            return text if len(text) <= LENGTH else f"{cut} \N{HORIZONTAL ELLIPSIS}"
    return ""


def site_of(url: str) -> str:
    """The address at which Pages serves the book of a repository, "" for other hosts."""
    parsed = urlparse(url)
    owner, _, repository = parsed.path.strip("/").removesuffix(".git").partition("/")
    return f"https://{owner}.github.io/{repository}/" if parsed.netloc == "github.com" else ""


def tags(page: str, title: str, site_name: str, body: str, site: str) -> str:
    """The tags of one page.

    Args:
        page: Its name in the table of contents.
        title: Its title in plain words.
        site_name: The title of the book.
        body: Its text as HTML.
        site: The book's address with a slash at the end, or "".

    Returns:
        Lines of ``<meta>``.
    """
    words = first_words(body)
    found = {
        "og:title": title,
        "og:site_name": site_name,
        "og:type": "article",
        "og:url": site and f"{site}{page}.html",
        "og:description": words,
        "og:image": f"{site or '../' * page.count('/')}{PICTURE}",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": SHOWS,
    }
    lines = [f'<meta property="{k}" content="{escape(v)}">' for k, v in found.items() if v]
    lines += [f'<meta name="description" content="{escape(words)}">'] if words else []
    return "\n".join([*lines, '<meta name="twitter:card" content="summary_large_image">'])


def _add_tags(
    app: Sphinx,
    pagename: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    if doctree is None:
        return
    title = BeautifulSoup(context["title"], "html.parser").get_text()
    site = site_of(app.config.html_theme_options.get("repository_url", ""))
    context["metatags"] += tags(pagename, title, app.config.html_title, context["body"], site)


def _draw(app: Sphinx, error: Exception | None) -> None:
    data = Path(app.srcdir) / LADDER
    if error is None and app.builder.format == "html" and data.is_file():
        from collapse.figures.picture import draw_preview

        draw_preview(json.loads(data.read_text("utf-8")), Path(app.outdir) / PICTURE)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("html-page-context", _add_tags)
    app.connect("build-finished", _draw)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
