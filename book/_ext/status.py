"""``{status}``: what the last runs took and found, as tables; ``{gpu-verified}``, a line of them.

Everything is read from the files that the runs have written: the executed notebooks, the records
of the claims and of the figure contract, and the committed records of a GPU and of a full check.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole

Cell = str | nodes.Node
FILES = {
    "claims": "_build/claims.json",
    "contract": "_build/contract.json",
    "tolerances": "tests/expected/tolerances.toml",
    "gpu": "benchmarks/gpu.json",
    "times": "benchmarks/times.json",
}
NEVER = "never verified on a GPU"
OUTCOMES = ("passed", "undecided", "failed", "pending", "not applicable")
STATES = {
    "same": "as expected",
    "different": "different",
    "new": "without expectation",
    "missing": "missing",
}


def read(env: BuildEnvironment, name: str) -> dict[str, Any] | None:
    """A record, on which the page now depends; None where it has not been written."""
    path = Path(env.srcdir) / FILES[name]
    env.note_dependency(str(path))
    if not path.is_file():
        return None
    text = path.read_text("utf-8")
    found: dict[str, Any] = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    return found


def runs(env: BuildEnvironment) -> dict[str, dict[str, Any]]:
    """What each executed notebook says of its run, by page."""
    found = {}
    for docname in sorted(env.found_docs):
        if Path(env.doc2path(docname)).suffix == ".ipynb":
            copy = Path(env.srcdir) / "_build" / "executed" / f"{Path(docname).name}.ipynb"
            env.note_dependency(str(copy))
            found[docname] = json.loads(copy.read_text("utf-8"))["metadata"]["run"]
    return found


def verified(record: dict[str, Any] | None) -> str:
    """When the tests last ran on a GPU, in words.

    >>> verified(None)
    'never verified on a GPU'
    """
    if record is None:
        return NEVER
    tests = record["tests"]
    result = f"{tests['passed']} tests passed" + (
        f", {tests['failed']} failed" * bool(tests["failed"])
    )
    at = f" at commit {record['commit']}" if record["commit"] else ""
    return f"last verified on {record['device']['name']}, {record['date']}{at}: {result}"


def minutes(seconds: float) -> str:
    """A duration for people.

    >>> minutes(59.7), minutes(61)
    ('60 s', '1 min 1 s')
    """
    whole = round(seconds)
    return f"{whole} s" if whole <= 60 else f"{whole // 60} min {whole % 60} s"


def scientific(number: float) -> str:
    """A number with two digits."""
    return "0" if number == 0 else f"{number:.1e}"


def share(number: float) -> str:
    """A share: in per cent from a thousandth on.

    >>> share(0.003), share(1e-9)
    ('0.3 %', '1.0e-09')
    """
    return f"{100 * number:.2g} %" if number >= 1e-3 else scientific(number)


class Status(SphinxDirective):
    """``{status} TABLE``: one of the tables of this module, by name."""

    required_arguments = 1
    option_spec = {"class": directives.class_option}

    def run(self) -> list[nodes.Node]:
        """Build the table; a name that there is none of is an error with the page's name."""
        if self.arguments[0] not in TABLES:
            raise self.error(f"status: expected one of {list(TABLES)}, not {self.arguments[0]}")
        return TABLES[self.arguments[0]](self.env)


class Verified(SphinxRole):
    """``{gpu-verified}`QUANTITY```: when it was last compared on a GPU; ``all`` for all of them."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """One line of words, or a warning where the record has no such quantity."""
        record = read(self.env, "gpu")
        if record is not None and self.text != "all":
            rows = [row for row in record["agreement"] if row["quantity"] == self.text]
            if not rows:
                message = self.inliner.reporter.warning(
                    f"gpu-verified: {FILES['gpu']} has no quantity {self.text!r}", line=self.lineno
                )
                return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        return [nodes.Text(verified(record))], []


def chapters(env: BuildEnvironment) -> list[nodes.Node]:
    """Run time, date, commit and device of each notebook."""
    found = runs(env)
    rows: list[Sequence[Cell]] = [
        (
            page_link(docname),
            minutes(run["seconds"]),
            run["date"],
            nodes.literal("", run["commit"] or "unknown"),
            ", ".join(run["devices"]) or "cpu",
        )
        for docname, run in found.items()
    ]
    total = sum(run["seconds"] for run in found.values())
    rows.append(("All notebooks", minutes(total), "", "", ""))
    return [table(("Page", "Run time", "Executed", "At commit", "Device"), rows, "stacked")]


def claims(env: BuildEnvironment) -> list[nodes.Node]:
    """Outcomes of the checks by kind."""
    record = read(env, "claims")
    if record is None:
        return told("The claims have not been checked.")
    entries = record["claims"].values()
    kinds = list(dict.fromkeys(kind for entry in entries for kind in entry["marks"]))
    counts = {kind: Counter(_mark(entry, kind) for entry in entries) for kind in kinds}
    shown = [word for word in OUTCOMES if any(count[word] for count in counts.values())]
    rows = [(kind, *(str(counts[kind][word]) for word in shown)) for kind in kinds]
    at = f" at commit {record['commit']}" if record["commit"] else ""
    fallen = (
        f"failures: {len(record['failures'])}" if record["failures"] else "every verdict stands"
    )
    line = (
        f"{len(record['claims'])} claims, checked in {minutes(record['seconds'])} on "
        f"{record['device']}, {record['date']}{at}; {fallen}."
    )
    return [table(("Kind of check", *shown), rows), *told(line)]


def _mark(entry: dict[str, Any], kind: str) -> str:
    missing = "not applicable" if kind in entry["inapplicable"] else "pending"
    return str(entry["marks"].get(kind, missing))


def contract(env: BuildEnvironment) -> list[nodes.Node]:
    """How many figures are as expected, and each class of tolerance with its reason."""
    record, rules = read(env, "contract"), read(env, "tolerances")
    if record is None or rules is None:
        return told("The figures have not been compared.")
    count = Counter(record["states"].values())
    said = ", ".join(f"{count[state]} {word}" for state, word in STATES.items() if count[state])
    rows = []
    for name, entry in rules["class"].items():
        used = record["classes"].get(name, {"numbers": 0, "used": 0.0})
        compared = entry.get("values", True)
        spent = share(used["used"]) if compared and used["numbers"] else "–"
        limits = [entry.get(name, 0.0) for name in ("relative", "absolute", "floor")]
        allowed = [share(x) if compared else "–" for x in limits]
        rows.append((name, *allowed, f"{used['numbers']:,}", spent))
    lines = [f"{len(record['states'])} figures: {said}."]
    lines += [
        f"{name}: {STATES[state]}." for name, state in record["states"].items() if state != "same"
    ]
    reasons = [
        nodes.definition_list_item(
            "",
            nodes.term("", "", nodes.Text(name)),
            nodes.definition("", nodes.paragraph("", "", nodes.Text(entry["reason"]))),
        )
        for name, entry in rules["class"].items()
    ]
    head = ("Class", "Relative", "Absolute", "Floor", "Numbers", "Used")
    above = [node for line in lines for node in told(line)]
    return [*above, table(head, rows), nodes.definition_list("", *reasons)]


def gpu(env: BuildEnvironment) -> list[nodes.Node]:
    """The last run on a GPU: how far each quantity was from the CPU."""
    record = read(env, "gpu")
    line = verified(record)
    lines = told(f"{line[0].upper()}{line[1:]}.")
    if record is None:
        return lines
    rows = [
        (row["quantity"], row["dtype"], *(scientific(row[x]) for x in ("difference", "allowed")))
        for row in record["agreement"]
    ]
    return [*lines, table(("Quantity", "Number type", "CPU − GPU", "Allowed"), rows)]


def times(env: BuildEnvironment) -> list[nodes.Node]:
    """The steps of the last full check that was kept."""
    record = read(env, "times")
    if record is None:
        return told("No full check has been kept yet: `make times` keeps the last one.")
    rows = [(step, minutes(seconds)) for step, seconds in record["steps"].items()]
    rows.append(("all", minutes(sum(record["steps"].values()))))
    where = f"{record['processor']}, {record['cores']} cores, {record['date']}"
    at = f" at commit {record['commit']}" if record["commit"] else ""
    return [table(("Step", "Time"), rows), *told(f"Measured on {where}{at}.")]


def versions(env: BuildEnvironment) -> list[nodes.Node]:
    """Versions behind the notebooks, as their runs have recorded them."""
    found: dict[str, set[str]] = {}
    for run in runs(env).values():
        for name, version in run["versions"].items():
            found.setdefault(name, set()).add(version)
    rows = [(name, ", ".join(sorted(found[name]))) for name in sorted(found, key=str.lower)]
    return [table(("Package", "Version"), rows)]


TABLES: dict[str, Callable[[BuildEnvironment], list[nodes.Node]]] = {
    function.__name__: function for function in (chapters, claims, contract, gpu, times, versions)
}


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], *classes: str) -> nodes.table:
    """A table; words stay words, nodes stay nodes."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=1) for _ in head), cols=len(head))
    group += nodes.thead("", _row(head))
    group += nodes.tbody("", *(_row(row) for row in rows))
    return nodes.table("", group, classes=["status-table", *classes])


def told(line: str) -> list[nodes.Node]:
    """A line below or above a table; what stands between backticks is code."""
    parts = line.split("`")
    content = [nodes.literal("", x) if i % 2 else nodes.Text(x) for i, x in enumerate(parts)]
    return [nodes.paragraph("", "", *content, classes=["claims-run"])]


def page_link(docname: str) -> addnodes.pending_xref:
    """A link to a page, with its title."""
    options = {"refdomain": "std", "reftype": "doc", "refexplicit": False, "refwarn": True}
    link = addnodes.pending_xref("", reftarget=f"/{docname}", **options)
    link += nodes.inline("", docname)
    return link


def _row(cells: Sequence[Cell]) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        content = nodes.Text(cell) if isinstance(cell, str) else cell
        row += nodes.entry("", nodes.paragraph("", "", content))
    return row


def setup(app: Sphinx) -> dict[str, bool]:
    """Register directive and role."""
    app.add_directive("status", Status)
    app.add_role("gpu-verified", Verified())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
