"""Text, marks and pictures stand out: in the light, in the dark, where colours are forced."""

from __future__ import annotations

from typing import Literal

import pytest
from built_book import EXPLORERS
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.browser

_CONTRAST = r"""
(node) => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (colour) => {
    const linear = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb(colour).map((v) => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = getComputedStyle(document.body).backgroundColor;
  const style = getComputedStyle(node);
  const stroked = style.fill === "none" || node.tagName === "line";
  const ink = !node.ownerSVGElement ? style.color : stroked ? style.stroke : style.fill;
  const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}
"""


# The theme of the page, and that of a system that forces its colours on the page.
MODES = [("light", None), ("dark", None), ("light", "dark"), ("dark", "light")]


@pytest.mark.parametrize(("mode", "forced"), MODES)
@pytest.mark.parametrize("name", EXPLORERS)
def test_contrast_of_text_and_marks(
    site: str, browser: Browser, name: str, mode: str, forced: Literal["light", "dark"] | None
) -> None:
    context = browser.new_context(
        forced_colors="active" if forced else "none", color_scheme=forced or "light"
    )
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('mode', '{mode}');"
                         f"localStorage.setItem('theme', '{mode}')")  # fmt: skip
    page.goto(f"{site}notebooks/{EXPLORERS[name]}.html")
    assert page.evaluate("document.documentElement.dataset.theme") == mode
    root = page.locator(f"#explorer-{name}")
    expect(root).to_be_visible()
    words = root.locator("svg text:not(.on-fill), label, dt, data, output, p")
    assert min(words.evaluate_all(f"nodes => nodes.map({_CONTRAST})")) >= 4.5
    marks = root.locator(".mark-a, .mark-b, .mark-bound, .fill-gain, .explorer-here, "
                         ".explorer-move, .explorer-limit, .explorer-curve.chosen")  # fmt: skip
    assert min(marks.evaluate_all(f"nodes => nodes.map({_CONTRAST})")) >= 3
    context.close()


@pytest.mark.parametrize("forced", ["light", "dark"])
def test_pictures_keep_paper_of_their_own_where_colours_are_forced(
    site: str, browser: Browser, forced: Literal["light", "dark"]
) -> None:
    context = browser.new_context(forced_colors="active", color_scheme=forced)
    page = context.new_page()
    page.add_init_script("localStorage.setItem('mode', 'dark')")
    for name in ("notebooks/01-res", "book/intro"):
        page.goto(f"{site}{name}.html")
        pictures = page.locator('.bd-article img[src$=".svg"]')
        assert pictures.count() > 0
        styles = pictures.evaluate_all(
            "nodes => nodes.map((node) => getComputedStyle(node))"
            ".map((style) => [style.backgroundColor, style.filter])"
        )
        assert all(style == ["rgb(255, 255, 255)", "none"] for style in styles)
    context.close()


@pytest.mark.parametrize(("mode", "forced"), MODES)
def test_contrast_of_the_graph_of_the_results(
    site: str, browser: Browser, mode: str, forced: Literal["light", "dark"] | None
) -> None:
    context = browser.new_context(
        forced_colors="active" if forced else "none", color_scheme=forced or "light"
    )
    page = context.new_page()
    page.add_init_script(f"localStorage.setItem('mode', '{mode}')")
    page.goto(f"{site}book/claims.html")
    words = page.locator("svg.dependencies text").evaluate_all(f"nodes => nodes.map({_CONTRAST})")
    assert min(words) >= 4.5
    arrows = page.locator("svg.dependencies :is(.arrow, .mark)")
    assert min(arrows.evaluate_all(f"nodes => nodes.map({_CONTRAST})")) >= 3
    context.close()
