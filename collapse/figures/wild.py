"""Chapter 10. A trained transformer: the retrieval threshold and the theorem's constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.axes import Axes
from torch import Tensor, nn

from collapse.bounds.contraction import contraction_factor
from collapse.bounds.ladder import Sizes
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS, INK
from collapse.inspection.families import Subject
from collapse.inspection.hooks import still, watched
from collapse.inspection.inputs import batches, sequences
from collapse.inspection.measure import NORMS, row_measures, thresholds
from collapse.inspection.pretrained import pretrained_subject
from collapse.inspection.report import Report
from collapse.inspection.sentences import SENTENCES
from collapse.inspection.site import Call

DTYPE = "float32, reductions in float64"
_TOGETHER = 1024


@dataclass(frozen=True)
class Shown:
    """A model, and what it is shown: batches of token ids, and where each sequence is in them."""

    subject: Subject
    batches: list[Tensor]
    order: list[int]

    def by_sequence(self, outs: Sequence[Tensor]) -> list[Tensor]:
        """Outputs (n, d) of each sequence, in the order in which they were given."""
        flat = [row for out in outs for row in out]
        return [flat[place] for place in sorted(range(len(flat)), key=self.order.__getitem__)]


def shown(model: nn.Module, tokenizer: Any, text: Any, chunk: int | None = None) -> Shown:
    """A BERT-style model with sentences or a passage cut into chunks."""
    subject = pretrained_subject(model)
    assert subject is not None
    pairs = batches(sequences(subject, text, tokenizer, chunk), _TOGETHER)
    return Shown(subject, [batch for _, batch in pairs], [i for some, _ in pairs for i in some])


# --- oscillations and the threshold --------------------------------------------------------------


def row_samples(view: Shown) -> list[dict[str, Tensor]]:
    """Per layer: oscillation and largest entry of each row, (H, rows), and its threshold."""
    found: list[dict[str, list[Tensor]]] = [{} for _ in view.subject.sites]

    def watch(index: int, call: Call, _: Tensor, __: Tensor | None) -> None:
        site = view.subject.sites[index]
        call = Call(call.tokens.double(), call.visible, call.angles)
        rows = row_measures(site, call, site.projections(torch.float64))[1]
        for name in ("oscillation", "peak"):
            found[index].setdefault(name, []).append(rows[name].transpose(0, 1).flatten(1))
        batch, n = call.tokens.shape[:2]
        need = torch.from_numpy(thresholds(torch.full((batch * n,), n)))
        found[index].setdefault("threshold", []).append(need[None])

    with still(view.subject.model), watched(view.subject.sites, watch, lambda out: None):
        for batch in view.batches:
            view.subject.run(batch)
    return [{name: torch.cat(part, 1) for name, part in layer.items()} for layer in found]


def growing(
    model: nn.Module, twin: nn.Module, tokenizer: Any, passage: str, lengths: Sequence[int]
) -> FigureData:
    """Oscillations of the logits against the threshold, by head, and as the text grows.

    Args:
        model: The trained model.
        twin: The same with random weights.
        tokenizer: Of both.
        passage: A text, cut into chunks of each length.
        lengths: Numbers of tokens n of the chunks.

    Returns:
        Panel "By head" on the fixed sentences: quantiles of θ over the rows of each head, x is the
        layer; panels over n: the median θ of each layer, and shares of rows over all heads.

    Source:
        retrieval
    """
    heads: dict[str, list[float]] = {"x": [], "low": [], "median": [], "high": [], "twin": []}
    ours, theirs = (row_samples(shown(m, tokenizer, list(SENTENCES))) for m in (model, twin))
    for index, (row, control) in enumerate(zip(ours, theirs, strict=True)):
        count = len(row["oscillation"])
        for head, theta in enumerate(row["oscillation"]):
            heads["x"].append(index + 0.7 * ((head + 0.5) / count - 0.5))
            for name, q in (("low", 0.05), ("median", 0.5), ("high", 0.95)):
                heads[name].append(float(theta.quantile(q)))
            heads["twin"].append(float(control["oscillation"][head].median()))
    need = float(ours[0]["threshold"].median())
    first = [series(name, heads["x"], heads[name]) for name in ("low", "median", "high", "twin")]
    first.append(series("threshold", [-0.5, len(ours) - 0.5], [need, need]))

    middle: dict[str, list[float]] = {}
    share: dict[str, list[float]] = {}
    for n in lengths:
        for name, each in (("MiniLM", model), ("random twin", twin)):
            rows = row_samples(shown(each, tokenizer, passage, n))
            theta, peak, wanted = (
                torch.cat([row[key].expand_as(row["peak"]) for row in rows])
                for key in ("oscillation", "peak", "threshold")
            )
            share.setdefault(f"{name}: above", []).append(float((theta > wanted).double().mean()))
            share.setdefault(f"{name}: focused", []).append(float((peak >= 0.5).double().mean()))
            if name == "MiniLM":
                for index, row in enumerate(rows):
                    median = float(row["oscillation"].median())
                    middle.setdefault(f"layer {index}", []).append(median)
                middle.setdefault("threshold", []).append(float(wanted.median()))
            else:
                middle.setdefault("random twin", []).append(float(theta.median()))
    n_axis = Axis("tokens n", scale="log")
    return FigureData(
        "wild-thresholds",
        (
            Panel("By head", Axis("layer"), Axis("oscillation θ", scale="log"), tuple(first)),
            over_one_axis("As the text grows", n_axis, Axis("median θ"), lengths, middle),
            over_one_axis(
                "Rows above it, and focused", n_axis, Axis("share of rows"), lengths, share
            ),
        ),
        {"lengths": list(lengths), "sentences": len(SENTENCES), "quantiles": [0.05, 0.5, 0.95]},
        dtype=DTYPE,
    )


def draw_growing(axes: Sequence[Axes], data: FigureData) -> None:
    """Dots with bars against a dashed line; lines of the layers; shares."""
    heads, middle, share = data.panels
    x = heads["median"].x
    axes[0].vlines(x, heads["low"].y, heads["high"].y, color=COLOURS["blue"], alpha=0.35, lw=1.2)
    axes[0].plot(x, heads["median"].y, "o", ms=3, color=COLOURS["blue"], label="MiniLM, a head")
    axes[0].plot(x, heads["twin"].y, ".", ms=4, color=COLOURS["grey"], label="random twin, a head")
    axes[0].plot(heads["threshold"].x, heads["threshold"].y, "--", color=INK, lw=1.2,
                 label="log(n−1)")  # fmt: skip
    axes[0].legend(loc="upper right", ncols=2)
    axes[0].set_ylim(0.1, 300)
    colours = ("sky", "blue", "green", "orange", "red", "purple")
    for line, colour in zip(middle.series[:6], colours, strict=False):
        axes[1].plot(line.x, line.y, color=COLOURS[colour], label=line.name, lw=1.5)
    axes[1].plot(middle["threshold"].x, middle["threshold"].y, "--", color=INK, label="log(n−1)")
    twin = middle["random twin"]
    axes[1].plot(twin.x, twin.y, ":", color=COLOURS["grey"], label="random twin")
    axes[1].legend(loc="upper left", ncols=2)
    axes[1].set_ylim(0, 1.55 * max(max(line.y) for line in middle.series))
    looks = (("above", "blue", "-"), ("focused", "green", "-"))
    for word, colour, style in looks:
        for name, marker in (("MiniLM", "o"), ("random twin", None)):
            line = share[f"{name}: {word}"]
            text = (
                f"{name}: {'θ above log(n−1)' if word == 'above' else 'half the mass on one token'}"
            )
            axes[2].plot(line.x, line.y, style if marker else ":", marker=marker, ms=3.5,
                         color=COLOURS[colour], label=text)  # fmt: skip
    axes[2].set_ylim(-0.03, 1.6)
    axes[2].set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes[2].legend(loc="upper left")
    for ax in axes[1:]:
        ax.set_xticks(share.series[0].x, [f"{n:g}" for n in share.series[0].x])
        ax.minorticks_off()


# --- the theorem's constants ---------------------------------------------------------------------


def constants(report: Report, points: int) -> FigureData:
    """The factor K of each layer: bound, bound by the patterns, measured; and K of shrunk weights.

    Args:
        report: Of the trained model, on the fixed sentences.
        points: Number of s from 0.01 to 1, evenly spaced in log s.

    Returns:
        A panel for p = 1 and for p = 2 over the layers, and one over s with the largest K of all
        layers, for any tokens behind a LayerNorm.

    Source:
        contraction
    """
    layers = list(range(len(report.layers)))
    panels = []
    for p in NORMS:
        curves = {
            "bound": [layer.contraction[p] for layer in report.layers],
            "by Dobrushin": [
                sum(h.by_dobrushin[p] for h in layer.heads) for layer in report.layers
            ],
            "measured": [layer.measured[p] for layer in report.layers],
        }
        axis = Axis("factor", scale="log")
        panels.append(over_one_axis(f"p = {p}", Axis("layer"), axis, layers, curves))
    s = torch.logspace(-2, 0, points, dtype=torch.float64)
    width = report.settings["width"]
    shrunk = {f"p = {p}": largest_factor(report, p, width, s) for p in NORMS}
    axis = Axis("largest K of the layers", scale="log")
    scale = Axis("factor s on the projections", scale="log")
    panels.append(over_one_axis("Shrunk weights", scale, axis, s, shrunk))
    settings = {"points": points, "sentences": report.sequences}
    return FigureData("wild-constants", tuple(panels), settings, dtype=DTYPE)


def largest_factor(report: Report, p: int, width: int, s: Tensor) -> Tensor:
    r"""K of the worst layer for projections scaled by s, and any tokens of unit variance.

    Such tokens have :math:`\lVert x \rVert_2 \le \sqrt d` and :math:`\lVert x \rVert_1 \le d`, so
    the diameter is at most twice that. Values scale with s, logits with s².

    Args:
        report: With the sizes ν and β of every head.
        p: 1 or 2.
        width: d.
        s: The factors, shape (m,).

    Source:
        contraction
    """
    diameter = torch.tensor(2.0 * (width if p == 1 else math.sqrt(width)), dtype=torch.float64)
    found = []
    for layer in report.layers:
        nu, beta = (
            torch.tensor([getattr(h, name)[p] for h in layer.heads], dtype=torch.float64)
            for name in ("value", "query_key")
        )
        scaled = s[:, None] * nu, s[:, None] ** 2 * beta
        sizes = Sizes(scaled[0][:, None], scaled[0].sum(-1)[:, None], scaled[1][:, None])
        D = diameter.expand(len(s))
        found.append(contraction_factor(sizes, 0, D, D))
    return torch.stack(found).amax(0)


def crossing(curve: Series, level: float) -> float:
    """The x at which a rising curve first passes a level, interpolated in logarithms.

    >>> round(crossing(Series("", [0.1, 1.0], [0.01, 1.0]), 0.1), 6)
    0.316228
    """
    points = list(zip(curve.x, curve.y, strict=True))
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if y0 <= level < y1:
            share = math.log(level / y0) / math.log(y1 / y0)
            return math.exp(math.log(x0) + share * math.log(x1 / x0))
    return curve.x[-1] if curve.y[-1] <= level else curve.x[0]


def draw_constants(axes: Sequence[Axes], data: FigureData) -> None:
    """Three curves a norm on log axes, with the line at 1."""
    looks = (("bound", "--", "bound K"), ("by Dobrushin", ":", "Σ ν τ(P), knows the patterns"),
             ("measured", "-", "measured"))  # fmt: skip
    for ax, panel, colour in zip(axes, data.panels[:2], ("blue", "red"), strict=False):
        for name, style, words in looks:
            line = panel[name]
            ax.plot(line.x, line.y, style, color=COLOURS[colour], marker="o", ms=3.5, label=words)
        ax.axhline(1, color=INK, lw=0.9)
        ax.set_ylim(0.05, 3000)
        ax.legend(loc="upper left", ncols=2)
    for p, colour in ((1, "blue"), (2, "red")):
        line = data.panels[2][f"p = {p}"]
        axes[2].plot(line.x, line.y, color=COLOURS[colour], label=line.name)
    axes[2].axhline(1, color=INK, lw=0.9)
    axes[2].legend(loc="upper left")


def over_one_axis(title: str, x: Axis, y: Axis, values: Any, curves: dict[str, Any]) -> Panel:
    """A panel whose curves share their x."""
    lines = tuple(series(name, list(values), curve) for name, curve in curves.items())
    return Panel(title, x, y, lines)
