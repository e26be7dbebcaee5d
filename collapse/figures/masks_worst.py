"""Chapter 8, masks: matrices that drift away from the centres, beside the bounds they attain."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes

from collapse.bounds.masked import centre_factors, walk_factors
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.masks import LAYER
from collapse.figures.style import COLOURS, INK
from collapse.witnesses.masks import lazy_walk, outward_drift


def worst(tokens: int, epsilon: float, layers: int, radii: Sequence[int]) -> FigureData:
    """Row-stochastic matrices that drift away from the centre, against the bounds.

    Args:
        tokens: Tokens of the one-sided window of width 1.
        epsilon: The floor ε under its weights.
        layers: Depth L of its products.
        radii: Radii r of the sliding windows of width 1, on 2r + 1 tokens.

    Source:
        masked-collapse, masked-walk
    """
    P, power = lazy_walk(tokens, epsilon).astype(float), np.eye(tokens)
    seen = [1.0]
    for _ in range(layers):
        power = P @ power
        seen.append(float(power[-1, 1:].sum()))  # τ: what of the last row is not at the centre
    index = list(range(layers + 1))
    floors = [epsilon] * layers
    first = (
        series("observed", index, seen),
        series("walk bound", index, walk_factors(floors, tokens - 1)),
        series("centre bound", index, centre_factors(floors, 1, tokens - 1)),
    )
    grid = torch.logspace(-2, math.log10(0.25), 13, dtype=torch.float64)
    second = []
    for r in radii:
        gaps = []
        for eps in grid.tolist():
            # λ₂ belongs to an antisymmetric vector, zero in the middle. The inverse on one half
            # keeps the digits of 1 − λ₂ where it is tiny.
            half = outward_drift(r, eps)[:r, :r].astype(float)
            inverse = np.linalg.inv(np.eye(r) - half)
            gaps.append(1 / float(abs(np.linalg.eigvals(inverse)).max()))
        second.append(series(f"r = {r}", grid, gaps))
        second.append(series(f"r = {r}, bound", grid, grid**r / r))
    return FigureData(
        "masks-worst",
        (
            Panel(f"One-sided window 1 on {tokens} tokens", LAYER, Axis("τ", scale="log"), first),
            Panel(
                "Sliding window 1 on 2r + 1 tokens",
                Axis("least weight ε", scale="log"),
                Axis("1 − rate", scale="log"),
                tuple(second),
            ),
        ),
        {"tokens": tokens, "epsilon": epsilon, "layers": layers, "radii": list(radii)},
    )


def draw_worst(axes: Sequence[Axes], data: FigureData) -> None:
    """Above, the walk bound through the points, the centre bound far above; below, powers r."""
    (top, low), (walk, drift) = axes, data.panels
    seen = walk["observed"]
    top.plot(walk["walk bound"].x, walk["walk bound"].y, color=COLOURS["blue"])
    top.plot(walk["centre bound"].x, walk["centre bound"].y, "--", color=COLOURS["red"])
    top.plot(seen.x[::4], seen.y[::4], "o", ms=4.5, mfc="none", mec=INK)
    last = seen.x[-1]
    top.set(xlim=(0, last), ylim=(seen.y[-1] / 3, 3))
    top.text(last, 1.3, "bound from the centre", color="#a84a00", ha="right")
    top.text(0.03, 0.08, "bound from walks (line), attained (circles)", color="#0072B2",
             transform=top.transAxes)  # fmt: skip
    for line, bound, colour in zip(
        drift.series[::2], drift.series[1::2], ("sky", "blue", "green", "purple"), strict=False
    ):
        low.plot(line.x, line.y, "o", ms=4, color=COLOURS[colour])
        low.plot(bound.x, bound.y, "--", lw=1.2, color=COLOURS[colour])
        low.text(line.x[0] * 0.93, line.y[0], line.name, color=INK, ha="right", va="center")
    low.set_xlim(left=drift.series[0].x[0] * 0.6)
