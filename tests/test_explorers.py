"""The data of the interactive figures against the package, and the directive that embeds it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import pytest
import torch
from bs4 import BeautifulSoup
from built_book import ROOT
from drawing import draw_and_write
from explorer import setup as explorer_setup
from matplotlib.axes import Axes
from reference import residual as slow_residual
from reference import tv_bound as slow_tv_bound
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from collapse import Network, collapse_bound, residual_norm, surrogate
from collapse.figures import explorer_grids, explorers
from collapse.figures.data import FigureData, Panel, Series
from collapse.norms import token_norm
from collapse.numeric import rounding_allowance
from collapse.training import Member, Plan, Trained, train
from collapse.witnesses.res import lipschitz

Draw = Callable[[Sequence[Axes], FigureData], None]
ETAS, SIZES = (0.02, 0.1, 0.5), {"layers": (2, 3), "heads": (1, 2), "widths": (2, 3)}
MEMBERS = tuple(Member(eta, seed) for eta in (0.05, 0.4) for seed in (0, 1))
PLAN = Plan("recall", 1, MEMBERS, {"pairs": 2}, width=4, key_width=2, steps=6, batch=8, check=2)


def trained() -> list[Trained]:
    return [train(replace(PLAN, depth=depth)) for depth in (1, 2)]


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[FigureData, Draw]]:
    grid = explorer_grids.size_grid(ETAS, **SIZES, networks=5, tokens=4, seed=3)
    curves = explorer_grids.training_curves(trained())
    return {
        "explorer-res": (explorers.moves((3, 4, 5), 0), explorers.draw_moves),
        "explorer-theta": (explorers.balance(6, 5, 8, 0), explorers.draw_balance),
        "explorer-tokens": (
            explorers.contraction((0.25, 1, 4), 5, 2, 6, 5),
            explorers.draw_contraction,
        ),
        "explorer-ladder": (grid, explorer_grids.draw_size_grid),
        "explorer-training": (curves, explorer_grids.draw_training_curves),
    }


NAMES = ("res", "theta", "tokens", "ladder", "training")


@pytest.mark.parametrize("name", NAMES)
def test_is_drawn_and_written(
    made: dict[str, tuple[FigureData, Draw]],
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, draw = made[f"explorer-{name}"]
    assert data.label == f"explorer-{name}"
    draw_and_write(data, draw, 3, tmp_path, monkeypatch)


# --- chapter 1 -----------------------------------------------------------------------------------


def residuals_follow(entries: Panel, residuals: Panel) -> bool:
    """Whether every column of the second panel is the residual of its column in the first."""
    pairs = zip(entries.series, residuals.series, strict=True)
    return all([[y] for y in b.y] == slow_residual([[y] for y in a.y]) for a, b in pairs)


def test_residuals_are_those_of_the_columns(made: dict[str, tuple[FigureData, Draw]]) -> None:
    data, _ = made["explorer-res"]
    for n, entries, residuals in zip((3, 4, 5), data.panels[:3], data.panels[3:], strict=True):
        assert residuals_follow(entries, residuals)
        for letter, column in zip("AB", lipschitz(n), strict=True):
            assert entries[f"{letter}, witness"].y == [float(x) for x in column[:, 0]]
            assert entries[letter].y != entries[f"{letter}, witness"].y
            assert all(y % explorers.STEP == 0 for y in entries[letter].y)
            assert all(abs(y) <= explorers.REACH for y in entries[letter].y)
        assert entries["A"].y != entries["B"].y


def test_a_wrong_residual_is_noticed(made: dict[str, tuple[FigureData, Draw]]) -> None:
    data, _ = made["explorer-res"]
    first = data.panels[3].series[0]
    off = replace(first, y=[1.01 * first.y[0], *first.y[1:]])
    wrong = replace(data.panels[3], series=(off, *data.panels[3].series[1:]))
    assert not residuals_follow(data.panels[0], wrong)


# --- chapter 2 -----------------------------------------------------------------------------------


def between(found: Series, bound: Callable[[float], float]) -> bool:
    """Whether the search stays below a bound and comes within a thousandth of it."""
    return all(
        0.999 * bound(x) <= y <= bound(x) * (1 + rounding_allowance(1.0, 5))
        for x, y in zip(found.x, found.y, strict=True)
    )


def test_worst_case_and_bounds_at_each_theta(made: dict[str, tuple[FigureData, Draw]]) -> None:
    (panel,) = made["explorer-theta"][0].panels
    found = panel["worst case found"]
    assert between(found, lambda x: float(slow_tv_bound(x)))
    assert not between(found, lambda x: 0.99 * float(slow_tv_bound(x)))
    assert not between(found, lambda x: 1.01 * float(slow_tv_bound(x)))
    gained = [b - a for a, b in zip(panel["before"].y, panel["after"].y, strict=True)]
    assert gained == pytest.approx(found.y, abs=1e-12)
    for name, bound in (
        ("sharp", lambda x: math.tanh(x / 4)),
        ("linear", lambda x: x / 4),
        ("as25", lambda x: math.expm1(x) / 2),
        ("d21", lambda x: x),
    ):
        assert panel[name].y == pytest.approx([bound(x) for x in panel[name].x], rel=1e-14)
    assert all(math.exp(x) <= 1 + 2 * x for x in panel["d21"].x)
    for x, low, high in zip(found.x, panel["before, proved"].y, panel["after, proved"].y,
                            strict=True):  # fmt: skip
        assert low == pytest.approx(1 / (1 + math.exp(x / 2)), rel=1e-14)
        assert high == pytest.approx(1 - low, rel=1e-14)


# --- chapter 4 -----------------------------------------------------------------------------------


def rises(panel: Panel, lower: str, upper: str) -> bool:
    """Whether one grid lies below another in every cell."""
    ends = [s.name.partition(",")[2] for s in panel.series if s.name.startswith(lower)]
    return all(
        a <= b * (1 + 1e-4)  # the grids have five digits
        for end in ends
        for low, high in zip(panel[lower + "," + end].z or [], panel[upper + "," + end].z or [],
                             strict=True)
        for a, b in zip(low, high, strict=True)
    )  # fmt: skip


def test_errors_lie_below_bounds_in_every_cell(made: dict[str, tuple[FigureData, Draw]]) -> None:
    data, _ = made["explorer-ladder"]
    for panel in data.panels:
        assert len(panel.series) == 4 * 2 * 2
        assert all(value > 0 for s in panel.series for row in s.z or [] for value in row)
        assert rises(panel, "median", "largest")
        assert rises(panel, "largest", "bound")
        assert rises(panel, "certificate", "bound")
        assert not rises(panel, "bound", "certificate")
        assert not rises(panel, "largest", "median")


def test_a_cell_is_what_its_networks_give(made: dict[str, tuple[FigureData, Draw]]) -> None:
    """The first cell again, network by network."""
    data, _ = made["explorer-ladder"]
    g = torch.Generator().manual_seed(3)
    L, H, d, at = 2, 1, 2, 1
    drawn = [Network.random(L, H, d, d, torch.tensor(ETAS).double(), g) for _ in range(5)]
    X = torch.rand(5, 4, d, generator=g, dtype=torch.float64) * 2 - 1
    for rung, panel in enumerate(data.panels):
        errors, bounds = [], []
        for network, tokens in zip(drawn, X, strict=True):
            one = Network(network.query[at], network.key[at], network.value[at])
            errors.append(float(token_norm(one(tokens) - surrogate(one, rung)(tokens))))
            bounds.append(float(collapse_bound(one, tokens, rung).value))
        expected = {"largest": max(errors), "median": sorted(errors)[2],
                    "certificate": sorted(bounds)[2]}  # fmt: skip
        for kind, value in expected.items():
            grid = panel[f"{kind}, L = {L}, H = {H}"]
            assert grid.z is not None
            assert grid.z[grid.y.index(d)][at] == pytest.approx(value, rel=1e-4)


# --- chapter 5 -----------------------------------------------------------------------------------


def shares_follow(planes: Sequence[Panel], shares: Panel) -> bool:
    """Whether each share is half the diameter of its panel's points, where float64 can tell."""
    for panel in planes:
        points = torch.tensor([[s.x, s.y] for s in panel.series]).double().permute(2, 0, 1)
        seen = torch.tensor(shares[panel.title].y).double()
        told = seen > -6  # below, rounding of the coordinates shows
        if (residual_norm(points).log10() - seen).abs()[told].max() > 1e-3:
            return False
    return True


def test_tokens_and_shares_tell_the_same(made: dict[str, tuple[FigureData, Draw]]) -> None:
    *planes, shares = made["explorer-tokens"][0].panels
    assert [panel.title for panel in planes] == [s.name for s in shares.series]
    assert shares_follow(planes, shares)
    shifted = [replace(s, y=[y + math.log10(1.01) for y in s.y]) for s in shares.series]
    assert not shares_follow(planes, replace(shares, series=tuple(shifted)))
    for panel in planes:
        largest = [max(max(map(abs, xy)) for xy in zip(*rows, strict=True))
                   for rows in ([s.x for s in panel.series] + [s.y for s in panel.series],)
                   ]  # fmt: skip
        assert largest == [pytest.approx(1, abs=1e-12)]


def test_small_weights_collapse_without_skips_only(
    made: dict[str, tuple[FigureData, Draw]],
) -> None:
    shares = made["explorer-tokens"][0].panels[-1]
    assert shares["η = 0.25, no skips"].y[-1] < -100
    assert shares["η = 0.25, with skips"].y[-1] > -0.5


# --- chapter 7 -----------------------------------------------------------------------------------


def test_curves_are_those_of_the_runs(made: dict[str, tuple[FigureData, Draw]]) -> None:
    data, _ = made["explorer-training"]
    for run, panel in zip(trained(), data.panels, strict=True):
        assert panel.title == f"L = {run.plan.depth}"
        for i, member in enumerate(run.plan.members):
            curve = panel[f"η = {member.eta:g}, seed {member.seed}"]
            assert curve.x == run.looks
            assert curve.y == pytest.approx(run.losses[:, i].tolist())
    assert data.parameters["guess"] == pytest.approx(math.log(2))


def test_curves_go_on_to_the_last_step_when_all_networks_are_finished() -> None:
    (run,) = early = [train(replace(PLAN, done=100.0))]
    assert run.looks == [0]
    for curve in explorer_grids.training_curves(early).panels[0].series:
        assert curve.x == [0, 2, 4, 6]
        assert curve.y == [curve.y[0]] * 4


# --- the directive -------------------------------------------------------------------------------

PAGE = """# A page

```{figure} picture.svg
:name: fig-one

A caption.
```

```{explorer} one
:figure: FIGURE

How to use it.
```
"""


def build(folder: Path, figure: str = "fig-one", data: str | None = '{"a": "</script>"}') -> str:
    """The page above as HTML, from a folder laid out like the book."""
    (folder / "book/_static/explorers").mkdir(parents=True)
    (folder / "book/_static/explorers/one.js").write_text("")
    (folder / "picture.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (folder / "page.md").write_text(PAGE.replace("FIGURE", figure))
    if data is not None:
        written = folder / "_build/figures/page/one.json"
        written.parent.mkdir(parents=True)
        found = {"label": "one", "panels": [json.loads(data)], "parameters": {}, "versions": {}}
        written.write_text(json.dumps(found))
    settings = {"extensions": ["myst_parser"], "root_doc": "page", "exclude_patterns": ["_build"],
                "html_static_path": ["book/_static"]}  # fmt: skip
    app = Sphinx(folder, None, folder / "out", folder / "trees", "html", settings, status=None,
                 warning=None)  # fmt: skip
    explorer_setup(app)
    app.build()
    return (folder / "out/page.html").read_text("utf-8")


def test_directive_embeds_the_data_and_its_scripts(tmp_path: Path) -> None:
    page = BeautifulSoup(build(tmp_path), "html.parser")
    root = page.select_one("div.explorer[hidden]#one")
    assert root is not None and root["data-figure"] == "fig-one"
    script = root.select_one("script")
    assert script is not None and script.string is not None
    assert json.loads(script.string) == {
        "label": "one", "panels": [{"a": "</script>"}], "parameters": {},
    }  # fmt: skip
    assert "How to use it." in root.text
    sources = [str(tag["src"]).partition("?")[0] for tag in page.select("script[src][defer]")]
    assert sources == ["_static/explorers.js", "_static/explorers/one.js"]


def test_missing_data_or_figure_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExtensionError, match=r"explorer one lacks _build/figures/page/one\.json"):
        build(tmp_path / "a", data=None)
    with pytest.raises(ExtensionError, match="explorer one names no figure of its page"):
        build(tmp_path / "b", figure="fig-two")


# --- the built book ------------------------------------------------------------------------------


@pytest.mark.book
@pytest.mark.parametrize("name", NAMES)
def test_pages_hold_the_data_of_their_run(html: Path, name: str) -> None:
    (script,) = (ROOT / "book/_static/explorers").glob(f"explorer-{name}.js")
    (written,) = (html / "figures").glob(f"*/{script.stem}.json")
    assert written.stat().st_size < 150_000
    page = BeautifulSoup((html / f"notebooks/{written.parent.name}.html").read_text("utf-8"),
                         "html.parser")  # fmt: skip
    embedded = page.select_one(f"#{script.stem} > script")
    assert embedded is not None and embedded.string is not None
    found, run = json.loads(embedded.string), json.loads(written.read_text("utf-8"))
    assert found == {key: run[key] for key in ("label", "panels", "parameters")}
