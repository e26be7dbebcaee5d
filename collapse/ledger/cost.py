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
        statement=r"Rung 2 adds $\bar x(W - I)$ to every token: $O(nd + LHd^2)$ operations. Its"
        r" error bound costs $O(nd + LH)$ more once the norms of the weights are known; for"
        r" $p = 1, 2$ with $\operatorname{diam}_p(X) \le 2\max_i\lVert x_i - \bar x\rVert_p$.",
        hypotheses=r"Attention layers with skip 1, no mask, no normalisation.",
        verdict=Verdict.HOLDS,
        chapter=6,
        depends=("rung-2",),
        inapplicable={"symbolic": "a triangle inequality and a count of operations"},
    ),
    Claim(
        label="taylor-attention",
        title="Attention by polynomial features",
        source="ours, after AS23",
        provenance=Provenance.OURS,
        statement=r"Replacing $\exp$ by its Taylor polynomial of degree $g$ changes each weight by"
        r" a relative error of at most $r = e^BB^{g+1}/(g+1)!$ where the logits are at most $B$; if"
        r" $r < 1$, each row moves by at most $(1 - \sqrt{1-r^2})/r$ in total variation. The"
        r" matrix of weights has rank at most $\min(n, \binom{d_k+g}{g})$, and the attention costs"
        r" $O(n\binom{d_k+g}{g}d)$.",
        hypotheses=r"$\lvert\text{logit}\rvert \le B$, key width $d_k$, no mask.",
        verdict=Verdict.HOLDS,
        chapter=6,
        depends=("softmax-tv",),
    ),
    Claim(
        label="large-weights-needed",
        title="Looking things up takes large weights",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"A head that puts mass $1-\delta$ on one of $n$ tokens $Z$ has"
        r" $\beta_p(M)\lVert Z\rVert_p\operatorname{diam}_p(Z) \ge \log((n-1)(1-\delta)/\delta)$."
        r" And $\lVert S(X)_i - S(Y)_i\rVert \le \lVert x_i - y_i + (\bar x - \bar y)(W - I)\rVert"
        r" + E_2(X) + E_2(Y)$: what rung 2 cannot tell apart, the network tells apart by no more"
        r" than the two errors.",
        hypotheses=r"Those of rung 2; $0 < \delta < (n-1)/n$.",
        verdict=Verdict.HOLDS,
        chapter=6,
        depends=("rung-2", "retrieval"),
        inapplicable={
            "symbolic": "triangle inequalities between results that are proved elsewhere"
        },
    ),
    Claim(
        label="large-weights-suffice",
        title="Two layers with large weights solve associative recall",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"An explicit network of two layers with one head each, all weights 0 or $s$,"
        r" answers every input of associative recall with $m \ge 3$ pairs and $n = 2m+1$ tokens if"
        r" and only if $s^3(e^{s^2}-1)/(e^{s^2}+n-1) > \log(m-1)$. This holds from some"
        r" $s^* \le \sqrt{\log n}$ on, and $s^*/\sqrt{\log n} \to 1$.",
        hypotheses=r"Distinct keys; two values or more, which are no keys and may repeat; the"
        r" answer is read among the values, in exact arithmetic.",
        verdict=Verdict.HOLDS,
        chapter=6,
        depends=("retrieval",),
    ),
)
