"""Sweeps: any executor, no finished run lost, no foreign file touched."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_training import EARLY, equal

from collapse.training import Member, Plan, sweep, train
from collapse.training.checkpoint import load, save

SHORT = Plan("recall", 1, (Member(0.2, 0), Member(0.2, 1)), {"pairs": 2}, width=4, key_width=2,
             steps=6, batch=4, check=2, held_out=4)  # fmt: skip
PLANS = {"short": SHORT, "deeper": replace(SHORT, depth=2), "sorted": replace(SHORT, task="sorting",
         options={"length": 3})}  # fmt: skip


def silent(plans: dict[str, Plan], folder: Path, executor: Executor | None = None) -> Any:
    return sweep(plans, folder, executor, progress=False)


class Serial(Executor):
    """The least that an executor must do; it counts its work."""

    def __init__(self) -> None:
        self.count = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.count += 1
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def test_every_executor_gives_the_same_bits(tmp_path: Path) -> None:
    here = {name: train(plan) for name, plan in PLANS.items()}
    spawn = multiprocessing.get_context("spawn")
    with (
        ThreadPoolExecutor(2) as threads,
        ProcessPoolExecutor(2, mp_context=spawn) as processes,
    ):
        for kind, executor in {
            "none": None,
            "serial": Serial(),
            "threads": threads,
            "processes": processes,
        }.items():
            runs = silent(PLANS, tmp_path / kind, executor)
            assert list(runs) == list(PLANS)
            assert all(equal(runs[name], here[name]) for name in PLANS), kind
    assert not equal(here["short"], here["deeper"])


def test_finished_runs_are_read_and_not_repeated(tmp_path: Path) -> None:
    first, second = Serial(), Serial()
    runs = silent({"short": SHORT}, tmp_path, first)
    written = (tmp_path / "short.pt").read_bytes()
    again = silent(PLANS, tmp_path, second)
    assert first.count == 1 and equal(runs["short"], again["short"])
    assert (tmp_path / "short.pt").read_bytes() == written


def test_a_failing_run_loses_no_other_and_can_be_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["collapse.training.sweeps"]

    def fails(plan: Plan, *args: Any, **kwargs: Any) -> Any:
        if plan == PLANS["deeper"]:
            raise MemoryError("no room")
        return train(plan, *args, **kwargs)

    monkeypatch.setattr(module, "train", fails)
    with pytest.raises(ExceptionGroup) as caught:
        silent(PLANS, tmp_path)
    assert [str(error) for error in caught.value.exceptions] == ["no room"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["short.pt", "sorted.pt"]
    monkeypatch.undo()
    assert equal(silent(PLANS, tmp_path)["deeper"], train(PLANS["deeper"]))


def test_a_sweep_resumes_a_run_that_was_interrupted(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    checkpoint = tmp_path / "run.checkpoint.pt"
    with pytest.raises(KeyboardInterrupt):
        train(EARLY, checkpoint, every=1, tick=interrupt)
    assert load(checkpoint, EARLY)["ensemble"]["steps"] == 1
    assert equal(silent({"run": EARLY}, tmp_path)["run"], train(EARLY))
    assert not checkpoint.exists()


@pytest.mark.parametrize("name", ["short.pt", "short.checkpoint.pt"])
def test_a_foreign_file_is_refused_before_anything_runs_and_left_alone(
    name: str, tmp_path: Path
) -> None:
    save(tmp_path / name, replace(SHORT, rate=0.01), {"steps": 3})
    before = (tmp_path / name).read_bytes()
    executor = Serial()
    with pytest.raises(ValueError, match="^checkpoint: expected one of the same plan"):
        silent({"deeper": PLANS["deeper"], "short": SHORT}, tmp_path, executor)
    assert executor.count == 0
    assert (tmp_path / name).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04"])
def test_a_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="^checkpoint: expected a file of this package"):
        train(SHORT, path)
    assert path.read_bytes() == content
    torch.save({"steps": 3}, path)
    with pytest.raises(ValueError, match="^checkpoint: expected a file of this package"):
        train(SHORT, path)


def test_a_checkpoint_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.pt"
    save(path, SHORT, {"steps": 1})
    with pytest.raises(Exception, match="pickle"):
        save(path, SHORT, {"steps": lambda: None})
    assert load(path, SHORT) == {"steps": 1}


@pytest.mark.parametrize("name", ["", "a/b"])
def test_a_name_must_name_a_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="^name: expected a file name"):
        silent({name: SHORT}, tmp_path)


def test_a_bar_counts_all_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep({"early": replace(EARLY, done=3.0, keep=())}, tmp_path)
    assert "30/30" in capsys.readouterr().err
