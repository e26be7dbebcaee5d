"""What the whole suite shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import flint
import pytest
import torch
from built_book import HTML


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without a GPU its tests are deselected; the status page says when they last ran."""
    if torch.cuda.is_available():
        return
    theirs = [item for item in items if item.get_closest_marker("gpu")]
    items[:] = [item for item in items if item not in theirs]
    config.hook.pytest_deselected(items=theirs)


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book; without it a test fails, and is never skipped."""
    if not (HTML / "index.html").is_file():
        pytest.fail("the book is not built: run `make book`, or `make test`, which builds it")
    return HTML


@pytest.fixture
def ball_precision() -> Iterator[None]:
    """Balls of 200 bits, so that several layers do not blow them up beyond notice."""
    with flint.ctx.workprec(200):
        yield
