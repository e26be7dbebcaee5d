"""The run: every check of every claim, in worker processes, gathered into one report."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from typing import Any

import torch

from collapse.attention import default_device
from collapse.ledger import KINDS, Claim, Kind, claims, get
from collapse.ledger.record import PACKAGE, fingerprints
from collapse.numeric import Evidence, require
from collapse.referee.balls import ball_outcome, certify
from collapse.referee.deciding import Certificate
from collapse.referee.outcome import Outcome
from collapse.referee.proofs import symbolic_outcome
from collapse.referee.properties import property_outcome
from collapse.referee.report import Entry, Report
from collapse.referee.search import require_seed, search_outcome
from collapse.referee.trial import Trial
from collapse.referee.trials import TRIALS
from collapse.stamp import commit, versions
from collapse.statements import find_book, page_source, stated

Progress = Callable[[str, int, int], None]
_LIBRARIES = ("torch", "numpy", "sympy", "mpmath", "flint", "hypothesis")
# What stands above this floor can change no outcome.
_ABOVE = ("figures", "commands", "__main__")


@dataclass(frozen=True)
class _Job:
    """One claim to examine, with the share of time that each of its searches has."""

    label: str
    seed: int
    seconds: float | None
    kinds: tuple[Kind, ...]


@dataclass(frozen=True)
class _Done:
    label: str
    outcomes: tuple[Outcome, ...]
    certificates: tuple[Certificate, ...]
    sources: frozenset[str]


def examine(
    labels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    seconds: float | None = None,
    kinds: Collection[Kind] = KINDS,
    workers: int = 1,
    book: Path | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check the claims of the released chapters, each in every way that applies.

    Symbolic proofs are carried out, the trials are searched, decided in balls and tested at
    random, and every check must notice its negative control. The same seed gives the same report
    on the same device, times and date apart.

    Args:
        labels: Labels of the claims to examine; None for the whole ledger.
        seed: Seed of all searches and random cases, from 0 to 2⁶⁴ − 1.
        seconds: None for one search of each trial; else the time, > 0, that all searches together
            may take.
        kinds: The kinds of check to make; where two of them or more apply, two must pass.
        workers: Processes that work at once, ≥ 1. With more than one, a script that calls this
            needs the guard ``if __name__ == "__main__"``.
        book: The folder of the book's sources; None for the one beside the package, if any.
        progress: Called with a label, how many claims are done, and how many there are; first with
            no label and none done.

    Returns:
        The report; its ``failures`` say what does not stand.

    Raises:
        ValueError: On an unknown label or kind, a seed out of range, no time, or no workers.

    >>> examine(["softmax-tv"], kinds=["symbolic"])["softmax-tv"].marks["symbolic"]
    <Evidence.PASSED: 'passed'>
    """
    require_seed(seed)
    require(isinstance(workers, int) and workers >= 1, "workers", "an integer >= 1", workers)
    require(seconds is None or 0 < seconds < math.inf, "seconds", "a time > 0", seconds)
    require(set(kinds) <= set(KINDS) and kinds, "kinds", f"some of {', '.join(KINDS)}", kinds)
    chosen = claims() if labels is None else tuple(get(label) for label in dict.fromkeys(labels))
    require(chosen, "labels", "at least one label", labels)
    begin = time.perf_counter()
    found: dict[str, _Done] = {}
    jobs = _jobs(chosen, seed, seconds, tuple(kinds), workers)
    if progress:
        progress("", 0, len(jobs))
    for done in _work(jobs, workers):
        found[done.label] = done
        if progress:
            progress(done.label, len(found), len(jobs))
    folder = book or find_book()
    pages = {claim.page for claim in chosen if claim.page}
    found_on = {page: stated(page_source(folder, page)) for page in pages} if folder else {}
    return Report(
        entries=tuple(
            Entry(
                claim,
                found[claim.label].outcomes if claim.label in found else (),
                claim.label in found_on.get(claim.page or "", ()) if folder else None,
                tuple(kinds),
            )
            for claim in chosen
        ),
        certificates=tuple(c for job in jobs for c in found[job.label].certificates),
        commit=commit(PACKAGE.parent),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        device=str(default_device()),
        versions=versions(_LIBRARIES),
        seed=seed,
        settings={"seconds": seconds, "kinds": [kind for kind in KINDS if kind in kinds]},
        sources=fingerprints(sorted(set().union(*(done.sources for done in found.values())))),
        seconds=time.perf_counter() - begin,
    )


def _jobs(
    chosen: Sequence[Claim],
    seed: int,
    seconds: float | None,
    kinds: tuple[Kind, ...],
    workers: int,
) -> list[_Job]:
    """One job a claim of the released chapters, the longest first."""
    labels = [claim.label for claim in chosen if claim.released]
    searches = {
        label: sum("attacked" in trial.kinds for trial in TRIALS.get(label, ())) for label in labels
    }
    total = sum(searches.values()) if "attacked" in kinds else 0
    share = seconds * min(workers, len(labels)) / total if seconds and total else seconds
    longest = sorted(labels, key=lambda label: -searches[label])
    return [_Job(label, seed, share, kinds) for label in longest]


def _work(jobs: Sequence[_Job], workers: int) -> Iterator[_Done]:
    if workers == 1 or len(jobs) <= 1:
        yield from map(_examine, jobs)
        return
    before = set(active_children())
    # Spawned, because a forked copy of torch's threads may hang.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quietly)
    try:
        for future in as_completed([pool.submit(_examine, job) for job in jobs]):
            yield future.result()
    except BaseException:  # Ctrl-C too: nobody waits for what is no longer wanted
        pool.shutdown(wait=False, cancel_futures=True)
        for child in set(active_children()) - before:
            child.terminate()
        raise
    pool.shutdown()


def _quietly() -> None:
    """Set up a worker: one thread, Ctrl-C left to the parent, and no life without it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def _examine(job: _Job) -> _Done:
    outcomes: list[Outcome] = []
    certificates: list[Certificate] = []
    if "symbolic" in job.kinds and (proved := symbolic_outcome(job.label)):
        outcomes.append(proved)
    for trial in TRIALS.get(job.label, ()):
        witnesses: list[Any] = []
        for kind in ("attacked", "certified", "property"):  # balls decide what the search found
            if kind not in job.kinds or kind not in trial.kinds:
                continue
            outcome = _guarded(kind, trial, job, witnesses)
            outcomes.append(outcome)
            if kind == "attacked":
                witnesses += [case for case in (outcome.witness, outcome.control_witness) if case]
            if kind == "certified" and outcome.evidence is not Evidence.FAILED:
                certificates += certify(
                    trial.label, trial.name, seed=job.seed, cases=1, witnesses=witnesses[:1]
                )
    return _Done(job.label, tuple(outcomes), tuple(certificates), _loaded())


def _guarded(kind: Kind, trial: Trial, job: _Job, witnesses: Sequence[Any]) -> Outcome:
    """The outcome of one engine; a check that breaks down has failed."""
    begin = time.perf_counter()
    try:
        if kind == "attacked":
            return search_outcome(trial, seed=job.seed, seconds=job.seconds)
        if kind == "certified":
            return ball_outcome(trial, seed=job.seed, witnesses=witnesses)
        return property_outcome(trial, seed=job.seed)
    except Exception as error:  # whatever broke: it is this check that failed, not the run
        return Outcome(
            kind=kind,
            label=trial.label,
            trial=trial.name,
            evidence=Evidence.FAILED,
            noticed=False,
            control=trial.dropped,
            ratio=None,
            detail=f"the check broke down: {type(error).__name__}: {error}",
            seconds=time.perf_counter() - begin,
        )


def _loaded() -> frozenset[str]:
    """Files of the package, this floor and below, that have been imported."""
    names = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.partition(".")[0] == PACKAGE.name and file:
            path = Path(file).resolve().relative_to(PACKAGE)
            if path.parts[0] not in _ABOVE:
                names.add(path.as_posix())
    return frozenset(names)
