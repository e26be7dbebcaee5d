"""The ledger against the book, the code and the tests: no label may be missing on any side."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from collapse.ledger import KINDS, PROPERTY_TESTED, RELEASED, Claim, claims, get
from collapse.numeric import Evidence, Provenance, Verdict
from collapse.symbolic import PROOFS

ROOT = Path(__file__).resolve().parent.parent
LABELS = {claim.label for claim in claims()}


# --- what the folders really hold ----------------------------------------------------------------


def page_source(name: str) -> str:
    """The MyST source of a page, the markdown cells of a notebook joined."""
    notebook = ROOT / f"{name}.ipynb"
    if not notebook.exists():
        return (ROOT / f"{name}.md").read_text()
    cells = json.loads(notebook.read_text())["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def stated(source: str) -> list[str]:
    """Labels of the statements (``prf:`` directives) of a page."""
    options = r"(?:[ \t]*:(?!label)[\w-]+:.*\n)*"
    directive = r"^[ \t]*[:`]{3,}\{prf:\w+\}.*\n" + options + r"[ \t]*:label:[ \t]*(\S+)"
    return re.findall(directive, source, flags=re.MULTILINE)


def _strings(node: ast.AST) -> set[str]:
    return {
        leaf.value
        for leaf in ast.walk(node)
        if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
    }


def _called(decorator: ast.expr) -> str:
    """The last name of a decorator's callable: label for ``pytest.mark.label("x")``."""
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _reaching_random_cases(tree: ast.Module) -> set[str]:
    """Module-level names that lead to the suite's budget of random cases."""
    uses = {}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [node]
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        uses.update({getattr(t, "name", getattr(t, "id", "")): names for t in targets})
    reaching = {"CASES"}
    while found := {name for name, names in uses.items() if names & reaching} - reaching:
        reaching |= found
    return reaching


def marked(source: str) -> Iterator[tuple[str, bool]]:
    """Each label marker of a test module, and whether its test draws its cases at random.

    It does if Hypothesis gives them, or if it works through the 10⁵ cases of ``CASES``.
    """
    tree = ast.parse(source)
    reaching = _reaching_random_cases(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        random = node.name in reaching or any(_called(d) == "given" for d in node.decorator_list)
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and _called(decorator) == "label":
                for label in sorted(set().union(*map(_strings, decorator.args))):
                    yield label, random


def cited(source: str) -> list[str]:
    """Labels in the ``Source:`` sections of a module's docstrings."""
    labels = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node) or ""
            for section in re.findall(r"^Source:\n((?:[ \t]+\S.*\n?)+)", text, re.MULTILINE):
                labels += [label.strip() for label in section.replace("\n", ",").split(",")]
    return [label for label in labels if label]


def suite_modules() -> list[Path]:
    return sorted((ROOT / "tests").rglob("test_*.py"))


def package_modules() -> list[Path]:
    return sorted((ROOT / "collapse").rglob("*.py"))


# --- the ledger itself ---------------------------------------------------------------------------


def test_labels_are_unique() -> None:
    assert len(LABELS) == len(claims())


@pytest.mark.parametrize("claim", claims(), ids=lambda claim: claim.label)
def test_entry_is_complete(claim: Claim) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9.]+)*", claim.label)
    for text in (claim.title, claim.source, claim.statement, claim.hypotheses):
        assert text.strip() == text != ""
        assert text.count("$") % 2 == 0
        assert text.count("{") == text.count("}")
        assert "  " not in text
    assert claim.statement.endswith(".") and claim.hypotheses.endswith(".")
    assert isinstance(claim.verdict, Verdict) and isinstance(claim.provenance, Provenance)
    assert 1 <= claim.chapter <= 10
    assert set(claim.depends) <= LABELS - {claim.label}
    assert claim.inapplicable <= set(KINDS)
    assert tuple(claim.evidence) == KINDS
    assert all(isinstance(mark, Evidence) for mark in claim.evidence.values())


def test_only_the_papers_claims_carry_the_papers_name() -> None:
    for claim in claims():
        reported = claim.label.startswith("as25-")
        assert reported == claim.source.startswith("AS25,")
        assert not (reported and claim.provenance is Provenance.OURS)
        assert (claim.provenance is Provenance.OURS) == claim.source.startswith("ours")


def test_an_entry_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        claims()[0].title = "another"
    with pytest.raises(TypeError):
        claims()[0].evidence["symbolic"] = Evidence.PASSED


def test_a_chapter_to_come_shows_no_result() -> None:
    for claim in claims():
        if claim.chapter not in RELEASED:
            assert claim.page is None
            assert claim.shown_verdict is Verdict.OPEN
            assert set(claim.evidence.values()) == {Evidence.PENDING}


def test_a_released_chapter_shows_its_verdict() -> None:
    lemma = get("as25-lem-4.1")
    assert lemma.shown_verdict is Verdict.REFUTED
    assert lemma.page == RELEASED[1]
    later = replace(lemma, chapter=99)
    assert later.shown_verdict is Verdict.OPEN and later.page is None


def test_evidence_follows_the_registries(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = replace(get("softmax-tv"), label="a-new-label")
    assert claim.evidence["symbolic"] is Evidence.PENDING
    monkeypatch.setitem(PROOFS, claim.label, [])
    assert claim.evidence["symbolic"] is Evidence.PASSED
    barred = replace(claim, inapplicable=frozenset({"symbolic"}))
    assert barred.evidence["symbolic"] is Evidence.NOT_APPLICABLE
    assert claim.evidence["certified"] is Evidence.PENDING


def test_an_open_or_cited_claim_claims_no_evidence() -> None:
    for claim in claims():
        if claim.verdict in (Verdict.OPEN, Verdict.CITED):
            assert claim.inapplicable == set(KINDS)


def test_get_finds_every_label() -> None:
    assert all(get(claim.label) is claim for claim in claims())


@pytest.mark.parametrize("label", ["softmax-tvv", "Softmax-TV", "", "res_lipschitz"])
def test_get_refuses_an_unknown_label(label: str) -> None:
    with pytest.raises(ValueError, match="label: expected a label of the ledger") as error:
        get(label)
    assert repr(label) in str(error.value)
    if label:
        assert "near it: " in str(error.value)


# --- the ledger against book, tests and code -----------------------------------------------------


@pytest.mark.parametrize("page", RELEASED.values())
def test_each_released_label_is_stated_once_on_its_page(page: str) -> None:
    expected = sorted(claim.label for claim in claims() if claim.page == page)
    assert sorted(stated(page_source(page))) == expected


def test_the_table_of_contents_has_every_released_page() -> None:
    contents = (ROOT / "_toc.yml").read_text()
    for page in RELEASED.values():
        assert re.search(rf"file: {re.escape(page)}$", contents, flags=re.MULTILINE)


def test_every_label_in_the_tests_is_known() -> None:
    unknown = {
        (path.name, label)
        for path in suite_modules()
        for label, _ in marked(path.read_text())
        if label not in LABELS
    }
    assert not unknown


def test_property_marks_are_what_the_tests_hold() -> None:
    found = {
        label for path in suite_modules() for label, random in marked(path.read_text()) if random
    }
    assert found >= PROPERTY_TESTED
    # A chapter to come may have tests before it has pages; its marks are pending all the same.
    assert not {label for label in found - PROPERTY_TESTED if get(label).released}


def test_every_source_in_the_code_is_known() -> None:
    sources = {(p.name, label) for p in package_modules() for label in cited(p.read_text())}
    assert len(sources) > 10
    assert not {(name, label) for name, label in sources if label not in LABELS}


def test_every_symbolic_proof_belongs_to_a_claim() -> None:
    assert set(PROOFS) <= LABELS


# --- negative controls: the readers above notice what they should ---------------------------------


def test_the_readers_notice() -> None:
    statements = ":::{prf:lemma} T\n:class: c\n:label: x-y\n:::\n```{math}\n:label: eq\n```\n"
    assert stated(statements + "```{prf:theorem}\n:label: z\n```\n:label: w") == ["x-y", "z"]
    module = """
EACH = CASES // 5
def batch(): return rough(EACH)
@pytest.mark.label("a-b", "c-d")
@given(st.integers())
def test_given(): "in text: label('e-f')"
@pytest.mark.label("g-h")
def test_witness(): other()
@pytest.mark.label("i-j")
def test_many(): batch()
"""
    assert list(marked(module)) == [("a-b", True), ("c-d", True), ("g-h", False), ("i-j", True)]
    docstring = 'def f():\n    """One.\n\n    Source:\n        a-b, c-d\n\n    >>> 1\n    """\n'
    assert cited(docstring) == ["a-b", "c-d"]


def test_a_page_that_lost_a_statement_is_noticed() -> None:
    source = page_source(RELEASED[1])
    assert "res-lipschitz" in stated(source)
    broken = re.sub(r":label:\s*res-lipschitz\b", "", source)
    assert "res-lipschitz" not in stated(broken)
