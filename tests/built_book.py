"""Where the built book lies, and its pages as the table of contents names them."""

from __future__ import annotations

from pathlib import Path

from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).resolve().parents[1]
HTML = ROOT / "_build" / "html"
PAGES = list(parse_toc_yaml(ROOT / "_toc.yml"))
NOTEBOOKS = [ROOT / f"{page}.ipynb" for page in PAGES if page.startswith("notebooks/")]
# Each interactive figure, and the chapter that has it.
EXPLORERS = {
    "res": "01-res",
    "theta": "02-softmax",
    "ladder": "04-orders",
    "tokens": "05-skips",
    "training": "07-trained",
}
