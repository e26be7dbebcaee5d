"""Hover, focus and escape on links of every kind: previews show what the link leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from page_checks import DEPENDS_ON_COLOUR, Visit
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser

# A page, a link on it, and words of what it leads to.
KINDS = {
    "theorem on the page": ("notebooks/03-contraction", 'p a[href="#contraction"]', "Theorem"),
    "theorem named as a heading": ("notebooks/05-skips", 'p a[href="#rank-survives"]', "Theorem"),
    "theorem elsewhere": ("book/summary", 'p a[href$="01-res.html#res-lipschitz"]', "Theorem"),
    "equation": ("notebooks/04-orders", 'p a[href="#equation-eq-recursion"]', ""),
    "citation": ("notebooks/03-contraction", 'p a[href*="bibliography.html#"]', "URL"),
    "figure": ("notebooks/05-skips", 'p a[href^="#fig-"]', "Fig."),
    "page": ("book/intro", 'td a[href$="01-res.html"]', "The Res function"),
    "code": ("book/notation", 'td a[href*="api/"][href*="#collapse."]', "collapse"),
}
BOX = ".tippy-box"


@pytest.fixture
def open_page(html: Path, browser: Browser) -> Iterator[Callable[[str], Visit]]:
    """A function that opens a page of the book from its file, without movement."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield lambda page: Visit(context, (html / f"{page}.html").as_uri(), home=html.as_uri())
    context.close()


def link(page: Page, selector: str) -> Locator:
    return page.locator(f"article.bd-article {selector}:not(.headerlink)").first


def shown(page: Page) -> Locator:
    return page.locator(f"{BOX}:visible")


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_shows_what_it_leads_to(open_page: Callable[[str], Visit], kind: str) -> None:
    name, selector, words = KINDS[kind]
    with open_page(name) as visit:
        page, box = visit.page, shown(visit.page)
        link(page, selector).hover()
        expect(box).to_have_count(1)
        expect(box).to_contain_text(words)
        expect(box).not_to_contain_text("[source]")
        expect(box.locator(".math:not(:has(mjx-container))")).to_have_count(0)
        assert box.locator("[id]:not(mjx-container *)").count() == 0
        assert visit.check_access("light", part=BOX) == []
        assert visit.check_access("dark", DEPENDS_ON_COLOUR, part=BOX) == []
        page.mouse.move(0, 0)
        expect(box).to_have_count(0)
        link(page, selector).focus()
        expect(box).to_have_count(1)
        page.keyboard.press("Escape")
        expect(box).to_have_count(0)
        assert visit.faults == []


@pytest.mark.parametrize("kind", ["theorem elsewhere", "equation"])
def test_formulas_of_a_preview_are_set(open_page: Callable[[str], Visit], kind: str) -> None:
    name, selector, _ = KINDS[kind]
    with open_page(name) as visit:
        link(visit.page, selector).hover()
        expect(shown(visit.page).locator("mjx-container").first).to_be_visible()


def test_a_preview_fits_the_narrowest_screen(open_page: Callable[[str], Visit]) -> None:
    name, selector, _ = KINDS["theorem elsewhere"]
    with open_page(name) as visit:
        visit.page.set_viewport_size({"width": 320, "height": 700})
        link(visit.page, selector).focus()
        expect(shown(visit.page)).to_have_count(1)
        place = shown(visit.page).bounding_box()
        assert place and place["x"] >= 0 and place["x"] + place["width"] <= 320
        assert visit.check_width(320) == []
