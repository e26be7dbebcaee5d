"""Chapter 10. A trained transformer: shrinking, substitutes, rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from collapse.figures.data import Axis, FigureData, Panel, Series
from collapse.figures.style import COLOURS, INK
from collapse.figures.wild import DTYPE, Shown, over_one_axis, row_samples, shown
from collapse.inspection.hooks import still
from collapse.inspection.minilm import mean_pooled, rounded
from collapse.inspection.sentences import PAIRS, SENTENCES, texts
from collapse.inspection.substitution import (
    Substitute,
    change,
    margins,
    outputs,
    relative_change,
)

LABELS = ("paraphrase", "overlap", "unrelated")
_LABEL_COLOUR = {"paraphrase": "blue", "overlap": "orange", "unrelated": "grey"}
_RUNG_COLOUR: dict[Substitute, str] = {"removed": "grey", "first": "red", "average": "blue"}
_RUNG_WORDS: dict[Substitute, str] = {
    "removed": "no attention",
    "first": "first layer's input (rung 1)",
    "average": "averages (rung 2)",
}


# --- shrinking the weights -----------------------------------------------------------------------


def shrinking(model: nn.Module, twin: nn.Module, tokenizer: Any, points: int) -> FigureData:
    """Change of the outputs by each substitute when all projections are scaled by s.

    Args:
        model: The trained model.
        twin: The same with random weights.
        tokenizer: Of both.
        points: Number of s from 2⁻⁷ to 1, evenly spaced in log s.

    Returns:
        A panel a model with the relative change over s for each substitute.

    Source:
        rung-1, rung-2
    """
    s = torch.logspace(-7, 0, points, base=2, dtype=torch.float64)
    panels = []
    for title, each in (("MiniLM", model), ("Random twin", twin)):
        view = shown(each, tokenizer, list(SENTENCES))
        curves: dict[str, list[float]] = {}
        with still(each):
            for scale in s.tolist():
                base = outputs(view.subject, view.batches, scale=scale)
                for name in _RUNG_COLOUR:
                    found = change(view.subject, view.batches, name, scale, reference=base)
                    curves.setdefault(name, []).append(found)
        axis = Axis("relative change of the outputs", scale="log")
        scale_axis = Axis("factor s on the projections", scale="log")
        panels.append(over_one_axis(title, scale_axis, axis, s, curves))
    settings = {"points": points, "sentences": len(SENTENCES)}
    return FigureData("wild-shrinking", tuple(panels), settings, dtype=DTYPE)


def power(curve: Series, low: float, high: float) -> float:
    """Slope of a curve between two x, by least squares in logarithms.

    >>> round(power(Series("", [0.1, 0.2, 0.4], [0.001, 0.008, 0.064]), 0.1, 0.4), 6)
    3.0
    """
    kept = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if low <= x <= high and y > 0]
    X, Y = (torch.tensor(part, dtype=torch.float64).log() for part in zip(*kept, strict=True))
    X, Y = X - X.mean(), Y - Y.mean()
    return float((X * Y).sum() / (X * X).sum())


def draw_shrinking(axes: Sequence[Axes], data: FigureData) -> None:
    """Three curves a model, with the line of one per cent."""
    for ax, panel in zip(axes, data.panels, strict=True):
        for name, colour in _RUNG_COLOUR.items():
            line, words = panel[name], _RUNG_WORDS[name]
            ax.plot(line.x, line.y, color=COLOURS[colour], marker="o", ms=3, label=words)
        ax.axhline(0.01, color=INK, lw=0.9, ls="--")
        ax.set_ylim(1e-7, 30)
        ax.legend(loc="lower right", fontsize=8)


# --- substitutes and a task ----------------------------------------------------------------------


def similarities(
    view: Shown, substitute: Substitute | None = None, layers: Sequence[int] | None = None
) -> dict[str, Tensor]:
    """Cosine of the two sentence vectors of every labelled pair, by label."""
    with still(view.subject.model):
        outs = outputs(view.subject, view.batches, substitute, layers=layers)
    vectors = mean_pooled(view.by_sequence(outs))
    cosine = (vectors[0::2] * vectors[1::2]).sum(-1)
    return {
        label: cosine[[i for i, pair in enumerate(PAIRS) if pair.label == label]]
        for label in LABELS
    }


def separation(found: dict[str, Tensor], other: str = "unrelated") -> float:
    """How often a paraphrase scores above another pair; ties count half.

    >>> separation({"paraphrase": torch.tensor([0.9, 0.4]), "unrelated": torch.tensor([0.4])})
    0.75
    """
    a, b = found["paraphrase"][:, None], found[other][None]
    return float((a > b).double().mean() + (a == b).double().mean() / 2)


def substituting(model: nn.Module, twin: nn.Module, tokenizer: Any) -> FigureData:
    """Mean similarity of the labelled pairs when one, several or all layers average.

    Args:
        model: The trained model.
        twin: The same with random weights.
        tokenizer: Of both.

    Returns:
        Panels "One layer" (x is the layer), "From the bottom" and "From the top" (x is how many),
        each with the mean cosine by label and the separation of paraphrases from unrelated pairs
        and from overlap;
        panel "Controls" with all layers (x = 0: averages, 1: first layer's input, 2: no attention,
        3: the random twin as it is).

    Source:
        rung-1, rung-2
    """
    view = shown(model, tokenizer, list(texts()))
    depth = len(view.subject.sites)
    plain = similarities(view)
    everything = similarities(view, "average")
    one = [similarities(view, "average", (i,)) for i in range(depth)]
    bottom = [similarities(view, "average", range(k)) for k in range(2, depth)]
    top = [similarities(view, "average", range(depth - k, depth)) for k in range(2, depth)]
    control = similarities(shown(twin, tokenizer, list(texts())))
    other = [similarities(view, name) for name in ("first", "removed")]

    def described(title: str, axis: str, first: int, found: Sequence[dict[str, Tensor]]) -> Panel:
        curves = {label: [float(each[label].mean()) for each in found] for label in LABELS}
        curves["separation"] = [separation(each) for each in found]
        curves["from overlap"] = [separation(each, "overlap") for each in found]
        x = range(first, first + len(found))
        return over_one_axis(title, Axis(axis), Axis("mean cosine"), x, curves)

    ladders = [[plain, one[0], *bottom, everything], [plain, one[-1], *top, everything]]
    return FigureData(
        "wild-substituting",
        (
            described("One layer averages", "layer; −1: none", -1, [plain, *one]),
            described("Several, from the bottom", "layers that average", 0, ladders[0]),
            described("Several, from the top", "layers that average", 0, ladders[1]),
            described("Controls", "", 0, [everything, *other, control]),
        ),
        {"pairs": len(PAIRS), "labels": list(LABELS)},
        dtype=DTYPE,
    )


def draw_substituting(axes: Sequence[Axes], data: FigureData) -> None:
    """Mean cosines by label; the controls as dots with words."""
    for ax, panel in zip(axes, data.panels, strict=True):
        line = "" if panel.title == "Controls" else "-"
        for label in LABELS:
            colour = COLOURS[_LABEL_COLOUR[label]]
            ax.plot(panel[label].x, panel[label].y, f"{line}o", ms=4, color=colour, label=label)
        ax.set_ylim(-0.05, 1.05)
    axes[0].set_xticks(data.panels[0]["overlap"].x, ["none", *"012345"])
    axes[0].set_xlabel("layer")
    axes[0].set_ylim(-0.05, 1.3)
    axes[0].legend(loc="upper center", ncols=3)
    words = ("all average", "all read the\nfirst input", "no attention", "random twin")
    axes[3].set_xticks(range(4), words)
    axes[3].set_xlim(-0.5, 3.5)


# --- rounding ------------------------------------------------------------------------------------


def rounding(
    model: nn.Module, tokenizer: Any, bits: Sequence[int], sentences: int, tolerance: float
) -> FigureData:
    """The model with weights of few bits: how much it changes, and how far it is from collapse.

    Args:
        model: The trained model.
        tokenizer: Its tokenizer.
        bits: Numbers of bits; 32 stands for the weights as they are.
        sentences: How many of the fixed sentences are used.
        tolerance: Of the margins.

    Returns:
        Panels over the bits: change against the model as it is and by the substitutes; margins;
        median oscillation; separation of paraphrases from unrelated pairs.

    Source:
        rung-1, rung-2
    """
    plain = shown(model, tokenizer, list(SENTENCES[:sentences]))
    base = outputs(plain.subject, plain.batches)
    changes: dict[str, list[float]] = {}
    found: dict[str, list[float]] = {}
    task: dict[str, list[float]] = {}
    for b in bits:
        each = model if b == 32 else rounded(model, b)
        view = shown(each, tokenizer, list(SENTENCES[:sentences]))
        with still(each):
            own = outputs(view.subject, view.batches)
            changes.setdefault("rounding", []).append(relative_change(base, own))
            for name in ("average", "first"):
                moved = change(view.subject, view.batches, name, reference=own)
                changes.setdefault(name, []).append(moved)
            for key, s in margins(view.subject, view.batches, tolerance).items():
                found.setdefault(key, []).append(s)
        theta = torch.cat([row["oscillation"] for row in row_samples(view)])
        task.setdefault("median θ", []).append(float(theta.median()))
        pairs = similarities(shown(each, tokenizer, list(texts())))
        task.setdefault("separation", []).append(separation(pairs))
    x = [math.log2(b) for b in bits]
    axis = Axis("bits a weight", "log₂")
    return FigureData(
        "wild-rounding",
        (
            over_one_axis("Outputs", axis, Axis("relative change"), x, changes),
            over_one_axis("Margins", axis, Axis("margin s", scale="log"), x, found),
            over_one_axis("Oscillation", axis, Axis("median θ"), x, task),
        ),
        {"bits": list(bits), "sentences": sentences, "tolerance": tolerance},
        dtype=DTYPE,
    )


def draw_rounding(axes: Sequence[Axes], data: FigureData) -> None:
    """Changes, margins, and the oscillation, over the bits."""
    changes, found, task = data.panels
    words = {"rounding": "rounding itself", "average": "averages (rung 2)",
             "first": "first layer's input (rung 1)"}  # fmt: skip
    colours = {"rounding": "purple", "average": "blue", "first": "red"}
    for name, text in words.items():
        axes[0].plot(changes[name].x, changes[name].y, "-o", ms=4, color=COLOURS[colours[name]],
                     label=text)  # fmt: skip
    axes[0].set_ylim(0, 1.75 * max(max(line.y) for line in changes.series))
    axes[0].legend(loc="upper right")
    for name in ("average", "first"):
        axes[1].plot(found[name].x, found[name].y, "-o", ms=4, color=COLOURS[colours[name]],
                     label=words[name])  # fmt: skip
    axes[1].set_ylim(0.004, 4)
    axes[1].legend(loc="upper right")
    theta = task["median θ"]
    axes[2].plot(theta.x, theta.y, "-o", ms=4, color=COLOURS["green"])
    axes[2].set_ylim(0, 1.2 * max(theta.y))
    for ax in axes:
        ax.set_xticks(theta.x, [f"{2**x:.0f}" for x in theta.x])
        ax.set_xlabel("bits a weight (32: as they are)")
