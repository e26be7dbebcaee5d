"""The figures of the referee: a search at work, the slack of every bound, the graph of results."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import networkx as nx
import pytest
import torch
from built_book import ROOT

from collapse.figures import dependencies, referee, style
from collapse.figures.data import FigureData
from collapse.ledger import claims, get
from collapse.numeric import rounding_allowance
from collapse.referee import attack
from collapse.referee.cases import split
from collapse.referee.climbing import draw_starts
from collapse.referee.trials import trials

LEMMA = "as25-lem-4.1"
FLOOR = 1e-10  # the search adds it to every bound, so as not to climb on rounding
SVG = "{http://www.w3.org/2000/svg}"


def trajectories() -> FigureData:
    return referee.trajectories(LEMMA, "three tokens", starts=24, steps=100, seed=3)


def record(**checks: list[dict[str, Any]]) -> dict[str, Any]:
    """A record with these searches, as ``claims.json`` has them."""
    entries = {
        label: {"verdict": str(get(label).verdict), "checks": found}
        for label, found in checks.items()
    }
    return {"commit": "0123456789ab", "date": "2026-01-01 00:00 UTC", "claims": entries}


def search(trial: str, ratio: float | None, kind: str = "attacked") -> dict[str, Any]:
    return {"kind": kind, "trial": trial, "ratio": ratio}


RECORD = record(
    **{
        LEMMA: [search("three tokens", 1.75), search("four tokens, two features", 2.0)],
        "res-lipschitz": [search("two tokens", 0.5), search("three tokens", 1.0)],
        "res-left": [search("p = 1", 0.9, kind="certified")],
        "res-right": [search("tokens", None)],
        "res-norm-lipschitz": [search("norms", 0.25)],
    }
)


# --- the search ----------------------------------------------------------------------------------


@pytest.mark.label(LEMMA)
def test_the_search_climbs_to_two_and_not_beyond() -> None:
    paths = torch.tensor(trajectories().panels[0]["observed / bound"].z)
    assert paths.shape == (24, 101)
    assert paths.max() > 1.99
    assert paths.max() <= 2 + rounding_allowance(2.0, 30)
    assert (paths[:, -1] > 1.99).sum() > 12  # not the luck of one start


def test_the_search_starts_where_the_attack_does() -> None:
    (trial,) = trials(LEMMA, "three tokens")
    begin = draw_starts(trial, 24, torch.Generator().manual_seed(3))
    paths = trajectories().panels[0]["observed / bound"].z
    assert paths is not None
    for path, start in zip(paths, begin.tolist(), strict=True):
        a, b = start[:3], start[3:]
        moved = [x - y for x, y in zip(about_midrange(a), about_midrange(b), strict=True)]
        apart = max(abs(x - y) for x, y in zip(a, b, strict=True))
        assert path[0] == pytest.approx(max(map(abs, moved)) / (apart + FLOOR), rel=1e-12)
    assert attack(LEMMA, "three tokens", seed=3, starts=24, steps=100).ratio == 2


def about_midrange(column: list[float]) -> list[float]:
    return [x - (max(column) + min(column)) / 2 for x in column]


def test_an_unknown_claim_has_no_search() -> None:
    with pytest.raises(ValueError, match="label: expected a claim that has trials"):
        referee.trajectories("as25-lem-4.7")


# --- the slack -----------------------------------------------------------------------------------


def test_the_slack_names_the_tightest_search_of_each_claim() -> None:
    data = referee.slack(RECORD, samples=200, seed=0)
    assert data.parameters["labels"] == [LEMMA, "res-lipschitz", "res-norm-lipschitz"]
    assert data.parameters["tightest"] == ["four tokens, two features", "three tokens", "norms"]
    assert data.parameters["false as stated"] == [True, False, False]
    assert data.panels[0]["tightest found"].x == [2.0, 1.0, 0.25]


def test_rounding_decides_neither_trial_nor_how_far_a_search_without_end_gets() -> None:
    norms = {"res-norm-lipschitz": [search("norms", 0.25)]}
    for other, shown in ((1.0 - 2e-5, "two tokens"), (1.0 - 2e-3, "three tokens")):
        checks = [search("two tokens", other), search("three tokens", 1.0)]
        both = record(
            **{"res-lipschitz": checks}, **norms, **{LEMMA: [search("three tokens", 3e14)]}
        )
        data = referee.slack(both, 50, 0)
        assert data.parameters["tightest"] == ["three tokens", shown, "norms"]
        assert data.panels[0]["tightest found"].x[0] == 1e6
        # A claim's random cases are the same whatever else is shown.
        alone = referee.slack(record(**norms), 50, 0)
        for level in referee.QUANTILES:
            name = f"random cases {level:.0%}"
            assert data.panels[0][name].x[2] == alone.panels[0][name].x[0]


def test_side_statements_that_fail_do_not_stand_for_a_claim_that_holds() -> None:
    false = next(t for t in trials("softmax-compare") if not t.holds)
    true = next(t for t in trials("softmax-compare") if t.holds and "attacked" in t.kinds)
    checks = [search(false.name, 7.0), search(true.name, 0.75)]
    data = referee.slack(record(**{"softmax-compare": checks}), samples=10, seed=0)
    assert data.panels[0]["tightest found"].x == [0.75]


def test_random_cases_are_those_of_the_trial() -> None:
    alone = {"res-norm-lipschitz": RECORD["claims"]["res-norm-lipschitz"]["checks"]}
    data = referee.slack(record(**alone), samples=201, seed=5)
    found = [data.panels[0][f"random cases {q:.0%}"].x[0] for q in referee.QUANTILES]
    (trial,) = trials("res-norm-lipschitz", "norms")
    cases = split(trial, draw_starts(trial, 201, torch.Generator().manual_seed(5)))
    pairs = zip(cases["A"].tolist(), cases["B"].tolist(), strict=True)
    ratios = sorted(abs(radius(A) - radius(B)) / (radius(minus(A, B)) + FLOOR) for A, B in pairs)
    slow = [ratios[10], ratios[100], ratios[190]]  # 5%, 50% and 95% of the way from 0 to 200
    assert found == pytest.approx(slow, rel=1e-12)
    assert found != pytest.approx([0.99 * x for x in slow], rel=1e-12)


def radius(X: list[list[float]]) -> float:
    return max(max(column) - min(column) for column in zip(*X, strict=True)) / 2


def minus(A: list[list[float]], B: list[list[float]]) -> list[list[float]]:
    return [[x - y for x, y in zip(*rows, strict=True)] for rows in zip(A, B, strict=True)]


def test_the_slack_refuses_an_empty_record_and_no_samples() -> None:
    with pytest.raises(ValueError, match="record: expected a search of some claim"):
        referee.slack(record(**{"res-left": RECORD["claims"]["res-left"]["checks"]}), 10, 0)
    with pytest.raises(ValueError, match="samples: expected an integer >= 1, received 0"):
        referee.slack(RECORD, 0, 0)


FIGURES: dict[str, tuple[Callable[[], FigureData], Any]] = {
    "search": (trajectories, referee.draw_trajectories),
    "slack": (lambda: referee.slack(RECORD, 100, 0), referee.draw_slack),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_and_its_data_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, draw = FIGURES[name]
    monkeypatch.setattr(style.plt, "show", lambda: None)
    data = make()
    style.show(data, draw, tmp_path)
    style.plt.close("all")
    written = json.loads((tmp_path / f"{data.label}.json").read_text())
    assert written["schema"] == "collapse-figure/1" and written["seed"] == data.seed
    assert make().panels == data.panels  # the seed decides


# --- the graph -----------------------------------------------------------------------------------


def test_every_result_stands_below_what_it_rests_on() -> None:
    picture = dependencies.layout(claims())
    assert set(picture.centres) == {claim.label for claim in claims()}
    for claim in claims():
        for used in claim.depends:
            assert picture.centres[used][1] < picture.centres[claim.label][1]


def test_the_arrows_say_what_the_ledger_says() -> None:
    """What can be reached along the arrows is what can be reached in the ledger, and no less."""
    everything = dependencies.dependencies(claims())
    drawn = nx.DiGraph(list(dependencies.layout(claims()).arrows))
    assert len(drawn.edges) < len(everything.edges)
    for label in everything:
        reached = nx.descendants(drawn, label) if label in drawn else set()
        assert reached == nx.descendants(everything, label)
    one_less = drawn.copy()
    one_less.remove_edge("as25-res", "res-formula")
    assert nx.descendants(one_less, "as25-res") != nx.descendants(everything, "as25-res")


@pytest.mark.parametrize("columns", [1, 3, 5])
def test_nothing_overlaps(columns: int) -> None:
    picture = dependencies.layout(claims(), columns)
    rows: dict[float, list[float]] = {}
    for x, y in picture.centres.values():
        rows.setdefault(y, []).append(x)
    for row in rows.values():
        assert len(row) <= columns
        assert all(b - a >= dependencies.WIDTH for a, b in pairwise(sorted(row)))
        assert min(row) >= dependencies.WIDTH / 2
        assert max(row) <= picture.width - dependencies.WIDTH / 2
    for points in picture.arrows.values():
        for x, y in points[1:-1]:  # an arrow that passes a row meets no box
            assert all(abs(x - box) > dependencies.WIDTH / 2 for box in rows.get(y, []))
    assert any(y in rows for points in picture.arrows.values() for _, y in points[1:-1])


def test_the_picture_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "from collapse.figures.dependencies import svg; from collapse.ledger import claims;"
        "import hashlib; print(hashlib.sha256(svg(claims(), str).encode()).hexdigest())"
    )
    found = set()
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        found.add(run.stdout)
    assert len(found) == 1


def test_crossings_are_counted_pair_by_pair() -> None:
    source = random.Random(0)
    for _ in range(50):
        upper, lower = ([(f"{side}{i}",) for i in range(6)] for side in "ab")
        pairs = [(i, j) for i in range(6) for j in range(6) if source.random() < 0.4]
        links = nx.Graph((upper[i], lower[j]) for i, j in pairs)
        slow = sum(i < k and j > m for i, j in pairs for k, m in pairs)
        assert dependencies.crossings([upper, lower], links) == slow


def test_a_circle_and_a_missing_result_are_refused() -> None:
    a, b = (replace(get("res-left"), label=label) for label in ("a", "b"))
    with pytest.raises(ValueError, match="dependencies: expected no circle"):
        dependencies.layout([replace(a, depends=("b",)), replace(b, depends=("a",))])
    with pytest.raises(ValueError, match="depends of a: expected labels among the claims"):
        dependencies.layout([replace(a, depends=("b",))])
    with pytest.raises(ValueError, match="columns: expected an integer >= 1, received 0"):
        dependencies.layout([a], 0)


def test_no_results_make_an_empty_picture() -> None:
    assert dependencies.layout([]).centres == {}


class TestSvg:
    @pytest.fixture
    def picture(self) -> ElementTree.Element:
        text = dependencies.svg(
            claims(), lambda label: f"#{label}" if get(label).released else None
        )
        return ElementTree.fromstring(text)

    def test_each_result_is_a_box_with_its_verdict(self, picture: ElementTree.Element) -> None:
        nodes = [g for g in picture.iter(f"{SVG}g") if "node" in g.get("class", "").split()]
        shown = {}
        for node in nodes:
            text = "".join(node.find(f"{SVG}text").itertext())
            shown[text] = node.get("class", "").split()[1]
        assert shown == {c.label: f"verdict-{c.shown_verdict}" for c in claims()}

    def test_released_results_link_to_their_statement(self, picture: ElementTree.Element) -> None:
        links = {a.get("href") for a in picture.iter(f"{SVG}a")}
        assert links == {f"#{c.label}" for c in claims() if c.released}

    def test_the_legend_has_a_word_and_a_mark_for_each_colour(
        self, picture: ElementTree.Element
    ) -> None:
        keys = [g for g in picture.iter(f"{SVG}g") if "key" in g.get("class", "").split()]
        words = [key.find(f"{SVG}text").text for key in keys]
        assert set(words) == {str(c.shown_verdict) for c in claims()}
        marks = [key.find(f"{SVG}path").get("d") for key in keys]
        assert len(set(marks)) == len(marks) == len(words)

    def test_words_stand_in_for_the_picture(self, picture: ElementTree.Element) -> None:
        told = picture.get("aria-label", "")
        assert told == dependencies.describe(claims())
        assert told.startswith(f"Graph of {len(claims())} results")
        refuted = sum(str(c.shown_verdict) == "refuted" for c in claims())
        assert f"{refuted} refuted" in told
