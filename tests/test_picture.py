"""The committed picture of the ladder shows the data of the run, and is small and repeatable."""

from __future__ import annotations

import copy
import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from built_book import HTML, ROOT

from collapse.figures.picture import LINES, draw, shown

PICTURE = ROOT / "book/_static/ladder.svg"
Points = dict[str, list[list[float]]]


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    path = HTML / "figures/04-orders/orders-ladder.json"
    assert path.is_file(), "the book is not built: run `make book`"
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


def carried(picture: Path) -> Points:
    """The numbers that the picture says it shows."""
    found = re.search(r"<dc:description>(.*?)</dc:description>", picture.read_text("utf-8"), re.S)
    assert found
    points: Points = json.loads(unescape(found[1]))
    return points


def agree(a: Points, b: Points) -> bool:
    return list(a) == list(b) and all(
        row == pytest.approx(other, rel=1e-3)
        for name in a
        for row, other in zip(a[name], b[name], strict=True)
    )


@pytest.mark.book
def test_the_committed_picture_shows_the_run(data: dict[str, Any]) -> None:
    assert agree(carried(PICTURE), shown(data)), "run `make picture`"


@pytest.mark.book
@pytest.mark.parametrize("name", LINES)
def test_an_error_that_changed_by_one_per_cent_is_noticed(data: dict[str, Any], name: str) -> None:
    other = copy.deepcopy(data)
    (line,) = (line for line in other["panels"][0]["series"] if line["name"] == name)
    line["y"][-1] *= 1.01
    assert not agree(carried(PICTURE), shown(other))


@pytest.mark.book
def test_equal_data_give_equal_files(data: dict[str, Any], tmp_path: Path) -> None:
    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    draw(data, first)
    draw(data, second)
    assert first.read_bytes() == second.read_bytes()
    assert agree(carried(first), shown(data))


def test_the_picture_is_small_and_carries_no_date() -> None:
    assert PICTURE.stat().st_size < 60_000
    assert "<dc:date>" not in PICTURE.read_text("utf-8")


@pytest.mark.parametrize("page", ["README.md", "book/intro.md"])
def test_the_picture_is_shown_and_described(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    described = re.search(r"!\[(.*?)\]\(book/_static/ladder\.svg\)", text, re.S) or re.search(
        r"_static/ladder\.svg\n:alt: (.*)", text
    )
    assert described and len(described[1]) > 80
