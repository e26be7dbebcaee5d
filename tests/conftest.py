"""What the whole suite shares."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
from pathlib import Path

import flint
import pytest
import torch
from built_book import HTML, ROOT

# What the tests compute is small: it gains nothing from several threads, and the processes of
# `pytest -n` would take each other's cores.
torch.set_num_threads(1)


def alone(item: pytest.Item | None) -> bool:
    return item is not None and item.get_closest_marker("alone") is not None


class Turns:
    """Of several processes that run tests, all but one wait while that one takes times.

    The locks lie on files that are there anyway; the system lifts them when a process ends.
    """

    def __init__(self) -> None:
        self.door = (ROOT / "pyproject.toml").open()
        self.room = (ROOT / "constraints.txt").open()
        self.stays = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        if not self.stays:
            flock(self.door, LOCK_EX)  # who waits for the room bars the door: nobody overtakes
            flock(self.room, LOCK_EX if alone(item) else LOCK_SH)
            flock(self.door, LOCK_UN)
        try:
            return (yield)
        finally:
            # Between two such tests the others would begin one each, which may take long.
            self.stays = alone(item) and alone(nextitem)
            if not self.stays:
                flock(self.room, LOCK_UN)


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):  # this process is one of those of `pytest -n`
        config.pluginmanager.register(Turns())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that must run alone come first, one after the other: the rest waits only once.

    Without a GPU its tests are deselected; the status page says when they last ran.
    """
    items.sort(key=lambda item: not alone(item))
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
