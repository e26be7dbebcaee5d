"""The offline archive: whole, repeatable, and offered only where it is."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
from archive import FOLDER, offer, pack

STAMP = '<html><body><ul class="page-stamp"><li>Built</li></ul></body></html>'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "html"
    (folder / "book").mkdir(parents=True)
    (folder / "index.html").write_text("start")
    (folder / "book/intro.html").write_text(STAMP)
    (folder / ".buildinfo").write_text("hidden")
    return folder


def test_holds_every_page_in_one_folder_and_nothing_hidden(site: Path, tmp_path: Path) -> None:
    pack(site, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        names = archive.namelist()
        assert archive.read(f"{FOLDER}/index.html") == b"start"
    assert names == [f"{FOLDER}/book/intro.html", f"{FOLDER}/index.html"]


def test_equal_pages_give_equal_archives(site: Path, tmp_path: Path) -> None:
    pack(site, tmp_path / "a.zip")
    os.utime(site / "index.html", (0, 0))
    (site / "index.html").chmod(0o600)
    pack(site, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    (site / "index.html").write_text("other")
    pack(site, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() != (tmp_path / "b.zip").read_bytes()


def test_an_offer_is_one_link_to_a_file_that_is_there(site: Path, tmp_path: Path) -> None:
    (tmp_path / "book.pdf").write_bytes(b"x" * 2**21)
    for _ in range(2):
        offer(site, "book/intro", tmp_path / "book.pdf", "The book as PDF")
    page = (site / "book/intro.html").read_text()
    assert page.count("The book as PDF") == 1 and "(2 MB)" in page
    assert 'href="../downloads/book.pdf"' in page
    assert (site / "downloads/book.pdf").stat().st_size == 2**21
    pack(site, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert not [name for name in archive.namelist() if "downloads" in name]


def test_a_page_without_a_stamp_offers_nothing(site: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="index: expected a stamp"):
        offer(site, "index", site / "index.html", "x")
