"""Chapter 8. Tokens at rest under normalised rows: multipliers of equilibria, basins of two."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mpmath
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from torch import Tensor

from collapse.attention import Network
from collapse.bounds.equilibria import equilibrium_multipliers, symmetric_multiplier
from collapse.exact import ExactNetwork
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.style import COLOURS, INK
from collapse.layernorm import UNDECIDED, repelling_slope, tangent_jacobian, two_token_limits
from collapse.numeric import Number
from collapse.witnesses.layernorm import equilibrium, two_tokens

SYMMETRIC, RADIUS, MEASURED = "symmetric mode", "largest, closed form", "largest, measured"


def in_floats(network: ExactNetwork, X: Number) -> tuple[Network, Tensor]:
    """A network of mpmath floats and its tokens in float64.

    >>> in_floats(*equilibrium([1, 1], mpmath.mpf(1)))[1]
    tensor([[1., 0.],
            [0., 1.]], dtype=torch.float64)
    """
    query, identity, value, tokens = (
        torch.tensor(np.asarray(w, dtype=float), dtype=torch.float64)
        for w in (network.query, network.key, network.value, X)
    )
    return Network(query, identity, value, skip=0.0, norm=network.norm), tokens


def multipliers(groups: Sequence[int], b: float, width: int | None = None) -> Tensor:
    """Moduli of the multipliers of an equilibrium, measured, largest first.

    Args:
        groups: Sizes of the groups.
        b: The factor of M.
        width: d; the number of groups by default.

    Source:
        ln-equilibria

    >>> bool(multipliers([1, 1], 1.0)[0] > 1)
    True
    """
    network, X = in_floats(*equilibrium(groups, mpmath.mpf(b), width))
    values = torch.linalg.eigvals(tangent_jacobian(network, X)).abs()
    return values.sort(descending=True).values


def spectrum(counts: Sequence[int], size: int, points: int) -> FigureData:
    """The largest multiplier of equal groups over b, measured and in closed form.

    Args:
        counts: Numbers k ≥ 2 of groups, one panel each.
        size: Tokens of each group.
        points: Values of b on each side of 0, from 1/4 to 8.

    Source:
        ln-equilibria
    """
    positive = torch.logspace(-2, 3, points, base=2.0, dtype=torch.float64)
    b = torch.cat((-positive.flip(0), positive))
    panels = []
    for k in counts:
        closed = [equilibrium_multipliers(x, k, k * size) for x in b.tolist()]
        largest = [max(abs(value) for value, times in each if times) for each in closed]
        lines = (
            series(SYMMETRIC, b, [symmetric_multiplier(x, k) for x in b.tolist()]),
            series(RADIUS, b, largest),
            series(MEASURED, b, [float(multipliers([size] * k, x)[0]) for x in b.tolist()]),
        )
        panels.append(
            Panel(f"k = {k} groups", Axis("b"), Axis("size of multiplier", scale="log"), lines)
        )
    return FigureData("layernorm-spectrum", tuple(panels), {"size": size, "points": points})


def draw_spectrum(axes: Sequence[Axes], data: FigureData) -> None:
    """Everything lies above one."""
    for ax, panel in zip(axes, data.panels, strict=True):
        half = len(panel.series[0].x) // 2
        for name, colour, style in ((SYMMETRIC, "green", "--"), (RADIUS, "blue", "-")):
            curve = panel[name]
            for part in (slice(0, half), slice(half, None)):  # b = 0 is no equilibrium
                ax.plot(curve.x[part], curve.y[part], color=COLOURS[colour], ls=style)
        ax.plot(panel[MEASURED].x, panel[MEASURED].y, "o", ms=4, mfc="none", mec=INK)
        ax.axhline(1, color=INK, lw=0.8, ls=":")
        ax.set(xlim=(-8.3, 8.3), ylim=(0.8, 60))
    axes[0].text(-8, 30, "○ largest measured", color=INK)
    axes[0].text(-8, 17, "— largest, closed form", color=COLOURS["blue"])
    axes[0].text(-8, 9.5, "- - symmetric mode", color="#00714f")


def basins(columns: int, rows: int, layers: int) -> FigureData:
    """The limit of the second token over its first angle: over w, and over the first token.

    Args:
        columns: Values of w from 1.05 to 6, and of the angle of x₁ from −89° to 90°.
        rows: Angles of x₂, in the middle of as many equal parts of the circle.
        layers: How long tokens are followed.

    Returns:
        Two panels with the grid "limit" (0 for the first, 1 for the second limit, 2 undecided)
        and the exact edges of the second basin.

    Source:
        ln-two-token
    """
    second = (torch.arange(rows, dtype=torch.float64) + 0.5) * 360 / rows
    w = torch.linspace(1.05, 6, columns, dtype=torch.float64)
    upright = torch.tensor(math.pi / 2, dtype=torch.float64)
    over_w = two_token_limits(w, upright, second.deg2rad()[:, None], layers)
    edge = [180 - math.degrees(math.acos(1 / x)) for x in w.tolist()]
    # One degree a column at most, the last upright.
    first = torch.linspace(-89, 90, columns, dtype=torch.float64)
    two = torch.tensor(2.0, dtype=torch.float64)
    over_first = two_token_limits(two, first.deg2rad(), second.deg2rad()[:, None], layers)
    angles, low = [], []
    for angle in first.tolist():
        slope = None if angle == 90 else math.tan(math.radians(angle))
        found = None if slope is not None and slope <= 0 else repelling_slope(2.0, slope)
        if found is not None:
            angles.append(angle)
            low.append(180 - math.degrees(math.atan(found)))
    x2 = Axis("angle of x₂", "°")
    return FigureData(
        "layernorm-basins",
        (
            Panel(
                "x₁ = (0, 1)",
                Axis("w"),
                x2,
                (
                    series("limit", w, second, over_w),
                    series("lower edge", w, edge),
                    series("upper edge", w, torch.full_like(w, 270)),
                ),
            ),
            Panel(
                "w = 2",
                Axis("angle of x₁", "°"),
                x2,
                (
                    series("limit", first, second, over_first),
                    series("lower edge", angles, low),
                    series("upper edge", angles, [180 + angle for angle in angles]),
                ),
            ),
        ),
        {"columns": columns, "rows": rows, "layers": layers},
    )


def draw_basins(axes: Sequence[Axes], data: FigureData) -> None:
    """The grid in two colours, the exact edges on top of it."""
    colours = ListedColormap(["#ffffff00", COLOURS["sky"], COLOURS["red"]])
    for ax, panel in zip(axes, data.panels, strict=True):
        grid = panel["limit"]
        assert grid.z is not None
        ax.pcolormesh(grid.x, grid.y, grid.z, cmap=colours, vmin=0, vmax=UNDECIDED, rasterized=True)
        for name in ("lower edge", "upper edge"):
            ax.plot(panel[name].x, panel[name].y, color=INK, lw=1.2)
        ax.set(xlim=(grid.x[0], grid.x[-1]), ylim=(0, 360), yticks=range(0, 361, 90))
    axes[0].text(3.5, 200, "second limit", ha="center")
    axes[0].text(3.5, 45, "(0, 1)", ha="center")
    axes[1].text(70, 205, "second\nlimit", ha="center", va="center")
    axes[1].text(0, 100, "(0, 1)", ha="center")


def stretch(w: float, point: Sequence[float], digits: int = 60) -> float:
    """How a layer stretches a tiny step of the second token along the circle, x₁ = (0, 1).

    Args:
        w: The entry of V.
        point: A fixed point of the second token.
        digits: Decimal digits; the step is 10 to minus a third of them.

    Source:
        ln-two-token

    >>> round(stretch(2.0, (0.0, 1.0)), 6)
    0.5
    """
    with mpmath.workdps(digits):
        step, (x, y) = mpmath.mpf(10) ** (-digits // 3), map(mpmath.mpf, point)
        angle = mpmath.atan2(y, x)
        images = []
        for turn in (angle, angle + step):
            token = (mpmath.cos(turn), mpmath.sin(turn))
            network, X = two_tokens(mpmath.mpf(w), (mpmath.mpf(0), mpmath.mpf(1)), token, 1)
            images.append(network(X)[1])
        moved = images[1] - images[0]
        return float(mpmath.sqrt((moved * moved).sum()) / step)
