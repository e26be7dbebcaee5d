"""The book as PDF: whole, with an outline, numbers in its contents, and no markup left over."""

from __future__ import annotations

import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup
from built_book import PAGES, ROOT
from pdf import print_book
from printed_book import anchor
from pypdf import PdfReader

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pdf(html: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("pdf") / "book.pdf"
    # In a thread of its own: Playwright starts once in each, and the other tests have a browser.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(print_book, ROOT, html, target).result()
    return target


@pytest.fixture(scope="module")
def reader(pdf: Path) -> PdfReader:
    return PdfReader(pdf)


@pytest.fixture(scope="module")
def texts(reader: PdfReader) -> list[str]:
    return [squeezed(page.extract_text()) for page in reader.pages]


def squeezed(text: str) -> str:
    """Text without spaces, whose places a PDF does not keep, and with ligatures taken apart."""
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", text))


def title(html: Path, page: str) -> str:
    soup = BeautifulSoup((html / f"{page}.html").read_text("utf-8"), "html.parser")
    heading = soup.select("article h1")[0]
    return squeezed(heading.get_text().removesuffix("#"))


def test_is_a_book_in_size(pdf: Path, reader: PdfReader) -> None:
    assert 5 * len(PAGES) < len(reader.pages) < 30 * len(PAGES)
    assert 2**20 < pdf.stat().st_size < 40 * 2**20
    width, height = reader.pages[0].mediabox[2:]
    assert (round(width), round(height)) in {(595, 842), (596, 842), (595, 841)}, "A4"


def test_every_page_of_the_book_is_in_the_outline_and_begins_where_the_contents_say(
    html: Path, reader: PdfReader, texts: list[str]
) -> None:
    outline = {squeezed(str(e.title)) for e in flat(reader.outline)}
    contents = "".join(texts[1:4])
    places = {name.lstrip("/"): place for name, place in reader.named_destinations.items()}
    for page in PAGES:
        name = title(html, page)
        assert name in outline
        number = reader.get_destination_page_number(places[anchor(page)])
        assert number is not None and name in texts[number]
        assert f"{name}{number + 1}" in contents
        assert texts[number].endswith(str(number + 1)) or str(number + 1) in texts[number]


def flat(outline: list[Any]) -> list[Any]:
    """The entries of an outline, nested ones included."""
    found = []
    for entry in outline:
        found += flat(entry) if isinstance(entry, list) else [entry]
    return found


def test_nothing_is_left_unset(texts: list[str]) -> None:
    code = re.compile(r"\\(?:operatorname|mathbf|lVert|rVert|frac|begin|tfrac)\b")
    for number, text in enumerate(texts, start=1):
        assert not code.search(text), f"page {number} has TeX"
        assert "Mathinputerror" not in text and "[object" not in text, f"page {number}"


def test_links_within_the_book_lead_somewhere(reader: PdfReader) -> None:
    names = set(reader.named_destinations)
    targets = [
        str(action)
        for page in reader.pages
        for note in page.get("/Annots") or ()
        if (action := note.get_object().get("/Dest")) is not None
    ]
    assert len(targets) > 200
    assert {target for target in targets if target.startswith("/")} <= names


def test_proofs_are_open_and_folded_code_is_not_there(texts: list[str]) -> None:
    whole = "".join(texts)
    assert whole.count("Proof.") > 40
    assert whole.count("Showcodecellsource") <= 1, "only where the book explains itself"
