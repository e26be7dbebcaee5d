"""The four marks of a claim on a page: each outcome has a sign of its own, read aloud in words."""

from __future__ import annotations

from dataclasses import replace

import ledger
import pytest
from bs4 import BeautifulSoup, Tag
from docutils import nodes

from collapse.ledger import KINDS, get
from collapse.numeric import Evidence

SIGNS = {Evidence.PASSED: "✓", Evidence.FAILED: "✗", Evidence.UNDECIDED: "?",
         Evidence.PENDING: "…", Evidence.NOT_APPLICABLE: "–"}  # fmt: skip


class Page:
    """As much of a translator as the marks need."""

    def __init__(self) -> None:
        self.body: list[str] = []


def shown(marks: dict[str, Evidence], **why: str) -> Tag:
    given = {kind: mark for kind, mark in marks.items() if mark is not Evidence.NOT_APPLICABLE}
    claim = replace(get("softmax-tv"), marks=given, inapplicable=why)
    page = Page()
    with pytest.raises(nodes.SkipNode):
        ledger._visit_marks(page, ledger.marks_of(claim))
    (found,) = BeautifulSoup("".join(page.body), "html.parser").contents
    assert isinstance(found, Tag)
    return found


@pytest.mark.parametrize("mark", SIGNS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_outcome_has_its_sign_its_class_and_its_words(kind: str, mark: Evidence) -> None:
    marks = dict.fromkeys(KINDS, Evidence.PASSED) | {kind: mark}
    why = {kind: "for a <reason>"} if mark is Evidence.NOT_APPLICABLE else {}
    html = shown(marks, **why)
    assert [span["data-kind"] for span in html.select("span")] == list(KINDS)
    said = []
    for span, of in zip(html.select("span"), KINDS, strict=True):
        expected = mark if of == kind else Evidence.PASSED
        reason = " (for a <reason>)" if why and of == kind else ""
        said.append(f"{of} {expected}{reason}")
        assert span.text == of[0].upper() + SIGNS[expected]
        assert span["class"] == ["mark", "mark-" + str(expected).replace(" ", "-")]
        assert span["title"] == f"{of}: {expected}{reason}"
    assert html["aria-label"] == "; ".join(said)


def test_no_two_outcomes_share_a_sign() -> None:
    assert len(set(ledger.SIGNS.values())) == len(ledger.SIGNS) == len(Evidence)
