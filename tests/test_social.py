"""Previews of shared links: plain words, and a picture that is there and of the right size."""

from __future__ import annotations

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from built_book import PAGES
from PIL import Image
from social import LENGTH, PICTURE, first_words, site_of, tags


def section(*paragraphs: str) -> str:
    return "<section>" + "".join(f"<p>{text}</p>" for text in paragraphs) + "</section>"


PLAIN = "How far are the tokens of a transformer from being all the same?"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (section(PLAIN), PLAIN),
        (section("Short.", PLAIN), PLAIN),
        (section(f"<strong>{PLAIN} In bold.</strong>", PLAIN), PLAIN),
        (section(rf"{PLAIN} \(\frac12 x^2\)", PLAIN), PLAIN),
        (section(rf"{PLAIN} It is \(\operatorname{{Res}}\)."), f"{PLAIN} It is Res."),
        (section("Short."), ""),
    ],
)
def test_first_words_hold_no_tex(body: str, words: str) -> None:
    assert first_words(body) == words


def test_long_words_are_cut_between_words() -> None:
    words = first_words(section("word " * 100))
    assert len(words) <= LENGTH + 2 and words.endswith("word \N{HORIZONTAL ELLIPSIS}")


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://github.com/a/b", "https://a.github.io/b/"),
        ("https://github.com/a/b.git", "https://a.github.io/b/"),
        ("https://gitlab.com/a/b", ""),
        ("", ""),
    ],
)
def test_site_of_a_repository(url: str, site: str) -> None:
    assert site_of(url) == site


def test_tags_are_absolute_where_the_site_is_known() -> None:
    found = tags("book/x", 'A "title"', "The book", section(PLAIN), "https://a.github.io/b/")
    assert 'content="https://a.github.io/b/book/x.html"' in found
    assert f'content="https://a.github.io/b/{PICTURE}"' in found
    assert "A &quot;title&quot;" in found
    alone = tags("book/x", "t", "The book", section(PLAIN), "")
    assert "og:url" not in alone and f'content="../{PICTURE}"' in alone


@pytest.mark.book
@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_a_preview(html: Path, page: str) -> None:
    path = html / f"{page}.html"
    soup = BeautifulSoup(path.read_text("utf-8"), "html.parser")
    told = {
        str(tag.get("property") or tag.get("name")): str(tag["content"])
        for tag in soup.select("meta[content]")
    }
    assert told["og:title"] and told["og:site_name"]
    assert told["twitter:card"] == "summary_large_image"
    assert "\\" not in told.get("og:description", "") and "not set" not in str(told)
    picture = (path.parent / told["og:image"]).resolve()
    with Image.open(picture) as image:
        assert image.size == (1200, 630)
    assert soup.select_one('link[rel="icon"]') is not None
