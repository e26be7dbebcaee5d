"""Print the built book to one PDF with Chromium: contents with page numbers, outline, links."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import yaml
from chromium import chromium
from printed_book import anchor, entries, printed_book
from pypdf import PdfReader
from sphinx_external_toc.parsing import parse_toc_yaml

from collapse.stamp import commit

SUBTITLE = "A reproducible companion to arXiv 2505.16284"
PATIENCE = 600_000  # milliseconds: one page holds the whole book
# All is set before the page is printed.
READY = """async () => {
  await window.MathJax?.startup?.promise;
  await document.fonts.ready;
  await Promise.all([...document.images].map((image) => image.decode()));
}"""


def print_book(root: Path, html: Path, pdf: Path) -> None:
    """Print the built book.

    Args:
        root: The repository.
        html: The folder of the built book.
        pdf: The file to write.
    """
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    at = commit(root)
    told = {
        "title": config["title"],
        "subtitle": SUBTITLE,
        "author": config["author"],
        "stamp": f"Printed on {datetime.now(UTC):%Y-%m-%d}" + (f" from commit {at}" if at else ""),
    }
    toc = parse_toc_yaml(root / "_toc.yml")
    # In the book's own folder, so that pictures and styles are found.
    whole = html / ".printed.html"
    part = pdf.with_suffix(".part.pdf")
    try:
        with chromium() as browser:
            page = browser.new_page(color_scheme="light")
            whole.write_text(printed_book(html, toc, told), "utf-8")
            page.goto(whole.as_uri(), wait_until="load", timeout=PATIENCE)
            page.evaluate(READY)
            page.set_default_timeout(PATIENCE)
            page.pdf(path=part, prefer_css_page_size=True)
            # The numbers of the contents are known only now.  They have their place in the layout.
            numbers = _numbers(part, [anchor(entry.page) for entry in entries(toc)])
            page.evaluate(
                """(numbers) => {
                  for (const [name, number] of Object.entries(numbers)) {
                    const line = document.querySelector(`nav a[href="#${name}"]`);
                    line.lastElementChild.textContent = number;
                  }
                }""",
                numbers,
            )
            page.pdf(
                path=part, prefer_css_page_size=True, outline=True, tagged=True,
                print_background=True,
            )  # fmt: skip
    finally:
        whole.unlink(missing_ok=True)
    part.replace(pdf)


def _numbers(pdf: Path, anchors: list[str]) -> dict[str, int]:
    """The number of the page on which each anchor lies; the title page is number 1."""
    reader = PdfReader(pdf)
    places = {name.lstrip("/"): place for name, place in reader.named_destinations.items()}
    if lost := [name for name in anchors if name not in places]:
        raise ValueError(f"no page of the PDF holds {', '.join(lost)}")
    found = {name: reader.get_destination_page_number(places[name]) for name in anchors}
    return {name: number + 1 for name, number in found.items() if number is not None}
