"""The ledger against the book, the code and the tests: no label may be missing on any side."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from collapse.ledger import KINDS, RELEASED, Claim, Record, StaleRecordWarning, claims, get
from collapse.ledger.record import fingerprints, shown_ratio
from collapse.numeric import Evidence, Provenance, Verdict
from collapse.statements import page_source, stated
from collapse.symbolic import PROOFS

ROOT = Path(__file__).resolve().parent.parent
LABELS = {claim.label for claim in claims()}


# --- what the folders really hold ----------------------------------------------------------------


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


def marked(source: str) -> Iterator[str]:
    """The labels of a test module's markers."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and _called(decorator) == "label":
                yield from sorted(set().union(*map(_strings, decorator.args)))


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
    assert set(claim.inapplicable) <= set(KINDS)
    assert all(reason.strip() == reason != "" for reason in claim.inapplicable.values())
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
    later = max(RELEASED) + 1
    for claim in (replace(claim, chapter=later) for claim in claims()):
        assert claim.page is None
        assert claim.shown_verdict is Verdict.OPEN
        assert set(claim.evidence.values()) == {Evidence.PENDING}


def test_a_released_chapter_shows_its_verdict() -> None:
    lemma = get("as25-lem-4.1")
    assert lemma.shown_verdict is Verdict.REFUTED
    assert lemma.page == RELEASED[1]
    later = replace(lemma, chapter=99)
    assert later.shown_verdict is Verdict.OPEN and later.page is None


def record(**changed: Any) -> dict[str, Any]:
    """A record of a run that found the proofs of two claims."""
    marks = {"symbolic": "passed", "attacked": "undecided"}
    entry = {"marks": marks, "verdict": "holds", "inapplicable": {}, "ratio": 0.5, "failures": []}
    labels = ("softmax-tv", "lambda-skip")
    made = {"schema": "collapse-claims/1", "commit": "abc", "date": "today", "failures": []}
    sources = fingerprints(["numeric.py", "norms/tokens.py"])
    return {**made, "claims": dict.fromkeys(labels, entry), "sources": sources, **changed}


def written(folder: Path, data: object) -> Path:
    path = folder / "claims.json"
    path.write_text(json.dumps(data))
    return path


def test_evidence_is_pending_until_a_run_gives_it(tmp_path: Path) -> None:
    assert get("softmax-tv").evidence["symbolic"] is Evidence.PENDING
    found = {c.label: c for c in claims(written(tmp_path, record()))}
    assert list(found) == [c.label for c in claims()]
    assert list(found["softmax-tv"].evidence.values()) == [
        Evidence.PASSED,
        Evidence.PENDING,
        Evidence.UNDECIDED,
        Evidence.PENDING,
    ]
    later = replace(found["lambda-skip"], chapter=99)  # a chapter to come
    assert set(later.evidence.values()) == {Evidence.PENDING}
    barred = replace(found["softmax-tv"], inapplicable={"symbolic": "as a test"})
    assert barred.evidence["symbolic"] is Evidence.NOT_APPLICABLE


def test_a_record_of_other_sources_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, record(sources={**record()["sources"], "numeric.py": "0" * 16}))
    with pytest.warns(StaleRecordWarning, match="of today at commit abc .* numeric.py changed"):
        claims(path)
    assert Record.read(path).changed() == ("numeric.py",)
    gone = written(tmp_path, record(sources={"gone.py": "0" * 16}))
    assert "gone.py" in Record.read(gone).stale()


@pytest.mark.parametrize("data", [[], {}, {"schema": "collapse-figure/1"}])
def test_another_file_is_no_record(tmp_path: Path, data: object) -> None:
    with pytest.raises(ValueError, match="record: expected a file of schema 'collapse-claims/1'"):
        claims(written(tmp_path, data))
    with pytest.raises(ValueError, match="record: expected a whole one, .* without claims, commit"):
        claims(written(tmp_path, {"schema": "collapse-claims/1"}))
    for entries in (3, {"softmax-tv": {}}, {"softmax-tv": {"marks": {}}}):
        with pytest.raises(ValueError, match="claims: expected an entry of failures, "):
            claims(written(tmp_path, record(claims=entries)))
    (tmp_path / "claims.json").write_text("{")
    with pytest.raises(ValueError, match="record: expected JSON"):
        claims(tmp_path / "claims.json")


def test_a_shown_ratio_never_claims_too_much() -> None:
    shown = [shown_ratio(x) for x in (None, -1.0, 0.0, 1e-9, 0.99999999, 1.0, 1.23456, 20.0)]
    assert shown == ["", "0", "0", "< 0.0001", "0.9999", "1", "1.2345", "20"]
    shown = [shown_ratio(x) for x in (1000.0, 2199.0, 6.88e303)]
    assert shown == ["1.0 × 10³", "2.1 × 10³", "6.8 × 10³⁰³"]


def test_an_open_or_cited_claim_claims_no_evidence() -> None:
    for claim in claims():
        if claim.verdict in (Verdict.OPEN, Verdict.CITED):
            assert set(claim.inapplicable) == set(KINDS)


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
    assert sorted(stated(page_source(ROOT, page))) == expected


def test_the_table_of_contents_has_every_released_page() -> None:
    contents = (ROOT / "_toc.yml").read_text()
    for page in RELEASED.values():
        assert re.search(rf"file: {re.escape(page)}$", contents, flags=re.MULTILINE)


def test_every_label_in_the_tests_is_known() -> None:
    unknown = {
        (path.name, label)
        for path in suite_modules()
        for label in marked(path.read_text())
        if label not in LABELS
    }
    assert not unknown


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
@pytest.mark.label("a-b", "c-d")
@given(st.integers())
def test_given(): "in text: label('e-f')"
@pytest.mark.label("g-h")
def test_witness(): other()
"""
    assert list(marked(module)) == ["a-b", "c-d", "g-h"]
    docstring = 'def f():\n    """One.\n\n    Source:\n        a-b, c-d\n\n    >>> 1\n    """\n'
    assert cited(docstring) == ["a-b", "c-d"]


def test_a_page_that_lost_a_statement_is_noticed() -> None:
    source = page_source(ROOT, RELEASED[1])
    assert "res-lipschitz" in stated(source)
    broken = re.sub(r":label:\s*res-lipschitz\b", "", source)
    assert "res-lipschitz" not in stated(broken)
