"""The report in words, as a table for the terminal, and as HTML."""

from __future__ import annotations

import html as markup
import statistics
from typing import Any

from collapse.inspection.measure import NORMS
from collapse.inspection.report import HeadReport, LayerReport, Report

LAYER_COLUMNS = (
    "layer",
    "θ (5 %–95 %)",
    "log(m−1)",
    "above",
    "TV ≤ tanh(θ/4)",
    "τ(P)",
    "K₁ ≤ bound",
    "K₂ ≤ bound",
    "share",
    "averaged",
)
HEAD_COLUMNS = (
    "head",
    "θ (5 %–95 %)",
    "above",
    "focused",
    "TV ≤ tanh(θ/4)",
    "τ(P)",
    "β₁",
    "β₂",
    "ν₁",
    "ν₂",
    "K₂ ≤ ντ ≤ bound",
)
LEGEND = (
    "θ: oscillation of a row's logits, its median and quantiles. log(m−1): what half the mass on"
    " one of m visible tokens needs; above: rows that reach it. TV: distance of a row from uniform"
    " attention. τ: Dobrushin's coefficient. K: factor by which attention scales the diameter,"
    " measured, and its bound. share: what attention adds, relative to the stream. averaged:"
    " change of the outputs when this layer averages."
)


def verdict(report: Report) -> str:
    """The finding in plain language, with the numbers behind it."""
    return " ".join((*_merged(report), headline(report), *_reasons(report)))


def headline(report: Report) -> str:
    """One sentence: what averaging does to the model, against the tolerance."""
    allowed, change = percent(report.tolerance), percent(report.averaged)
    if report.removed <= report.tolerance:
        return (
            f"Attention hardly matters here: without it the outputs change by"
            f" {percent(report.removed)}, within the tolerance of {allowed}."
        )
    if report.averaged <= report.tolerance:
        return (
            f"Attention has collapsed to averages: with plain averages in the place of all patterns"
            f" the outputs change by {change}, within the tolerance of {allowed}; without attention"
            f" by {percent(report.removed)}."
        )
    return (
        f"Attention has not collapsed: with plain averages in the place of all patterns the outputs"
        f" change by {change}, more than the tolerance of {allowed}; without attention by"
        f" {percent(report.removed)}."
    )


def _reasons(report: Report) -> list[str]:
    middle = statistics.median(head.oscillation[1] for head in report.heads)
    asked = [head for head in report.heads if head.threshold is not None]
    said = [f"The logits of the median head oscillate by {middle:.3g} in a row."]
    if asked:
        need = statistics.median(head.threshold or 0.0 for head in asked)
        above = statistics.fmean(head.above or 0.0 for head in asked)
        focused = statistics.fmean(head.focused or 0.0 for head in asked)
        said.append(
            f"Half the mass on one token needs {need:.3g}; {percent(above)} of the rows reach that,"
            f" and {percent(focused)} do put half their mass on one token."
        )
    said.append(
        f"When every layer's attention reads the first layer's input, the outputs change by"
        f" {percent(report.first_input)}."
    )
    if report.margins is not None:
        said.append(
            f"For a change within {percent(report.tolerance)} all query, key and value weights"
            f" {_shrink(report.margins['average'], report.margins['first'])}."
        )
    for p in NORMS:
        small = sum(layer.contraction[p] < 1 for layer in report.layers)
        actual = sum(layer.measured[p] < 1 for layer in report.layers)
        said.append(
            f"In the norm p = {p} the bound K is below 1 in {small} of {len(report.layers)} layers,"
            f" the measured factor in {actual}."
        )
    return said


def _merged(report: Report) -> list[str]:
    """Rank collapse, where the stream ends in it: it says more than what averaging does."""
    first, size = report.layers[0], report.final["size"]
    behind = report.final["diameter_2"] / size if size else 0.0
    if behind > report.tolerance:
        return []
    before = first.diameter[2] / first.size if first.size else 0.0
    return [
        f"The tokens have merged, which is rank collapse: behind the last layer no two of them are"
        f" further apart than {percent(behind)} of the longest one's length, within the tolerance"
        f" of {percent(report.tolerance)}; before the first layer it was {percent(before)}."
    ]


def percent(x: float) -> str:
    """A share with two significant digits."""
    return f"{100 * x:.2g} %" if abs(x) < 0.995 else f"{100 * x:.0f} %"


def short(x: float) -> str:
    """A factor in a column: three digits, fewer where a power of ten needs the room."""
    if x < 1e-3:
        return f"{x:.0e}" if x else "0"
    return f"{x:.3g}" if x < 999.5 else f"{x:.1e}"


def _shrink(average: float, first: float) -> str:
    def size(s: float) -> str:
        return "below 1/128 of their size" if s == 0 else f"to {s:.2g} of their size"

    if average == 1 or first == 1:
        parts = [
            f"need not shrink for {name}"
            if s == 1
            else f"would have to shrink {size(s)} for {name}"
            for s, name in ((average, "averages"), (first, "the first layer's input"))
        ]
        return ", and ".join(parts)
    return (
        f"would have to shrink {size(average)} for averages, and {size(first)} for the first"
        " layer's input"
    )


def layer_rows(report: Report) -> list[tuple[str, ...]]:
    """One row of words a layer."""
    return [_layer_row(index, layer) for index, layer in enumerate(report.layers)]


def _layer_row(index: int, layer: LayerReport) -> tuple[str, ...]:
    def middle(values: list[float]) -> float:
        return statistics.median(values)

    heads = layer.heads
    low, theta, high = (middle([head.oscillation[i] for head in heads]) for i in range(3))
    asked = [head for head in heads if head.threshold is not None]
    return (
        str(index),
        f"{theta:.2f} ({low:.2f}–{high:.2f})",
        f"{asked[0].threshold:.2f}" if asked else "–",
        percent(statistics.fmean(head.above or 0.0 for head in asked)) if asked else "–",
        f"{middle([h.tv for h in heads]):.2f} ≤ {middle([h.tv_bound for h in heads]):.2f}",
        f"{middle([head.dobrushin for head in heads]):.2f}",
        *(f"{short(layer.measured[p])} ≤ {short(layer.contraction[p])}" for p in NORMS),
        percent(layer.share),
        percent(layer.averaged),
    )


def head_rows(report: Report) -> list[tuple[str, ...]]:
    """One row of words a head."""
    return [_head_row(head) for head in report.heads]


def _head_row(head: HeadReport) -> tuple[str, ...]:
    low, theta, high = head.oscillation
    return (
        f"{head.layer}.{head.head}",
        f"{theta:.2f} ({low:.2f}–{high:.2f})",
        "–" if head.above is None else percent(head.above),
        "–" if head.focused is None else percent(head.focused),
        f"{head.tv:.2f} ≤ {head.tv_bound:.2f}",
        f"{head.dobrushin:.2f}",
        *(f"{head.query_key[p]:.3g}" for p in NORMS),
        *(f"{head.value[p]:.3g}" for p in NORMS),
        f"{head.measured[2]:.2g} ≤ {head.by_dobrushin[2]:.2g} ≤ {head.contraction[2]:.2g}",
    )


def title(report: Report) -> str:
    """What was measured, in one line."""
    short, long = report.lengths
    if report.sequences == 1:
        return f"{report.model}: 1 sequence, {long} tokens"
    length = f"{long} tokens each" if short == long else f"{short} to {long} tokens each"
    return f"{report.model}: {report.sequences} sequences, {length}"


def table(report: Report, heads: bool = False) -> Any:
    """The report as a rich renderable.

    Args:
        report: What to show.
        heads: Whether to add one row a head.
    """
    rich_table, console = _rich()

    def filled(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> Any:
        grid = rich_table(box=None, pad_edge=False)
        for column in columns:
            grid.add_column(column, justify="right", no_wrap=True)
        for row in rows:
            grid.add_row(*row)
        return grid

    parts: list[Any] = [title(report), f"Attention: {report.words}.", ""]
    parts += [filled(LAYER_COLUMNS, layer_rows(report)), ""]
    if heads:
        parts += [filled(HEAD_COLUMNS, head_rows(report)), ""]
    return console.Group(*parts, LEGEND, "", verdict(report))


def text(report: Report, width: int = 118) -> str:
    """The table as plain text of that width."""
    _rich()
    from rich.console import Console

    console = Console(width=width, force_terminal=False, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(table(report))
    return captured.get()


def html(report: Report) -> str:
    """The report as an HTML fragment: verdict, one row a layer, folded rows of the heads."""
    space = "style='padding:0.1em 0.4em;text-align:right;white-space:nowrap'"

    def cells(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
        head = "".join(f"<th scope='col' {space}>{markup.escape(each)}</th>" for each in columns)
        body = "".join(
            "<tr>" + "".join(f"<td {space}>{markup.escape(each)}</td>" for each in row) + "</tr>"
            for row in rows
        )
        grid = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        # The tab stop lets the keyboard scroll a wide table.
        return f"<div style='overflow-x:auto;font-size:0.8em' tabindex='0'>{grid}</div>"

    return (
        f"<div class='collapse-report'><p><strong>{markup.escape(title(report))}</strong>.<br>"
        f"{markup.escape(verdict(report))}</p>"
        f"{cells(LAYER_COLUMNS, layer_rows(report))}"
        f"<details><summary>All heads</summary>{cells(HEAD_COLUMNS, head_rows(report))}</details>"
        f"<p><small>{markup.escape(LEGEND)}</small></p></div>"
    )


def _rich() -> tuple[Any, Any]:
    try:
        import rich.console
        from rich.table import Table
    except ImportError:
        raise ValueError(
            "table: expected the package rich (pip install 'collapse-companion[diagnose]'),"
            " received an environment without it; to_json() needs nothing"
        ) from None
    return Table, rich.console
