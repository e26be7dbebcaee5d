r"""What small weights keep a network from learning."""

from __future__ import annotations

from collapse.ledger.model import Claim
from collapse.numeric import Provenance, Verdict

CLAIMS = (
    Claim(
        label="loss-floor",
        title="Near rung 2 nothing is recalled",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"If on the $m$ turns of a recall sequence with $m$ pairs the logits of a network"
        r" differ from those of a function of the query and the multiset of the tokens by an"
        r" oscillation of at most $a$, its mean cross-entropy on them is at least"
        r" $\log\bigl(1 + (m-1)e^{-a}\bigr)$. Sharp for every $a \ge 0$.",
        hypotheses=r"Associative recall in which no value occurs twice. For a stack with skips and"
        r" without mask, $a = E_2\max_{c,c'}\lVert r_c - r_{c'}\rVert_1$ with rung 2's bound $E_2$"
        r" for $p = \infty$ and the columns $r_c$ of the readout.",
        verdict=Verdict.HOLDS,
        chapter=7,
        depends=("rung-2", "retrieval"),
        inapplicable={"symbolic": "an inequality over all logits, proved by convexity"},
    ),
    Claim(
        label="gradient-order",
        title="Queries and keys have gradients of order η²",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"With $u_i = \partial\mathcal L/\partial A(X)_i$, each entry of"
        r" $\partial\mathcal L/\partial W_Q$ is at most $\tfrac14\lVert X\rVert_\infty"
        r" \operatorname{diam}_\infty(X)^2\nu_\infty(V)\nu_\infty(W_K)\sum_i\lVert u_i\rVert_1$,"
        r" and the same for $W_K$ with $\nu_\infty(W_Q)$. Attained.",
        hypotheses=r"One head of an attention layer without positions, masked or not, any loss.",
        verdict=Verdict.HOLDS,
        chapter=7,
        inapplicable={"symbolic": "an inequality over all weights and tokens"},
    ),
)
