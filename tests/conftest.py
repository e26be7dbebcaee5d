"""What the whole suite shares."""

from __future__ import annotations

from pathlib import Path

import pytest
from built_book import HTML


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built book; without it a test fails, and is never skipped."""
    if not (HTML / "index.html").is_file():
        pytest.fail("the book is not built: run `make book`, or `make test`, which builds it")
    return HTML
