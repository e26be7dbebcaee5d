"""Many runs on any executor: threads, processes, or a cluster's; no finished run is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, as_completed
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from collapse.numeric import require
from collapse.training.checkpoint import load, save
from collapse.training.plan import Plan
from collapse.training.run import Trained, train


def sweep(
    plans: Mapping[str, Plan],
    folder: str | Path,
    executor: Executor | None = None,
    progress: bool = True,
) -> dict[str, Trained]:
    """Train every plan, longest first, and write each run to the folder as soon as it is done.

    A second call with the same folder reads what is finished, resumes what was interrupted, and
    trains the rest. The folder must be one that the executor's workers can write to.

    Args:
        plans: What to train, by a name that becomes the name of a file.
        folder: Where finished runs and checkpoints go.
        executor: Any ``concurrent.futures.Executor``, for example a process pool or that of a
            Dask or Slurm cluster; without one the runs follow each other here.
        progress: Whether to show a progress bar.

    Returns:
        The runs, by name.

    Raises:
        ValueError: If the folder holds a file of one of these names from another plan; nothing is
            trained then, and nothing overwritten.
        ExceptionGroup: If runs failed; the others were finished and written before.

    >>> import tempfile
    >>> from collapse.training.plan import Member
    >>> plans = {"one": Plan("recall", 1, (Member(0.1, 0),), steps=1, batch=2)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     list(sweep(plans, folder, progress=False))
    ['one']
    """
    folder = Path(folder)
    for name, plan in plans.items():
        require(name == Path(name).name != "", "name", "a file name", repr(name))
        for path in (_finished(folder, name), _interrupted(folder, name)):
            if path.exists():
                load(path, plan)
    longest = sorted(plans, key=lambda name: -_cost(plans[name]))
    failed: list[Exception] = []
    total = 0
    with tqdm(total=sum(plan.steps for plan in plans.values()), disable=not progress) as bar:
        if executor is None:
            done = ((name, _here(name, plans[name], folder, bar.update)) for name in longest)
        else:
            futures = {executor.submit(_work, name, plans[name], folder): name for name in longest}
            done = ((futures[future], future) for future in as_completed(futures))
        for name, future in done:
            try:
                future.result()
            except Exception as error:  # told at the end: no other run is lost
                failed.append(error)
            total += plans[name].steps
            bar.update(total - bar.n)  # a run may stop early
    if failed:
        raise ExceptionGroup("runs failed; the finished ones are kept", failed)
    return {name: _read(_finished(folder, name), plan) for name, plan in plans.items()}


def _here(name: str, plan: Plan, folder: Path, tick: Callable[[], object]) -> Future[None]:
    """What an executor does, at once and in this process, with a tick after every step."""
    future: Future[None] = Future()
    try:
        _work(name, plan, folder, tick)
        future.set_result(None)
    except Exception as error:  # as an executor does
        future.set_exception(error)
    return future


def _work(name: str, plan: Plan, folder: Path, tick: Callable[[], object] | None = None) -> None:
    """One run, in whatever process the executor chose."""
    path, checkpoint = _finished(folder, name), _interrupted(folder, name)
    if path.exists():
        return
    result = asdict(train(plan, checkpoint, tick=tick))
    del result["plan"]
    save(path, plan, result)
    checkpoint.unlink(missing_ok=True)


def _read(path: Path, plan: Plan) -> Trained:
    return Trained(plan, **load(path, plan))


def _finished(folder: Path, name: str) -> Path:
    return folder / f"{name}.pt"


def _interrupted(folder: Path, name: str) -> Path:
    return folder / f"{name}.checkpoint.pt"


def _cost(plan: Plan) -> int:
    return plan.steps * plan.batch * plan.depth * len(plan.members)
