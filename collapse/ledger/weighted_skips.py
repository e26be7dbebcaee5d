r"""Weighted skips, the setting of J24: what they keep, and what J24 are reported to prove."""

from __future__ import annotations

from collapse.ledger.model import KINDS, Claim
from collapse.numeric import Provenance, Verdict

CLAIMS = (
    Claim(
        label="j24-lower-bound",
        title="A large skip keeps the tokens apart, for every mixer",
        source="J24, lower bound on μ",
        provenance=Provenance.REPORTED,
        statement=r"Let $Y^{(k+1)} = D(M Y^{(k)}C_V + \lambda Y^{(k)})$. If $\lambda^2 >"
        r" a(SC_M + \lvert\lambda\rvert)^2$ and $\mu(Y^{(0)})^2 \ge b = a^{-K}\cdot 2\lambda NdSC_M"
        r" / (\lambda^2 - a(SC_M + \lvert\lambda\rvert)^2)$, then $\mu(Y^{(K)})^2 \ge a^K"
        r"\mu(Y^{(0)})^2$. With $2\lvert\lambda\rvert$ for $2\lambda$ this holds.",
        hypotheses=r"$K$ layers, $0 < a < 1$, $\lambda \ne 0$; $S = \sup\lVert C_V\rVert_F$ and"
        r" $C_M = \sup\lVert M\rVert_F$ over the layers; $D$ scales rows to length 1, $N$ tokens of"
        r" width $d$. We take $Y^{(0)}$ to have unit rows, and no row of"
        r" $MYC_V + \lambda Y$ to be zero.",
        verdict=Verdict.REPAIRED,
        chapter=9,
        depends=("skip-drift", "lambda-skip"),
        problem=r"As reported, $b$ has $2\lambda$, so that every input meets the hypothesis"
        r" once $\lambda < 0$. Then the statement is false: for each $\lambda < 0$ there are a"
        r" mixer and tokens that become equal in one step, and for $-1 < \lambda < 0$ the mixer can"
        r" be softmax attention.",
        repaired_by=("skip-drift", "lambda-skip"),
    ),
    Claim(
        label="j24-necessity",
        title="A skip is needed: an example of two tokens",
        source="J24, two-token example",
        provenance=Provenance.REPORTED,
        statement=r"Two tokens collapse without the skip, and in an example with the threshold"
        r" $\lambda = -\tfrac32$ for its weight.",
        hypotheses="The mixer of the example is not known to us.",
        verdict=Verdict.CITED,
        chapter=9,
        depends=("lambda-threshold",),
        inapplicable=dict.fromkeys(KINDS, "the mixer of the example could not be read"),
    ),
    Claim(
        label="lambda-skip",
        title="A weighted skip keeps the tokens apart",
        source="ours, in the setting of J24",
        provenance=Provenance.OURS,
        statement=r"Raw: $\operatorname{diam}_p(\lambda X + A(X)) \ge (\lvert\lambda\rvert - K)"
        r"\operatorname{diam}_p(X)$. For unit tokens, with row normalisation $D$ and"
        r" $\lvert\lambda\rvert > v$: $\operatorname{diam}_2(D(\lambda Y + A(Y))) \ge"
        r" F\operatorname{diam}_2(Y)$ with $F = \frac{\lvert\lambda\rvert - K}"
        r"{\lvert\lambda\rvert + v}$ for $K \le \lvert\lambda\rvert - v$ and"
        r" $F = \tfrac12(1 - \frac{K^2}{\lambda^2 - v^2})$ for larger $K$. For every"
        r" $0 < \lvert\lambda\rvert < v$ there are two tokens that one layer makes equal.",
        hypotheses=r"$p \in \{1, 2, \infty\}$; $K$ of the contraction at the tokens that enter,"
        r" with $K = \sum_h\nu(V_h)$ under a mask, and for $p = 2$ with row normalisation;"
        r" $v = \sum_h\nu_2(V_h)$.",
        verdict=Verdict.HOLDS,
        chapter=9,
        depends=("contraction",),
    ),
    Claim(
        label="lambda-rescaling",
        title="The weight of a skip is a size of weights",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"A network with skips $\lambda_\ell \ne 0$ is $\Lambda_L = \lambda_1\cdots"
        r"\lambda_L$ times the network with skips 1 and $M_\ell \to \Lambda_{\ell-1}^2M_\ell$,"
        r" $V_\ell \to V_\ell/\lambda_\ell$. With row normalisation $M_\ell$ stays, and $\Lambda_L$"
        r" is the product of the signs.",
        hypotheses="Attention layers, masked or not, with rotary positions or not.",
        verdict=Verdict.HOLDS,
        chapter=9,
        inapplicable={"attacked": "an identity: its two sides differ nowhere"},
    ),
    Claim(
        label="skip-drift",
        title="Under a large skip tokens move little, whatever the mixer",
        source="ours, in the setting of J24",
        provenance=Provenance.OURS,
        statement=r"$\mu(D(\lambda Y + O)) \ge \mu(Y) -"
        r" \frac2{\lvert\lambda\rvert}\lVert O\rVert_F$ for every $O$; and $\ge \mu(Y) -"
        r" 2\sqrt N\sin(\tfrac12\arcsin t)$ if all rows have"
        r" $\lVert o_i\rVert \le t\lvert\lambda\rvert$, $t \le 1$.",
        hypotheses=r"$N$ unit tokens $Y$, $\lambda \ne 0$, no zero row in $\lambda Y + O$.",
        verdict=Verdict.HOLDS,
        chapter=9,
    ),
    Claim(
        label="lambda-threshold",
        title="Two tokens, one of which listens: where the skip decides",
        source="ours, in the setting of J24",
        provenance=Provenance.OURS,
        statement=r"Let $M = \begin{pmatrix}m & 0\\ c & m\end{pmatrix}$, $c > 0$, $C_V = I$ and"
        r" $r = \frac{\lvert\lambda + m\rvert}{\lvert\lambda + m\rvert + c}$. For $\lambda > -m$"
        r" the angle obeys $\tan\tfrac{\theta'}2 \le r\tan\tfrac\theta2$ and the tokens collapse."
        r" For $\lambda < -m$ the same holds for $\pi - \theta$: the tokens become antipodal,"
        r" $\mu \to \sqrt2$, and the rank still tends to 1.",
        hypotheses=r"Unit tokens, row normalisation; in the first case not antipodal, in the second"
        r" not equal.",
        verdict=Verdict.HOLDS,
        chapter=9,
    ),
)
