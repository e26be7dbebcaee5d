r"""One attention layer without skip, and what its iteration does."""

from __future__ import annotations

from collapse.ledger.model import Claim
from collapse.numeric import Provenance, Verdict

CLAIMS = (
    Claim(
        label="contraction",
        title="One attention layer contracts the tokens",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\operatorname{diam}_p(A(X)) \le K\operatorname{diam}_p(X)$, $K = \sum_h"
        r" \nu_p(V_h)\tanh(\beta_p(M_h)\operatorname{diam}_p(X)^2/4)$; for $p = \infty$ the"
        r" hyperbolic tangent is $\tanh(\beta_\infty(M_h)\rho(X)^2)$ and $\rho(A(X)) \le"
        r" K\rho(X)$. Equality for every value of $\beta\rho^2$ with two tokens $\pm r$ in one"
        r" dimension. With a mask only $K = \sum_h\nu_p(V_h)$ remains, with rotary positions or"
        r" without; with rotary positions alone $K = \sum_h\nu_p(V_h)\tanh(\beta_p(M_h)\lVert"
        r" X\rVert_p^2)$.",
        hypotheses=r"Unmasked softmax attention without positions unless stated, $p \in \{1, 2,"
        r" \infty\}$, any $n$ and any weights; with rotary positions $\beta_p$ is the largest over"
        r" all offsets.",
        verdict=Verdict.HOLDS,
        chapter=3,
        depends=("softmax-tv", "res-left", "res-formula"),
    ),
    Claim(
        label="double-exponential",
        title="Without skips the tokens merge doubly exponentially",
        source="ours, after D21",
        provenance=Provenance.OURS,
        statement=r"$D_L \le c^{(3^L-1)/2} D_0^{3^L}$ with $D_\ell ="
        r" \operatorname{diam}_p(X_\ell)$ and $c = \max_\ell"
        r" \tfrac14\sum_h\nu_p(V_h)\beta_p(M_h)$.",
        hypotheses=r"$L$ attention layers without skips, masks or positions.",
        verdict=Verdict.HOLDS,
        chapter=3,
        depends=("contraction",),
    ),
    Claim(
        label="norm-choice",
        title="Which token norm gives the best bound",
        source="ours; a question left open in AS25",
        provenance=Provenance.OURS,
        statement=r"The contraction holds for $p = 1, 2, \infty$ alike. $\beta_1(M)$ is the"
        r" largest $\lvert M_{ab}\rvert$, $\beta_2(M)$ the spectral norm, $\beta_\infty(M)$ the"
        r" $\infty\to1$ norm, which is NP-hard in general. None of the three factors $K$ is the"
        r" least for all layers: each is, somewhere, the least by a factor that grows with the"
        r" width $d$.",
        hypotheses=r"The hypotheses of the contraction.",
        verdict=Verdict.HOLDS,
        chapter=3,
        depends=("contraction",),
    ),
    Claim(
        label="centred-propagation",
        title="Residuals below machine epsilon in double precision",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"Write $X = \mathbf 1c + 10^sR$ with $c = x_k$ a token, so $r_k = 0$. Per head"
        r" let $p = \operatorname{softmax}(10^s\,cMR^\top)$, $e_{ij} = r_iMr_j^\top$, $z ="
        r" \operatorname{expm1}(10^{2s}e)/10^{2s}$. Then $P_i = p + 10^{2s}\,p\circ(z_i - p\cdot"
        r" z_i)/(1 + 10^{2s}\,p\cdot z_i)$, and the next layer has $c' = \sum_h(c + 10^spR)V_h$"
        r" and residual $10^s\sum_h(P_h - \mathbf 1p_h)RV_h$, whose row $k$ is exactly zero. The"
        r" identities are proved; the accuracy in double precision is measured.",
        hypotheses=r"Attention without skips; with a mask $P$ is formed row by row on its support"
        r" and the residual is $10^s\sum_h(P_h - \mathbf 1P_{h,k})RV_h$.",
        verdict=Verdict.HOLDS,
        chapter=3,
        depends=("contraction",),
        inapplicable={"attacked": "an identity: its two sides differ nowhere"},
    ),
)
