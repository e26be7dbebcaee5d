"""How much memory calls take at most, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks.record import ROOT, Case, Figure, figure
from collapse import Network, dobrushin, query_key_norm, residual_norm
from collapse.fast import certified_forward

MEMORY = "memory"
LENGTH = 16384  # an n × n matrix of this length takes 1 GiB in float32
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # Linux
LIMIT = 128.0  # MiB: far below it


def _network(n: int, device: str) -> tuple[Network, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    network = Network.random(2, 2, 16, 8, 0.1, generator, torch.float32, device)
    return network, torch.randn(n, 16, generator=generator).to(device)


def _forward(device: str) -> Callable[[], object]:
    network, X = _network(LENGTH, device)
    return lambda: network(X)


def _trace(device: str) -> Callable[[], object]:
    network, X = _network(LENGTH, device)
    return lambda: network.trace(X)


def _matrices(device: str) -> Callable[[], object]:
    network, X = _network(LENGTH // 4, device)
    return lambda: network.attention_matrices(X, 0)


def _rung_2(device: str) -> Callable[[], object]:
    network, X = _network(16 * LENGTH, device)
    return lambda: certified_forward(network, X)


def _residual(device: str) -> Callable[[], object]:
    X = torch.randn(10_000, 1000, device=device)
    return lambda: residual_norm(X)


def _norm(device: str) -> Callable[[], object]:
    M = torch.randn(24, 24, dtype=torch.float64, device=device)
    return lambda: query_key_norm(M)


def _dobrushin(device: str) -> Callable[[], object]:
    P = torch.softmax(torch.randn(1500, 1500, device=device), -1)
    return lambda: dobrushin(P)


# What is called, how it is told, and the limit, None where the caller asked for n × n numbers.
CALLS: dict[str, tuple[Callable[[str], Callable[[], object]], str, float | None]] = {
    "forward": (_forward, f"forward, n = {LENGTH}", LIMIT),
    "trace": (_trace, f"trace, n = {LENGTH}", LIMIT),
    "matrices": (_matrices, f"attention matrices, n = {LENGTH // 4}", None),
    "rung-2": (_rung_2, f"rung 2, certified, n = {16 * LENGTH}", None),
    "residual-norm": (_residual, "residual_norm, 10000 × 1000", LIMIT),
    "exact-norm": (_norm, "exact ∞→1 norm, d = 24", None),
    "dobrushin": (_dobrushin, "dobrushin, 1500 × 1500", None),
}


def memory(device: str) -> Iterator[Case]:
    """The high-water mark of each call above what was in use before it."""
    for name in CALLS:
        yield partial(high_water, name, device)


def high_water(name: str, device: str) -> Figure:
    """One call, in a new process."""
    command = [sys.executable, "-m", "benchmarks.memory", name, device]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    _, case, limit = CALLS[name]
    mark = json.loads(run.stdout)
    return figure(MEMORY, case, "high-water mark", mark, "MiB", target=limit)


def marked(name: str, device: str) -> float:
    """MiB by which one call lifts the high-water mark of this process or of the GPU."""
    torch.set_num_threads(1)
    call = CALLS[name][0](device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    RESET.write_text("5")  # from here on the mark is that of the call
    before = _high_water_mark()
    call()
    return (_high_water_mark() - before) / 2**10


def _high_water_mark() -> int:
    """KiB; not by getrusage, whose mark a process takes over from the one that started it."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


if __name__ == "__main__":
    print(json.dumps(marked(sys.argv[1], sys.argv[2])))
