"""What an entry of the ledger is, and which chapters readers can already open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, get_args

from collapse.numeric import Evidence, Provenance, Verdict

Kind = Literal["symbolic", "certified", "attacked", "property"]
KINDS: tuple[Kind, ...] = get_args(Kind)

# Releasing a chapter is one line here: its claims then show their verdict and evidence.
RELEASED: Mapping[int, str] = MappingProxyType(
    {
        1: "notebooks/01-res",
        2: "notebooks/02-softmax",
        3: "notebooks/03-contraction",
        4: "notebooks/04-orders",
        5: "notebooks/05-skips",
        6: "notebooks/06-trade-off",
        7: "notebooks/07-trained",
        8: "notebooks/08-masks-layernorm",
        9: "notebooks/09-skips-ssm",
        10: "notebooks/10-wild",
    }
)


@dataclass(frozen=True)
class Claim:
    """One statement of the book with its standing.

    Attributes:
        label: The key shared by book, code, tests and ledger.
        title: A short name for people.
        source: Where the statement was made, for example "AS25, Lemma 4.1" or "ours".
        provenance: Whether the source was read, is known from reports, or is this companion.
        statement: The claim in MyST with inline LaTeX.
        hypotheses: What the statement assumes, in the same markup.
        verdict: What the claim's chapter concludes, in the book or not; see ``shown_verdict``.
        chapter: Number of the chapter that treats the claim.
        depends: Labels that its proof or its discussion uses.
        problem: What is wrong with it, or weaker than it could be; empty where nothing is.
        repaired_by: Labels of what we prove instead.
        inapplicable: Kinds of check that make no sense for this claim, each with the reason.
        marks: Outcomes of the checks by kind, from the record of a run; a run alone gives them.
    """

    label: str
    title: str
    source: str
    provenance: Provenance
    statement: str
    hypotheses: str
    verdict: Verdict
    chapter: int
    depends: tuple[str, ...] = ()
    problem: str = ""
    repaired_by: tuple[str, ...] = ()
    inapplicable: Mapping[Kind, str] = field(default_factory=dict, hash=False)
    marks: Mapping[Kind, Evidence] = field(default_factory=dict, hash=False)

    @property
    def released(self) -> bool:
        """Whether the chapter is in the book."""
        return self.chapter in RELEASED

    @property
    def page(self) -> str | None:
        """Name of the page that states the claim, None until its chapter is released."""
        return RELEASED.get(self.chapter)

    @property
    def shown_verdict(self) -> Verdict:
        """The verdict that readers see, open until the chapter is released."""
        return self.verdict if self.released else Verdict.OPEN

    @property
    def evidence(self) -> Mapping[Kind, Evidence]:
        """The outcome of each kind of check; pending where no run has been read."""
        return MappingProxyType({kind: self._mark(kind) for kind in KINDS})

    def _mark(self, kind: Kind) -> Evidence:
        if not self.released:
            return Evidence.PENDING
        if kind in self.inapplicable:
            return Evidence.NOT_APPLICABLE
        return self.marks.get(kind, Evidence.PENDING)
