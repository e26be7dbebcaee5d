"""What the whole suite shares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import flint
import pytest
from built_book import HTML


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
