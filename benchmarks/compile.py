"""Whether torch.compile pays: all cases in one new process, with an empty cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache, partial
from typing import Any

import torch

from benchmarks.learning import MEMBERS, gradients
from benchmarks.networks import TorchStack
from benchmarks.record import ROOT, Case, Figure, Ratio, figure, ratio
from benchmarks.timing import Side, Times, compare, seconds, threads
from collapse import residual_norm
from collapse.training.model import Model

COMPILE = "compile"
CXX = os.environ.get("CXX", "g++")  # what torch looks for
Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]  # torch.compile, or nothing


def _residual(device: str, wrap: Wrap) -> Side:
    X = torch.randn(1000, 1000, generator=torch.Generator().manual_seed(0)).to(device)
    return partial(wrap(residual_norm), X)


def _forward(device: str, wrap: Wrap) -> Side:
    network = TorchStack(128, 4, 2, device).network
    X = torch.randn(8, 128, 128, generator=torch.Generator().manual_seed(0)).to(device)
    call = wrap(network.__call__)

    def forward() -> object:
        with torch.no_grad():
            return call(X)

    return forward


def _gradients(device: str, wrap: Wrap) -> Side:
    return gradients(2, wrap(Model.training_loss))  # on the CPU, where the trainer runs


CALLS: dict[str, tuple[Callable[[str, Wrap], Side], str]] = {
    "residual-norm": (_residual, "residual_norm, 1000 × 1000"),
    "forward": (_forward, "forward, B = 8, n = 128, d = 128, H = 4, L = 2"),
    "gradients": (_gradients, f"gradients of {len(MEMBERS)} networks, batch 32, L = 2"),
}


def compiled(device: str) -> Iterator[Case]:
    """How many compilers there are; with one, seconds to compile each call and what it gains."""
    found = int(shutil.which(CXX) is not None)
    yield lambda: figure(COMPILE, "this machine", "C++ compilers found", found)
    names = names_on(device) if found else []
    for name in names:
        yield partial(first_call, name, device)
        yield partial(against_eager, name, device)


def names_on(device: str) -> list[str]:
    """The calls that run on a device."""
    return [name for name in CALLS if device == "cpu" or name != "gradients"]


def first_call(name: str, device: str) -> Figure:
    """How long the first call takes, in which torch compiles; once also what it sets up."""
    value = _in_a_process(device)[name]["first"]
    return figure(COMPILE, CALLS[name][1], "first call, compiling", value, "s")


def against_eager(name: str, device: str) -> Ratio:
    """The calls after it against the same function as it is."""
    times = Times(**_in_a_process(device)[name]["times"])
    with threads(1):
        return ratio(COMPILE, CALLS[name][1], "compiled", times, ">=")


@cache
def _in_a_process(device: str) -> dict[str, Any]:
    """What :func:`measured` finds for every call, in a new process."""
    command = [sys.executable, "-m", "benchmarks.compile", device]
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": empty}
        run = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    if run.returncode:  # otherwise stderr only tells where torch could not follow the code
        sys.stderr.write(run.stderr)
        run.check_returncode()
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def measured(name: str, device: str) -> dict[str, Any]:
    """Seconds of the first call, and the later ones in turn with the function as it is."""
    torch.set_num_threads(1)
    side = CALLS[name][0]
    ours = side(device, torch.compile)
    first = seconds(ours)
    times = compare(ours, {"as it is": side(device, lambda function: function)}, 1.0)
    return {"first": first, "times": asdict(times)}


if __name__ == "__main__":
    print(json.dumps({name: measured(name, sys.argv[1]) for name in names_on(sys.argv[1])}))
