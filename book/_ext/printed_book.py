"""The built pages as one page for print: title, contents, then every page in the order of the toc.

What a reader of paper cannot use is left out: folded code, link marks, stamps, links to files.
Every id is prefixed with its page, so that all links within the book lead on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlparse

from bs4 import BeautifulSoup, Tag
from sphinx_external_toc.api import SiteMap

LEFT_OUT = (
    "a.headerlink, a:has(> .viewcode-link), script, noscript, ul.page-stamp, .only-dark, "
    "details.hide.above-input, .cell.tag_injected-parameters, .toctree-wrapper, button"
)
# Elements whose attribute names the id of another.
NAMES_AN_ID = ("for", "aria-labelledby", "aria-describedby")


@dataclass(frozen=True)
class Entry:
    """A page of the book, its depth below the part, and the part's name where one begins."""

    page: str
    depth: int
    part: str | None = None


def entries(toc: SiteMap) -> Iterator[Entry]:
    """Every page of the table of contents in its order, the first page included."""
    yield Entry(toc.root.docname, 1)
    for tree in toc.root.subtrees:
        part = tree.caption
        for item in tree.items:
            for entry in _below(toc, str(item), 1):
                yield Entry(entry.page, entry.depth, part)
                part = None


def _below(toc: SiteMap, page: str, depth: int) -> Iterator[Entry]:
    yield Entry(page, depth)
    for tree in toc[page].subtrees if page in toc else ():
        for item in tree.items:
            yield from _below(toc, str(item), depth + 1)


def anchor(page: str, fragment: str = "") -> str:
    """The id that a place of a page has in the printed book."""
    return re.sub(r"[^\w-]", "-", f"{page}--{fragment}" if fragment else page)


def chapter(html: str, entry: Entry, pages: set[str]) -> Tag:
    """A built page's text, ready to stand between the others."""
    soup = BeautifulSoup(html, "html.parser")
    article = soup.select_one("article.bd-article")
    if article is None:
        raise ValueError(f"{entry.page}: expected an article on the built page, found none")
    for tag in article.select(LEFT_OUT):
        tag.decompose()
    for tag in article.select("details"):
        _unfold(tag)
    for heading in article.find_all(re.compile("^h[1-6]$")):
        heading.name = f"h{min(6, int(heading.name[1]) + entry.depth - 1)}"
    # The marks of an inline drawing refer to each other within it.
    own = [tag for tag in article.find_all(True) if tag.find_parent("svg") is None]
    for tag in own:
        if tag.get("id"):
            tag["id"] = anchor(entry.page, str(tag["id"]))
        for name in NAMES_AN_ID:
            if tag.get(name):
                tag[name] = anchor(entry.page, str(tag[name]))
    for tag in article.find_all(["a", "img"]):
        _point_within(tag, entry.page, pages)
    section = soup.new_tag("section", attrs={"class": "chapter", "id": anchor(entry.page)})
    section["style"] = f"page: {anchor(entry.page)}"
    section.extend(list(article.children))
    return section


def _unfold(details: Tag) -> None:
    """Turn what folds into what stands open.  A proof says by itself that it is one."""
    summary = details.find("summary", recursive=False)
    if isinstance(summary, Tag):
        if summary.get_text().strip() in {"", "Proof"}:
            summary.decompose()
        else:
            summary.name = "p"
            summary["class"] = "unfolded-title"
    details.name = "div"
    del details["open"]


def _point_within(tag: Tag, page: str, pages: set[str]) -> None:
    """Lead a link to its place in the book, a picture to its file; drop links to other files."""
    name = "src" if tag.name == "img" else "href"
    url = urlparse(str(tag.get(name, "")))
    if url.scheme:
        return
    target = normpath(join(dirname(page), unquote(url.path))) if url.path else f"{page}.html"
    if tag.name == "img":
        tag["src"] = target
    elif target.removesuffix(".html") in pages:
        tag["href"] = f"#{anchor(target.removesuffix('.html'), unquote(url.fragment))}"
    elif tag.find_parent("svg") is None:
        tag.unwrap()


def title_of(section: Tag) -> str:
    """The words of a chapter's first heading, its number in front."""
    heading = section.find(re.compile("^h[1-6]$"))
    return " ".join(heading.get_text().split()) if heading else ""


def _contents(listed: list[tuple[Entry, Tag]]) -> str:
    """The table of contents; each line ends with an empty place for its number."""
    lines = []
    for entry, section in listed:
        if entry.part:
            lines.append(f'<li class="part">{escape(entry.part)}</li>')
        lines.append(
            f'<li class="depth-{entry.depth}"><a href="#{anchor(entry.page)}">'
            f"<span>{escape(title_of(section))}</span><span></span></a></li>"
        )
    return f'<nav class="toc-of-print"><h1>Contents</h1><ul>{"".join(lines)}</ul></nav>'


def _running_heads(listed: list[tuple[Entry, Tag]]) -> str:
    """One kind of page for each chapter, with its title at the head."""
    rules = []
    for entry, section in listed:
        title = title_of(section).replace("\\", "\\\\").replace('"', '\\"')
        rules.append(f'@page {anchor(entry.page)} {{ @top-right {{ content: "{title}"; }} }}')
    return "\n".join(rules)


def printed_book(html: Path, toc: SiteMap, told: dict[str, str]) -> str:
    """Read the built pages.

    Args:
        html: The folder of the built book.
        toc: Its table of contents.
        told: ``title``, ``subtitle``, ``author``, ``stamp`` for the title page.

    Returns:
        The book as one page, whose links to files hold in that folder.
    """
    order = list(entries(toc))
    pages = {entry.page for entry in order}
    text = {page: (html / f"{page}.html").read_text("utf-8") for page in pages}
    listed = [(entry, chapter(text[entry.page], entry, pages)) for entry in order]
    title_page = (
        '<header class="title-page">'
        + "".join(f'<p class="{name}">{escape(words)}</p>' for name, words in told.items())
        + "</header>"
    )
    chapters = "\n".join(str(section) for _, section in listed)
    return (
        f'<!doctype html><html lang="en" data-theme="light"><head>'
        f"{_head(text, order, told['title'])}<style>{_running_heads(listed)}</style></head>"
        f'<body class="printed-book"><main class="bd-content"><article class="bd-article">'
        f"{title_page}{_contents(listed)}{chapters}</article></main></body></html>"
    )


def _head(text: dict[str, str], order: list[Entry], title: str) -> str:
    """Style sheets and MathJax as the pages have them, seen from the root of the book."""
    styles: dict[str, None] = {}
    scripts: dict[str, None] = {}
    for entry in order:
        soup = BeautifulSoup(text[entry.page], "html.parser")
        for tag in soup.select('link[rel="stylesheet"]'):
            file = normpath(join(dirname(entry.page), str(tag["href"])))
            styles[f'<link rel="stylesheet" href="{file}">'] = None
        for tag in soup.find_all("script"):
            if "window.MathJax" in tag.text:
                scripts[str(tag)] = None
            elif "/mathjax/" in str(tag.get("src", "")):
                file = normpath(join(dirname(entry.page), str(tag["src"])))
                scripts[f'<script defer src="{file}"></script>'] = None
    own = '<link rel="stylesheet" href="_static/printed_book.css">'
    return f'<meta charset="utf-8"><title>{title}</title>{"".join([*styles, own, *scripts])}'
