"""The figures on softmax under balanced perturbation: bounds against searched worst cases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.adversary import worst_balanced
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS, INK
from collapse.numeric import require
from collapse.softmax import (
    entry_bound,
    retrieval_threshold,
    softmax,
    total_variation,
    tv_bound,
    tv_bounds,
    uniform_tv_bound,
)
from collapse.symbolic.softmax import d21_limit

OBSERVED = "worst case found"
_AS23 = "√log m"
_CIRCLES: dict[str, Any] = {
    "ls": "",
    "marker": "o",
    "ms": 4.2,
    "mfc": "none",
    "mec": INK,
    "mew": 0.9,
    "zorder": 3,
    "clip_on": False,
}


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _grid(low: float, high: float, points: int) -> Tensor:
    return torch.linspace(low, high, points, dtype=torch.float64)


def distance(A: Tensor, E: Tensor) -> Tensor:
    """Total variation between the one row of softmax(A) and of softmax(A + E)."""
    return total_variation(softmax(A), softmax(A + E))[..., 0]


def comparison(points: int, tokens: int, starts: int, seed: int) -> FigureData:
    """Every bound on total variation, the worst case found at each θ, and their ratio.

    Args:
        points: Number of θ from 0.01 to 12, evenly spaced in log θ, ≥ 2.
        tokens: Length of the row that the search may fill.
        starts: Random starts of the search at each θ.
        seed: Seed of the starts.

    Returns:
        Panels "bounds" (one series a bound, and the worst case) and "slack" (worst case ÷ bound).
        D21's bound ends where its proof does.

    Source:
        softmax-compare, softmax-tv
    """
    require(points >= 2, "points", "at least 2", points)
    theta = torch.logspace(-2, math.log10(12), points, dtype=torch.float64)
    worst, _, _ = worst_balanced(distance, theta, tokens, _generator(seed), starts)
    limit = float(d21_limit())
    fine, slack = [], []
    lines = torch.cat([_grid(0, 12, 241), torch.tensor([limit], dtype=torch.float64)]).sort().values
    for name, bound in tv_bounds(lines).items():
        proved = lines <= (limit if name == "d21" else math.inf)
        fine.append(series(name, lines[proved], bound[proved]))
    for name, bound in tv_bounds(theta).items():
        proved = theta <= (limit if name == "d21" else math.inf)
        slack.append(series(name, theta[proved], (worst / bound)[proved]))
    balance, tv = Axis("balance θ of the perturbation"), Axis("total variation")
    log_balance = Axis(balance.name, scale="log")
    return FigureData(
        "softmax-worst-case",
        (
            Panel(
                "Bounds, and what a search finds",
                balance,
                tv,
                (*fine, series(OBSERVED, theta, worst)),
            ),
            Panel("Worst case found ÷ bound", log_balance, Axis("ratio"), tuple(slack)),
        ),
        {"points": points, "tokens": tokens, "starts": starts},
        seed,
    )


def draw_comparison(axes: Sequence[Axes], data: FigureData) -> None:
    """Curves with the found points on the sharp one; below, the slack of each."""
    bounds, slack = data.panels
    look = {"sharp": "blue", "linear": "orange", "as25": "red", "d21": "green"}
    for name, colour in look.items():
        axes[0].plot(bounds[name].x, bounds[name].y, color=COLOURS[colour])
        axes[1].plot(slack[name].x, slack[name].y, color=COLOURS[colour], marker=".")
    found, end = bounds[OBSERVED], bounds["d21"]
    axes[0].plot(found.x, found.y, **_CIRCLES)
    axes[0].plot(end.x[-1], end.y[-1], "s", ms=5, color=COLOURS["green"], clip_on=False)
    axes[0].set(xlim=(0, 12), ylim=(0, 1.3), xticks=range(0, 13, 2))
    axes[0].axhline(1, color=COLOURS["grey"], lw=0.8, ls=":")
    line = {"arrowstyle": "-", "color": INK, "lw": 0.7}
    axes[0].annotate("worst case found", (4.7, 0.82), (5.6, 0.66), arrowprops=line)
    axes[0].text(7.4, 0.87, "tanh(θ/4): sharp", color=COLOURS["blue"], va="top")
    axes[0].text(4.75, 1.13, "θ/4", color="#9a6a00")
    axes[0].text(1.42, 1.2, "θ (D21)", color="#00714f")
    axes[0].text(1.38, 0.9, "(e$^θ$−1)/2\n(AS25)", color="#a84a00", va="top", fontsize=9.5)
    axes[1].set(
        xlim=(0.009, 13),
        ylim=(0, 1.09),
        xticks=[0.01, 0.1, 1, 10],
        xticklabels=["0.01", "0.1", "1", "10"],
    )
    axes[1].text(0.012, 0.93, "tanh(θ/4)", color=COLOURS["blue"], va="top")
    axes[1].text(2.9, 0.72, "θ/4", color="#9a6a00", ha="right")
    axes[1].text(0.012, 0.46, "(e$^θ$−1)/2", color="#a84a00", va="top")
    axes[1].text(0.012, 0.21, "θ", color="#00714f", va="top")


def one_entry(
    thetas: Sequence[float], points: int, tokens: int, starts: int, seed: int
) -> FigureData:
    """How far an entry of given size moves: the bound, the rise alone, and searched worst cases.

    Args:
        thetas: The balances θ, one curve each.
        points: Number of searched entries between 0.02 and 0.98 for each θ.
        tokens: Length of the row; the search chooses the other logits.
        starts: Random starts of each search.
        seed: Seed of the starts.

    Returns:
        One panel; for each θ the series "bound θ", "rise θ" (P from ½ to 1) and "found θ".

    Source:
        softmax-entry
    """
    entry, searched = _grid(0, 1, 201), _grid(0.02, 0.98, points)

    def change(A: Tensor, E: Tensor) -> Tensor:
        rest = torch.log1p(-searched)[:, None, None, None] + torch.log_softmax(A[..., 1:], -1)
        first = searched.log()[:, None, None, None].expand_as(rest[..., :1])
        logits = torch.cat([first, rest], -1)
        return (softmax(logits + E) - softmax(logits))[..., 0, 0].abs()

    shown: list[Series] = []
    generator = _generator(seed)
    for theta in thetas:
        found, _, _ = worst_balanced(
            change, torch.full_like(searched, theta), tokens, generator, starts
        )
        upper = entry[entry >= 0.5]
        logits = torch.stack([upper.log(), torch.log1p(-upper).clamp(min=-80)], -1)
        raised = softmax(logits + torch.tensor([theta, 0.0], dtype=torch.float64))
        rise = raised[:, 0] - upper
        shown += [
            series(f"bound {theta:g}", entry, entry_bound(entry, theta)),
            series(f"rise {theta:g}", upper, rise),
            series(f"found {theta:g}", searched, found),
        ]
    axes = Axis("entry P of the attention row"), Axis("largest change |P′ − P|")
    settings = {"thetas": list(thetas), "points": points, "tokens": tokens, "starts": starts}
    return FigureData("softmax-entry", (Panel("", *axes, tuple(shown)),), settings, seed)


def from_uniform(tokens: Sequence[int], points: int, starts: int, seed: int) -> FigureData:
    """Distance of a row from uniform attention, at given numbers of tokens.

    Args:
        tokens: Numbers of tokens n, one curve each.
        points: Number of searched θ from 0.25 to 12 for each n.
        starts: Random starts of each search.
        seed: Seed of the starts.

    Returns:
        One panel; for each n the series "n = …" and "found n = …", and "n → ∞".

    Source:
        uniform-tv
    """
    theta, searched = _grid(0, 12, 241), _grid(0.25, 12, points)
    generator = _generator(seed)

    def departure(A: Tensor, E: Tensor) -> Tensor:
        return distance(torch.zeros_like(A), E)

    shown = [series("n → ∞", theta, tv_bound(theta))]
    for n in tokens:
        found, _, _ = worst_balanced(departure, searched, n, generator, starts)
        shown += [
            series(f"n = {n}", theta, uniform_tv_bound(theta, n)),
            series(f"found n = {n}", searched, found),
        ]
    axes = Axis("oscillation θ of the logits"), Axis("distance from uniform (TV)")
    settings = {"tokens": list(tokens), "points": points, "starts": starts}
    return FigureData("softmax-uniform", (Panel("", *axes, tuple(shown)),), settings, seed)


def lookup(
    tokens: Sequence[int],
    deltas: Sequence[float],
    points: int,
    starts: int,
    seed: int,
    searched_up_to: int = 1000,
) -> FigureData:
    """The mass that one token can get, and the logit scale that a lookup needs.

    Args:
        tokens: Numbers of visible tokens m, one curve each.
        deltas: Masses δ that may stray, one curve each in the second panel.
        points: Number of searched oscillations for each m.
        starts: Random starts of each search.
        seed: Seed of the starts.
        searched_up_to: Largest m for which the search is run.

    Returns:
        Panels "mass" (for each m the series "m = …" and "found m = …", and "thresholds", at the
        first δ) and "scale" (for each δ the least B of entries in [−B, B], against m).

    Source:
        retrieval
    """
    searched, generator = _grid(1, 15, points), _generator(seed)

    def mass(A: Tensor, E: Tensor) -> Tensor:
        return softmax(E)[..., 0, 0]

    shown = []
    for m in tokens:
        # The curve is the threshold read backwards: at osc = threshold(δ) the mass is 1 - δ.
        stray = (1 - 1 / m) * torch.sigmoid(-_grid(-12, 16, 561))
        shown.append(series(f"m = {m}", retrieval_threshold(m, stray), 1 - stray))
        if m <= searched_up_to:
            found, _, _ = worst_balanced(mass, searched, m, generator, starts)
            shown.append(series(f"found m = {m}", searched, found))
    needed = [retrieval_threshold(m, deltas[0]) for m in tokens]
    shown.append(series("thresholds", needed, [1 - deltas[0]] * len(needed)))
    lengths = torch.logspace(1, 6, 101, dtype=torch.float64).round()
    scales = [
        series(
            f"δ = {delta:g}",
            lengths,
            [math.sqrt(retrieval_threshold(int(m), delta) / 2) for m in lengths],
        )
        for delta in deltas
    ]
    scales.append(series(_AS23, lengths, torch.sqrt(torch.log(lengths))))
    panels = (
        Panel(
            "Largest mass on one of m tokens",
            Axis("oscillation θ of the logits"),
            Axis("attention mass"),
            tuple(shown),
        ),
        Panel(
            "Entries needed to look one token up",
            Axis("visible tokens m", scale="log"),
            Axis("least bound B"),
            tuple(scales),
        ),
    )
    settings = {
        "tokens": list(tokens),
        "deltas": list(deltas),
        "points": points,
        "starts": starts,
        "searched_up_to": searched_up_to,
    }
    return FigureData("softmax-retrieval", panels, settings, seed)


def draw_one_entry(axes: Sequence[Axes], data: FigureData) -> None:
    """The bound solid, the rise alone dashed where it is too small, the found cases as circles."""
    (panel,), (ax,) = data.panels, axes
    for theta, colour in zip(data.parameters["thetas"], COLOURS.values(), strict=False):
        bound, rise, found = (panel[f"{kind} {theta:g}"] for kind in ("bound", "rise", "found"))
        ax.plot(bound.x, bound.y, color=colour)
        ax.plot(rise.x, rise.y, "--", color=colour, lw=1.2)
        ax.plot(found.x, found.y, **_CIRCLES)
        beneath = bound.y[len(bound.y) * 7 // 20] - 0.04
        ax.text(0.35, beneath, f"θ = {theta:g}", ha="center", va="top")
    ax.text(0.655, 0.36, "rise alone")
    ax.set(xlim=(0, 1), ylim=(0, 0.82))


def draw_from_uniform(axes: Sequence[Axes], data: FigureData) -> None:
    """A curve for each n, labelled at its right end, with the found cases as circles."""
    (panel,), (ax,) = data.panels, axes
    limit = panel["n → ∞"]
    ax.plot(limit.x, limit.y, color=INK, ls="--", lw=1.4)
    ax.text(12.25, limit.y[-1], "n → ∞", va="bottom")
    for n, colour in zip(data.parameters["tokens"], COLOURS.values(), strict=False):
        bound, found = panel[f"n = {n}"], panel[f"found n = {n}"]
        ax.plot(bound.x, bound.y, color=colour)
        ax.plot(found.x, found.y, **_CIRCLES)
        ax.text(12.25, bound.y[-1], f"n = {n}", va="center")
    ax.set(xlim=(0, 12), ylim=(0, 1.04), xticks=range(0, 13, 2))


def draw_lookup(axes: Sequence[Axes], data: FigureData) -> None:
    """Above, mass against oscillation with the thresholds marked; below, the scale needed."""
    mass, scale = data.panels
    kept = 1 - data.parameters["deltas"][0]
    marks = mass["thresholds"]
    dots: dict[str, Any] = {"color": COLOURS["grey"], "lw": 0.9, "ls": ":"}
    axes[0].axhline(kept, **dots)
    axes[0].text(0.2, kept + 0.015, f"{kept:.0%}")
    for m, colour, x in zip(data.parameters["tokens"], COLOURS.values(), marks.x, strict=False):
        curve = mass[f"m = {m}"]
        axes[0].plot(curve.x, curve.y, color=colour)
        axes[0].plot([x, x], [0, 1.07], **dots)
        axes[0].text(x, 1.08, f"m = {m}" if x == marks.x[0] else f"{m:,}", ha="center")
    for found in (s for s in mass.series if s.name.startswith("found")):
        axes[0].plot(found.x, found.y, **_CIRCLES)
    axes[0].plot(marks.x, marks.y, "D", ms=6, color=COLOURS["red"], mec=INK, zorder=4)
    axes[0].set(xlim=(0, 16), ylim=(0, 1.16), yticks=[0, 0.2, 0.4, 0.6, 0.8, 1])
    for curve, colour in zip(scale.series, COLOURS.values(), strict=False):
        reference = curve.name == _AS23
        axes[1].plot(
            curve.x, curve.y, "--" if reference else "-", color=INK if reference else colour
        )
        axes[1].text(1.25e6, curve.y[-1], curve.name, va="center")
    axes[1].set(xlim=(10, 1e6), ylim=(0.9, 3.9))
