"""``{claims-table}``: every claim of the ledger, one row each, with what the last run found.

ledger.js adds a filter to the table; without scripts all of it is there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordance import code_of, documented, reference
from docutils import nodes
from import_closure import Package
from ledger import RECORD, badges, ledger, ledger_link, marks_of, record_path
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from collapse.ledger import Claim

CERTIFICATES = "certificates.json"
COLUMNS = {
    "Claim": 36,
    "Verdict": 12,
    "Provenance": 12,
    "Checks": 16,
    "Tightest ratio": 10,
    "See": 14,
}
# A formula says more about a claim than a witness or a search that names it.
TELLING = ("bounds", "norms", "softmax", "rungs", "centred", "paths", "attention", "witnesses")


def recorded(env: BuildEnvironment) -> dict[str, Any]:
    """The record of the last run as plain values, without claims where there is none."""
    from collapse.ledger.record import read_json

    record = record_path(env)
    return read_json(record) if record.is_file() else {"claims": {}}


class place_link(nodes.General, nodes.Element):
    """A link to the proof, figure or code of a claim, dropped where there is none."""


class ClaimsTable(SphinxDirective):
    """``{claims-table}``: every claim of the ledger, one row each."""

    def run(self) -> list[nodes.Node]:
        """Build the table; titles are parsed as MyST, so they may hold formulas."""
        claims, record = ledger(self.env), recorded(self.env)
        package = Package(Path(self.env.srcdir) / "collapse")
        for path in package.files.values():
            self.env.note_dependency(str(path))
        code = code_of(package)
        group = nodes.tgroup(cols=len(COLUMNS))
        group += [nodes.colspec(colwidth=width) for width in COLUMNS.values()]
        head = nodes.row("", *(self._entry([nodes.Text(name)]) for name in COLUMNS))
        rows = (
            self._row(claim, record["claims"].get(label), code.get(label, []))
            for label, claim in claims.items()
        )
        group += [nodes.thead("", head), nodes.tbody("", *rows)]
        self.env.metadata[self.env.docname]["claims-table"] = True
        table = nodes.table("", group, classes=["claims-table"])
        return [table, *self._run_told(record)]

    def _row(self, claim: Claim, entry: dict[str, Any] | None, code: list[str]) -> nodes.row:
        from collapse.ledger.record import shown_ratio

        title, _ = self.state.inline_text(claim.title, self.lineno)
        verdict, _, provenance, *_ = badges(claim)
        entries = [
            self._entry([*title, nodes.Text(" "), nodes.literal("", claim.label)]),
            self._entry([verdict]),
            self._entry([provenance]),
            self._entry([marks_of(claim)]),
            self._entry([nodes.Text(shown_ratio(entry["ratio"] if entry else None))]),
            self._entry(list(self._places(claim, code))),
        ]
        entries[0]["ids"].append(f"claim-{claim.label}")
        return nodes.row("", *entries)

    def _places(self, claim: Claim, code: list[str]) -> Iterator[nodes.Node]:
        if not claim.page:
            yield nodes.Text(f"chapter {claim.chapter}, to come")
            return
        chapter = nodes.Text(f"chapter {claim.chapter}")
        yield ledger_link("", chapter, label=claim.label, target="statement")
        for what in ("proof", "figure", "code"):
            yield place_link("", nodes.Text(what), label=claim.label, what=what, objects=code)

    def _run_told(self, record: dict[str, Any]) -> Iterator[nodes.Node]:
        if not record["claims"]:
            return
        at = f" at commit {record['commit']}" if record["commit"] else ""
        how = f"Checked{at} on {record['date']}, in {record['seconds']:.0f} s on {record['device']}"
        up = "../" * self.env.docname.count("/")
        links = [
            nodes.reference("", text, refuri=f"{up}{name}")
            for name, text in ((RECORD, "the record"), (CERTIFICATES, "the certificates"))
        ]
        yield nodes.paragraph(
            "",
            "",
            nodes.Text(f"{how}, seed {record['seed']}. To keep: "),
            links[0],
            nodes.Text(", with the tightest case of each claim as code, and "),
            links[1],
            nodes.Text("."),
            classes=["claims-run"],
        )

    def _entry(self, content: list[nodes.Node]) -> nodes.entry:
        return nodes.entry("", nodes.paragraph("", "", *content))


def _find_places(app: Sphinx, doctree: nodes.document) -> None:
    """Note where the page has the proof and the figure of each claim that it states.

    A proof belongs to the statement before it, a figure to all statements before it in its section.
    """
    statements: dict[str, Any] = getattr(app.env, "proof_list", {})
    places: dict[str, dict[str, str]] = {}
    stated: list[tuple[str, nodes.Node | None]] = []
    for node in list(doctree.findall()):
        if isinstance(node, nodes.Element) and node.get("label") in statements:
            stated.append((node["label"], _section(node)))
            places[node["label"]] = {}
        elif isinstance(node, nodes.admonition) and "proof" in node["classes"]:
            label = stated[-1][0] if stated else ""
            if label and "proof" not in places[label]:
                # All proofs of a page come with one and the same id.
                node["ids"] = [f"proof-{label}"]
                places[label]["proof"] = f"proof-{label}"
        elif isinstance(node, nodes.figure):
            here = _section(node)
            lacking = [x for x, at in stated if at is here and "figure" not in places[x]]
            if lacking:
                anchor = f"figure-{lacking[0]}"
                node.parent.insert(node.parent.index(node), nodes.target("", "", ids=[anchor]))
                places |= {x: {**places[x], "figure": anchor} for x in lacking}
    app.env.metadata[app.env.docname]["ledger-places"] = places


def _section(node: nodes.Node) -> nodes.Node | None:
    while node is not None and not isinstance(node, nodes.section):
        node = node.parent
    return node


def _resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    statements: dict[str, Any] = getattr(app.env, "proof_list", {})
    for node in list(doctree.findall(place_link)):
        if node["what"] == "code":
            page, anchor = _code(app.env, node["objects"])
        else:
            page = statements.get(node["label"], {}).get("docname")
            places = app.env.metadata[page].get("ledger-places", {}) if page else {}
            anchor = places.get(node["label"], {}).get(node["what"])
        link = page and anchor and make_refnode(app.builder, docname, page, anchor, node.children)
        node.replace_self([nodes.Text(" "), link] if link else [])


def _code(env: BuildEnvironment, names: list[str]) -> tuple[str | None, str | None]:
    """Page and anchor of the object in the reference that says most about a claim."""
    objects = reference(env)
    told = (documented(name, objects) for name in sorted(names, key=_telling))
    entry = next((objects[name] for name in told if name), None)
    return (entry.docname, entry.node_id) if entry else (None, None)


def _telling(name: str) -> int:
    module = name.split(".")[1]
    return TELLING.index(module) if module in TELLING else len(TELLING)


def _copy_record(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    for name in (RECORD, CERTIFICATES):
        if (file := Path(app.srcdir) / "_build" / name).is_file():
            shutil.copyfile(file, Path(app.outdir) / name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_node(place_link)
    app.add_directive("claims-table", ClaimsTable)
    app.connect("doctree-read", _find_places)
    app.connect("doctree-resolved", _resolve)
    app.connect("build-finished", _copy_record)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
