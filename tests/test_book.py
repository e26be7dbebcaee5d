"""The built book, checked as files; tests/browser looks at the same pages in a browser."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urljoin, urlparse

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from built_book import NOTEBOOKS, PAGES, ROOT

from collapse.ledger import Claim, claims
from collapse.ledger.record import shown_ratio

pytestmark = pytest.mark.book


def told(claim: Claim) -> list[tuple[str, str]]:
    """Each kind of check with its mark, and the reason where it does not apply."""
    why = claim.inapplicable if claim.released else {}
    return [
        (k, f"{mark} ({why[k]})" if k in why else str(mark)) for k, mark in claim.evidence.items()
    ]


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def broken_links(path: Path, root: Path) -> list[str]:
    """Links of a page, and sources of its assets, that lead nowhere within the site."""
    broken = []
    for tag in soup(path).find_all(["a", "link", "img", "script", "source", "video"]):
        link = tag.get("href") or tag.get("src")
        if not link or urlparse(link).scheme not in {"", "file"}:
            continue
        url = urlparse(urljoin(path.as_uri(), link))
        target = Path(unquote(url.path))
        if not target.is_relative_to(root) or not target.is_file():
            broken.append(link)
        elif url.fragment and target.suffix == ".html":
            anchor = unquote(url.fragment)
            if not soup(target).find(id=anchor) and not soup(target).find(attrs={"name": anchor}):
                broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(html: Path, page: str) -> None:
    assert broken_links(html / f"{page}.html", html) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html">x</a><a href="c.html#no">x</a><a href="c.html#yes">x</a>'
        '<img src="gone.svg"><a href="../outside.html">x</a>'
    )
    (tmp_path / "c.html").write_text('<p id="yes"></p>')
    found = broken_links(tmp_path / "a.html", tmp_path)
    assert found == ["b.html", "c.html#no", "gone.svg", "../outside.html"]


@pytest.mark.parametrize("page", PAGES)
def test_page_carries_its_stamp_and_no_path_of_the_machine(html: Path, page: str) -> None:
    stamp = soup(html / f"{page}.html").select_one(".page-stamp")
    assert stamp is not None and "Built from" in stamp.text
    assert str(ROOT) not in (html / f"{page}.html").read_text("utf-8")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebooks:
    def test_is_committed_clean(self, notebook: Path) -> None:
        cells = nbformat.read(notebook, as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert all(not cell.outputs and cell.execution_count is None for cell in code)
        assert sum("parameters" in cell.metadata.get("tags", []) for cell in code) == 1

    def test_was_run_whole(self, html: Path, notebook: Path) -> None:
        executed = json.loads((ROOT / "_build/executed" / notebook.name).read_text("utf-8"))
        counts = [c["execution_count"] for c in executed["cells"] if c["cell_type"] == "code"]
        assert counts == list(range(1, len(counts) + 1))
        assert {"commit", "date", "seconds", "devices", "versions"} == set(
            executed["metadata"]["run"]
        )

    def test_download_is_the_clean_notebook_after_the_cell_that_installs(
        self, html: Path, notebook: Path
    ) -> None:
        copy = nbformat.read(html / "_sources/notebooks" / notebook.name, as_version=4)
        first, *rest = copy.cells
        assert first.metadata["tags"] == ["install"] and not first.outputs
        assert rest == nbformat.read(notebook, as_version=4).cells

    def test_figure_data_lie_beside_the_page(self, html: Path, notebook: Path) -> None:
        promised = yaml.safe_load((ROOT / "notebooks/parameters.yml").read_text("utf-8"))
        names = {f"{name}.json" for name in promised[notebook.stem]["figures"]}
        folder = html / "figures" / notebook.stem
        assert names and names <= {path.name for path in folder.iterdir()}
        stamp = soup(html / "notebooks" / f"{notebook.stem}.html").select_one(".page-stamp")
        assert stamp is not None and all(name in stamp.text for name in names)


class TestLedger:
    @pytest.fixture
    def rows(self, html: Path) -> dict[str, list[str]]:
        table = soup(html / "book/claims.html").select_one("table.claims-table")
        assert table is not None
        rows = {}
        for tr in table.select("tbody tr"):
            label = tr.select_one("td code")
            assert label is not None and label.text not in rows
            rows[label.text] = [td.get_text(" ", strip=True) for td in tr.select("td")]
        return rows

    def test_lists_every_claim_once_and_as_the_ledger_has_it(
        self, rows: dict[str, list[str]]
    ) -> None:
        shown = {label: row[1:3] for label, row in rows.items()}
        assert shown == {c.label: [str(c.shown_verdict), str(c.provenance)] for c in claims()}

    def test_marks_and_ratios_are_those_of_the_run(self, html: Path) -> None:
        recorded = json.loads((ROOT / "_build/claims.json").read_text("utf-8"))["claims"]
        marked = {claim.label: claim for claim in claims(ROOT / "_build/claims.json")}
        assert any("passed" in entry["marks"].values() for entry in recorded.values())
        for tr in soup(html / "book/claims.html").select(".claims-table tbody tr"):
            label = tr.select("code")[0].text
            titles = [str(mark["title"]) for mark in tr.select(".mark")]
            assert titles == [f"{kind}: {mark}" for kind, mark in told(marked[label])]
            assert tr.select("td")[4].text.strip() == shown_ratio(recorded[label]["ratio"])
        for claim in marked.values():
            if claim.page:
                badge = soup(html / f"{claim.page}.html").select_one(
                    f'a[href$="#claim-{claim.label}"] .marks'
                )
                words = "; ".join(f"{kind} {mark}" for kind, mark in told(claim))
                assert badge is not None and badge["aria-label"] == words

    def test_the_record_and_the_certificates_lie_in_the_book(self, html: Path) -> None:
        for name in ("claims.json", "certificates.json"):
            assert (html / name).read_bytes() == (ROOT / "_build" / name).read_bytes()

    def test_released_claims_link_to_their_statement(self, html: Path) -> None:
        links = [str(a["href"]) for a in soup(html / "book/claims.html").select(".claims-table a")]
        expected = {f"../{c.page}.html#{c.label}" for c in claims() if c.page}
        assert expected and expected <= set(links)

    def test_every_released_page_shows_the_badges_of_its_claims(self, html: Path) -> None:
        for claim in claims():
            if claim.page:
                shown = soup(html / f"{claim.page}.html").select(f'a[href$="#claim-{claim.label}"]')
                assert shown, f"{claim.page} shows no badge for {claim.label}"


def luminance(colour: str) -> float:
    """Relative luminance of a colour ``#rrggbb`` (WCAG 2)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colours (WCAG 2)."""
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_badges_are_legible(mode: str) -> None:
    css = (ROOT / "book/_static/custom.css").read_text("utf-8")
    block = re.search(rf'html\[data-theme="{mode}"\] {{(.*?)}}', css, re.S)
    assert block
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block[1]))
    pairs = [name for name in colours if f"{name}-ground" in colours]
    assert len(pairs) == 6
    assert all(contrast(colours[name], colours[f"{name}-ground"]) >= 4.5 for name in pairs)


def test_contrast_of_known_colours() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") < 4.5 < contrast("#757575", "#ffffff")


def test_all_pages_are_there() -> None:
    assert len(PAGES) == len(set(PAGES)) >= 10
    assert sorted(NOTEBOOKS) == sorted((ROOT / "notebooks").glob("*.ipynb")), "a draft, or a gap"
