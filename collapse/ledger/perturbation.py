r"""Softmax under a balanced perturbation.

Throughout, :math:`P = \operatorname{softmax}(A)` and :math:`P' = \operatorname{softmax}(A+E)` by
rows, and :math:`E` is :math:`\theta`-balanced: no row of it has an oscillation above
:math:`\theta`.
"""

from __future__ import annotations

from collapse.ledger.model import Claim
from collapse.numeric import Provenance, Verdict

_BALANCED = (
    r"$P = \operatorname{softmax}(A)$, $P' = \operatorname{softmax}(A+E)$ by rows;"
    r" $\max_j E_{ij} - \min_j E_{ij} \le \theta$ in every row."
)

CLAIMS = (
    Claim(
        label="softmax-ratio",
        title="Each probability changes by a bounded factor",
        source="AS25 and D21, the form both use",
        provenance=Provenance.REPORTED,
        statement=r"$e^{-\theta} \le P'_{ij}/P_{ij} \le e^{\theta}$, hence"
        r" $\lvert P' - P\rvert \le (e^\theta - 1)P$ entrywise.",
        hypotheses=_BALANCED,
        verdict=Verdict.HOLDS,
        chapter=2,
    ),
    Claim(
        label="softmax-tv",
        title="Softmax moves by at most tanh(θ/4)",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\operatorname{TV}(P_i, P'_i) \le \tanh(\theta/4)$, and for every"
        r" $\theta \ge 0$ some pair attains it: $P'/P$ takes two values, and the larger one has"
        r" mass $1/(1+e^{\theta/2})$ under $P$.",
        hypotheses=_BALANCED + r" Attained for every $n \ge 2$.",
        verdict=Verdict.HOLDS,
        chapter=2,
        depends=("softmax-ratio",),
    ),
    Claim(
        label="softmax-entry",
        title="The largest change of one probability",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\lvert P'_{ij} - P_{ij}\rvert \le \tanh(\theta/4)$, sharp. Given $P_{ij} = q$,"
        r" the entry rises by at most $q(1-q)(e^\theta-1)/(1 + q(e^\theta-1))$ and falls by at most"
        r" $q(1-q)(e^\theta-1)/(1 + (1-q)(e^\theta-1))$; both are attained.",
        hypotheses=_BALANCED,
        verdict=Verdict.HOLDS,
        chapter=2,
        depends=("softmax-tv",),
    ),
    Claim(
        label="softmax-compare",
        title="Four bounds on one scale",
        source="ours; AS25 and D21 for their forms",
        provenance=Provenance.OURS,
        statement=r"In total variation, $\tanh(\theta/4) \le \theta/4 \le"
        r" \min\{(e^\theta - 1)/2,\ \theta\}$: the sharp bound, its linearisation (which the norm"
        r" of the softmax Jacobian gives), AS25's form and D21's. D21's needs $e^\theta \le"
        r" 1+2\theta$, that is $\theta \le 1.2564\ldots$, and there it is the weakest of the four.",
        hypotheses=_BALANCED,
        verdict=Verdict.HOLDS,
        chapter=2,
        depends=("softmax-tv", "softmax-ratio"),
    ),
    Claim(
        label="uniform-tv",
        title="Distance of attention from plain averaging",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\operatorname{TV}(P_i, \mathbf 1^\top\!/n) \le \tanh(\theta/4)$ with"
        r" $\theta = \operatorname{osc}(A_i)$; for logits $A = XMX^\top$, $\theta \le"
        r" \lVert x_i\rVert_p\,\beta_p(M)\operatorname{diam}_p(X)$. At given $n$ and $\theta$ the"
        r" largest distance is $\max_q q(1-q)(e^\theta-1)/(1+q(e^\theta-1))$ over $q = k/n$; for"
        r" $n = 2$ it is $\tfrac12\tanh(\theta/2)$.",
        hypotheses=r"Softmax over $n$ tokens without mask.",
        verdict=Verdict.HOLDS,
        chapter=2,
        depends=("softmax-tv",),
    ),
    Claim(
        label="retrieval",
        title="Looking up one token takes logits of size log n",
        source="ours; AS23 for the scale",
        provenance=Provenance.OURS,
        statement=r"To put mass at least $1-\delta$ on a set of $s$ tokens, the logits of that row"
        r" must have oscillation at least $\log\frac{(m-s)(1-\delta)}{s\delta}$, and this suffices."
        r" With $Q$, $K$ entries in $[-B, B]$ and logits $QK^\top/d$, a single token needs"
        r" $B \ge \sqrt{\tfrac12\log((m-1)(1-\delta)/\delta)}$.",
        hypotheses=r"$m$ visible tokens ($m = n$ without mask, $m = i$ in row $i$ of a causal"
        r" mask), $1 \le s < m$, $0 < \delta < (m-s)/m$.",
        verdict=Verdict.HOLDS,
        chapter=2,
    ),
)
