"""``collapse bound``: what weights of a given size guarantee, and what no single layer can do."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from collapse.commands import Answer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from torch import Tensor

HELP = "Bound how close one layer comes to a deep network whose weights are at most eta"
NOTES = {
    "rung 0": "no head: the identity",
    "rung 1": "all heads read the input",
    "rung 2": "one head: an average and one matrix",
    "rung 3": "all heads read the input, later values folded in",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--eta", type=float, metavar="ETA", help="largest entry of all weights")
    sizes = {"layers": "L", "heads": "H", "width": "d", "key-width": "d_k", "tokens": "n"}
    for name, symbol in sizes.items():
        parser.add_argument(
            f"--{name}", type=int, required=True, metavar=symbol, help=f"{name} {symbol}"
        )
    parser.add_argument(
        "--phi", type=float, default=1.0, metavar="PHI", help="largest entry of the tokens (1)"
    )
    parser.add_argument(
        "--error", type=float, metavar="E", help="also find the largest eta for this error"
    )


def run(arguments: Namespace) -> Answer:
    """Evaluate the bounds, the floors, and their inverse."""
    from collapse.numeric import require

    a = arguments
    # Larger sizes take long; beyond these values float64 would underflow to a false bound.
    most = {"layers": 10**3, "heads": 10**3, "width": 10**6, "key_width": 10**6, "tokens": 10**9}
    for name, high in most.items():
        fine = 1 <= getattr(a, name) <= high
        require(fine, name, f"an integer from 1 to {high}", getattr(a, name))
    require(a.eta is not None or a.error is not None, "bound", "--eta, --error or both", "neither")
    for name in ("eta", "phi", "error"):
        value = getattr(a, name)
        fine = value is None or 1e-30 <= value <= 1e30
        require(fine, name, "a number from 1e-30 to 1e30", value)
    data: dict[str, Any] = {
        "settings": {name: getattr(a, name) for name in (*most, "phi")},
        "network": "attention layers with skip 1 and nothing else; p = inf",
    }
    if a.eta is not None:
        data |= {"eta": a.eta, "bounds": _bounds(a, a.eta), "floors": _floors(a, a.eta)}
        if a.tokens > 2:
            data["lookup_eta"] = _lookup(a)
    if a.error is not None:
        data["error"] = a.error
        data["largest_eta"] = {name: _largest(a, rung) for rung, name in enumerate(NOTES)}
    return Answer(data, lambda: _shown(data))


def _bounds(a: Namespace, eta: float) -> dict[str, float | None]:
    return {name: _bound(a, eta, rung) for rung, name in enumerate(NOTES)}


def _bound(a: Namespace, eta: float, rung: int) -> float | None:
    """The bound of one rung; None where it is beyond float64."""
    import torch

    value = float(_values(a, torch.tensor([eta], dtype=torch.float64), rung))
    return value if value < float("inf") else None


def _values(a: Namespace, etas: Tensor, rung: int) -> Tensor:
    """The bound of one rung at each of several η that increase; infinite beyond float64."""
    from dataclasses import replace

    import torch

    from collapse.bounds.ladder import ladder
    from collapse.bounds.needs import entrywise_sizes

    # Equal heads enter by their sum: one head with values as large as all of theirs does the same.
    one = entrywise_sizes(etas, a.layers, 1, a.width, a.key_width)
    sizes = replace(one, head_value=a.heads * one.head_value, layer_value=a.heads * one.layer_value)
    phi = torch.full_like(etas, a.phi)
    try:
        # One token has no diameter; several lie at most 2 phi apart.
        found: Tensor = ladder(sizes, phi, 2 * phi if a.tokens > 1 else 0 * phi, rung)
        return found
    except ValueError:  # infinity times zero on the way, at one of them or more
        beyond = torch.full_like(etas, float("inf"))
        if len(etas) == 1:
            return beyond
        half = len(etas) // 2
        low = _values(a, etas[:half], rung)
        rest = _values(a, etas[half:], rung) if low[-1] < float("inf") else beyond[half:]
        return torch.cat([low, rest])


def _floors(a: Namespace, eta: float) -> dict[str, float]:
    """What some network of these sizes forces on every single layer; 0 where none is known."""
    from collapse.bounds.floors import one_head_floor, one_layer_floor
    from collapse.bounds.ladder import identity_constant

    deep, several = a.layers > 1 and a.tokens > 2, a.heads > 1 and a.tokens > 1
    any_heads = float(one_layer_floor(eta, a.phi)) if deep else 0.0
    one_head = float(one_head_floor(eta, a.phi)) if several else 0.0
    try:
        no_head = a.phi * float(identity_constant(eta, a.layers, a.heads, a.width))
    except OverflowError:
        no_head = sys.float_info.max  # a floor all the same
    return {
        "no head": min(no_head, sys.float_info.max),
        "one head": max(one_head, any_heads),
        "any heads": any_heads,
    }


def _lookup(a: Namespace) -> float:
    """Weights below this put half the mass of no row on one token of the input."""
    from collapse.bounds.needs import lookup_entry

    return lookup_entry(a.tokens, 0.5, a.width, a.key_width, a.phi)


def _largest(a: Namespace, rung: int) -> float | None:
    """The largest η whose bound is within the error, to ten digits; None if every η is."""
    import torch

    if (a.layers == 1 and rung in (1, 3)) or (a.tokens == 1 and rung > 1):
        return None  # the single layer is the network itself, or averages one token
    # For the sizes and errors that are let in, it lies between the first two ends.
    points = 2 ** torch.arange(-300, 301, dtype=torch.float64)
    for _ in range(5):
        inside = int((_values(a, points[1:-1], rung) <= a.error).sum())
        low, high = points[inside], points[inside + 1]
        points = low + (high - low) * torch.linspace(0, 1, 513, dtype=torch.float64)
    return float(low - (high - low))  # a step below, farther than rounding moves the bound


def _shown(data: dict[str, Any]) -> list[RenderableType]:
    from rich.table import Table

    sizes = data["settings"]
    lines: list[RenderableType] = [
        f"{sizes['layers']} attention layers with skips, {sizes['heads']} heads each, width"
        f" {sizes['width']}, key width {sizes['key_width']}, {sizes['tokens']} tokens of entries"
        f" at most {sizes['phi']:g}; errors are in the largest entry."
    ]
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("one layer instead")
    if "eta" in data:
        table.add_column(f"error at most, eta = {data['eta']:g}", justify="right")
    if "largest_eta" in data:
        table.add_column(f"largest eta for error {data['error']:g}", justify="right")
    for name, note in NOTES.items():
        row = [f"{name}, {note}"]
        if "eta" in data:
            bound = data["bounds"][name]
            row.append("beyond float64" if bound is None else f"{bound:.6g}")
        if "largest_eta" in data:
            found = data["largest_eta"][name]
            row.append("any" if found is None else f"{found:.6g}")
        table.add_row(*row)
    lines += ["", table]
    if "floors" in data:
        floors = Table(box=None, pad_edge=False, header_style="bold")
        few = f"up to {sizes['tokens']} tokens"
        floors.add_column(f"on {few}, some network is missed by every single layer with")
        floors.add_column("by at least", justify="right")
        for name, value in data["floors"].items():
            floors.add_row(name, f"{value:.6g}" if value else "no floor known")
        lines += ["", floors, "Both sides are without biases and masks."]
    if "lookup_eta" in data:
        lines += [
            "",
            f"A head that reads the input puts half its mass on one token only if eta is at least"
            f" {data['lookup_eta']:.6g}.",
        ]
    return lines
