r"""Statements beside the results of neighbouring papers (D21, W24, J24)."""

from __future__ import annotations

from collapse.ledger.model import Claim
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
        r" several.",
        hypotheses=r"Self-loops at every token, $C \ne \emptyset$, no skips, no normalisation.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("res-left",),
    ),
    Claim(
        label="ln-equilibria",
        title="Equilibria of every rank under normalisation",
        source="ours, in the setting of W24",
        provenance=Provenance.OURS,
        statement=r"Tokens in $k$ groups at orthonormal directions, $M = bI$ and $V$ the inverse of"
        r" the $k\times k$ group-averaging matrix on their span form a fixed point of rank $k$. For"
        r" $k \ge 2$, $b \ne 0$ and equal groups it is unstable: the symmetric mode has the"
        r" multiplier $1 + 2bp/(e^b - 1) > 1$, $p = e^b/(e^b + k - 1)$.",
        hypotheses=r"Attention followed by row $\ell_2$ normalisation, no skip,"
        r" $1 \le k \le \min(n, d)$.",
        verdict=Verdict.HOLDS,
        chapter=8,
    ),
    Claim(
        label="ln-two-token",
        title="Two tokens under normalisation: two limits and their basins",
        source="ours, in the setting of W24",
        provenance=Provenance.OURS,
        statement=r"With attention rows $(1, 0)$ and $(\tfrac12, \tfrac12)$,"
        r" $V = \begin{pmatrix}1 & w\\ 0 & 1\end{pmatrix}$, $w > 1$ and $x_1 = (0, 1)$, the second"
        r" token has two stable limits: $(0, 1)$ with multiplier $\tfrac12$ and $(-1/w,"
        r" -\sqrt{1-1/w^2})$ with multiplier $1 - \sqrt{1-1/w^2}$. The second basin is exactly"
        r" $180^\circ - \arcsin(1/w)$ wide, between the repeller $(-1/w, \sqrt{1-1/w^2})$ and"
        r" $(0, -1)$.",
        hypotheses=r"Fixed attention matrix, row $\ell_2$ normalisation, no skip.",
        verdict=Verdict.HOLDS,
        chapter=8,
    ),
    Claim(
        label="ln-orthogonal",
        title="Orthogonal values in a hemisphere collapse",
        source="ours, in the setting of W24",
        provenance=Provenance.OURS,
        statement=r"With $c = \min_i a\cdot x_i(0) > 0$ and $\varepsilon = e^{-2\beta_2(M)}/\deg$,"
        r" $\operatorname{diam}_2(X_t) \le (1 - (\varepsilon c)^r)^{\lfloor t/r\rfloor}"
        r"\operatorname{diam}_2(Y_0)$, where row $i$ of $Y_0$ is $x_i(0)/(a\cdot x_i(0))$. Without"
        r" self-loops this fails: two tokens can swap for ever.",
        hypotheses=r"Unit tokens in the open hemisphere of axis $a$, orthogonal $V$, row $\ell_2$"
        r" normalisation, self-loops and a centre that every token reaches within $r$ steps;"
        r" $\deg$ is the largest number of visible tokens.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("masked-collapse",),
    ),
    Claim(
        label="lambda-skip",
        title="A weighted skip keeps the tokens apart",
        source="ours, in the setting of J24",
        provenance=Provenance.OURS,
        statement=r"Raw: $\operatorname{diam}(\lambda X + A(X)) \ge (\lvert\lambda\rvert - K)"
        r"\operatorname{diam}(X)$. With row normalisation and unit tokens the largest angle obeys"
        r" $\Theta' \ge \Theta\,\frac{\lvert\lambda\rvert}{\lvert\lambda\rvert + v} - \frac\pi2"
        r"\cdot\frac{K\operatorname{diam}_2(X)}{\lvert\lambda\rvert - v}$.",
        hypotheses=r"$K$ of the contraction, $v = \sum_h\nu_2(V_h)$; second part $p = 2$ and"
        r" $\lvert\lambda\rvert > v$, without which no such bound exists.",
        verdict=Verdict.HOLDS,
        chapter=9,
        depends=("contraction",),
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
)
