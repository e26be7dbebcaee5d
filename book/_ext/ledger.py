"""The ledger in the book: ``{verdict}`` badges and the ``{claims-table}``, both from the package.

``{verdict}`res-lipschitz``` shows the verdict and the provenance that ``collapse.ledger`` records
for a label, so neither is ever typed.  ``{claims-table}`` lists every claim; ledger.js adds a
filter to it, and without scripts the whole table is there.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from import_closure import Package
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from collapse.ledger import Claim

_NO_EVIDENCE = {"pending", "not applicable"}
log = logging.getLogger(__name__)
COLUMNS = {"Claim": 48, "Verdict": 12, "Provenance": 12, "Evidence": 16, "Page": 12}


def ledger(env: BuildEnvironment) -> dict[str, Claim]:
    """The claims by label; the page being read depends on every module behind them."""
    from collapse.ledger import claims

    package = Package(Path(env.srcdir) / "collapse")
    closure = package.closure("import collapse.ledger")
    for path in package.files_of(closure):
        env.note_dependency(str(path))
    return {claim.label: claim for claim in claims()}


def badge(kind: str, word: str) -> nodes.inline:
    """One word as a badge; its classes carry the colour, the word carries the meaning."""
    return nodes.inline("", word, classes=["badge-word", kind, f"{kind}-{word}"])


def badges(claim: Claim) -> list[nodes.Node]:
    """Verdict and provenance of a claim, side by side."""
    verdict = badge("verdict", str(claim.shown_verdict))
    return [verdict, nodes.Text(" "), badge("provenance", str(claim.provenance))]


def evidence(claim: Claim) -> str:
    """The checks that a claim has had so far, by kind; what is still to come is left out."""
    told = {kind: str(mark) for kind, mark in claim.evidence.items()}
    had = [f"{kind} {mark}" for kind, mark in told.items() if mark not in _NO_EVIDENCE]
    return ", ".join(had) or "pending"


class ledger_link(nodes.General, nodes.Element):
    """A link into the ledger or to a statement, resolved once every page has been read."""


class VerdictRole(SphinxRole):
    """``{verdict}`label```: the claim's badges, linked to its row of the table."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Return the badges, or a warning naming the page where the label is unknown."""
        claim = ledger(self.env).get(self.text)
        if claim is None:
            message = self.inliner.reporter.warning(
                f"verdict: no claim has the label {self.text!r}", line=self.lineno
            )
            return [self.inliner.problematic(self.rawtext, self.rawtext, message)], [message]
        link = ledger_link("", *badges(claim), label=claim.label, target="row")
        return [link], []


class ClaimsTable(SphinxDirective):
    """``{claims-table}``: every claim of the ledger, one row each."""

    def run(self) -> list[nodes.Node]:
        """Build the table; titles are parsed as MyST, so they may hold formulas."""
        group = nodes.tgroup(cols=len(COLUMNS))
        group += [nodes.colspec(colwidth=width) for width in COLUMNS.values()]
        head = nodes.row("", *(self._entry([nodes.Text(name)]) for name in COLUMNS))
        body = nodes.tbody("", *(self._row(claim) for claim in ledger(self.env).values()))
        group += [nodes.thead("", head), body]
        self.env.metadata[self.env.docname]["claims-table"] = True
        return [nodes.table("", group, classes=["claims-table"])]

    def _row(self, claim: Claim) -> nodes.row:
        title, _ = self.state.inline_text(claim.title, self.lineno)
        verdict, _, provenance = badges(claim)
        chapter = nodes.Text(f"chapter {claim.chapter}")
        page: list[nodes.Node] = [chapter, nodes.Text(", to come")]
        if claim.page:
            page = [ledger_link("", chapter, label=claim.label, target="statement")]
        entries = [
            self._entry([*title, nodes.Text(" "), nodes.literal("", claim.label)]),
            self._entry([verdict]),
            self._entry([provenance]),
            self._entry([nodes.Text(evidence(claim))]),
            self._entry(page),
        ]
        entries[0]["ids"].append(f"claim-{claim.label}")
        return nodes.row("", *entries)

    def _entry(self, content: list[nodes.Node]) -> nodes.entry:
        return nodes.entry("", nodes.paragraph("", "", *content))


def _resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn the ledger's links into references; a statement that is not there is a warning."""
    statements: dict[str, Any] = getattr(app.env, "proof_list", {})
    table = next((doc for doc, data in app.env.metadata.items() if "claims-table" in data), None)
    for node in list(doctree.findall(ledger_link)):
        label, content = node["label"], node.children
        if node["target"] == "row":
            where, anchor = table, f"claim-{label}"
        else:
            where, anchor = statements.get(label, {}).get("docname"), label
            if where is None:
                log.warning(
                    "the ledger gives %r a page, but no page states it", label, location=docname
                )
        if where is None:
            node.replace_self(content)
            continue
        node.replace_self(make_refnode(app.builder, docname, where, anchor, content))


def setup(app: Sphinx) -> dict[str, bool]:
    """Register role and directive; the package is the one of the checkout."""
    sys.path.insert(0, str(app.srcdir))
    app.add_node(ledger_link)
    app.add_role("verdict", VerdictRole())
    app.add_directive("claims-table", ClaimsTable)
    app.connect("doctree-resolved", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
