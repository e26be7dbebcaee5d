"""``collapse attack``: search for the case in which one bound is tightest, or broken."""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from collapse.commands import Answer, progress_console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from collapse.referee import Attack

HELP = "Search for the input that maximises observed ÷ bound"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("label", metavar="LABEL", help="a claim, for example as25-lem-4.1")
    parser.add_argument("--trial", metavar="NAME", help="only this trial of the claim")
    parser.add_argument("--seconds", type=float, help="search for as long as this")
    parser.add_argument("--starts", type=int, help="random starts of a round")
    parser.add_argument("--steps", type=int, help="gradient steps of each start")
    parser.add_argument("--seed", type=int, default=0, help="seed of the starts (default 0)")
    parser.add_argument("--device", help="where to search, for example cpu or cuda")


def run(arguments: Namespace) -> Answer:
    """Search, and judge what was found by the ledger."""
    from collapse.ledger import get
    from collapse.referee import attack
    from collapse.referee.trials import trials

    verdict = get(arguments.label).shown_verdict
    _require_device(arguments.device)
    given = {"starts": arguments.starts, "steps": arguments.steps, "device": arguments.device}
    with progress_console().status(f"searching {arguments.label}"):
        found = attack(
            arguments.label,
            arguments.trial,
            seed=arguments.seed,
            seconds=arguments.seconds,
            **{name: value for name, value in given.items() if value is not None},
        )
    (trial,) = trials(found.label, found.trial)
    data = {
        "label": found.label,
        "verdict": str(verdict),
        "trial": found.trial,
        "ratio": found.ratio if math.isfinite(found.ratio) else None,
        "measured": str(found.measured),
        "violated": found.violated,
        "expected": found.violated != trial.holds,
        "witness": dict(found.witness),
        "code": str(found),
        "starts": found.starts,
        "steps": found.steps,
        "seed": found.seed,
        "device": found.device,
        "seconds": round(found.seconds, 2),
    }
    return Answer(data, lambda: _shown(data, found), int(not data["expected"]))


def _require_device(device: str | None) -> None:
    import torch

    try:
        torch.zeros(1, device=device).item()  # the meta device has no numbers
    except (AssertionError, RuntimeError):
        raise ValueError(
            f"device: expected one that torch finds here, such as cpu, received {device!r}"
        ) from None


def _shown(data: dict[str, Any], found: Attack) -> list[RenderableType]:
    from rich.syntax import Syntax

    what = "violated" if data["violated"] else "not violated"
    lines: list[RenderableType] = [
        f"{data['label']}, {data['trial']}: observed ÷ bound = {found.ratio:.9g}",
        f"{found.measured}",
        f"The inequality is {what}; the ledger's verdict is {data['verdict']}.",
        f"{data['starts']} starts of {data['steps']} steps, seed {data['seed']}, on"
        f" {data['device']}, {data['seconds']:.1f} s. To see the case again:",
        "",
        Syntax(data["code"], "python", theme="ansi_dark", background_color="default"),
    ]
    if not data["expected"]:
        lines.append("failed: this contradicts the ledger")
    return lines
