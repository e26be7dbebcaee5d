"""``{speed-table} GROUP`` and ``{speed-machine}``: the committed benchmarks, as tables.

Nothing is typed: benchmarks/results.json is what ``make bench`` wrote, and where
benchmarks/results-cuda.json exists, the numbers of the GPU stand in a column of their own.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

FILES = {"CPU": "benchmarks/results.json", "GPU": "benchmarks/results-cuda.json"}
Line = dict[str, Any]


def read(env: BuildEnvironment) -> dict[str, Line]:
    """The files that exist, by kind of device; the page depends on both."""
    found = {}
    for kind, name in FILES.items():
        path = Path(env.srcdir) / name
        env.note_dependency(str(path))
        if path.is_file():
            found[kind] = json.loads(path.read_text("utf-8"))
    return found


def lines_of(results: Line, group: str) -> list[Line]:
    """The lines of a group: figures first, then ratios, each in the order of the run."""
    return [line for line in results["figures"] + results["ratios"] if line["group"] == group]


def told(value: float) -> str:
    """Three digits, with thousands apart.

    >>> told(0.98765), told(12345.6), told(61.2)
    ('0.988', '12 300', '61.2')
    """
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}".replace(",", " ")
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    >>> duration(7.2e-6), duration(0.0123), duration(28.8)
    ('7.2 µs', '12.3 ms', '28.8 s')
    """
    for factor, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{told(seconds * factor)} {unit}"
    return f"{told(seconds)} s"


def value_of(line: Line) -> str:
    """The ratio, or the number with its unit."""
    if "ratio" in line:
        return told(line["ratio"])
    return f"{told(line['value'])} {line['unit']}".rstrip()


def target_of(line: Line) -> str:
    """The target and whether it is met; nothing where there is none."""
    if line["target"] is None:
        return ""
    sign = {"<=": "≤", ">=": "≥"}[line["relation"]]
    return f"{sign} {told(line['target'])}: {'met' if line['met'] else 'missed'}"


def key_of(line: Line) -> tuple[Any, ...]:
    """What makes two lines the same measurement on two devices."""
    return line["case"], line.get("ours", line.get("quantity")), line.get("threads"), line["target"]


def rows_of(found: dict[str, Line], group: str) -> list[list[str]]:
    """The cells of a group, head first.

    >>> line = {"group": "g", "case": "c", "quantity": "q", "value": 2.0, "unit": "s"}
    >>> line |= {"relation": "<=", "target": None, "met": None}
    >>> rows_of({"CPU": {"figures": [line], "ratios": []}}, "g")[1]
    ['c', 'q', '2 s', '']
    """
    lines = lines_of(found["CPU"], group)
    others = (
        {key_of(line): line for line in lines_of(found["GPU"], group)} if "GPU" in found else {}
    )
    gpu = ["On the GPU"] if others else []
    if lines and "ratio" in lines[-1]:
        head = ["Case", "Threads", "Ours", "Against", "Ratio", "Quartiles", *gpu, "Target"]
    else:
        head = ["Case", "Quantity", "Value", *gpu, "Target"]
    rows = []
    for line in lines:
        cells = [line["case"]]
        if "ratio" in line:
            low, high = line["spread"]
            cells += [
                str(line["threads"]),
                f"{line['ours']}, {duration(line['ours_seconds'])}",
                f"{line['theirs']}, {duration(line['theirs_seconds'])}",
                value_of(line),
                f"{told(low)} to {told(high)}",
            ]
        elif "Ours" in head:
            cells += ["", line["quantity"], "", value_of(line), ""]
        else:
            cells += [line["quantity"], value_of(line)]
        if others:
            other = others.get(key_of(line))
            cells.append("" if other is None else value_of(other))
        rows.append([*cells, target_of(line)])
    return [head, *rows]


class SpeedTable(SphinxDirective):
    """``{speed-table} GROUP``: the lines of one group."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Build the table; a group without lines is an error with the page's name."""
        found = read(self.env)
        if "CPU" not in found:
            return [nodes.paragraph("", f"Not measured yet: {FILES['CPU']} is missing.")]
        known = [line["group"] for part in ("ratios", "figures") for line in found["CPU"][part]]
        if self.arguments[0] not in known:
            expected = ", ".join(sorted(set(known)))
            raise self.error(f"speed-table: expected one of {expected}, not {self.arguments[0]}")
        head, *rows = rows_of(found, self.arguments[0])
        group = nodes.tgroup(cols=len(head))
        group += [nodes.colspec(colwidth=1) for _ in head]
        group += [nodes.thead("", _row(head)), nodes.tbody("", *map(_row, rows))]
        kind = ["ratios"] * ("Ratio" in head) + ["gpu"] * ("On the GPU" in head)
        return [nodes.table("", group, classes=["speed-table", "stacked", *kind])]


class SpeedMachine(SphinxDirective):
    """``{speed-machine}``: what the numbers were measured on, when, and at which commit."""

    def run(self) -> list[nodes.Node]:
        """One sentence for each device."""
        told_of = [measured_on(results) for results in read(self.env).values()]
        return [nodes.paragraph("", text) for text in told_of]


def measured_on(results: Line) -> str:
    """One sentence about a file of results."""
    on, date = results["machine"], results["date"][:10]
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"Measured on {on['name']} with {on['cores']} cores and {on['memory_gib']:.0f} GiB,"
        f" {date}, commit {results['commit']}, in {results['seconds']:.0f} seconds; load average"
        f" {on['load_before']} before and {on['load_after']} after. {versions}."
    )


def unbroken(text: str) -> str:
    """The text with formulas, and numbers with their units, kept on one line.

    >>> unbroken("100 × 10, 7 µs").replace(chr(160), "_")
    '100_×_10, 7_µs'
    """
    return re.sub(r" (?=[×=] )|(?<=[×=≤≥]) |(?<=\d) (?=\S{1,3}$)", "\N{NO-BREAK SPACE}", text)


def _row(cells: list[str]) -> nodes.row:
    row = nodes.row("", *(nodes.entry("", nodes.paragraph("", unbroken(cell))) for cell in cells))
    # A number without a counterpart stands in the column of the ratios.
    row["classes"] += ["alone"] * (len(cells) > 5 and not cells[3])
    return row


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("speed-table", SpeedTable)
    app.add_directive("speed-machine", SpeedMachine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
