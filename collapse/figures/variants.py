"""The figures on masks, pre-normalisation, rotary positions and grouped queries: orders of error.

Everything is computed in 60 digits: fourth powers of small weights lie below float64's rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import mpmath
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.attention import Network
from collapse.exact import lift
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.orders import LOOK
from collapse.figures.skips import ETA, key
from collapse.figures.style import COLOURS, INK
from collapse.rungs import mean_field, mean_head, surrogate

DIGITS = 60
FLOOR = "floor"
ERROR = Axis("error", scale="log")
LADDER = {f"rung {rung}": partial(surrogate, rung=rung) for rung in (0, 1, 2, 3)}


def grouped(network: Network, groups: int) -> Network:
    r"""The network with W_K and V shared by the heads of a group, as in grouped-query attention.

    Args:
        network: A Network without output matrix, H a multiple of the groups.
        groups: Number of groups; 1 is multi-query attention.

    Returns:
        A Network in which each head has the W_K and V of the first head of its group.

    Source:
        rung-3

    >>> g = torch.Generator().manual_seed(0)
    >>> network = grouped(Network.random(1, 4, 2, 2, 0.1, g), 2)
    >>> torch.equal(network.key[0, 0], network.key[0, 1])
    True
    """
    size = network.heads // groups
    key, value = (
        w[..., ::size, :, :].repeat_interleave(size, -3) for w in (network.key, network.value)
    )
    return network.replace(key=key, value=value)


def errors(
    network: Network,
    imitators: Mapping[str, Callable[[Network], Network]],
    inputs: Sequence[Tensor],
) -> dict[str, list[float]]:
    """How far each imitator is from the network, for each of its batch, in 60 digits.

    Args:
        network: A Network with a batch of values of η.
        imitators: By name, what makes a one-layer or simpler network of it.
        inputs: Tokens, each of shape (n, d).

    Returns:
        For each name the largest error in an entry, over all inputs, one number a value of η.
    """
    with mpmath.workdps(DIGITS):
        exact = lift(network, "mpf")
        tokens = [lift(X, "mpf") for X in inputs]
        outputs = [exact(X) for X in tokens]
        result = {}
        for name, imitate in imitators.items():
            simple = imitate(exact)
            gaps = [abs(S - simple(X)) for S, X in zip(outputs, tokens, strict=True)]
            result[name] = [float(max(gap[i].max() for gap in gaps)) for i in range(len(gaps[0]))]
        return result


def floor(network: Network, X: Tensor, other: Tensor, rows: Sequence[int]) -> list[float]:
    """Half the gap between two outputs, in rows where one layer cannot tell the inputs apart."""
    with mpmath.workdps(DIGITS):
        exact = lift(network, "mpf")
        gap = abs(exact(lift(X, "mpf")) - exact(lift(other, "mpf")))[:, list(rows), :]
        return [float(g.max() / 2) for g in gap]


def order(curve: Series, decades: float = 2.0) -> float:
    """Fitted power of η over the smallest decades of a curve: the slope in log-log scale.

    >>> order(series("cube", [1e-3, 1e-2, 1e-1], [1e-9, 1e-6, 1e-3]))
    3.0
    """
    x, y = np.log10(curve.x), np.log10(curve.y)
    small = x <= x.min() + decades
    return round(float(np.polyfit(x[small], y[small], 1)[0]), 12)


def _draw(points: int, layers: int, heads: int, seed: int) -> tuple[Tensor, Network, Tensor]:
    """Values of η from 10⁻⁵ to 10⁻¹, a network for each, and four tokens of length one in ℓ∞."""
    eta = torch.logspace(-5, -1, points, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    network = Network.random(layers, heads, 3, 2, eta, generator)
    X = torch.rand(4, 3, generator=generator, dtype=torch.float64) * 2 - 1
    return eta, network, X / X.abs().amax(-1, keepdim=True)


def floors_of_variants(points: int, layers: int, heads: int, seed: int) -> FigureData:
    """Error of the best simple networks under a causal mask and with pre-normalisation.

    Args:
        points: Number of η from 10⁻⁵ to 10⁻¹.
        layers: L.
        heads: H.
        seed: Seed of network and tokens.

    Returns:
        Panels "causal" and "pre-norm" over η: the one-head network, the mean-field stack, and the
        floor, half the gap between two inputs that no one-layer network tells apart.

    Source:
        causal-floor, preln-floor
    """
    eta, network, X = _draw(points, layers, heads, seed)
    imitators = {"one head": mean_head, "averages stacked": mean_field}
    causal = network.replace(mask=torch.ones(4, 4, dtype=torch.bool).tril())
    swapped = X[[1, 0, 2, 3]]
    pre = network.replace(norm="pre")
    longer = X * torch.tensor([[1.0], [2.0], [1.0], [1.0]], dtype=torch.float64)
    panels = []
    for title, variant, other, rows in (
        ("Causal mask", causal, swapped, (2, 3)),
        ("Pre-normalisation", pre, longer, (0, 2, 3)),
    ):
        curves = errors(variant, imitators, (X, other)) | {FLOOR: floor(variant, X, other, rows)}
        panels.append(
            Panel(title, ETA, ERROR, tuple(series(name, eta, y) for name, y in curves.items()))
        )
    return FigureData(
        "skips-floors",
        tuple(panels),
        {"points": points, "layers": layers, "heads": heads, "width": 3, "key_width": 2},
        seed,
        dtype=f"{DIGITS} decimal digits",
    )


def draw_floors(axes: Sequence[Axes], data: FigureData) -> None:
    """The one head and its floor enclose a strip of order η²; the stack lies below at order η³."""
    for ax, panel in zip(axes, data.panels, strict=True):
        head, stack, least = (panel[name] for name in ("one head", "averages stacked", FLOOR))
        ax.fill_between(head.x, least.y, head.y, color=COLOURS["blue"], alpha=0.15)
        ax.plot(head.x, head.y, color=COLOURS["blue"])
        ax.plot(least.x, least.y, color=COLOURS["red"])
        ax.plot(stack.x, stack.y, color=COLOURS["green"])
        key(
            ax,
            [
                ("one head", COLOURS["blue"]),
                ("floor for every one-layer network", "#a84a00"),
                ("averages, layer by layer", "#00714f"),
            ],
        )
        ax.set(xlim=(head.x[0], head.x[-1]))


def ladders_of_variants(points: int, layers: int, heads: int, base: float, seed: int) -> FigureData:
    """The four rungs under rotary positions and with grouped queries.

    Args:
        points: Number of η from 10⁻⁵ to 10⁻¹.
        layers: L.
        heads: H, even; grouped in pairs.
        base: Base of the rotary positions.
        seed: Seed of network and tokens.

    Returns:
        Panels "rotary" and "grouped" over η, with the series "rung 0" to "rung 3".

    Source:
        rung-0, rung-1, rung-2, rung-3
    """
    eta, network, X = _draw(points, layers, heads, seed)
    panels = []
    for title, variant in (
        ("Rotary positions", network.replace(rope=base)),
        ("Grouped queries", grouped(network, heads // 2)),
    ):
        curves = errors(variant, LADDER, (X,))
        panels.append(
            Panel(title, ETA, ERROR, tuple(series(name, eta, y) for name, y in curves.items()))
        )
    return FigureData(
        "skips-ladders",
        tuple(panels),
        {"points": points, "layers": layers, "heads": heads, "base": base},
        seed,
        dtype=f"{DIGITS} decimal digits",
    )


def draw_ladders(axes: Sequence[Axes], data: FigureData) -> None:
    """Four straight lines a panel; what float64 could not resolve is below the grey line."""
    for ax, panel in zip(axes, data.panels, strict=True):
        for curve, colour in zip(panel.series, LOOK.values(), strict=True):
            ax.plot(curve.x, curve.y, color=COLOURS[colour])
            at, power = len(curve.x) // 4, int(curve.name[-1]) + 1
            words = f"{curve.name}: η{'⁰¹²³⁴'[power] if power > 1 else ''}"
            ax.text(curve.x[at], 2.5 * curve.y[at], words, ha="right", va="bottom", color=INK)
        ax.axhline(torch.finfo(torch.float64).eps, color=COLOURS["grey"], lw=0.9, ls=":")
        left, right = panel.series[0].x[0], panel.series[0].x[-1]
        ax.text(right, 1e-16, "float64's rounding", ha="right", va="top", fontsize=9)
        ax.set(xlim=(left, right), ylim=(1e-22, 10))
