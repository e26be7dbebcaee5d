"""What is wrong with a page, as a browser sees it; the checks know nothing of our book."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files

from playwright.sync_api import BrowserContext, Page

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")

# What axe-core finds, one line for each kind of fault that is serious or worse.
_AXE = """
async ({ part, rules }) => {
  const options = { preload: false, selectors: false, ...(rules.length ? { runOnly: rules } : {}) };
  const { violations } = await axe.run(part || document, options);
  return violations.filter((found) => ["serious", "critical"].includes(found.impact)).map(
    (found) => `${found.id} (${found.nodes.length}): ` +
      found.nodes.slice(0, 2).map((node) => node.html.slice(0, 160)).join(" ... "));
}
"""
# Colours that fade into each other are taken at their end: on the way they have less contrast.
_THEME = """(theme) => {
  document.documentElement.dataset.mode = theme;
  document.documentElement.dataset.theme = theme;
  document.body.getBoundingClientRect();
  document.getAnimations().filter((a) => a instanceof CSSTransition).forEach((a) => a.finish());
}"""
# What can differ between the light and the dark page.
DEPENDS_ON_COLOUR = ["color-contrast", "link-in-text-block"]

# Runs in the page; returns one line per fault.  Text is searched outside code and formulas.
_FAULTS = r"""
async () => {
  const faults = [];
  const formulas = document.querySelectorAll(".math");
  if (formulas.length && !window.MathJax?.startup?.promise) faults.push("MathJax is missing");
  await window.MathJax?.startup?.promise;
  for (const node of formulas)
    if (!node.querySelector("mjx-container")) faults.push(`formula not set: ${node.textContent}`);
  for (const node of document.querySelectorAll("mjx-merror, [data-mjx-error]"))
    faults.push(`formula in error: ${node.textContent || node.dataset.mjxError}`);
  const main = document.querySelector("main") ?? document.body;
  const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest("code, pre, script, style, mjx-container, svg")) continue;
    if (/\$|\\[([a-zA-Z]|\{(math|verdict|glue|prf|cite|ref|doc)[:}]/.test(node.textContent))
      faults.push(`markup left over: ${node.textContent.trim().slice(0, 80)}`);
  }
  for (const image of document.images) {
    if (!image.complete) await new Promise((done) => (image.onload = image.onerror = done));
    if (!image.naturalWidth) faults.push(`image not loaded: ${image.src}`);
    if (!image.alt.trim()) faults.push(`image without alt text: ${image.src}`);
  }
  const titles = [...document.querySelectorAll("h1")].filter((h1) => h1.checkVisibility()).length;
  if (titles !== 1) faults.push(`${titles} first-level headings`);
  return faults;
}
"""

_WIDER_THAN_THE_SCREEN = r"""
() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  const scrolls = (node) =>
    node && (getComputedStyle(node).overflowX !== "visible" || scrolls(node.parentElement));
  const wide = [...document.querySelectorAll("main *")].filter(
    (node) => node.getBoundingClientRect().right > width + 1 && !scrolls(node.parentElement));
  return [`${document.documentElement.scrollWidth} px wide on a screen of ${width}: ` +
          wide.slice(0, 3).map((node) => node.outerHTML.slice(0, 120)).join(" ... ")];
}
"""


@dataclass
class Visit:
    """One page in a fresh tab, with all that the browser reported on the way."""

    context: BrowserContext
    url: str
    home: str
    faults: list[str] = field(default_factory=list)

    def __enter__(self) -> Visit:
        self.page: Page = self.context.new_page()
        self.page.on("request", lambda request: self._request(request.url))
        self.page.on("requestfailed", lambda r: self.faults.append(f"request failed: {r.url}"))
        self.page.on("response", lambda r: r.status >= 400 and self.faults.append(f"404: {r.url}"))
        self.page.on("pageerror", lambda error: self.faults.append(f"script error: {error}"))
        self.page.on("console", lambda m: m.type == "error" and self.faults.append(m.text))
        self.page.goto(self.url, wait_until="load")
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()

    def _request(self, url: str) -> None:
        if not url.startswith((self.home, "data:", "blob:")):
            self.faults.append(f"request leaves the site: {url}")

    def check(self) -> list[str]:
        """All faults of the loaded page: formulas, text, images, requests, scripts."""
        found: list[str] = self.page.evaluate(_FAULTS)
        self.page.wait_for_load_state("networkidle")
        return [*self.faults, *found]

    def check_access(self, theme: str, rules: list[str] | None = None, part: str = "") -> list[str]:
        """What axe-core finds serious or worse in a theme.

        By default all of its rules are applied to the whole page.
        """
        self.page.evaluate(_THEME, theme)
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE)
        found: list[str] = self.page.evaluate(_AXE, {"part": part, "rules": rules or []})
        return [f"{theme}: {fault}" for fault in found]

    def check_width(self, width: int) -> list[str]:
        """What sticks out at a narrow width."""
        self.page.set_viewport_size({"width": width, "height": 844})
        found: list[str] = self.page.evaluate(_WIDER_THAN_THE_SCREEN)
        return found
