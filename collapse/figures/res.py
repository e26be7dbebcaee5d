"""Chapter 1. Figures about the Res function: why it doubles, how far, how often, how much room."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse import numeric
from collapse.adversary import ascend
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS, INK
from collapse.norms import (
    diameter,
    dobrushin,
    mean_residual_norm,
    measure_dictionary,
    residual,
    residual_lipschitz,
    residual_norm,
    value_norm,
)
from collapse.numeric import Number
from collapse.witnesses import res as witnesses

LEVELS = (0.05, 0.5, 0.95)  # what is shown of a distribution
_MIDRANGE, _MEAN, _NORM = COLOURS["blue"], COLOURS["red"], COLOURS["green"]


def mean_residual(X: Number) -> Number:
    """Tokens minus their mean."""
    return X - (X.sum(-2) / X.shape[-2])[..., None, :]


CENTRINGS: dict[str, Callable[[Number], Number]] = {"midrange": residual, "mean": mean_residual}


def entry_norm(X: Number) -> Number:
    """The largest absolute entry of each matrix, for tensors and exact numbers."""
    return numeric.amax(numeric.amax(abs(X), -1), -1)


def expansion(A: Number, B: Number, centring: Callable[[Number], Number] = residual) -> Number:
    """Distance after centring over distance before, in the largest entry."""
    return entry_norm(centring(A) - centring(B)) / entry_norm(A - B)


def _of_pairs(centring: Callable[[Number], Number], pairs: Tensor) -> Tensor:
    return expansion(pairs[:, 0], pairs[:, 1], centring)


# --- why Res can double a distance ---------------------------------------------------------------


def why_it_doubles() -> FigureData:
    """One column of A and of B before and after Res, for the sharp witness with three tokens."""
    A, B = witnesses.lipschitz(3)
    panels = []
    for name, pair in (("Entries", (A, B)), ("Residuals", (residual(A), residual(B)))):
        values = [[float(x) for x in X[:, 0]] for X in pair]
        centres = [float((X - residual(X))[0, 0]) for X in pair]
        moved = max(abs(a - b) for a, b in zip(*values, strict=True))
        lines = [
            series(f"token {i + 1}", [0, 1], ab) for i, ab in enumerate(zip(*values, strict=True))
        ]
        panels.append(
            Panel(
                f"{name}: largest move {moved:g}",
                Axis(""),
                Axis("entry" if name == "Entries" else ""),
                (*lines, series("midrange", [0, 1], centres)),
            )
        )
    return FigureData("res-why-it-doubles", tuple(panels), {"tokens": 3}, dtype="exact rational")


def draw_why_it_doubles(axes: Sequence[Axes], data: FigureData) -> None:
    """Points on two vertical lines, an arrow for each move; the midrange is a bar."""
    for ax, panel in zip(axes, data.panels, strict=True):
        heights = [y for line in panel.series for y in line.y]
        ax.set(xlim=(-0.3, 1.3), ylim=(min(heights) - 0.5, max(heights) + 0.8))
        ax.set_xticks([0, 1], ["A", "B"] if panel is data.panels[0] else ["Res A", "Res B"])
        ax.grid(False)
        *tokens, midrange = panel.series
        for x in (0, 1):
            column = [token.y[x] for token in tokens]
            ax.plot([x, x], [min(column), max(column)], color=INK, lw=1, alpha=0.4, zorder=1)
            ax.plot([x - 0.13, x + 0.13], [midrange.y[x]] * 2, color=INK, lw=2.5, zorder=2)
        for i, token in enumerate(tokens):
            inner = 0 < i < len(tokens) - 1
            colour, size = (_MEAN, 30) if inner else (_MIDRANGE, 95)
            face = colour if inner else "none"
            ax.scatter(token.x, token.y, s=size, fc=face, ec=colour, lw=2, zorder=3)
            _arrow(ax, token, colour, "", below=False)
        _arrow(ax, midrange, INK, "midrange ", below=True)


def _arrow(ax: Axes, line: Series, colour: str, name: str, below: bool) -> None:
    """An arrow from the left to the right value, with the move written along it."""
    before, after = line.y
    arrow = {"arrowstyle": "-|>", "color": colour, "lw": 1.4, "shrinkA": 8, "shrinkB": 8}
    ax.annotate("", (1, after), (0, before), arrowprops=arrow | {"ls": ":" if below else "-"})
    move = f"{after - before:+g}".replace("-", "\N{MINUS SIGN}") if after != before else "0"
    ax.text(
        0.5,
        (before + after) / 2 + (-0.1 if below else 0.1),
        name + move,
        color=colour,
        ha="center",
        va="top" if below else "bottom",
        rotation=math.degrees(math.atan2(after - before, 1)),
        rotation_mode="anchor",
        transform_rotates_text=True,
    )


# --- the sharp constant --------------------------------------------------------------------------


def worst_expansion(tokens: int, starts: int, steps: int, seed: int) -> FigureData:
    """The largest expansion that a search from random starts finds, for n = 1, …, ``tokens``.

    Args:
        tokens: Largest number of tokens, ≥ 1.
        starts: Random starts for each n; A and B are Gaussian columns, so none knows a witness.
        steps: Steps of gradient ascent.
        seed: Seed of the starts.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = list(range(1, tokens + 1))
    found: dict[str, list[float]] = {name: [] for name in CENTRINGS}
    for n in sizes:
        begin = torch.randn(starts, 2, n, 1, generator=generator, dtype=torch.float64)
        for name, centring in CENTRINGS.items():
            values, _ = ascend(partial(_of_pairs, centring), begin, steps=steps)
            found[name].append(float(values.max()))
    pairs = {"midrange": witnesses.lipschitz, "mean": witnesses.mean_lipschitz}
    lines = []
    for name, centring in CENTRINGS.items():
        attained = [float(expansion(*pairs[name](n), centring)) for n in sizes]
        bounds = [residual_lipschitz(n, name) for n in sizes]
        lines += [
            series(f"{name}: proved", sizes, bounds),
            series(f"{name}: attained", sizes, attained),
            series(f"{name}: found", sizes, found[name]),
        ]
    return FigureData(
        "res-worst-expansion",
        (
            Panel(
                "",
                Axis("tokens n"),
                Axis("distance after centring / before"),
                tuple(lines),
            ),
        ),
        {"starts": starts, "steps": steps},
        seed,
    )


def draw_worst_expansion(axes: Sequence[Axes], data: FigureData) -> None:
    """Lines for what is proved, rings for what is attained, dots for what was found."""
    (ax,), (panel,) = axes, data.panels
    for name, colour in (("midrange", _MIDRANGE), ("mean", _MEAN)):
        proved, attained, found = (panel[f"{name}: {w}"] for w in ("proved", "attained", "found"))
        ax.plot(proved.x, proved.y, color=colour, lw=1, alpha=0.6)
        ax.scatter(attained.x, attained.y, s=90, fc="none", ec=colour, lw=1.6, zorder=3)
        ax.scatter(found.x, found.y, s=16, color=colour, zorder=4)
    n = proved.x
    ax.axhline(1, color=INK, lw=1, ls="--", zorder=1)
    right = n[-1] + 0.3
    ax.text(right, 0.96, "what Lemma 4.1 allows", ha="right", va="top")
    ax.text(right, 2.09, "midrange (Res)", ha="right", color=_MIDRANGE)
    ax.text(right, proved.y[-1] - 0.14, "mean", ha="right", va="top", color=_MEAN)
    ax.text(right, 0.1, "line proved, ring attained, dot found by search", ha="right", fontsize=9)
    ax.set(xticks=n, ylim=(-0.12, 2.3))


# --- the usual case ------------------------------------------------------------------------------


def usual_expansion(sizes: Iterable[int], samples: int, seed: int) -> FigureData:
    """What centring does to random pairs: A Gaussian, B = A plus small uniform noise.

    Args:
        sizes: Numbers of tokens.
        samples: Random pairs for each of them.
        seed: Seed of the pairs.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes, noise = list(sizes), 0.1
    spread: dict[str, list[Tensor]] = {"midrange": [], "mean": [], "norm": []}
    failing = []
    for n in sizes:
        A = torch.randn(samples, n, 1, generator=generator, dtype=torch.float64)
        B = A + noise * (2 * torch.rand(A.shape, generator=generator, dtype=A.dtype) - 1)
        ratios = {name: expansion(A, B, centring) for name, centring in CENTRINGS.items()}
        ratios["norm"] = (residual_norm(A) - residual_norm(B)).abs() / entry_norm(A - B)
        failing.append(float((ratios["midrange"] > 1).double().mean()))
        for name, ratio in ratios.items():
            spread[name].append(_quantiles(ratio))
    lines = [
        series(f"{name} {level:.0%}", sizes, torch.stack(columns)[:, i])
        for name, columns in spread.items()
        for i, level in enumerate(LEVELS)
    ]
    return FigureData(
        "res-usual-expansion",
        (
            Panel(
                "",
                Axis("tokens n", scale="log"),
                Axis("change after centring / before"),
                (*lines, series("share of pairs that Res moves apart", sizes, failing)),
            ),
        ),
        {"samples": samples, "noise": noise},
        seed,
    )


def draw_usual_expansion(axes: Sequence[Axes], data: FigureData) -> None:
    """A median with a bar over 90% of the pairs for each quantity."""
    (ax,), (panel,) = axes, data.panels
    looks = (
        ("midrange", "Res A − Res B", _MIDRANGE, 1.0),
        ("mean", "about the mean", _MEAN, 1.09),
        ("norm", "ρ(A) − ρ(B)", _NORM, 0.92),
    )
    for name, text, colour, shift in looks:
        low, middle, high = (panel[f"{name} {level:.0%}"] for level in LEVELS)
        x = [shift * n for n in middle.x]
        ax.vlines(x, low.y, high.y, color=colour, lw=4, alpha=0.3)
        ax.plot(x, middle.y, color=colour, marker="o", ms=4, lw=1.2)
        ax.text(middle.x[-1] * 1.3, middle.y[-1], text, color=colour, va="center")
    ax.plot([x[0], x[-1] * 1.15], [1, 1], color=INK, lw=1, ls="--", zorder=1)
    ax.set_xticks(middle.x, [f"{n:g}" for n in middle.x])
    ax.minorticks_off()
    ax.set(ylim=(0, 1.95), xlim=(middle.x[0] * 0.8, middle.x[-1] * 9))


def _quantiles(values: Tensor, extra: tuple[float, ...] = ()) -> Tensor:
    return torch.quantile(values, torch.tensor(LEVELS + extra, dtype=values.dtype))


# --- how much room the bounds leave --------------------------------------------------------------


def slack(tokens: int, width: int, samples: int, seed: int) -> FigureData:
    """Observed over bound for random inputs, and the largest of them, result by result.

    Args:
        tokens: Number of tokens n, ≥ 2.
        width: Width d, ≥ 1.
        samples: Random inputs for each result.
        seed: Seed of the inputs.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(samples, *shape, generator=generator, dtype=torch.float64)

    X, Y, W = normal(tokens, width), normal(tokens, width), normal(width, width)
    P = torch.softmax(normal(tokens, tokens), -1)
    used = {
        "|ρ(A) − ρ(B)| ≤ ‖A − B‖": (residual_norm(X) - residual_norm(Y)).abs() / entry_norm(X - Y),
        "ρ(XW) ≤ ν(W) ρ(X)": residual_norm(X @ W) / (value_norm(W) * residual_norm(X)),
        "diam(PX) ≤ τ(P) diam(X)": diameter(P @ X) / (dobrushin(P) * diameter(X)),
    }
    lines = [
        series(name, _quantiles(ratio, (1.0,)), [float(-i)] * (len(LEVELS) + 1))
        for i, (name, ratio) in enumerate(used.items())
    ]
    return FigureData(
        "res-slack",
        (Panel("", Axis("observed / bound"), Axis(""), tuple(lines)),),
        {"tokens": tokens, "width": width, "samples": samples, "quantiles": [*LEVELS, 1.0]},
        seed,
    )


def draw_slack(axes: Sequence[Axes], data: FigureData) -> None:
    """A bar from the 5% to the 95% quantile, its median, the largest value, and the attained 1."""
    (ax,), (panel,) = axes, data.panels
    for line, colour in zip(panel.series, (_NORM, _MEAN, _MIDRANGE), strict=True):
        low, middle, high, largest = line.x
        y = line.y[0]
        ax.plot([low, high], [y, y], color=colour, lw=7, alpha=0.35, solid_capstyle="butt")
        ax.plot([middle], [y], "|", color=colour, ms=13, mew=2.5)
        ax.plot([largest], [y], "o", color=colour, ms=5)
        ax.plot([1], [y], "D", color=INK, ms=6, clip_on=False, zorder=4)
        ax.text(0, y + 0.2, line.name, color=colour, va="bottom")
    ax.text(1, panel.series[0].y[0] + 0.2, "attained", ha="right", va="bottom")
    ax.set(xlim=(0, 1), ylim=(panel.series[-1].y[0] - 0.35, 0.75), yticks=[])
    ax.spines["left"].set_visible(False)


# --- the dictionary between the papers' measures -------------------------------------------------


def dictionary(width: int, sizes: Iterable[int], samples: int, seed: int) -> FigureData:
    """The quotient μ/ρ of three kinds of random tokens, the two constants, and their witnesses.

    Args:
        width: Width d, ≥ 1.
        sizes: Numbers of tokens, each ≥ 2.
        samples: Random matrices of each kind for each number of tokens.
        seed: Seed of the matrices.
    """
    generator = torch.Generator().manual_seed(seed)
    sizes = list(sizes)
    kinds: dict[str, Callable[[Tensor], Tensor]] = {
        "one outlier": lambda X: torch.where(
            torch.arange(X.shape[-2])[:, None] == 0, 10 * X, X / 10
        ),
        "Gaussian": lambda X: X,
        "signs": torch.sign,
    }
    clouds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in kinds}
    attained: list[list[float]] = []
    for n in sizes:
        for name, kind in kinds.items():
            X = kind(torch.randn(samples, n, width, generator=generator, dtype=torch.float64))
            rho = residual_norm(X)
            quotient = (mean_residual_norm(X) / rho)[rho > 0]  # signs may all be equal
            clouds[name][0].extend([float(n)] * len(quotient))
            clouds[name][1].extend(quotient.tolist())
        pair = (torch.tensor(X.astype(float)) for X in witnesses.dictionary(n, width))
        attained.append([float(mean_residual_norm(X) / residual_norm(X)) for X in pair])
    bounds = [measure_dictionary(n, width) for n in sizes]
    lines = [series(name, *cloud) for name, cloud in clouds.items()]
    for i, name in enumerate(("lower", "upper")):
        lines += [
            series(f"{name} constant", sizes, [b[i] for b in bounds]),
            series(f"{name} witness", sizes, [a[i] for a in attained]),
        ]
    return FigureData(
        "res-dictionary",
        (Panel("", Axis("tokens n", scale="log"), Axis("μ / ρ", scale="log"), tuple(lines)),),
        {"width": width, "samples": samples},
        seed,
    )


def draw_dictionary(axes: Sequence[Axes], data: FigureData) -> None:
    """Clouds of points between two lines, diamonds where a line is attained."""
    (ax,), (panel,) = axes, data.panels
    looks = zip((0.92, 1, 1.09), (_NORM, _MIDRANGE, _MEAN), strict=True)
    for (shift, colour), line in zip(looks, panel.series[:3], strict=True):
        ax.plot([shift * n for n in line.x], line.y, ".", color=colour, ms=4, alpha=0.3, mew=0)
        last = sorted(y for n, y in zip(line.x, line.y, strict=True) if n == line.x[-1])
        ax.text(line.x[-1] * 1.25, last[len(last) // 2], line.name, color=colour, va="center")
    for name in ("lower", "upper"):
        bound, witness = panel[f"{name} constant"], panel[f"{name} witness"]
        ax.plot(bound.x, bound.y, color=INK, lw=1.2)
        ax.plot(witness.x, witness.y, "D", color=INK, ms=5)
    ax.text(7, 1.14 * panel["upper constant"].y[3], "largest possible", ha="right")
    ax.text(bound.x[-1] * 1.25, panel["lower constant"].y[-1], "smallest possible", va="center")
    ax.set_xticks(bound.x, [f"{n:g}" for n in bound.x])
    ax.set_yticks([2, 4, 8, 16], ["2", "4", "8", "16"])
    ax.minorticks_off()
    ax.set(xlim=(bound.x[0] * 0.8, bound.x[-1] * 5.5))
