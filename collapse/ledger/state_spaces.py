r"""Chapter 9, second part: state space models as matrix mixers, beside J24."""

from __future__ import annotations

from collapse.ledger.model import Claim
from collapse.numeric import Provenance, Verdict

CLAIMS = (
    Claim(
        label="ssm-lti-exact",
        title="Many layers of a fixed state space model are one",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"Let head $p$ mix the tokens by the kernel $a_p^k$, $k \ge 0$, and let no pole"
        r" occur in two layers. Then the network with skips equals, on every input and for weights"
        r" of any size, the one layer $X + \sum_p T_pXW_p$ of the same mixers with"
        r" $W_p = \prod_{m<l}(I + \sum_{q\in m}\frac{a_p}{a_p-a_q}V_q)\,V_p\,"
        r"\prod_{m>l}(I + \sum_{q\in m}\frac{a_p}{a_p-a_q}V_q)$ for head $p$ of layer $l$.",
        hypotheses=r"Linear time-invariant mixers with diagonal state, one state a head; skip 1, no"
        r" normalisation, gate or token-wise map; poles not 0.",
        verdict=Verdict.HOLDS,
        chapter=9,
        inapplicable={"attacked": "an identity: its two sides differ nowhere"},
    ),
    Claim(
        label="ssm-state-ladder",
        title="Depth of a fixed state space model is worth its states",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$L$ layers of width one with skips and the kernel $\eta a^k$ each are one layer"
        r" of $L$ states, and of no fewer. A layer of $r < L$ states misses them by"
        r" $\Theta(\eta^{2r+1})$: some layer has an error of size"
        r" $c_r\binom{k+2r}{2r}a^k\eta^{2r+1} + O(\eta^{2r+2})$ at distance $k$ from an impulse,"
        r" and every one an error of at least $1/\sum_{ij}\lvert(\Gamma^{-1})_{ij}\rvert \sim"
        r" c_r\,a^{2r+1}(1+a)^{-2r}\,\eta^{2r+1}$, where"
        r" $c_r = L\prod_{j\le r}(L^2-j^2)\,\frac{(r!)^2}{(2r)!\,(2r+1)!}$.",
        hypotheses=r"$0 < a \le 1$, $\eta > 0$; a layer of $r$ states is any linear time-invariant"
        r" one with an $r\times r$ state matrix, and may have a direct path; at least $2r+2$"
        r" tokens for the lower bound.",
        verdict=Verdict.HOLDS,
        chapter=9,
        depends=("ssm-lti-exact",),
    ),
    Claim(
        label="ssm-selective-order",
        title="Depth of a selective state space model is worth η²σ",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"With values of size $\eta$ and selection weights of size $\sigma$ the one layer"
        r" of `ssm-lti-exact` has an error $O(\eta^2\sigma)$ on bounded tokens. No layer does"
        r" better: if two tokens in the middle change places, what that does to the last output of"
        r" one layer does not depend on the first token, whatever its heads, states and weights;"
        r" for two layers it can, by $\Theta(\eta^2\sigma)$, so on one of four inputs every"
        r" layer errs by a quarter of that.",
        hypotheses=r"Selective mixers with diagonal decays (S6, Mamba-2), causal linear attention"
        r" or causal softmax attention as the one layer; no positions, no convolution, no row"
        r" normalisation of the state space models. Upper bound: one decay a head, at zero tokens"
        r" different in different layers.",
        verdict=Verdict.HOLDS,
        chapter=9,
        depends=("ssm-lti-exact",),
    ),
    Claim(
        label="j24-selective-collapse",
        title="Selective state space models collapse without skips",
        source="J24",
        provenance=Provenance.REPORTED,
        statement=r"Without skips and with normalised tokens, a selective state space model"
        r" collapses exponentially.",
        hypotheses=r"As reported; what the paper assumes of the scores $C_i\cdot B_j$ was not"
        r" readable.",
        verdict=Verdict.REPAIRED,
        chapter=9,
        depends=("ssm-normalised-collapse",),
        problem=r"The reports name no hypothesis on signs, and without one it is false: where"
        r" $C_i\cdot B_j < 0$ tokens repel, and two of them become opposite, the farthest they can"
        r" be.",
        repaired_by=("ssm-normalised-collapse",),
        inapplicable={"symbolic": "two tokens refute it, and balls decide that"},
    ),
    Claim(
        label="ssm-normalised-collapse",
        title="Positive scores in a hemisphere collapse",
        source="ours, in the setting of J24",
        provenance=Provenance.OURS,
        statement=r"If $M_{ij} \ge 0$ and $M_{i1} \ge \varepsilon\sum_jM_{ij} > 0$ in every row,"
        r" then $\operatorname{diam}_2(X_t) \le (1-\hat\varepsilon)^t\operatorname{diam}_2(Y_0)$"
        r" with $\hat\varepsilon = \frac{\varepsilon c}{1-\varepsilon+\varepsilon c}$,"
        r" $c = \min_ia\cdot x_i(0) > 0$, and row $i$ of $Y_0$ equal to"
        r" $x_i(0)/(a\cdot x_i(0))$.",
        hypotheses=r"Unit tokens in the open hemisphere of the axis $a$, orthogonal $V$, row"
        r" $\ell_2$ normalisation, no skip; any mixer, selective or not.",
        verdict=Verdict.HOLDS,
        chapter=9,
        depends=("ln-orthogonal",),
    ),
)
