"""``{verdict}`` badges: what the ledger says of a claim, from the package and the last run.

``{verdict}`res-lipschitz``` shows the verdict and the provenance that ``collapse.ledger`` records
for a label and the marks that the last run of the referee gave it, so none of them is ever typed.
"""

from __future__ import annotations

import sys
import warnings
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from import_closure import Package
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole
from sphinx.util.nodes import make_refnode

if TYPE_CHECKING:
    from collapse.ledger import Claim

log = logging.getLogger(__name__)
SIGNS = {"passed": "✓", "failed": "✗", "undecided": "?", "pending": "…", "not applicable": "–"}
RECORD = "claims.json"


def ledger(env: BuildEnvironment) -> dict[str, Claim]:
    """The claims by label, with the marks of the last run.

    The page being read depends on that run's record and on every module behind the statements.
    """
    from collapse.ledger import claims

    record = record_path(env)
    for path in (record, *_modules(Path(env.srcdir))):
        env.note_dependency(str(path))
    if not record.is_file():
        log.warning("no checks have been recorded; `make claims` records them", once=True)
        return {claim.label: claim for claim in claims()}
    with warnings.catch_warnings(record=True) as stale:
        warnings.simplefilter("always")
        found = {claim.label: claim for claim in claims(record)}
    for warning in stale:
        log.warning("%s", str(warning.message), once=True)
    return found


def record_path(env: BuildEnvironment) -> Path:
    """Where the record of the last run lies."""
    return Path(env.srcdir) / "_build" / RECORD


@cache
def _modules(root: Path) -> tuple[Path, ...]:
    package = Package(root / "collapse")
    return tuple(package.files_of(package.closure("import collapse.ledger")))


def badge(kind: str, word: str) -> nodes.inline:
    """One word as a badge; its classes carry the colour, the word carries the meaning."""
    return nodes.inline("", word, classes=["badge-word", kind, f"{kind}-{word}"])


def badges(claim: Claim) -> list[nodes.Node]:
    """Verdict, provenance and, once the chapter is released, the marks of a claim."""
    verdict = badge("verdict", str(claim.shown_verdict))
    found = [verdict, nodes.Text(" "), badge("provenance", str(claim.provenance))]
    return [*found, nodes.Text(" "), marks_of(claim)] if claim.released else found


class marks(nodes.Inline, nodes.Element):
    """The four marks of a claim: a letter for each kind of check, and a sign for its outcome."""


def marks_of(claim: Claim) -> marks:
    """The marks of a claim as the ledger has them, with the reason where a check does not apply."""
    why = {kind: f" ({reason})" for kind, reason in claim.inapplicable.items() if claim.released}
    found = [(kind, str(mark), why.get(kind, "")) for kind, mark in claim.evidence.items()]
    return marks("", found=found)


def _visit_marks(translator: Any, node: marks) -> None:
    # Signs and the label carry the meaning; colour only repeats it.
    told = "; ".join(f"{kind} {mark}{why}" for kind, mark, why in node["found"])
    letters = "".join(
        f'<span class="mark mark-{mark.replace(" ", "-")}" data-kind="{kind}"'
        f' title="{kind}: {mark}{escape(why)}">{kind[0].upper()}{SIGNS[mark]}</span>'
        for kind, mark, why in node["found"]
    )
    translator.body.append(
        f'<span class="badge-word marks" role="img" aria-label="{escape(told)}">{letters}</span>'
    )
    raise nodes.SkipNode


def _skip_marks(translator: Any, node: marks) -> None:
    raise nodes.SkipNode


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
    """Register the role; the package is the one of the checkout."""
    sys.path.insert(0, str(app.srcdir))
    app.add_node(ledger_link)
    app.add_node(
        marks,
        html=(_visit_marks, None),
        latex=(_skip_marks, None),
        text=(_skip_marks, None),
        man=(_skip_marks, None),
        texinfo=(_skip_marks, None),
    )
    app.add_role("verdict", VerdictRole())
    app.connect("doctree-resolved", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
