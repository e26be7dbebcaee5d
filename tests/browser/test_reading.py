"""The book read in other ways: the first screen, without scripts, on paper, and from a search."""

from __future__ import annotations

from pathlib import Path

import pytest
from built_book import PAGES
from page_checks import Visit
from playwright.sync_api import Browser, BrowserContext, Page, expect

pytestmark = pytest.mark.browser
SCREENS = [(1280, 800), (390, 844)]


@pytest.mark.parametrize(("width", "height"), SCREENS)
def test_first_screen_shows_both_findings_and_a_picture(
    html: Path, browser: Browser, width: int, height: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.goto((html / "book/intro.html").as_uri())
    page.evaluate("async () => { await window.MathJax.startup.promise; }")
    findings = [*page.locator(".findings .sd-card").all(), page.locator(".findings img")]
    places = [finding.bounding_box() for finding in findings]
    context.close()
    assert len(places) == 3
    assert all(place and place["y"] + place["height"] <= height for place in places)


@pytest.fixture
def without_scripts(browser: Browser) -> Page:
    return browser.new_context(java_script_enabled=False).new_page()


# The chapters have the figures and formulas.
@pytest.mark.parametrize("page", [name for name in PAGES if name.startswith("notebooks/")])
def test_page_is_whole_without_scripts(html: Path, without_scripts: Page, page: str) -> None:
    without_scripts.goto((html / f"{page}.html").as_uri())
    figures = without_scripts.locator("article figure img")
    assert figures.count() > 0
    assert all(figure.is_visible() for figure in figures.all())
    math = without_scripts.locator("article .math:visible")
    assert math.count() > 0
    assert all(r"\(" in text or r"\[" in text for text in math.all_inner_texts())
    expect(without_scripts.locator("article details > summary").first).to_be_visible()
    without_scripts.context.close()


def test_print_hides_what_paper_cannot_use(html: Path, context: BrowserContext) -> None:
    with Visit(context, (html / "notebooks/01-res.html").as_uri(), home=html.as_uri()) as visit:
        page = visit.page
        assert page.locator(".bd-sidebar-primary:visible, .bd-header-article:visible").count() > 0
        page.emulate_media(media="print")
        hidden = ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .copybtn"
        assert page.locator(f":is({hidden}):visible").count() == 0
        assert page.locator("article figure img:visible").count() > 0
        ink = page.evaluate("getComputedStyle(document.body).color")
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ink != ground


def test_search_works_from_a_file(html: Path, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{(html / 'search.html').as_uri()}?q=midrange")
    found = page.locator("#search-results li a")
    expect(found.first).to_be_visible()
    assert any("01-res" in str(link.get_attribute("href")) for link in found.all())
