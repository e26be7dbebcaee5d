"""The report: what was measured, as a dataclass that prints, renders and serialises."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SCHEMA = "collapse-report/1"


@dataclass(frozen=True)
class HeadReport:
    r"""One head. Medians are over all rows of attention, or over the sequences.

    Attributes:
        query_key: β_p(M) for p = 1, 2, gains and 1/√d_k folded in.
        value: ν_p(V) for p = 1, 2, gain and output projection folded in.
        oscillation: 5%, 50% and 95% quantiles of the oscillation θ of a row's logits.
        largest_oscillation: The largest θ of all rows.
        tv: Median distance of a row from uniform attention, in total variation.
        tv_bound: Median of tanh(θ/4), which bounds it row by row.
        threshold: Median of log(m − 1), the θ that half the mass on one of m visible tokens needs.
        above: Share of the rows with three visible tokens or more whose θ exceeds it.
        focused: Share of these rows that do put half their mass on one token.
        dobrushin: Median of τ(P).
        contraction: Median over the sequences of K_p: ν tanh(β diam²/4), or what holds instead
            under masks and rotary positions.
        by_dobrushin: Median of ν_p τ(P), the bound that knows the patterns.
        measured: Median of diam_p of what the head writes over diam_p of the tokens it reads.
    """

    layer: int
    head: int
    query_key: dict[int, float]
    value: dict[int, float]
    oscillation: tuple[float, float, float]
    largest_oscillation: float
    tv: float
    tv_bound: float
    threshold: float | None
    above: float | None
    focused: float | None
    dobrushin: float
    contraction: dict[int, float]
    by_dobrushin: dict[int, float]
    measured: dict[int, float]


@dataclass(frozen=True)
class LayerReport:
    r"""One layer; medians over the sequences.

    Attributes:
        name: The attention module.
        heads: Its heads.
        diameter: diam_p of the stream that enters the layer, p = 1, 2.
        residual_norm: ρ of that stream.
        size: ‖·‖₂ of its longest token.
        share: Frobenius norm of what attention adds over that of the stream it is added to.
        kind: "plain", "mask" or "rope": which form of the contraction applies.
        contraction: Median of the sum of the heads' K_p.
        measured: Median of diam_p of what the layer's attention adds over diam_p of what it reads.
        averaged: Relative change of the model's output when this layer alone averages.
    """

    name: str
    heads: tuple[HeadReport, ...]
    diameter: dict[int, float]
    residual_norm: float
    size: float
    share: float
    kind: str
    contraction: dict[int, float]
    measured: dict[int, float]
    averaged: float


@dataclass(frozen=True)
class Report:
    r"""What :func:`~collapse.inspection.diagnosis.diagnose` found.

    Attributes:
        model: Name of the model's class.
        words: What the attention stack is, and what counts as output.
        sequences: Number of sequences.
        tokens: Number of tokens in all of them.
        lengths: Shortest and longest sequence.
        layers: One report a layer.
        final: Diameters, ρ and size of the stream behind the last layer.
        removed: Relative change of the outputs without any attention.
        first_input: The same when every layer's attention reads the input of the first (rung 1).
        averaged: The same when every layer's attention averages (rung 2).
        tolerance: The change that the margins allow.
        margins: By "first" and "average", the largest s up to which the scaled model and its
            substitute stay within the tolerance; None if they were not asked for.
        memory: Largest number of bytes that n×n arrays and rows could take.
        settings: Device, number type, width of the tokens, version of torch.
    """

    model: str
    words: str
    sequences: int
    tokens: int
    lengths: tuple[int, int]
    layers: tuple[LayerReport, ...]
    final: dict[str, float]
    removed: float
    first_input: float
    averaged: float
    tolerance: float
    margins: dict[str, float] | None
    memory: int
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def heads(self) -> tuple[HeadReport, ...]:
        """All heads, layer by layer."""
        return tuple(head for layer in self.layers for head in layer.heads)

    @property
    def verdict(self) -> str:
        """The finding in plain language, with the numbers behind it."""
        from collapse.inspection.rendering import verdict

        return verdict(self)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values, with the verdict in words."""
        return {"schema": SCHEMA, "verdict": self.verdict, **_plain(asdict(self))}

    def write(self, path: str | Path) -> Path:
        """Write the JSON to a file, refusing NaN and infinity."""
        path = Path(path)
        path.write_text(json.dumps(self.to_json(), allow_nan=False, indent=1) + "\n", "utf-8")
        return path

    def figure(self, path: str | Path | None = None) -> Any:
        """One figure: oscillations against the threshold, contraction, stream, substitutions.

        Args:
            path: Where to save it too: SVG, PDF or PNG, by its ending.

        Returns:
            A matplotlib figure.
        """
        from collapse.inspection.drawing import draw_report

        figure = draw_report(self)
        if path is not None:
            figure.savefig(path)
        return figure

    def __rich__(self) -> Any:
        """The report for a terminal."""
        from collapse.inspection.rendering import table

        return table(self)

    def __str__(self) -> str:
        """The table as plain text."""
        from collapse.inspection.rendering import text

        return text(self)

    def _repr_html_(self) -> str:
        """The report in a notebook."""
        from collapse.inspection.rendering import html

        return html(self)


def _plain(value: Any) -> Any:
    """Tuples as lists, norms as strings."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
