r"""Statements beside the results of neighbouring papers (D21, W24, J24)."""

from __future__ import annotations

from collapse.ledger.model import KINDS, Claim
from collapse.numeric import Provenance, Verdict

CLAIMS = (
    Claim(
        label="masked-collapse",
        title="Masked attention collapses through its centres",
        source="ours, in the setting of W24",
        provenance=Provenance.OURS,
        statement=r"If every attention weight on an edge of the mask graph is at least"
        r" $\varepsilon$ and every token reaches each of the centres $C$ in at most $r$ steps, then"
        r" $\tau \le 1 - \lvert C\rvert\varepsilon^r$ for every product of $r$ attention"
        r" matrices, and $D_t \le (1 - \lvert C\rvert\varepsilon^r)^{\lfloor t/r\rfloor}\,\nu\,D_0$"
        r" with $\nu = \nu(V_1\cdots V_t)$ for one head and $\prod_t\sum_h\nu(V_{t,h})$ for"
        r" several. Attained; and in general the radius belongs in the exponent. Without a centre"
        r" there are tokens that never come closer, whatever the queries and keys.",
        hypotheses=r"Self-loops at every token, no skips, no normalisation; $C \ne \emptyset$ for"
        r" the bounds; one head with $V = I$ without a centre.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("res-left",),
    ),
    Claim(
        label="masked-walk",
        title="Under causal masks the radius is only a delay",
        source="ours, in the setting of W24",
        provenance=Provenance.OURS,
        statement=r"If self-loops are the only cycles of the mask graph, one token is reached by"
        r" all, the longest path has $R$ edges and every weight on an edge is at least"
        r" $\varepsilon$, then $\tau(P_t\cdots P_1) \le \Pr[\operatorname{Bin}(t, \varepsilon) <"
        r" R]$, which decays like $(1-\varepsilon)^t$ up to a power of $t$. The window of one"
        r" earlier token attains it for all $t$, $n$ and $\varepsilon \le \tfrac12$.",
        hypotheses=r"Self-loops at every token, no skips, no normalisation.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("masked-collapse",),
    ),
    Claim(
        label="masked-rate",
        title="The mask alone bounds the rate in the long run",
        source="ours, in the setting of W24",
        provenance=Provenance.OURS,
        statement=r"With $P^*$ the matrix that averages what each token sees, $\lVert A(X) -"
        r" P^*X\sum_hV_h\rVert \le \sum_h\nu(V_h)\tanh(\beta(M_h)\lVert X\rVert"
        r"\operatorname{diam}(X)/4)\operatorname{diam}(X)$, sharp. So for one head with orthogonal"
        r" values and bounded weights $\limsup_t D_t^{1/t} \le \lambda_2$, the second largest"
        r" modulus of an eigenvalue of $P^*$, whatever the queries and keys.",
        hypotheses=r"Softmax attention without positions, skips and normalisation; for the rate"
        r" self-loops and a centre.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("masked-collapse", "softmax-tv"),
    ),
    Claim(
        label="w24-masked-rate",
        title="Exponential collapse under masks, as reported",
        source="W24",
        provenance=Provenance.REPORTED,
        statement=r"$\mu(X_t) \le C(1-\varepsilon^r)^{t/r}$ if the mask graph has a centre, which"
        r" all tokens reach in $r$ steps; sparser masks collapse more slowly.",
        hypotheses=r"Softmax attention under a mask with self-loops, bounded weights, no skips. The"
        r" exponent is quoted from memory and was not read at the source.",
        verdict=Verdict.CITED,
        chapter=8,
        depends=("masked-collapse", "masked-rate"),
        inapplicable=dict.fromkeys(KINDS, "taken from its source; masked-collapse is checked"),
    ),
    Claim(
        label="path-decomposition",
        title="Attention networks as sums over paths",
        source="D21",
        provenance=Provenance.REPORTED,
        statement=r"The output of an $L$-layer attention network equals, exactly, the sum over its"
        r" paths of $P_{\mathrm{path}}XW_{\mathrm{path}}$ plus a term $\mathbf 1b^\top$: $H^L$"
        r" paths without skips, $(H+1)^L$ with them.",
        hypotheses=r"Attention matrices taken from the forward pass; $b$ collects the biases.",
        verdict=Verdict.HOLDS,
        chapter=3,
        inapplicable={"attacked": "an identity: its two sides differ nowhere"},
    ),
    Claim(
        label="d21-skips",
        title="Skips can keep the residual",
        source="D21",
        provenance=Provenance.REPORTED,
        statement=r"With skips there are infinitely many weights of any number of layers for which"
        r" $\lVert\operatorname{res}(X_L)\rVert \ge \lVert\operatorname{res}(X)\rVert$ for all"
        r" $X$. Equality, exactly, for $W_Q = 0$ and all keys and values.",
        hypotheses=r"Attention layers with skip 1, without masks; the witnesses are ours.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("rank-survives",),
        inapplicable={
            "symbolic": "no formula to simplify: the rows that are added are equal",
            "attacked": "an identity: its two sides differ nowhere",
        },
    ),
    Claim(
        label="d21-mlp",
        title="A token-wise perceptron costs its Lipschitz constant",
        source="D21",
        provenance=Provenance.REPORTED,
        statement=r"If every layer is followed by a token-wise map of Lipschitz constant $\lambda$,"
        r" the factor $K$ of a layer becomes $\lambda K$: $\operatorname{diam}(f(A(X))) \le"
        r" \lambda K\operatorname{diam}(X)$. So the collapse without skips stays doubly"
        r" exponential.",
        hypotheses=r"The hypotheses of the contraction; $\lambda$ in the norm of the tokens.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("contraction", "double-exponential"),
        inapplicable={"symbolic": "the factor is the definition of a Lipschitz constant"},
    ),
)
