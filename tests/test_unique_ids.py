"""Every id stands once on its page, and a link to a statement leads to the statement."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from built_book import PAGES
from sphinx.application import Sphinx

PAGE = """# A page

## Rank survives

Words.  {prf:ref}`rank-survives`.

## Another heading

```{prf:theorem} The rank
:label: rank-survives

What it says.
```

```{prf:lemma} A lemma
:label: a-lemma

What else.
```
"""


def build(folder: Path, *more: str) -> BeautifulSoup:
    """The page above as HTML."""
    (folder / "page.md").write_text(PAGE)
    settings = {"extensions": ["myst_parser", "sphinx_proof", *more], "root_doc": "page"}
    app = Sphinx(folder, None, folder / "out", folder / "trees", "html", settings, status=None,
                 warning=None)  # fmt: skip
    app.build()
    return BeautifulSoup((folder / "out/page.html").read_text("utf-8"), "html.parser")


def repeated(page: BeautifulSoup) -> set[str]:
    """The ids that stand on a page more than once."""
    return {name for name, n in Counter(tag["id"] for tag in page.select("[id]")).items() if n > 1}


def test_a_heading_leaves_the_label_to_the_statement(tmp_path: Path) -> None:
    page = build(tmp_path, "unique_ids")
    assert repeated(page) == set()
    assert "What it says." in page.select("#rank-survives")[0].text
    assert page.select_one("#section-rank-survives > h2") is not None
    assert page.select_one("#another-heading > h2") is not None
    targets = {str(a["href"]) for a in page.select("a") if str(a.get("href")).startswith("#")}
    assert {"#rank-survives", "#section-rank-survives", "#another-heading"} <= targets
    assert all(page.select(target) for target in targets - {"#"})


def test_without_the_extension_ids_repeat(tmp_path: Path) -> None:
    assert repeated(build(tmp_path)) == {"rank-survives", "proof-content"}


@pytest.mark.book
@pytest.mark.parametrize("page", [*PAGES, "genindex", "search", "py-modindex"])
def test_ids_are_unique_on_every_page(html: Path, page: str) -> None:
    assert (
        repeated(BeautifulSoup((html / f"{page}.html").read_text("utf-8"), "html.parser")) == set()
    )
