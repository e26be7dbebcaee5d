"""The figure on large weights: one network that looks a key up, and its scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.bounds import collapse_bound
from collapse.bounds.needs import induction_contraction, induction_gap
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS, INK
from collapse.figures.training import losses_to_the_end
from collapse.norms import dobrushin, token_norm
from collapse.rungs import surrogate
from collapse.softmax import oscillation, retrieval_threshold
from collapse.tasks import Batch, Recall
from collapse.tasks.induction import (
    answer,
    embed,
    induction_network,
    induction_threshold,
    labelled,
    misleading,
)
from collapse.training.plan import Member, Plan
from collapse.training.run import train

# Tokens and weights have entries of at most 2.
_PLAN: dict[str, Any] = {"width": 32, "key_width": 16, "phi": 2.0, "readout": 4.0, "rate": 0.005,
                         "check": 50, "done": 0.05}  # fmt: skip
_RUNGS = {1: "orange", 2: "green", 3: "blue"}


def accuracy(task: Recall, output: Tensor, batch: Batch) -> float:
    """Share of the sequences for which a network's output gives the right value.

    >>> task = Recall(2, 2, 2)
    >>> batch = task.sample(20, torch.Generator().manual_seed(0))
    >>> accuracy(task, induction_network(task, 3.0)(embed(task, batch.tokens)), batch)
    1.0
    """
    said = answer(task, output).argmax(-1) + task.keys
    return float((said == batch.targets[:, 0]).double().mean())


def scaling(pairs: int, points: int, count: int, seed: int) -> FigureData:
    """The induction network from small to large scale: what it gets right, and what else changes.

    Args:
        pairs: Pairs of the task, m ≥ 3; keys and values are as many.
        points: Scales s from 0.1 to 3.
        count: Random sequences; an eighth of them for the worst case.
        seed: Seed of the sequences.

    Returns:
        Panels against s. "Right answers": "network, two labels", "network, worst case" and the
        rungs on two labels. "Dobrushin coefficient": both layers and the closed form. "Distance to
        the rungs": errors and bounds at p = 2. "Logits of the last row": their oscillation over
        the values, the closed form, and the threshold. The parameters hold the threshold s*.

    Source:
        large-weights-suffice, retrieval
    """
    task, g = Recall(pairs, pairs, pairs), torch.Generator().manual_seed(seed)
    two, worst = labelled(task, 2, count, g), misleading(task, count // 8, g)
    star = induction_threshold(task)
    # Two scales next to the threshold show how sharp it is.
    grid = torch.linspace(0.1, 3, points, dtype=torch.float64).tolist()
    scales = sorted([*grid, 0.999 * star, 1.001 * star])
    rows: dict[str, list[float]] = {}
    for s in scales:
        for name, value in _at(task, s, two, worst).items():
            rows.setdefault(name, []).append(value)

    def lines(*names: str) -> tuple[Series, ...]:
        return tuple(series(name, scales, rows[name]) for name in names)

    x = Axis("scale s of all weights")
    threshold = retrieval_threshold(pairs, 0.5)
    level = series("threshold log(m − 1)", [scales[0], scales[-1]], [threshold, threshold])
    errors = [f"rung {r}{end}" for r in _RUNGS for end in ("", ", bound")]
    names = (
        "network, two labels",
        "network, worst case",
        *(f"rung {r}, two labels" for r in _RUNGS),
    )
    layers = ("layer 1", "layer 2", "layer 1, formula")
    panels = (
        Panel("Right answers", x, Axis("share"), lines(*names)),
        Panel("Dobrushin coefficient", x, Axis("τ"), lines(*layers)),
        Panel("Distance to the rungs", x, Axis("error, p = 2", scale="log"), lines(*errors)),
        Panel("Logits of the last row", x, Axis("oscillation", scale="log"),
              (*lines("over the values", "formula"), level)),
    )  # fmt: skip
    settings: dict[str, Any] = {"pairs": pairs, "points": points, "count": count}
    return FigureData("cost-induction", panels, settings | {"threshold": star}, seed)


def _at(task: Recall, s: float, two: Batch, worst: Batch) -> dict[str, float]:
    """Everything that is shown at one scale."""
    network, n = induction_network(task, s), task.tokens
    X = embed(task, two.tokens)
    S = network(X)
    trace = network.trace(X[:1])[0]
    values = torch.arange(1, n - 1, 2)
    q, k = trace[1, -1] @ network.query[1, 0], trace[1, values] @ network.key[1, 0]
    row = {
        "network, two labels": accuracy(task, S, two),
        "network, worst case": accuracy(task, network(embed(task, worst.tokens)), worst),
        "layer 1": float(dobrushin(network.attention_matrices(trace[0], 0))),
        "layer 2": float(dobrushin(network.attention_matrices(trace[1], 1))),
        "layer 1, formula": induction_contraction(n, s),
        "over the values": float(oscillation((k @ q)[None])),
        "formula": induction_gap(n, s),
    }
    for rung in _RUNGS:
        near = surrogate(network, rung)(X)
        row[f"rung {rung}, two labels"] = accuracy(task, near, two)
        row[f"rung {rung}"] = float(token_norm(S - near, 2).max())
        row[f"rung {rung}, bound"] = float(collapse_bound(network, X[:1], rung, p=2).value)
    return row


def draw_scaling(axes: Sequence[Axes], data: FigureData) -> None:
    """Four panels, with the predicted threshold as a vertical line in each."""
    right, tau, errors, logits = data.panels
    star = data.parameters["threshold"]
    for name, style in (("network, two labels", "-"), ("network, worst case", "--")):
        axes[0].plot(right[name].x, right[name].y, style, color=COLOURS["purple"], label=name)
    for rung, colour in _RUNGS.items():
        line = right[f"rung {rung}, two labels"]
        axes[0].plot(line.x, line.y, color=COLOURS[colour], lw=(5, 3, 1)[rung - 1],
                     label="rungs 1, 2 and 3, two labels" if rung == 2 else None)  # fmt: skip
        line, bound = errors[f"rung {rung}"], errors[f"rung {rung}, bound"]
        width = 4 if rung == 1 else 1.6
        axes[2].plot(
            line.x, line.y, color=COLOURS[colour], lw=width, alpha=0.8, label=f"rung {rung}"
        )
        axes[2].plot(bound.x, bound.y, "--", color=COLOURS[colour], lw=1)
    for name, colour in (("layer 1", "sky"), ("layer 2", "red")):
        axes[1].plot(tau[name].x, tau[name].y, color=COLOURS[colour], label=name)
    for ax, line, label in ((axes[1], tau["layer 1, formula"], "formula"),
                            (axes[3], logits["formula"], "Δ(s)")):  # fmt: skip
        ax.plot(line.x[::3], line.y[::3], "o", mfc="none", mec=INK, ms=4, mew=0.8, label=label)
    axes[3].plot(logits["over the values"].x, logits["over the values"].y, color=COLOURS["red"],
                 zorder=1, label="over the values")  # fmt: skip
    level = logits["threshold log(m − 1)"]
    axes[3].plot(level.x, level.y, "--", color=COLOURS["grey"], lw=1.2, label="log(m − 1)")
    axes[3].set_ylim(1e-3, 60)
    axes[2].set_ylim(1e-7, 300)
    for ax in axes:
        ax.axvline(star, color=INK, lw=0.9, ls=":")
        ax.set_xlim(0, 3.05)
        if ax is not axes[0]:
            ax.legend(loc="best", fontsize=8.5)
    axes[0].legend(loc="lower left", bbox_to_anchor=(0, 0.03), fontsize=8.5)
    axes[0].set_ylim(-0.04, 1.06)
    axes[0].annotate("s*", (star, 0.3), (4, 0), textcoords="offset points")


def learned(heads: int, steps: int, batch: int, seeds: int) -> FigureData:
    """Held-out loss on recall while two layers are trained, and one layer with more heads.

    Args:
        heads: Heads of the one layer; two layers have 2 each.
        steps: Steps of Adam; a network that has learnt the task stops and keeps its last loss.
        batch: Sequences a step.
        seeds: Networks of each kind.

    Returns:
        One panel against the step, to the last one: a series for each network, such as "one layer
        of 8 heads, seed 0", and the loss "order unseen" of whoever does not see which value follows
        which key.

    Source:
        large-weights-suffice
    """
    members = tuple(Member(eta=2.0, seed=seed) for seed in range(seeds))
    lines = []
    for depth, size in ((2, 2), (1, heads)):
        plan = Plan("recall", depth, members, heads=size, steps=steps, batch=batch, **_PLAN)
        looks, losses = losses_to_the_end(train(plan))
        kind = f"{'one layer' if depth == 1 else 'two layers'} of {size} heads"
        lines += [series(f"{kind}, seed {seed}", looks, losses[:, seed]) for seed in range(seeds)]
    guess = Recall().guess
    lines.append(series("order unseen", [0, steps], [guess, guess]))
    panel = Panel("", Axis("steps of training"), Axis("held-out loss", "nats"), tuple(lines))
    settings = {"heads": heads, "steps": steps, "batch": batch, "seeds": seeds, **_PLAN}
    return FigureData("cost-learned", (panel,), settings, 0, dtype="float32")


def draw_learned(axes: Sequence[Axes], data: FigureData) -> None:
    """A line for each seed, one colour for each kind, named once."""
    (panel,) = data.panels
    *runs, guess = panel.series
    axes[0].plot(guess.x, guess.y, ":", color=INK, lw=1, label=guess.name)
    for kind, colour in zip(dict.fromkeys(r.name.partition(",")[0] for r in runs),
                            ("purple", "sky"), strict=True):  # fmt: skip
        for i, line in enumerate(run for run in runs if run.name.startswith(kind)):
            axes[0].plot(line.x, line.y, marker=".", ms=5, lw=1.3, color=COLOURS[colour],
                         label=kind if i == 0 else None)  # fmt: skip
    axes[0].set_ylim(-0.05, max(line.y[0] for line in runs) + 0.1)
    axes[0].legend(loc="upper right")
