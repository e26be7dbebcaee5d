"""Figures about the referee: a search at work, and how much room each bound leaves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.adversary import ascend
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.style import COLOURS, INK
from collapse.numeric import require
from collapse.referee.climbing import draw_starts, log_ratio
from collapse.referee.trial import Trial
from collapse.referee.trials import TRIALS, trials

QUANTILES = (0.05, 0.5, 0.95)  # what is shown of random cases
_ROOM = 1.12  # ratios beyond this are written, not drawn to scale
_BROKEN = 1.01  # beyond what rounding could lift above 1
_ENDLESS = 1e6  # where a ratio has no largest value, rounding decides how far a search gets

# --- a search at work ----------------------------------------------------------------------------


def trajectories(
    label: str, trial: str | None = None, starts: int = 64, steps: int = 150, seed: int = 0
) -> FigureData:
    """Observed ÷ bound at every step of the first ascent of an attack, for all of its starts.

    The starts are those of :func:`collapse.referee.attack` with the same seed.

    Args:
        label: A claim that has trials.
        trial: Name of the trial, None for the claim's first.
        starts: Number of random starts, ≥ 1.
        steps: Gradient steps of each, ≥ 1.
        seed: Seed of the starts.
    """
    chosen = trials(label, trial)[0]
    begin = draw_starts(chosen, starts, torch.Generator().manual_seed(seed))
    objective, path = log_ratio(chosen), []

    def recorded(point: Tensor) -> Tensor:
        value = objective(point)
        path.append(value.detach().exp())
        return value

    ascend(recorded, begin, steps, learning_rate=0.1)
    lines = series("observed / bound", range(steps + 1), range(starts), torch.stack(path, 1))
    limits = [] if chosen.limit is None else [float(chosen.limit)]
    return FigureData(
        f"referee-search-{label}",
        (
            Panel(
                "",
                Axis("step of gradient ascent"),
                Axis("observed / bound"),
                (lines, series("supremum", [0.0] * len(limits), limits)),
            ),
        ),
        {"label": label, "trial": chosen.name, "starts": starts, "steps": steps},
        seed,
    )


def draw_trajectories(axes: Sequence[Axes], data: FigureData) -> None:
    """A thin line for each start, red if it ends at or below 1; the best one is drawn heavy."""
    (ax,), (panel,) = axes, data.panels
    lines, supremum = panel["observed / bound"], panel["supremum"].y
    paths = lines.z or []
    best = max(range(len(paths)), key=lambda k: max(paths[k]))
    for path in paths:
        colour = COLOURS["blue"] if path[-1] > _BROKEN else COLOURS["red"]
        ax.plot(lines.x, path, color=colour, lw=0.8, alpha=0.45)
    ax.plot(lines.x, paths[best], color=INK, lw=1.8)
    right = lines.x[-1]
    for height, text in ((1.0, "what the claim allows"), *((s, "supremum") for s in supremum)):
        ax.axhline(height, color=INK, lw=1, ls="--", zorder=1)
        ax.text(right, height + 0.03, text, ha="right", va="bottom")
    ax.set(ylim=(0, max([1.0, *supremum]) * 1.15), xlim=(0, right))


# --- how much room each bound leaves -------------------------------------------------------------


def slack(record: Mapping[str, Any], samples: int, seed: int) -> FigureData:
    """The tightest case of every claim that a search examined, beside random cases of its trial.

    Where the paper's own statement fails, its trial is shown; else the trials of what holds.

    Args:
        record: The contents of ``claims.json``.
        samples: Random cases of each trial, ≥ 1.
        seed: Seed of the random cases.

    Returns:
        A row for each claim, the tightest first: the largest ratio that the search met, at most
        10⁶, and the quantiles of the ratio over random cases of the same trial, drawn like the
        starts of a search. The parameters name the claims and the tightest cases.

    Raises:
        ValueError: If no search is on record, or samples < 1.
    """
    require(samples >= 1, "samples", "an integer >= 1", samples)
    found = {
        label: check
        for label, entry in record["claims"].items()
        if (check := _tightest(label, entry)) is not None
    }
    require(found, "record", "a search of some claim", "none")
    largest = {label: min(check["ratio"], _ENDLESS) for label, check in found.items()}
    tried = {label: trials(label, check["trial"])[0] for label, check in found.items()}
    typical = {label: _typical(trial, samples, seed) for label, trial in tried.items()}
    order = sorted(found, key=lambda k: (-_seen(largest[k]), -typical[k][1]))
    rows = range(len(order))
    lines = [series("tightest found", [largest[label] for label in order], rows)]
    lines += [
        series(f"random cases {level:.0%}", [typical[label][i] for label in order], rows)
        for i, level in enumerate(QUANTILES)
    ]
    names = {
        "labels": order,
        "tightest": [found[label]["trial"] for label in order],
        "false as stated": [not tried[label].holds for label in order],
    }
    settings = {"samples": samples, "commit": record["commit"], "searched": record["date"]}
    return FigureData(
        "referee-slack",
        (Panel("", Axis("observed / bound"), Axis(""), tuple(lines)),),
        settings | names,
        seed,
    )


def _tightest(label: str, entry: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The search of a claim that came closest to its bound, or went farthest beyond it."""
    searched = [c for c in entry["checks"] if c["kind"] == "attacked" and c["ratio"] is not None]
    false = {trial.name for trial in TRIALS.get(label, ()) if not trial.holds}
    expected = entry["verdict"] in ("refuted", "repaired")
    meant = [check for check in searched if (check["trial"] in false) == expected] or searched
    return max(meant, key=lambda check: _seen(check["ratio"]), default=None)


def _seen(ratio: float) -> float:
    """What differences that no eye can see do not decide: which trial is shown, and in what row."""
    return round(ratio, 3)


def _typical(trial: Trial, samples: int, seed: int) -> list[float]:
    # Every trial draws from the same seed: none depends on which others are shown.
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        ratio = log_ratio(trial)(draw_starts(trial, samples, generator)).exp()
    levels = torch.tensor(QUANTILES, dtype=ratio.dtype)
    return torch.quantile(ratio, levels).tolist()


def draw_slack(axes: Sequence[Axes], data: FigureData) -> None:
    """A dot for the tightest case, beyond the bound its ratio; a bar and a tick for random ones."""
    (ax,), (panel,) = axes, data.panels
    names, false = data.parameters["labels"], data.parameters["false as stated"]
    low, middle, high = (panel[f"random cases {level:.0%}"].x for level in QUANTILES)
    for row, ratio in enumerate(panel["tightest found"].x):
        beyond = ratio > _ROOM
        colour, marker = COLOURS["red" if false[row] else "blue"], ">" if beyond else "o"
        ends = [min(low[row], _ROOM), min(high[row], _ROOM)]
        bar: Any = {"color": COLOURS["grey"], "lw": 5, "alpha": 0.35, "solid_capstyle": "butt"}
        ax.plot(ends, [row] * 2, **bar)
        ax.plot([min(middle[row], _ROOM)], [row], "|", color=INK, ms=8, mew=1.6)
        ax.plot([min(ratio, _ROOM)], [row], marker, color=colour, ms=6, zorder=3, clip_on=False)
        if beyond:
            place: Any = {"transform": ax.get_yaxis_transform(), "va": "center", "fontsize": 9.5}
            ax.text(1.04, row, _written(ratio), **place)
    ax.axvline(1, color=INK, lw=1, ls="--", zorder=1)
    ax.set_yticks(range(len(names)), names, fontsize=9.5)
    ax.set(xlim=(0, _ROOM), ylim=(len(names) - 0.4, -0.6))
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    ax.set_xlabel(panel.x.name, labelpad=7)
    ax.xaxis.set_label_position("top")
    ax.xaxis.tick_top()
    ax.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    ax.spines["top"].set_visible(True)


def _written(ratio: float) -> str:
    """A ratio for a reader: three digits, all before the point, or that it has no end."""
    if ratio >= _ENDLESS:
        return rf"$> 10^{{{round(math.log10(_ENDLESS))}}}$"
    return f"{ratio:.3g}" if ratio < 1e3 else f"{ratio:.0f}"
