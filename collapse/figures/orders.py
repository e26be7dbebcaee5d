"""The figures on the ladder: how the errors of the rungs grow, and how far the bounds lie above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.attention import Network
from collapse.bounds import collapse_bound
from collapse.bounds.leading import leading_coefficient
from collapse.exact import lift
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS
from collapse.norms import token_norm
from collapse.numeric import Number, require
from collapse.rungs import RUNGS, surrogate
from collapse.witnesses.layers import scaled

LOOK = dict(zip(RUNGS, ("orange", "red", "green", "blue"), strict=True))
ASYMPTOTIC = 1e-3  # up to here the next order is below one per cent
ETA = Axis("size of the weights η", scale="log")
ERROR = Axis("error ‖S(X) − S′(X)‖", scale="log")


def example(seed: int, eta: float = 1.0) -> tuple[Network, Tensor]:
    """The chapter's network, three layers of two heads on width three, and four tokens.

    >>> example(0)[0].depth
    3
    """
    g = torch.Generator().manual_seed(seed)
    network = Network.random(3, 2, 3, 2, eta, g)
    return network, torch.rand(4, 3, generator=g, dtype=torch.float64) * 2 - 1


def rung_errors(network: Network, X: Number, p: float = math.inf) -> list[Number]:
    """The error ‖S(X) − S′(X)‖_p of every rung, of the number type of the inputs.

    >>> [float(error) > 0 for error in rung_errors(*example(0))]
    [True, True, True, True]
    """
    after = network(X)
    return [token_norm(after - surrogate(network, rung)(X), p) for rung in RUNGS]


def exact_errors(network: Network, X: Tensor, etas: Sequence[float], digits: int) -> np.ndarray:
    r"""The errors of the rungs for weights η times the network's, in so many digits.

    Args:
        network: A Network whose weights count as η = 1.
        X: Tokens, shape (n, d).
        etas: The values of η, binary floats taken exactly.
        digits: Decimal digits of every operation.

    Returns:
        Floats, shape (steps, 4); each is good to all its digits while η⁴ is far above
        :math:`10^{-\text{digits}}`.

    Source:
        rung-0, rung-1, rung-2, rung-3

    >>> network, X = example(0)
    >>> bool(exact_errors(network, X, [1e-8], 60)[0, 3] < 1e-31)
    True
    """
    with mpmath.workdps(digits):
        lifted, tokens = lift(network, "mpf"), lift(X, "mpf")
        rows = [rung_errors(scaled(lifted, mpmath.mpf(eta)), tokens) for eta in etas]
        return np.array([[float(error) for error in row] for row in rows])


def ladder(points: int, digits: int, seed: int) -> FigureData:
    """The errors of the four rungs against η, beyond what double precision can see.

    Args:
        points: Number of η from 1e-8 to 1, evenly spaced in log η, ≥ 9.
        digits: Decimal digits of the evaluation.
        seed: Seed of network and tokens.

    Returns:
        One panel with, for each rung, the series "rung r", "rung r, leading term" and "rung r,
        float64". Float64 errors of exactly zero are left out.

    Source:
        rung-0, rung-1, rung-2, rung-3
    """
    require(points >= 9, "points", "at least 9", points)
    network, X = example(seed)
    etas = torch.logspace(-8, 0, points, dtype=torch.float64)
    errors = torch.from_numpy(exact_errors(network, X, etas.tolist(), digits))
    floats = rung_errors(scaled(network, etas), X)
    lines: list[Series] = []
    for rung in RUNGS:
        name, seen = f"rung {rung}", floats[rung] > 0
        coefficient = token_norm(leading_coefficient(network, X, rung))
        lines += [
            series(name, etas, errors[:, rung]),
            series(f"{name}, leading term", etas, coefficient * etas ** (rung + 1)),
            series(f"{name}, float64", etas[seen], floats[rung][seen]),
        ]
    panel = Panel("", ETA, ERROR, tuple(lines))
    dtype = f"mpmath at {digits} digits; float64 where named"
    return FigureData("orders-ladder", (panel,), {"points": points, "digits": digits}, seed,
                      dtype=dtype)  # fmt: skip


def asymptotics(data: FigureData) -> list[tuple[float, float]]:
    """Slope of each rung, and how far its error is from the leading term, for η ≤ 1e-3.

    Args:
        data: What :func:`ladder` made.

    Returns:
        For each rung the least-squares slope of log error against log η, and the largest relative
        deviation from the leading term.

    Source:
        rung-0, rung-1, rung-2, rung-3

    >>> [round(slope) for slope, _ in asymptotics(ladder(9, 60, 0))]
    [1, 2, 3, 4]
    """
    (panel,) = data.panels
    found = []
    for rung in RUNGS:
        exact, leading = (panel[f"rung {rung}{end}"] for end in ("", ", leading term"))
        x, y, y0 = (np.array(v) for v in (exact.x, exact.y, leading.y))
        small = x <= ASYMPTOTIC * (1 + 1e-9)
        slope = np.polyfit(np.log(x[small]), np.log(y[small]), 1)[0]
        found.append((float(slope), float(abs(y / y0 - 1)[small].max())))
    return found


def draw_ladder(axes: Sequence[Axes], data: FigureData) -> None:
    """Points on their leading terms; double precision as faint crosses."""
    (ax,), (panel,) = axes, data.panels
    for rung in RUNGS:
        colour, name = COLOURS[LOOK[rung]], f"rung {rung}"
        exact, leading, rough = (panel[name + end] for end in ("", ", leading term", ", float64"))
        ax.plot(leading.x, leading.y, color=colour, lw=1, alpha=0.7)
        ax.plot(rough.x, rough.y, "x", color="#9a9a9a", ms=4, mew=0.9, zorder=1)
        ax.plot(exact.x, exact.y, "o", color=colour, ms=3.4)
        at = len(exact.x) // 5
        above = rung < 3
        power = "" if rung == 0 else "²³⁴"[rung - 1]
        ax.annotate(
            f"rung {rung}: η{power}",
            (exact.x[at], exact.y[at]),
            (-3, 7) if above else (5, -6),
            textcoords="offset points",
            color=colour,
            ha="right" if above else "left",
            va="bottom" if above else "top",
        )
    ax.annotate("crosses:\nwhat float64 reports", (5e-4, 1e-22), color="#6a6a6a", fontsize=9)
    ax.set_ylim(1e-34, 1e3)


def dependence(seeds: int, eta: float, seed: int) -> FigureData:
    """Errors and bounds against depth, heads, width and tokens, one at a time from L = H = d = 4.

    Args:
        seeds: Networks for each size; medians are shown.
        eta: Bound on the entries of the weights.
        seed: Seed of networks and tokens.

    Returns:
        Panels "layers", "heads", "width", "tokens" with the series "rung r" and "rung r, bound"
        for r = 1, 2, 3.

    Source:
        rung-1, rung-2, rung-3
    """
    g = torch.Generator().manual_seed(seed)
    sizes = {"layers": (1, 2, 4, 8, 16, 32), "heads": (1, 2, 4, 8, 16), "width": (1, 2, 4, 8, 16),
             "tokens": (2, 4, 8, 16, 32, 64)}  # fmt: skip
    panels = []
    for name, values in sizes.items():
        kind = {"layers": 4, "heads": 4, "width": 4, "tokens": 8} | {name: max(values)}
        if name in ("layers", "heads"):  # one call: what is beyond the size is switched off
            network, X = _random(kind, seeds, eta, g)
            network = _first(network, name, values)
            results = [_medians(network, X)]
        else:
            results = [_medians(*_random(kind | {name: v}, seeds, eta, g)) for v in values]
        table = torch.cat(results, 1)
        lines = []
        for i, rung in enumerate((1, 2, 3)):
            seen = table[2 * i + 1] > 0  # one layer is its own rung 1 and 3
            x = torch.tensor(values, dtype=torch.float64)
            lines += [series(f"rung {rung}", x[seen], table[2 * i][seen]),
                      series(f"rung {rung}, bound", x[seen], table[2 * i + 1][seen])]  # fmt: skip
        panels.append(Panel("", Axis(name, scale="log"), Axis("error", scale="log"), tuple(lines)))
    settings: dict[str, Any] = {"seeds": seeds, "eta": eta, "layers": 4, "heads": 4, "width": 4}
    return FigureData("orders-dependence", tuple(panels), settings | {"tokens": 8}, seed)


def _random(
    kind: dict[str, int], seeds: int, eta: float, g: torch.Generator
) -> tuple[Network, Tensor]:
    """Networks and tokens of batch (1, seeds)."""
    sizes = (kind["layers"], kind["heads"], kind["width"], 2)
    networks = [Network.random(*sizes, eta, g) for _ in range(seeds)]
    query, key, value = (
        torch.stack([getattr(network, name) for network in networks])[None]
        for name in ("query", "key", "value")
    )
    X = torch.rand(1, seeds, kind["tokens"], kind["width"], generator=g, dtype=torch.float64)
    return Network(query, key, value), X * 2 - 1


def _first(network: Network, name: str, values: Sequence[int]) -> Network:
    """Of every network the first v layers or heads, for all v at once: V = 0 in the others."""
    size = network.depth if name == "layers" else network.heads
    kept = torch.arange(size) < torch.tensor(values)[:, None]
    shape = (len(values), 1, size, 1, 1, 1) if name == "layers" else (len(values), 1, 1, size, 1, 1)
    full = (len(values), *network.query.shape[1:])
    query, key = network.query.expand(full), network.key.expand(full)
    return network.replace(query=query, key=key, value=network.value * kept.reshape(shape))


def _medians(network: Network, X: Tensor) -> Tensor:
    """Rows: error and bound of rungs 1, 2, 3; columns: the sizes."""
    errors = rung_errors(network, X)
    bounds = [collapse_bound(network, X, rung).value for rung in RUNGS]
    rows = [side[rung].median(-1).values for rung in (1, 2, 3) for side in (errors, bounds)]
    return torch.stack(rows)


def draw_dependence(axes: Sequence[Axes], data: FigureData) -> None:
    """Points for the errors, lines for the bounds."""
    for ax, panel in zip(axes, data.panels, strict=True):
        for rung in (1, 2, 3):
            colour = COLOURS[LOOK[rung]]
            seen, bound = panel[f"rung {rung}"], panel[f"rung {rung}, bound"]
            ax.plot(bound.x, bound.y, color=colour, lw=1)
            ax.plot(seen.x, seen.y, "o", color=colour, ms=3.6)
        ticks = sorted({x for line in panel.series for x in line.x})
        ax.set_xticks(ticks, [f"{x:g}" for x in ticks])
        ax.minorticks_off()
    labels = [f"rung {rung}" for rung in (1, 2, 3)]
    axes[0].legend(axes[0].lines[1::2], labels, fontsize=8, borderaxespad=0)
