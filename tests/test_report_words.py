"""A report in words, tables and its figure: every number stands where its name says."""

from __future__ import annotations

import re
import statistics
from dataclasses import fields, replace
from typing import Any

import pytest

from collapse.inspection.rendering import (
    HEAD_COLUMNS,
    LAYER_COLUMNS,
    head_rows,
    layer_rows,
    title,
)
from collapse.inspection.report import HeadReport, LayerReport, Report


def numbered(sort: Any, start: float, **given: Any) -> Any:
    """A dataclass whose numbers are all different: start, start + 0.01, and so on."""
    count = iter(range(100))

    def one() -> float:
        return round(start + next(count) / 100, 2)

    def shaped(kind: Any) -> Any:
        if kind == "dict[int, float]":
            return {1: one(), 2: one()}
        return (one(), one(), one()) if kind == "tuple[float, float, float]" else one()

    made = {
        field.name: given[field.name] if field.name in given else shaped(field.type)
        for field in fields(sort)
    }
    return sort(**made)


def layer(index: int, start: float) -> LayerReport:
    heads = [numbered(HeadReport, start + h / 4, layer=index, head=h) for h in range(3)]
    return numbered(
        LayerReport, start + 0.8, name=f"attention {index}", heads=tuple(heads), kind="plain"
    )


@pytest.fixture
def report() -> Report:
    """Two layers of three heads in which no two numbers are the same."""
    return Report(
        model="Model", words="attention", sequences=3, tokens=15, lengths=(4, 6),
        layers=(layer(0, 0.1), layer(1, 1.2)),
        final={"diameter_1": 3.1, "diameter_2": 3.2, "residual_norm": 3.3, "size": 3.4},
        removed=0.71, first_input=0.52, averaged=0.33, tolerance=0.02,
        margins={"first": 0.25, "average": 0.5}, memory=1,
    )  # fmt: skip


def percent(x: float) -> str:
    return f"{100 * x:.2g} %" if x < 0.995 else f"{100 * x:.0f} %"


def test_no_two_numbers_are_the_same(report: Report) -> None:
    found = re.findall(r"[\d.]+", str(report.heads) + str(report.layers[0].diameter))
    numbers = [x for x in found if "." in x]
    assert len(numbers) == 6 * 20 + 2 == len(set(numbers))


def test_each_column_of_a_layer_holds_what_it_is_called(report: Report) -> None:
    for own, row in zip(report.layers, layer_rows(report), strict=True):

        def middle(name: str, heads: Any = own.heads) -> float:
            return statistics.median(getattr(head, name) for head in heads)

        low, theta, high = (
            statistics.median(h.oscillation[i] for h in own.heads) for i in range(3)
        )
        above = statistics.fmean(head.above or 0 for head in own.heads)
        assert dict(zip(LAYER_COLUMNS, row, strict=True)) == {
            "layer": str(own.heads[0].layer),
            "θ (5 %–95 %)": f"{theta:.2f} ({low:.2f}–{high:.2f})",
            "log(m−1)": f"{own.heads[0].threshold:.2f}",
            "above": percent(above),
            "TV ≤ tanh(θ/4)": f"{middle('tv'):.2f} ≤ {middle('tv_bound'):.2f}",
            "τ(P)": f"{middle('dobrushin'):.2f}",
            "K₁ ≤ bound": f"{own.measured[1]:.3g} ≤ {own.contraction[1]:.3g}",
            "K₂ ≤ bound": f"{own.measured[2]:.3g} ≤ {own.contraction[2]:.3g}",
            "share": percent(own.share),
            "averaged": percent(own.averaged),
        }


def test_each_column_of_a_head_holds_what_it_is_called(report: Report) -> None:
    for head, row in zip(report.heads, head_rows(report), strict=True):
        low, theta, high = head.oscillation
        chain = (head.measured[2], head.by_dobrushin[2], head.contraction[2])
        assert head.above is not None and head.focused is not None
        assert dict(zip(HEAD_COLUMNS, row, strict=True)) == {
            "head": f"{head.layer}.{head.head}",
            "θ (5 %–95 %)": f"{theta:.2f} ({low:.2f}–{high:.2f})",
            "above": percent(head.above),
            "focused": percent(head.focused),
            "TV ≤ tanh(θ/4)": f"{head.tv:.2f} ≤ {head.tv_bound:.2f}",
            "τ(P)": f"{head.dobrushin:.2f}",
            "β₁": f"{head.query_key[1]:.3g}",
            "β₂": f"{head.query_key[2]:.3g}",
            "ν₁": f"{head.value[1]:.3g}",
            "ν₂": f"{head.value[2]:.3g}",
            "K₂ ≤ ντ ≤ bound": " ≤ ".join(f"{x:.2g}" for x in chain),
        }


def test_html_and_text_hold_the_rows(report: Report) -> None:
    html, text = report._repr_html_(), str(report)
    cells = [cell for row in layer_rows(report) + head_rows(report) for cell in row]
    assert re.findall(r"<td [^>]*>([^<]*)</td>", html) == cells
    heads = re.findall(r"<th [^>]*>([^<]*)</th>", html)
    assert heads == [*LAYER_COLUMNS, *HEAD_COLUMNS]
    shown = [line.split() for line in text.splitlines()]
    for row in layer_rows(report):
        assert " ".join(row).split() in shown


def test_heads_that_see_two_tokens_at_most_have_no_threshold(report: Report) -> None:
    bare = replace(report.heads[0], threshold=None, above=None, focused=None)
    first = replace(report.layers[0], heads=(bare, *report.layers[0].heads[1:]))
    (row, _) = layer_rows(replace(report, layers=(first, report.layers[1])))
    cells = dict(zip(LAYER_COLUMNS, row, strict=True))
    asked = first.heads[1:]
    assert cells["log(m−1)"] == f"{asked[0].threshold:.2f}"
    assert cells["above"] == percent(sum(head.above for head in asked if head.above) / 2)
    first = replace(first, heads=(bare,))
    alone = replace(report, layers=(first,))
    assert dict(zip(LAYER_COLUMNS, layer_rows(alone)[0], strict=True))["above"] == "–"
    assert head_rows(alone)[0][2:4] == ("–", "–")
    assert "Half the mass" in report.verdict and "Half the mass" not in alone.verdict


# --- the verdict --------------------------------------------------------------------------------


def test_the_verdict_gives_each_number_its_name(report: Report) -> None:
    heads = report.heads
    theta = statistics.median(head.oscillation[1] for head in heads)
    need = statistics.median(head.threshold or 0 for head in heads)
    above, focused = (
        sum(getattr(head, name) for head in heads) / len(heads) for name in ("above", "focused")
    )
    said = report.verdict
    for sentence in (
        "Attention has not collapsed",
        "change by 33 %, more than the tolerance of 2 %; without attention by 71 %.",
        f"The logits of the median head oscillate by {theta:.3g} in a row.",
        f"Half the mass on one token needs {need:.3g}; {percent(above)} of the rows reach that,"
        f" and {percent(focused)} do put half their mass on one token.",
        "reads the first layer's input, the outputs change by 52 %.",
        "For a change within 2 % all query, key and value weights would have to shrink to 0.5 of"
        " their size for averages, and to 0.25 of their size for the first layer's input.",
    ):
        assert sentence in said


def test_a_change_as_large_as_the_tolerance_is_within_it(report: Report) -> None:
    at = replace(report, averaged=report.tolerance)
    assert at.verdict.startswith("Attention has collapsed to averages")
    assert "change by 2 %, within the tolerance of 2 %; without attention by 71 %" in at.verdict
    more = replace(report, averaged=1.001 * report.tolerance)
    assert more.verdict.startswith("Attention has not collapsed")
    hardly = replace(report, averaged=0.5, removed=report.tolerance)
    assert hardly.verdict.startswith("Attention hardly matters here: without it the outputs change")
    more = replace(hardly, removed=1.001 * report.tolerance)
    assert not more.verdict.startswith("Attention hardly matters")


def test_layers_are_counted_by_the_norm_and_only_below_one(report: Report) -> None:
    first, second = report.layers
    first = replace(first, contraction={1: 1.0, 2: 0.999}, measured={1: 0.5, 2: 0.9})
    second = replace(second, contraction={1: 3.0, 2: 0.5}, measured={1: 1.0, 2: 0.4})
    said = replace(report, layers=(first, second)).verdict
    assert "p = 1 the bound K is below 1 in 0 of 2 layers, the measured factor in 1." in said
    assert "p = 2 the bound K is below 1 in 2 of 2 layers, the measured factor in 2." in said


@pytest.mark.parametrize(
    ("average", "first", "said"),
    [
        (1.0, 0.25, "need not shrink for averages, and would have to shrink to 0.25 of their size"
         " for the first layer's input."),
        (0.25, 1.0, "would have to shrink to 0.25 of their size for averages, and need not shrink"
         " for the first layer's input."),
        (0.0, 0.25, "would have to shrink below 1/128 of their size for averages, and to 0.25 of"),
    ],
    ids=["none for averages", "none for the first input", "below the search"],
)  # fmt: skip
def test_margins_at_their_ends(report: Report, average: float, first: float, said: str) -> None:
    assert said in replace(report, margins={"first": first, "average": average}).verdict


def test_without_margins_nothing_is_said_of_them(report: Report) -> None:
    assert "shrink" not in replace(report, margins=None).verdict


def test_the_title_counts_sequences_and_tokens(report: Report) -> None:
    assert title(report) == "Model: 3 sequences, 4 to 6 tokens each"
    assert title(replace(report, lengths=(5, 5))) == "Model: 3 sequences, 5 tokens each"
    one = replace(report, sequences=1, tokens=5, lengths=(5, 5))
    assert title(one) == "Model: 1 sequence, 5 tokens"


# --- the figure ---------------------------------------------------------------------------------


def test_each_curve_of_the_figure_is_what_its_legend_says(report: Report) -> None:
    axes = report.figure().axes
    drawn = {
        line.get_label(): [float(y) for y in line.get_ydata()] for ax in axes for line in ax.lines
    }
    layers, last = report.layers, report.final
    for p in (1, 2):
        assert drawn[f"bound K, p = {p}"] == [own.contraction[p] for own in layers]
        assert drawn[f"measured, p = {p}"] == [own.measured[p] for own in layers]
    assert drawn["diam₂ of the stream"] == [*(x.diameter[2] for x in layers), last["diameter_2"]]
    assert drawn["longest token"] == [*(x.size for x in layers), last["size"]]
    written = drawn["written by attention (share × size)"]
    assert written == pytest.approx([x.share * x.size for x in layers])
    assert drawn["a head: median, 5% to 95%"] == [head.oscillation[1] for head in report.heads]
    levels = {"no attention at all": report.removed,
              "averages everywhere (rung 2)": report.averaged,
              "first input everywhere (rung 1)": report.first_input}  # fmt: skip
    for name, level in levels.items():
        assert set(drawn[name]) == {level}
    bars = [bar.get_height() for bar in axes[3].patches]
    assert bars == [own.averaged for own in layers]
    segments = axes[0].collections[0].get_segments()
    ends = [(float(low[1]), float(high[1])) for low, high in segments]
    assert ends == [(head.oscillation[0], head.oscillation[2]) for head in report.heads]
