"""The interactive figures in a browser: keys, mouse, touch; narrow, printed, unscripted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from built_book import EXPLORERS
from page_checks import Visit
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from collapse import residual

pytestmark = pytest.mark.browser
Opened = tuple[Page, Locator, dict[str, Any]]


@pytest.fixture
def visit(site: str, context: BrowserContext) -> Iterator[Callable[[str], Opened]]:
    """Open a page; give the page, its explorer and its data.  At the end no fault was reported."""
    opened: list[Visit] = []

    def go(name: str) -> Opened:
        tab = Visit(context, f"{site}notebooks/{EXPLORERS[name]}.html", site).__enter__()
        opened.append(tab)
        root = tab.page.locator(f"#explorer-{name}")
        expect(root).to_be_visible()
        return tab.page, root, json.loads(root.locator("> script").text_content() or "")

    yield go
    for tab in opened:
        tab.page.wait_for_load_state("networkidle")
        tab.__exit__()
        assert tab.faults == []


def shown(root: Locator, name: str) -> float:
    """A number that the explorer shows, in full."""
    value = root.locator(f'data[data-name="{name}"]').get_attribute("value")
    assert value is not None
    return float(value)


def slide(root: Locator, label: str, index: int) -> None:
    """Move a slider by its keys to a place, counted from 0."""
    slider = root.get_by_label(label, exact=True)
    slider.focus()
    slider.press("Home")
    for _ in range(index):
        slider.press("ArrowRight")


def series(data: dict[str, Any], panel: int, name: str) -> dict[str, Any]:
    """A series of a panel by its name."""
    (found,) = (s for s in data["panels"][panel]["series"] if s["name"] == name)
    return dict(found)


# --- chapter 1 -----------------------------------------------------------------------------------


def columns(root: Locator) -> dict[str, torch.Tensor]:
    """The columns A and B as the handles have them."""
    found = {}
    for letter in "AB":
        handles = root.locator(f'[role="slider"][aria-label^="{letter},"]').all()
        values = [[float(h.get_attribute("aria-valuenow") or "nan")] for h in handles]
        found[letter] = torch.tensor(values, dtype=torch.float64)
    return found


def agrees(root: Locator, change: Callable[[torch.Tensor], torch.Tensor] = residual) -> bool:
    """Whether the numbers shown are those that the package finds for the columns shown."""
    A, B = columns(root).values()
    before, after = float((A - B).abs().max()), float((change(A) - change(B)).abs().max())
    told = tuple(shown(root, name) for name in ("before", "after", "ratio"))
    return told == (before, after, after / before)


def test_res_by_keys(visit: Callable[[str], Opened]) -> None:
    page, root, data = visit("res")
    assert columns(root)["A"].flatten().tolist() == series(data, 0, "A")["y"]
    assert agrees(root)
    handle = root.get_by_label("A, token 2", exact=True)
    for key, step in (("ArrowUp", 0.25), ("ArrowDown", -0.25), ("PageUp", 1.0)):
        before = columns(root)["A"][1].item()
        handle.press(key)
        assert columns(root)["A"][1].item() == before + step
        assert agrees(root)
    handle.press("End")
    assert columns(root)["A"][1].item() == 4
    assert agrees(root)
    assert not agrees(root, lambda X: X - X.mean(0))  # the comparison can tell centres apart
    root.get_by_role("button", name="Go to the witness").press("Enter")
    assert (shown(root, "before"), shown(root, "after"), shown(root, "ratio")) == (1, 2, 2)
    root.get_by_label("5", exact=True).check()
    assert len(columns(root)["A"]) == 5
    assert agrees(root)
    expect(root.get_by_role("status")).to_contain_text(f"ratio {shown(root, 'ratio'):.3g}")
    assert page.evaluate("document.activeElement !== document.body")


def middle(node: Locator) -> tuple[float, float]:
    """Where on the screen its middle is, once it has been scrolled there."""
    node.scroll_into_view_if_needed()
    box = node.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_res_by_mouse(visit: Callable[[str], Opened]) -> None:
    page, root, _ = visit("res")
    handle = root.get_by_label("B, token 2", exact=True)
    x, y = middle(handle)
    before = columns(root)["B"][1].item()
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y + 30, steps=3)
    page.mouse.up()
    after = columns(root)["B"][1].item()
    assert after < before - 0.5
    assert agrees(root)
    page.mouse.move(x, y - 60)  # released: the handle stays
    assert columns(root)["B"][1].item() == after


def test_res_heeds_one_pointer_and_leaves_other_keys(visit: Callable[[str], Opened]) -> None:
    page, root, _ = visit("res")
    handle = root.get_by_label("B, token 2", exact=True)
    x, y = middle(handle)
    before = columns(root)["B"][1].item()
    page.mouse.move(x, y)
    page.mouse.down(button="right")
    page.mouse.move(x, y + 40, steps=3)
    page.mouse.up(button="right")
    assert columns(root)["B"][1].item() == before
    page.mouse.move(x, y)
    page.mouse.down()
    another = "(node, y) => node.dispatchEvent(new PointerEvent(%s))"
    handle.evaluate(another % "'pointermove', {pointerId: 99, clientY: y}", y + 60)
    handle.evaluate(another % "'pointercancel', {pointerId: 99}", y)
    assert columns(root)["B"][1].item() == before
    page.mouse.move(x, y + 40, steps=3)
    held = columns(root)["B"][1].item()
    assert held < before
    page.mouse.up()
    for key in ("Alt+ArrowUp", "Control+End", "Meta+ArrowDown"):
        assert handle.evaluate(
            "(node, [modifier, key]) => node.dispatchEvent(new KeyboardEvent('keydown', "
            "{key, [`${{Control: 'ctrl', Alt: 'alt', Meta: 'meta'}[modifier]}Key`]: true, "
            "cancelable: true}))",
            key.split("+"),
        )
        assert columns(root)["B"][1].item() == held


def test_res_by_touch(site: str, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    with Visit(context, f"{site}notebooks/01-res.html", site) as tab:
        tab.page.wait_for_load_state("networkidle")
        tab.page.evaluate("MathJax.startup.promise")  # nothing moves by itself from here on
        root = tab.page.locator("#explorer-res")
        handle = root.get_by_label("A, token 1", exact=True)
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        assert box is not None and box["width"] >= 24 and box["height"] >= 24
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before, scrolled = columns(root)["A"][0].item(), tab.page.evaluate("scrollY")
        finger = context.new_cdp_session(tab.page)
        for kind, points in (
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": x, "y": y + 20}]),
            ("touchMove", [{"x": x, "y": y + 60}]),
            ("touchEnd", []),
        ):
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        assert columns(root)["A"][0].item() < before - 0.5
        assert agrees(root)
        assert tab.page.evaluate("scrollY") == scrolled
        assert tab.faults == []
    context.close()


# --- chapters 2, 4, 5, 7 -------------------------------------------------------------------------


def test_theta_by_keys(visit: Callable[[str], Opened]) -> None:
    _, root, data = visit("theta")
    found = series(data, 0, "worst case found")
    for index in (0, 5, len(found["x"]) - 1):
        slide(root, "θ", index)
        for name in ("worst case found", "sharp", "linear", "as25"):
            assert shown(root, name) == series(data, 0, name)["y"][index]
        d21 = root.locator('data[data-name="d21"]')
        proved = found["x"][index] <= data["parameters"]["d21_limit"]
        if proved:
            assert float(d21.get_attribute("value") or "nan") == found["x"][index]
        else:
            expect(d21).to_have_text("not proved here")


def test_ladder_by_keys(visit: Callable[[str], Opened]) -> None:
    _, root, data = visit("ladder")
    settings = data["parameters"]
    for i, j, k, m in ((0, 0, 0, 0), (3, 2, 1, 2), (len(settings["etas"]) - 1, 1, 2, 1)):
        for label, index in (("η", i), ("layers L", j), ("heads H", k), ("width d", m)):
            slide(root, label, index)
        cell = f"L = {settings['layers'][j]}, H = {settings['heads'][k]}"
        for rung in range(4):
            for kind in ("bound", "certificate", "largest", "median"):
                expected = series(data, rung, f"{kind}, {cell}")["z"][m][i]
                assert shown(root, f"{kind} {rung}") == expected
    expect(root).to_contain_text(f"{settings['networks']} random networks")


def test_tokens_by_keys(visit: Callable[[str], Opened]) -> None:
    page, root, data = visit("tokens")
    page.emulate_media(reduced_motion="reduce")
    for skip in ("no skips", "with skips"):
        root.get_by_label(skip, exact=True).check()
        for k, eta in enumerate(data["parameters"]["etas"]):
            slide(root, "weights η", k)
            slide(root, "layer ℓ", 4)
            assert shown(root, "share") == series(data, -1, f"η = {eta:g}, {skip}")["y"][4]
    first = root.locator(".explorer-token").first
    assert first.evaluate("node => getComputedStyle(node).transitionDuration") == "0s"
    (panel,) = (p for p in data["panels"] if p["title"] == f"η = {eta:g}, with skips")
    places = (
        first.locator("xpath=..")
        .locator(".explorer-token")
        .evaluate_all("nodes => nodes.map((n) => new DOMMatrix(getComputedStyle(n).transform).e)")
    )
    # From left to right as the run has them: the picture is linear in the coordinates.
    expected = [token["x"][4] for token in panel["series"]]
    assert sorted(range(8), key=places.__getitem__) == sorted(range(8), key=expected.__getitem__)
    page.emulate_media(reduced_motion="no-preference")
    assert first.evaluate("node => getComputedStyle(node).transitionDuration") != "0s"


def test_numbers_in_words(visit: Callable[[str], Opened]) -> None:
    page, _, _ = visit("tokens")
    told = {
        0: "1", -2: "0.01", -4 - 1e-9: "1·10⁻⁴", -4 - 1e-3: "9.98·10⁻⁵",
        -400 - 1e-9: "1·10⁻⁴⁰⁰", -400 - 1e-3: "9.98·10⁻⁴⁰¹", -964.2390754: "5.77·10⁻⁹⁶⁵",
    }  # fmt: skip
    for log, words in told.items():
        assert page.evaluate("(log) => explorers.formatLog(log)", log) == words


def test_training_by_keys_and_mouse(visit: Callable[[str], Opened]) -> None:
    _, root, data = visit("training")
    etas, depths, seeds = (data["parameters"][name] for name in ("etas", "depths", "seeds"))

    def check(i: int, j: int) -> None:
        runs = [series(data, j, f"η = {etas[i]:g}, seed {seed}") for seed in seeds]
        ends = [run["y"][-1] for run in runs]
        assert shown(root, "mean") == pytest.approx(sum(ends) / len(ends), rel=1e-12)
        assert (shown(root, "least"), shown(root, "largest")) == (min(ends), max(ends))
        expect(root.locator("path.chosen")).to_have_count(len(seeds))

    for i, j in ((0, 0), (len(etas) - 1, len(depths) - 1)):
        slide(root, "bound η", i)
        slide(root, "depth L", j)
        check(i, j)
    root.locator(".explorer-cell").nth(1 * len(depths) + 2).click()
    check(1, 2)
    expect(root.get_by_label("depth L", exact=True)).to_have_value("2")


# --- all of them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPLORERS)
def test_replaces_its_static_figure_on_screen_only(
    visit: Callable[[str], Opened], name: str
) -> None:
    page, root, _ = visit(name)
    picture = page.locator(f"#fig-explorer-{name} > :not(figcaption) img, "
                           f"#fig-explorer-{name} > img")  # fmt: skip
    expect(picture).to_be_hidden()
    page.emulate_media(media="print")
    expect(picture).to_be_visible()
    expect(root).to_be_hidden()


@pytest.mark.parametrize("name", EXPLORERS)
def test_works_from_a_file(html: Path, context: BrowserContext, name: str) -> None:
    home = html.as_uri()
    with Visit(context, f"{home}/notebooks/{EXPLORERS[name]}.html", home) as tab:
        expect(tab.page.locator(f"#explorer-{name} svg").first).to_be_visible()
        assert tab.faults == []


@pytest.mark.parametrize("name", EXPLORERS)
def test_static_figure_without_scripts(site: str, browser: Browser, name: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}notebooks/{EXPLORERS[name]}.html")
    figure = page.locator(f"#fig-explorer-{name}")
    expect(figure.locator("img")).to_be_visible()
    expect(figure.locator("figcaption")).to_contain_text("static figure")
    assert (figure.locator("img").get_attribute("alt") or "").strip()
    expect(page.locator(f"#explorer-{name}")).to_be_hidden()
    context.close()


@pytest.mark.parametrize("name", EXPLORERS)
def test_fits_a_narrow_screen(visit: Callable[[str], Opened], name: str) -> None:
    page, root, _ = visit(name)
    page.set_viewport_size({"width": 320, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    for part in root.locator("svg, input, button, output, data").all():
        box = part.bounding_box()
        if part.locator("xpath=ancestor::table").count() == 0 and box is not None:
            assert box["x"] >= 0 and box["x"] + box["width"] <= 320
    sizes = root.locator("svg text").evaluate_all(
        "nodes => nodes.map((n) => parseFloat(getComputedStyle(n).fontSize)"
        " * n.ownerSVGElement.getScreenCTM().d)"
    )
    assert min(sizes) > 9
