r"""The Res function: what it measures and how it reacts to change."""

from __future__ import annotations

from collapse.ledger.model import Claim
from collapse.numeric import Provenance, Verdict

CLAIMS = (
    Claim(
        label="res-formula",
        title="Res measures half the diameter",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\rho(X) := \lVert\operatorname{Res} X\rVert_\infty = \tfrac12"
        r" \operatorname{diam}_\infty(X) = \min_y \lVert X - \mathbf 1 y^\top\rVert_\infty$. The"
        r" column midrange is a minimiser, and entry $y_j$ of a minimiser is determined exactly in"
        r" the columns whose range is the largest.",
        hypotheses=r"$X \in \mathbb R^{n\times d}$, $n, d \ge 1$.",
        verdict=Verdict.HOLDS,
        chapter=1,
        depends=("as25-res",),
    ),
    Claim(
        label="res-seminorm",
        title="ρ is a seminorm that vanishes on equal tokens",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\rho(cX) = \lvert c\rvert\rho(X)$, $\rho(X+Y) \le \rho(X) + \rho(Y)$,"
        r" $\rho(X + \mathbf 1 y^\top) = \rho(X)$; $\rho(X) = 0$ if and only if all tokens are"
        r" equal; $\operatorname{Res}(\operatorname{Res} X) = \operatorname{Res} X$.",
        hypotheses=r"$X, Y \in \mathbb R^{n\times d}$, $c \in \mathbb R$, $y \in \mathbb R^d$.",
        verdict=Verdict.HOLDS,
        chapter=1,
        depends=("res-formula",),
    ),
    Claim(
        label="res-lipschitz",
        title="The sharp constant of Lemma 4.1",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\lVert\operatorname{Res} A - \operatorname{Res} B\rVert_\infty \le c_n"
        r" \lVert A - B\rVert_\infty$ with $c_1 = 0$, $c_2 = 1$ and $c_n = 2$ for $n \ge 3$. No"
        r" constant is smaller: for $n = 3$, $A = (2, 0, -2)^\top$ and $B = (1, 1, -3)^\top$ have"
        r" distance 1 and residuals at distance 2. Centring at the mean instead has the constant"
        r" $2(1 - 1/n)$.",
        hypotheses=r"$A, B \in \mathbb R^{n\times d}$.",
        verdict=Verdict.HOLDS,
        chapter=1,
        depends=("as25-res",),
    ),
    Claim(
        label="res-any-centre",
        title="No centre is better than the mean",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"If $c(a + t\mathbf 1) = c(a) + t$ for all columns $a$ and numbers $t$, then"
        r" $a \mapsto a - c(a)\mathbf 1$ has a Lipschitz constant of at least $2(1 - 1/n)$ in the"
        r" largest entry. The mean attains it. So no centre saves Lemma 4.1 for $n \ge 3$.",
        hypotheses=r"$c : \mathbb R^n \to \mathbb R$ with $n \ge 2$; $c$ need be neither linear nor"
        r" continuous.",
        verdict=Verdict.HOLDS,
        chapter=1,
        depends=("res-lipschitz",),
    ),
    Claim(
        label="res-norm-lipschitz",
        title="The norm of Res is 1-Lipschitz",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\lvert\rho(A) - \rho(B)\rvert \le \rho(A - B) \le"
        r" \lVert A - B\rVert_\infty$."
        r" As far as reports show, the later proofs of AS25 need no more.",
        hypotheses=r"$A, B \in \mathbb R^{n\times d}$.",
        verdict=Verdict.HOLDS,
        chapter=1,
        depends=("res-seminorm", "res-formula"),
    ),
    Claim(
        label="res-right",
        title="Multiplying features",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\rho(XW) \le \nu_\infty(W)\,\rho(X)$, where $\nu_\infty(W)$ is the largest"
        r" column sum of $\lvert W\rvert$. For every $W$ some $X \ne 0$ attains it.",
        hypotheses=r"$X \in \mathbb R^{n\times d}$, $W \in \mathbb R^{d\times d'}$; attained for"
        r" $n \ge 2$.",
        verdict=Verdict.HOLDS,
        chapter=1,
        depends=("res-formula",),
    ),
    Claim(
        label="res-left",
        title="Mixing tokens",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\operatorname{diam}_p(PX) \le \tau(P)\operatorname{diam}_p(X)$ with the"
        r" Dobrushin coefficient $\tau(P) = \tfrac12\max_{i,k}\lVert P_i - P_k\rVert_1$. For every"
        r" $P$ some $X$, its tokens not all equal, attains it, in every norm.",
        hypotheses=r"$P \ge 0$ with row sums 1; any norm on token space.",
        verdict=Verdict.HOLDS,
        chapter=1,
    ),
    Claim(
        label="metric-dictionary",
        title="The papers' measures agree up to constants",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\sqrt2\,\rho(X) \le \mu(X) \le \rho(X)\sqrt{4d\lfloor n^2/4\rfloor/n}$ for"
        r" $\mu(X) = \lVert X - \mathbf 1\bar x\rVert_F$, W24's measure. The right"
        r" factor is $\sqrt{nd}$ for even $n$. Both sides are attained.",
        hypotheses=r"$X \in \mathbb R^{n\times d}$, $n \ge 2$; $\bar x$ is the mean token.",
        verdict=Verdict.HOLDS,
        chapter=1,
        depends=("res-formula",),
    ),
)
