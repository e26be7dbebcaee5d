"""The figure on the trade-off: what weights lose, allow and can do, on one axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.bounds.floors import one_head_floor, one_layer_floor
from collapse.bounds.ladder import ladder
from collapse.bounds.needs import entrywise_sizes, lookup_entry
from collapse.fast import taylor_degree, taylor_rank
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.style import COLOURS


def one_axis(
    points: int, layers: int, heads: int, width: int, key_width: int, tokens: int,
    delta: float, distance: float,
) -> FigureData:  # fmt: skip
    """What weights with entries at most η lose, allow and can do on tokens with entries at most 1.

    Args:
        points: Values of η from 0.001 to 1.
        layers: L ≥ 2 of the networks.
        heads: H ≥ 2.
        width: d.
        key_width: d_k.
        tokens: n.
        delta: Mass that a lookup may leave elsewhere.
        distance: Share of a row that polynomial attention may move.

    Returns:
        Panel "What one layer loses": the bounds "rung 2, at most" and "rung 3, at most" for all
        such networks, and the floors "one head, at least", "one layer, at least" for the worst of
        them. Panel "What fast attention needs": "rank ÷ n". Panel "What a lookup needs": "mass".
        The parameters hold the three η at which a panel turns: "half", where the bound of rung 2
        is half the size of the tokens, "fast", where the rank reaches n, and "lookup".

    Source:
        as25-tradeoff, large-weights-needed, taylor-attention
    """
    etas = torch.logspace(-3, 0, points, dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)

    def loss(eta: Tensor, rung: int) -> Tensor:
        sizes = entrywise_sizes(eta, layers, heads, width, key_width)
        return ladder(sizes, one.expand(eta.shape), 2 * one.expand(eta.shape), rung)

    def rank(eta: float) -> float:
        logits = width * width * key_width * eta * eta
        return taylor_rank(key_width, taylor_degree(logits, distance)) / tokens

    lost = [series(f"rung {rung}, at most", etas, loss(etas, rung)) for rung in (2, 3)]
    for name, floor in (("one head", one_head_floor), ("one layer", one_layer_floor)):
        lost.append(series(f"{name}, at least", etas, floor(width * etas)))
    odds = 2 * width * width * key_width * etas**2 - math.log(tokens - 1)
    feasible = [eta for eta in etas.tolist() if width * width * key_width * eta * eta < 40]
    lookup = lookup_entry(tokens, delta, width, key_width)
    turns = {
        "half": _first(lambda eta: float(loss(torch.tensor(eta, dtype=torch.float64), 2)), 0.5),
        "fast": _first(rank, 1.0),
        "lookup": lookup,
    }
    x = Axis("largest entry η of the weights", scale="log")
    panels = (
        Panel("What one layer loses", x, Axis("error ÷ ‖X‖", scale="log"), tuple(lost)),
        Panel("What fast attention needs", x, Axis("rank ÷ n", scale="log"),
              (series("rank ÷ n", feasible, [rank(eta) for eta in feasible]),)),
        Panel("What a lookup needs", x, Axis("largest mass on a token"),
              (series("mass", etas, torch.sigmoid(odds)),)),
    )  # fmt: skip
    settings: dict[str, Any] = {
        "points": points, "layers": layers, "heads": heads, "width": width,
        "key_width": key_width, "tokens": tokens, "delta": delta, "distance": distance,
    }  # fmt: skip
    return FigureData("cost-axis", panels, settings | {"turns": turns})


def _first(rising: Callable[[float], float], level: float) -> float:
    """The first η in [1e-3, 1] at which a rising function reaches a level, to 0.1 per cent."""
    low, high = 1e-3, 1.0
    while high > 1.001 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if rising(middle) >= level else (middle, high)
    return high


def draw_one_axis(axes: Sequence[Axes], data: FigureData) -> None:
    """Three panels on one axis, with the three places at which something turns."""
    lost, fast, task = data.panels
    turns = data.parameters["turns"]
    for rung, name, colour in ((2, "one head", "green"), (3, "one layer", "blue")):
        above, below = lost[f"rung {rung}, at most"], lost[f"{name}, at least"]
        axes[0].fill_between(above.x, below.y, above.y, color=COLOURS[colour], alpha=0.15, lw=0)
        axes[0].plot(above.x, above.y, color=COLOURS[colour], label=above.name)
        axes[0].plot(below.x, below.y, "--", color=COLOURS[colour], lw=1.2, label=below.name)
    axes[0].set_ylim(1e-12, 1e5)  # room for the label above the curves
    axes[0].legend(loc="lower right", fontsize=8, handlelength=1.2, borderaxespad=0.2)
    rank, mass = fast["rank ÷ n"], task["mass"]
    axes[1].plot(rank.x, rank.y, color=COLOURS["orange"])
    axes[1].axhspan(1, 1e4, color=COLOURS["grey"], alpha=0.18, lw=0)
    axes[1].set_ylim(1e-6, 1e4)
    axes[2].plot(mass.x, mass.y, color=COLOURS["purple"])
    axes[2].set_ylim(0, 1.05)
    for ax in axes:
        ax.set_xlim(1e-3, 1)
        for name, colour in (("half", "green"), ("fast", "orange"), ("lookup", "purple")):
            ax.axvline(turns[name], color=COLOURS[colour], lw=1, ls=":")
    for ax, name, text in (
        (axes[0], "half", "rung 2 within ½"),
        (axes[1], "fast", "rank below n"),
        (axes[2], "lookup", "no lookup"),
    ):
        ax.annotate("← " + text, (turns[name], 0.9), (-4, 0), xycoords=ax.get_xaxis_transform(),
                    textcoords="offset points", ha="right", va="top", fontsize=9)  # fmt: skip
