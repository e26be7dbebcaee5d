"""The groups of the table, in its order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.compile import COMPILE, compiled
from benchmarks.learning import ADVERSARY, TRAINING, adversary, training
from benchmarks.memory import MEMORY, memory
from benchmarks.networks import (
    CENTRED,
    FORWARD,
    LINEAR,
    SWEEP,
    centred,
    forward,
    linear_time,
    sweep,
)
from benchmarks.record import Case
from benchmarks.tokens import EXACT, RESIDUAL, exact_norm, residual

GROUPS: dict[str, Callable[[str], Iterator[Case]]] = {
    RESIDUAL: residual,
    FORWARD: forward,
    LINEAR: linear_time,
    CENTRED: centred,
    SWEEP: sweep,
    TRAINING: training,
    EXACT: exact_norm,
    ADVERSARY: adversary,
    MEMORY: memory,
    COMPILE: compiled,
}
