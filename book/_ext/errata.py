"""``{errata}``: what the book says to the authors of the paper, one section for each statement.

Statement, problem and repair come from the ledger. The counterexample is the simplest that the
record of the referee's last run holds; it is evaluated once more, exactly, while the page is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from claims_table import recorded
from docutils import nodes
from ledger import badges, ledger, ledger_link
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from collapse.ledger import Claim
from collapse.numeric import Verdict

if TYPE_CHECKING:
    from collapse.referee.cases import Measured

GREEK = {"eta": r"\eta", "phi": r"\varphi_0"}
WEIGHTS = {"Q": "query", "K": "key", "V": "value"}
TOLD = (Verdict.REFUTED, Verdict.REPAIRED, Verdict.SHARPENED)
log = logging.getLogger(__name__)


def told(claims: Mapping[str, Claim]) -> list[Claim]:
    """The paper's claims that the authors should hear about.

    >>> from collapse.ledger import claims
    >>> told({claim.label: claim for claim in claims()})[0].label
    'as25-lem-4.1'
    """
    return [
        claim
        for label, claim in claims.items()
        if label.startswith("as25-") and claim.shown_verdict in TOLD
    ]


def simplest(record: Mapping[str, Any], label: str) -> dict[str, Any] | None:
    """The check whose violation of the claim is the shortest to print; None where none has one."""
    from collapse.referee.cases import objects
    from collapse.referee.trials import TRIALS

    broken = {trial.name for trial in TRIALS.get(label, ()) if not trial.holds}
    checks = [
        check
        for check in record["claims"].get(label, {}).get("checks", ())
        if check["trial"] in broken and check["witness"] and check["evidence"] == "passed"
    ]

    def length(check: Mapping[str, Any]) -> tuple[bool, int, float]:
        rows = rows_of(objects(label, check["trial"], check["witness"]))
        return rows is None, len(str(rows or check["witness"])), -(check["ratio"] or 0)

    return min(checks, key=length, default=None)


def rows_of(case: Mapping[str, Any]) -> list[str] | None:
    r"""The objects of a case as rows of LaTeX, None if one of them is too large to print.

    >>> rows_of({"A": np.array([[1], [2]], dtype=object)})
    ['A = \\begin{pmatrix}1 \\\\ 2\\end{pmatrix}']
    """
    rows = [
        _network(name, x) if hasattr(x, "query") else matrix(name, x) for name, x in case.items()
    ]
    return None if None in rows else [row for row in rows if row]


def matrix(name: str, value: Any) -> str | None:
    """An array of rationals as LaTeX, None for what is too large to print."""
    array = np.asarray(value, dtype=object)
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]
    if array.ndim > 2 or array.size > 16:
        return None
    plain = name if len(name) == 1 or "_" in name else rf"\text{{{name}}}"
    symbol = GREEK.get(name, plain)
    if array.size == 1:
        return f"{symbol} = {array.item()}"
    body = r" \\ ".join(" & ".join(map(str, row)) for row in np.atleast_2d(array))
    return rf"{symbol} = \begin{{pmatrix}}{body}\end{{pmatrix}}"


def _network(name: str, network: Any) -> str | None:
    """A network as rows of LaTeX: its size, and its weights, once where all entries are equal."""
    depth, heads, width, _ = network.query.shape
    shown: list[str | None] = []
    for letter, word in WEIGHTS.items():
        array = np.asarray(getattr(network, word), dtype=object)
        if len({str(entry) for entry in array.flat}) == 1:
            shown.append(f"W_{letter} = {array.flat[0]}")
            continue
        for layer, head in np.ndindex(depth, heads):
            where = f"^{{({layer + 1}, {head + 1})}}" if depth * heads > 1 else ""
            shown.append(matrix(f"W_{letter}{where}", array[layer, head]))
    if None in shown or len(shown) > 6:
        return None
    size = rf"\text{{{name}: depth {depth}, heads {heads}, width {width}}}"
    return size + r" \\ " + r",\; ".join(text for text in shown if text)


class Errata(SphinxDirective):
    """``{errata}``: a section for each claim of the paper that needs a word."""

    def run(self) -> list[nodes.Node]:
        """Build the sections."""
        claims, record = ledger(self.env), recorded(self.env)
        return [self._section(claim, claims, record) for claim in told(claims)]

    def _section(
        self, claim: Claim, claims: Mapping[str, Claim], record: Mapping[str, Any]
    ) -> nodes.section:
        title, _ = self.state.inline_text(claim.title, self.lineno)
        section = nodes.section(ids=[f"errata-{claim.label}"], names=[])
        section += nodes.title("", "", *title)
        number = claim.source.removeprefix("AS25, ")
        number = f" {number[0].upper()}{number[1:]}. "
        place = ledger_link("", nodes.Text("In this book"), label=claim.label, target="statement")
        section += nodes.paragraph("", "", *badges(claim), nodes.Text(number), place)
        section += self._part("As reported", f"{claim.statement} *Assumed:* {claim.hypotheses}")
        section += self._part("Problem", claim.problem)
        if check := simplest(record, claim.label):
            section += list(self._witness(claim, check))
        section += self._part("Instead", "")
        section += self._repairs([claims[label] for label in claim.repaired_by])
        return section

    def _part(self, head: str, text: str) -> nodes.paragraph:
        found, _ = self.state.inline_text(text, self.lineno) if text else ([], [])
        return nodes.paragraph("", "", nodes.strong("", f"{head}."), nodes.Text(" "), *found)

    def _witness(self, claim: Claim, check: Mapping[str, Any]) -> Iterator[nodes.Node]:
        from collapse.referee.cases import evaluate, objects

        measured: Measured = evaluate(claim.label, check["trial"], check["witness"])
        if not measured.refuted:
            log.warning("%s: the recorded witness refutes nothing", claim.label)
        case = objects(claim.label, check["trial"], check["witness"])
        yield self._part("Smallest counterexample found", f"({check['trial']})")
        if rows := rows_of(case):
            formula = r"\begin{gathered}" + r" \\ ".join(rows) + r"\end{gathered}"
            yield nodes.math_block("", formula, number=None, nowrap=False, docname=self.env.docname)
        exactly = "exactly" if measured.arithmetic == "exact" else "in rigorous balls"
        yield nodes.paragraph("", f"Evaluated {exactly}: {measured}.")
        yield nodes.literal_block(check["code"], check["code"], language="python")

    def _repairs(self, claims: list[Claim]) -> nodes.bullet_list:
        items = nodes.bullet_list()
        for claim in claims:
            title, _ = self.state.inline_text(claim.title, self.lineno)
            text, _ = self.state.inline_text(f"{claim.statement}", self.lineno)
            link = ledger_link("", *title, label=claim.label, target="statement")
            items += nodes.list_item("", nodes.paragraph("", "", link, nodes.Text(": "), *text))
        return items


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("errata", Errata)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
