"""The figure on polynomial attention: error against degree and size of the logits."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from matplotlib.axes import Axes

from collapse.bounds.taylor import relative_tv_bound, taylor_error
from collapse.fast import taylor_attention
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS
from collapse.norms import diameter, token_norm
from collapse.softmax import softmax, tv_bound


def polynomial(degrees: int, points: int, tokens: int, seed: int) -> FigureData:
    """How far polynomial attention is from softmax, by degree and by size of the logits.

    Args:
        degrees: Largest degree of the first panel.
        points: Sizes of logits in the second panel, from 0.05 to 8.
        tokens: Tokens of the random attention, four features each.
        seed: Seed of queries and keys.

    Returns:
        Panels against the degree (at B = ¼, 1, 4) and against B (at degrees 1, 2, 4, 8, 16). For
        each the series "bound …", "worst row …" and "random …": the bound on a row's total
        variation, that of the worst row of logits in [−B, B], and the output's error ÷ diam(v)
        for random queries and keys with max‖q‖ max‖k‖ = B.

    Source:
        taylor-attention
    """
    g = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, tokens, 4, generator=g, dtype=torch.float64)
    q, k = (x / token_norm(x, 2) for x in (q, k))

    def lines(name: str, cases: Sequence[tuple[float, int]], along: int) -> list[Series]:
        rows: dict[str, list[tuple[float, float]]] = {"bound": [], "worst row": [], "random": []}
        for size, degree in cases:
            if (r := taylor_error(size, degree)) < 1:
                at = (size, degree)[along]
                error = taylor_attention(size * q, k, v, degree) - softmax(size * q @ k.mT) @ v
                spread = diameter(v)
                rows["bound"].append((at, relative_tv_bound(r)))
                rows["worst row"].append((at, worst_row(size, degree)))
                rows["random"].append((at, float(error.abs().max() / spread)))
        return [
            series(f"{kind} {name}", *zip(*points, strict=True)) for kind, points in rows.items()
        ]

    by_degree: list[Series] = []
    for size in (0.25, 1.0, 4.0):
        by_degree += lines(f"B = {size:g}", [(size, g) for g in range(degrees + 1)], 1)
    by_size: list[Series] = []
    grid = torch.logspace(math.log10(0.05), math.log10(8), points, dtype=torch.float64).tolist()
    for degree in (1, 2, 4, 8, 16):
        by_size += lines(f"g = {degree}", [(size, degree) for size in grid], 0)
    error = Axis("share of a row that moves", scale="log")
    panels = (
        Panel("Against the degree", Axis("degree g"), error, tuple(by_degree)),
        Panel("Against the logits", Axis("bound B on the logits", scale="log"), error,
              tuple(by_size)),
    )  # fmt: skip
    settings = {"degrees": degrees, "points": points, "tokens": tokens, "key width": 4}
    return FigureData("cost-polynomial", panels, settings, seed)


def worst_row(size: float, degree: int) -> float:
    r"""The farthest that the Taylor polynomial moves a row of logits in [−B, B], of any length.

    Tokens with the two logits whose weights change by the most different factors, in the right
    numbers, attain tanh(θ/4) with θ the difference of the factors' logarithms.

    >>> worst_row(1.0, 5) <= relative_tv_bound(taylor_error(1.0, 5))
    True
    """
    x = torch.linspace(-size, size, 2001, dtype=torch.float64)
    # T_g(x)e^{-x} − 1 by its tail: the terms that the polynomial leaves out, without cancellation.
    term, tail = torch.ones_like(x), torch.zeros_like(x)
    for m in range(1, degree + 80):
        term = term * x / m
        tail = tail + term * (m > degree)
    factor = torch.log1p(-tail * torch.exp(-x))
    return float(tv_bound(factor.max() - factor.min()))


def draw_polynomial(axes: Sequence[Axes], data: FigureData) -> None:
    """Lines for the bounds, open circles for the worst rows, dots for random attention."""
    palettes = (("blue", "green", "red"), ("purple", "blue", "green", "orange", "red"))
    for ax, panel, colours in zip(axes, data.panels, palettes, strict=True):
        names = [s.name.removeprefix("bound ") for s in panel.series if s.name.startswith("bound")]
        for name, colour in zip(names, colours, strict=True):
            bound, worst, random = (panel[f"{kind} {name}"] for kind in ("bound", "worst row",
                                                                         "random"))  # fmt: skip
            shade = COLOURS[colour]
            ax.plot(bound.x, bound.y, color=shade, lw=1.2)
            ax.plot(worst.x, worst.y, "o", mfc="none", mec=shade, ms=4.5, mew=0.9)
            ax.plot(random.x, random.y, ".", color=shade, ms=4)
        ax.set_ylim(1e-13, 2)
    marks = axes[0].get_lines()[:3]
    names = ["bound", "worst row", "random tokens"]
    axes[0].legend(marks, names, loc="upper right", fontsize=8, handlelength=1.2, borderaxespad=0.1)
    for size in ("0.25", "1", "4"):
        line = data.panels[0][f"bound B = {size}"]
        seen = max(i for i, y in enumerate(line.y) if y > 1e-13)
        axes[0].annotate(f"B = {size}", (line.x[seen], line.y[seen]), (6, 0), fontsize=9,
                         textcoords="offset points")  # fmt: skip
    axes[0].set(xticks=range(0, 21, 4), xlim=(-0.5, 22.5))
    names = [f"g = {degree}" for degree in (1, 2, 4, 8, 16)]
    axes[1].legend(axes[1].get_lines()[::3], names, loc="lower right", fontsize=8.5)
    axes[1].set(xlim=(0.045, 40), xticks=[0.1, 1, 10], xticklabels=["0.1", "1", "10"])
