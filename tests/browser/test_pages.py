"""Every page of the table of contents in a headless Chromium, served and as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from built_book import PAGES
from page_checks import DEPENDS_ON_COLOUR, Visit
from playwright.sync_api import Browser, BrowserContext, expect

pytestmark = pytest.mark.browser
WIDTHS = (640, 390, 320)  # 1280 pixels at 200 % zoom, a phone, the narrowest that WCAG asks for
EXTRA = ("genindex", "search", "py-modindex")


@pytest.mark.parametrize("page", PAGES)
def test_served_page_has_no_fault(site: str, context: BrowserContext, page: str) -> None:
    with Visit(context, f"{site}{page}.html", home=site) as visit:
        assert visit.check() == []
        assert visit.check_access("light") == []
        assert visit.check_access("dark", DEPENDS_ON_COLOUR) == []
        assert [fault for width in WIDTHS for fault in visit.check_width(width)] == []


@pytest.mark.parametrize("page", EXTRA)
def test_generated_page_has_no_fault(site: str, context: BrowserContext, page: str) -> None:
    with Visit(context, f"{site}{page}.html", home=site) as visit:
        assert visit.check() == []
        assert visit.check_access("light") == []
        assert visit.check_access("dark", DEPENDS_ON_COLOUR) == []
        assert [fault for width in WIDTHS for fault in visit.check_width(width)] == []


@pytest.mark.parametrize("page", PAGES)
def test_page_opened_as_a_file_has_no_fault(html: Path, context: BrowserContext, page: str) -> None:
    with Visit(context, (html / f"{page}.html").as_uri(), home=html.as_uri()) as visit:
        assert visit.check() == []


def test_index_leads_to_the_first_page(site: str, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{site}index.html")
    page.wait_for_url(f"{site}{PAGES[0]}.html")


FAULTS = {
    "request leaves the site": '<img alt="x" src="https://example.org/x.png">',
    "image not loaded": '<img alt="x" src="gone.png">',
    "image without alt text": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">',
    "script error": "<script>undefinedFunction()</script>",
    "noted on the console": '<script>console.error("noted on the console")</script>',
    "MathJax is missing": '<span class="math">x</span>',
    "formula in error": "<mjx-merror>Undefined control sequence</mjx-merror>",
    "markup left over: a $x$": "<p>a $x$</p>",
    "markup left over: {verdict}": "<p>{verdict}res</p>",
    "2 first-level headings": "<h1>again</h1>",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_noticed(
    serve: Callable[[Path], str], context: BrowserContext, tmp_path: Path, fault: str
) -> None:
    (tmp_path / "favicon.ico").touch()
    (tmp_path / "bad.html").write_text(
        f"<!doctype html><html><body><h1>t</h1><code>$ok$</code>{FAULTS[fault]}</body></html>"
    )
    home = serve(tmp_path)
    with Visit(context, f"{home}bad.html", home=home) as visit:
        assert any(fault in found for found in visit.check())


INACCESSIBLE = {
    "image-alt": '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">',
    "color-contrast": '<p style="color: #888; background: #999">words to read</p>',
    "link-name": '<a href="#"></a>',
    "label": "<input>",
}


@pytest.mark.parametrize("fault", INACCESSIBLE)
def test_each_barrier_is_noticed(
    serve: Callable[[Path], str], context: BrowserContext, tmp_path: Path, fault: str
) -> None:
    (tmp_path / "bad.html").write_text(
        f"<!doctype html><html lang='en'><title>t</title><main><h1>t</h1>{INACCESSIBLE[fault]}"
        "</main></html>"
    )
    home = serve(tmp_path)
    with Visit(context, f"{home}bad.html", home=home) as visit:
        assert any(f": {fault} (" in found for found in visit.check_access("light"))


def test_a_page_wider_than_the_phone_is_noticed(
    serve: Callable[[Path], str], context: BrowserContext, tmp_path: Path
) -> None:
    body = '<h1>t</h1><main><div style="width: 391px">x</div></main>'
    (tmp_path / "wide.html").write_text(f"<!doctype html><body style='margin: 0'>{body}</body>")
    home = serve(tmp_path)
    with Visit(context, f"{home}wide.html", home=home) as visit:
        assert visit.check_width(390) != []
        assert visit.check_width(391) == []


def test_claims_can_be_filtered(site: str, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{site}book/claims.html")
    rows = page.locator("table.claims-table tbody tr:visible")
    total = rows.count()
    page.get_by_label("Filter by verdict").select_option("refuted")
    expect(page.locator(".claims-filter output")).to_contain_text(f"of {total} claims")
    assert 0 < rows.count() < total
    assert set(rows.locator(".verdict").all_inner_texts()) == {"refuted"}
    page.get_by_label("Filter by verdict").select_option("")
    page.get_by_label("Filter by check").select_option("symbolic passed")
    assert 0 < rows.count() < total
    assert set(rows.locator(".mark").filter(has_text="S").all_inner_texts()) == {"S✓"}
    page.get_by_label("Filter by check").select_option("")
    page.get_by_label("Search the claims").fill("res-lipschitz")
    assert 0 < rows.count() < total


def test_claims_are_all_there_without_scripts(site: str, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}book/claims.html")
    assert page.locator("table.claims-table tbody tr:visible").count() > 40
    assert page.locator(".claims-filter").count() == 0
    context.close()
