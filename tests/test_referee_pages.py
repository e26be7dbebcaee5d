"""The errata and the concordance, as their directives gather them and as the book has them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup, Tag
from built_book import ROOT
from concordance import cited, code_of, documented, paper_numbers
from errata import matrix, rows_of, simplest, told
from import_closure import Package

from collapse.ledger import claims, get
from collapse.numeric import Provenance, Verdict
from collapse.symbolic import PROOFS

LEDGER = {claim.label: claim for claim in claims()}
TOLD = [claim.label for claim in told(LEDGER)]
WORD = (Verdict.REFUTED, Verdict.REPAIRED, Verdict.SHARPENED)
Soup = Callable[[str], BeautifulSoup]


# --- what the ledger has to say ------------------------------------------------------------------


def test_the_authors_are_told_all_that_is_refuted_repaired_or_sharpened() -> None:
    expected = [c.label for c in claims() if c.source.startswith("AS25") and c.verdict in WORD]
    assert [label for label in expected if get(label).released] == TOLD
    assert "as25-lem-4.1" in TOLD and "as25-skip" not in TOLD


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.label)
def test_a_problem_comes_with_a_repair_and_only_where_there_is_one(claim: Any) -> None:
    needed = claim.provenance is Provenance.REPORTED and claim.verdict in WORD
    assert bool(claim.problem) == bool(claim.repaired_by) == needed
    assert claim.problem == claim.problem.strip() and "  " not in claim.problem
    assert claim.problem.count("$") % 2 == 0
    assert all(get(label).verdict is Verdict.HOLDS for label in claim.repaired_by)
    assert set(claim.repaired_by) <= set(claim.depends)


def test_the_simplest_violation_is_chosen_and_nothing_else() -> None:
    def check(trial: str, witness: object, evidence: str = "passed") -> dict[str, Any]:
        return {"trial": trial, "witness": witness, "evidence": evidence, "ratio": 2.0}

    long, short = ({"A": [["0"], ["0"], [x]], "B": [["1"], ["-1"], ["0"]]} for x in ("17/3", "1"))
    checks = [check("three tokens", long), check("three tokens", short), check("other", {"A": 0})]
    label = "as25-lem-4.1"
    assert simplest({"claims": {label: {"checks": checks}}}, label) == checks[1]
    failed = [check("three tokens", short, evidence="failed"), check("three tokens", {})]
    assert simplest({"claims": {label: {"checks": failed}}}, label) is None
    assert simplest({"claims": {}}, label) is None
    holds = {"claims": {"res-lipschitz": {"checks": [check("three tokens", short)]}}}
    assert simplest(holds, "res-lipschitz") is None  # what holds has no counterexample


def test_small_arrays_are_set_as_matrices_and_large_ones_are_not() -> None:
    assert matrix("A", np.array([["1/2", 0]])) == r"A = \begin{pmatrix}1/2 & 0\end{pmatrix}"
    assert matrix("least", np.array(3)) == matrix("least", np.array([[3]])) == r"\text{least} = 3"
    assert matrix("eta", np.array(3)) == r"\eta = 3"
    assert rows_of({"A": np.array([[1]]), "B": np.zeros((5, 5))}) is None
    assert (
        matrix("X", np.zeros((1, 1, 2, 1), dtype=int)) == r"X = \begin{pmatrix}0 \\ 0\end{pmatrix}"
    )
    assert matrix("X", np.zeros((5, 5))) is None


# --- the concordance -----------------------------------------------------------------------------


def test_citations_carry_the_name_that_makes_them() -> None:
    source = '''
class Network:
    """A.

    Source:
        a-b, c
    """

    def random(self):
        """B.

        Source:
            d

        >>> 1
        """

def _hidden():
    """C.

    Source:
        e
    """
'''
    assert list(cited(source, "m")) == [
        ("a-b", "m.Network"),
        ("c", "m.Network"),
        ("d", "m.Network.random"),
    ]


def test_every_label_with_code_finds_it() -> None:
    code = code_of(Package(ROOT / "collapse"))
    assert set(code) <= set(LEDGER)
    assert "collapse.norms.tokens.residual" in code["as25-res"]
    assert set(PROOFS) <= set(code)


def test_numbers_of_the_paper_and_what_serves_them() -> None:
    numbers = paper_numbers(LEDGER)
    assert set(numbers) == set(LEDGER)
    assert numbers["as25-lem-4.1"] == "Lemma 4.1"
    assert numbers["as25-thm-5.3"] == "Theorem 5.3"
    assert numbers["res-norm-lipschitz"] == "For Lemma 4.1, Lemma 5.1"
    assert numbers["metric-dictionary"] == ""


def test_the_reference_may_list_a_name_under_the_package() -> None:
    objects = {"collapse.norms.residual": None, "collapse.exact.lift": None}
    assert documented("collapse.norms.tokens.residual", objects) == "collapse.norms.residual"
    assert documented("collapse.exact.lift", objects) == "collapse.exact.lift"
    assert documented("collapse.norms.tokens.gone", objects) is None


# --- the built pages -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(html: Path) -> Soup:
    return cache(
        lambda name: BeautifulSoup((html / f"{name}.html").read_text("utf-8"), "html.parser")
    )


@pytest.mark.book
class TestErrata:
    @pytest.fixture
    def sections(self, page: Soup) -> dict[str, Tag]:
        found = page("book/errata").select("section[id^=errata-]")
        return {str(section["id"]).removeprefix("errata-"): section for section in found}

    def test_each_claim_has_its_section_with_its_verdict(self, sections: dict[str, Tag]) -> None:
        assert list(sections) == TOLD
        for label, section in sections.items():
            badge = section.select_one(".verdict")
            assert badge is not None and badge.text == str(get(label).shown_verdict)

    def test_each_section_links_to_the_statement_and_to_every_repair(
        self, sections: dict[str, Tag]
    ) -> None:
        for label, section in sections.items():
            links = {str(a["href"]) for a in section.select("a[href]")}
            for wanted in (label, *get(label).repaired_by):
                assert f"../{get(wanted).page}.html#{wanted}" in links

    def test_each_refuted_claim_has_a_counterexample_that_runs(
        self, sections: dict[str, Tag]
    ) -> None:
        refuted = [label for label in TOLD if get(label).verdict is Verdict.REFUTED]
        assert refuted
        for label in refuted:
            code = sections[label].select_one("div.highlight-python pre")
            assert code is not None, f"no counterexample for {label}"
            assert "assert case.refuted" in code.text
            exec(code.text, {})
            wrong = re.sub(
                r"evaluate\('[^']+', '[^']+'", r"evaluate('res-norm-lipschitz', 'norms'", code.text
            )
            with pytest.raises((AssertionError, ValueError)):
                exec(wrong, {})


@pytest.mark.book
class TestConcordance:
    def test_lists_every_result_once(self, page: Soup) -> None:
        rows = page("book/claims").select("table.concordance tbody tr")
        labels = [row.select("td")[1].get_text(strip=True) for row in rows]
        assert labels == list(LEDGER)

    def test_released_results_lead_to_their_statement(self, page: Soup) -> None:
        rows = page("book/claims").select("table.concordance tbody tr")
        for row, claim in zip(rows, claims(), strict=True):
            links = {str(a["href"]) for a in row.select("td")[3].select("a[href]")}
            assert (f"../{claim.page}.html#{claim.label}" in links) == claim.released

    def test_code_is_linked_where_the_reference_has_it(self, page: Soup) -> None:
        links = page("book/claims").select("table.concordance td:nth-child(3) a[href]")
        assert len(links) > 40
        assert {str(a["href"]).partition("#")[0] for a in links} >= {"api/norms.html"}


@pytest.mark.book
def test_the_graph_shows_every_result_and_leads_to_those_released(page: Soup) -> None:
    graph = page("book/claims").select_one("svg.dependencies")
    assert graph is not None
    assert len(graph.select("g.node")) == len(LEDGER)
    links = {str(a["href"]) for a in graph.select("a")}
    assert links == {f"../{c.page}.html#{c.label}" for c in claims() if c.released}
