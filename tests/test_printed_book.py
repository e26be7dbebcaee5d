"""The page from which the PDF is printed: all of the book, unfolded, with links that lead on."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from printed_book import Entry, anchor, chapter, entries, printed_book
from sphinx_external_toc.parsing import parse_toc_yaml

PAGE = """<html><head><link rel="stylesheet" href="../_static/a.css">
<script>window.MathJax = {}</script><script src="../_static/mathjax/m.js"></script></head>
<body><nav>menu</nav><article class="bd-article">
<section id="top"><h1>1. One<a class="headerlink" href="#top">#</a></h1>
<p>See <a href="two.html#part">there</a>, <a href="#top">here</a>, <a href="../data.json">data</a>
and <a href="https://example.org">out</a>.</p>
<details class="sd-dropdown"><summary>Proof</summary><div class="proof">It is so.</div></details>
<details class="sd-dropdown"><summary>A table</summary><p>cells</p></details>
<details class="hide above-input"><summary>Show code</summary><pre>plot()</pre></details>
<img src="../_images/x.svg" alt="x"></section>
<ul class="page-stamp"><li>Built</li></ul></article></body></html>"""
TOC = """format: jb-book
root: book/one
parts:
  - caption: Part & parcel
    chapters:
      - file: book/two
        sections:
          - file: book/three
"""


@pytest.fixture
def soup() -> BeautifulSoup:
    section = chapter(PAGE, Entry("book/one", 1), {"book/one", "book/two"})
    return BeautifulSoup(str(section), "html.parser")


def test_links_lead_to_their_place_in_the_book(soup: BeautifulSoup) -> None:
    assert [a["href"] for a in soup.select("a")] == [
        "#book-two--part",
        "#book-one--top",
        "https://example.org",
    ]
    assert soup.find(id="book-one--top") and soup.find(id="book-one")
    assert "data" in soup.get_text(), "a link to a file leaves its words"
    assert soup.select("img")[0]["src"] == "_images/x.svg"


def test_folds_stand_open_and_folded_code_is_left_out(soup: BeautifulSoup) -> None:
    text = soup.get_text()
    assert "It is so." in text and "cells" in text and "A table" in text
    assert not soup.select("details, summary, script")
    assert not [x for x in ("plot()", "Show code", "Proof", "menu", "Built", "#") if x in text]


def test_a_page_without_an_article_is_an_error() -> None:
    with pytest.raises(ValueError, match="book/one: expected an article"):
        chapter("<p>x</p>", Entry("book/one", 1), set())


def test_ids_of_different_pages_differ() -> None:
    assert len({anchor("a/b"), anchor("a/b", "c"), anchor("a/b", "d"), anchor("a/c", "d")}) == 4


def test_the_whole_book_has_title_contents_and_every_page_once(tmp_path: Path) -> None:
    (tmp_path / "_toc.yml").write_text(TOC)
    (tmp_path / "book").mkdir()
    for name in ("one", "two", "three"):
        (tmp_path / f"book/{name}.html").write_text(PAGE.replace("1. One", f"The {name}"))
    toc = parse_toc_yaml(tmp_path / "_toc.yml")
    assert [(e.page, e.depth, e.part) for e in entries(toc)] == [
        ("book/one", 1, None),
        ("book/two", 1, "Part & parcel"),
        ("book/three", 2, None),
    ]
    html = printed_book(tmp_path, toc, {"title": "A <title>", "stamp": "today"})
    soup = BeautifulSoup(html, "html.parser")
    assert [h.get_text() for h in soup.select(".chapter h1, .chapter h2")] == [
        "The one",
        "The two",
        "The three",
    ]
    assert [a["href"] for a in soup.select("nav a")] == [
        "#book-one",
        "#book-two",
        "#book-three",
    ]
    assert "Part & parcel" in soup.select("nav")[0].get_text()
    ids = [tag["id"] for tag in soup.select("[id]")]
    assert len(ids) == len(set(ids))
    assert soup.select(".title-page .title")[0].get_text() == "A <title>"
    assert [link["href"] for link in soup.select("link")] == [
        "_static/a.css",
        "_static/printed_book.css",
    ]
    assert len(soup.select("script")) == 2
