r"""Small weights are fast and collapsed; large weights are neither."""

from __future__ import annotations

from collapse.ledger.model import Claim
from collapse.numeric import Provenance, Verdict

CLAIMS = (
    Claim(
        label="linear-time",
        title="Rung 2 runs in linear time and certifies its error",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"Rung 2 adds $\bar x(W - I)$ to every token: $O(nd + LHd^2)$ operations against"
        r" $O(LHn^2d)$. For $p = \infty$ its error bound costs $O(nd)$ beyond the norms of the"
        r" weights; for $p = 1, 2$ the same holds with"
        r" $\operatorname{diam}_p \le 2\max_i\lVert x_i - \bar x\rVert_p$.",
        hypotheses=r"Attention layers with skip 1, no mask, no normalisation.",
        verdict=Verdict.HOLDS,
        chapter=6,
        depends=("rung-2",),
    ),
    Claim(
        label="taylor-attention",
        title="Attention by polynomial features",
        source="ours, after AS23",
        provenance=Provenance.OURS,
        statement=r"Replacing $\exp$ by its Taylor polynomial of degree $g$ changes each entry by a"
        r" relative error of at most $r = e^BB^{g+1}/(g+1)!$ where the logits are at most $B$; if"
        r" $r < 1$, each row moves by at most $(1 - \sqrt{1-r^2})/r$ in total variation. The"
        r" matrix has rank at most $\min(n, \binom{d_k+g}{g})$, and the cost is"
        r" $O(n\cdot\mathrm{rank}\cdot d)$.",
        hypotheses=r"$\lvert\text{logit}\rvert \le B$, key width $d_k$.",
        verdict=Verdict.HOLDS,
        chapter=6,
        depends=("softmax-tv",),
    ),
    Claim(
        label="large-weights-needed",
        title="Looking things up takes large weights",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"A network that puts mass $1-\delta$ on one of many tokens has logits of"
        r" oscillation about $\log n$; with weights too small for that, rung 2 already reproduces"
        r" the network within its explicit error.",
        hypotheses=r"Those of rung 2 and of the retrieval threshold.",
        verdict=Verdict.HOLDS,
        chapter=6,
        depends=("rung-2", "retrieval"),
    ),
    Claim(
        label="large-weights-suffice",
        title="Two layers with large weights solve associative recall",
        source="ours; SHT24 for the one-layer bound",
        provenance=Provenance.OURS,
        statement=r"An explicit two-layer attention-only network (a previous-token head, then an"
        r" induction head, weights scaled by $s$) solves associative recall exactly as $s$ grows."
        r" One layer cannot unless heads × width × precision grow linearly in $n$ (cited).",
        hypotheses=r"Exact associative recall; the construction is written out in its chapter.",
        verdict=Verdict.HOLDS,
        chapter=6,
        depends=("retrieval",),
    ),
)
