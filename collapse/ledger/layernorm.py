r"""Statements on row normalisation, beside those of W24."""

from __future__ import annotations

from collapse.ledger.model import KINDS, Claim
from collapse.numeric import Provenance, Verdict

_SETTING = "ours, in the setting of W24"

CLAIMS = (
    Claim(
        label="w24-layernorm",
        title="Collapse and equilibria under LayerNorm, as reported",
        source="W24",
        provenance=Provenance.REPORTED,
        statement=r"With row normalisation attention still collapses exponentially if $W_V$ is"
        r" orthogonal and the tokens lie in an open hemisphere. With other $W_V$ a general class of"
        r" sequences does not collapse to rank one, and there are equilibria of every rank between"
        r" one and full.",
        hypotheses=r"LayerNorm as row $\ell_2$ normalisation, no skips. Constants, and what the"
        r" general class is, were not readable.",
        verdict=Verdict.CITED,
        chapter=8,
        depends=("ln-orthogonal", "ln-equilibria", "ln-two-token"),
        inapplicable=dict.fromkeys(KINDS, "taken from its source; our versions are checked"),
    ),
    Claim(
        label="ln-orthogonal",
        title="Orthogonal values in a hemisphere collapse",
        source=_SETTING,
        provenance=Provenance.OURS,
        statement=r"With $c = \min_i a\cdot x_i(0) > 0$, $\varepsilon = 1/(1 + (m-1)e^{2\beta})$"
        r" and $\hat\varepsilon = \varepsilon c/(1 - \varepsilon + \varepsilon c)$,"
        r" $\operatorname{diam}_2(X_t) \le (1 - \lvert C\rvert\hat\varepsilon^r)^{\lfloor t/r"
        r"\rfloor}\operatorname{diam}_2(Y_0)$, where row $i$ of $Y_0$ is $x_i(0)/(a\cdot x_i(0))$."
        r" Without self-loops this fails: two tokens can swap for ever. Outside every open"
        r" hemisphere it fails too: tokens $\pm e_i$ stay where they are.",
        hypotheses=r"Unit tokens in the open hemisphere of axis $a$, orthogonal $V$, one head, row"
        r" $\ell_2$ normalisation, no skips, self-loops, centres $C \ne \emptyset$ that every token"
        r" reaches within $r$ steps; $m$ is the largest number of visible tokens and"
        r" $\beta \ge \beta_2(M_t)$.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("masked-collapse",),
    ),
    Claim(
        label="ln-contraction",
        title="Without a mask only ill-conditioned values prevent collapse",
        source=_SETTING,
        provenance=Provenance.OURS,
        statement=r"The projected tokens obey $\operatorname{diam}_2(Y_{t+1}) \le \kappa(V_t)"
        r"\tanh(\beta_2(M_t)\operatorname{diam}_2(X_t)^2/4)\operatorname{diam}_2(Y_t)$ and"
        r" $\operatorname{diam}_2(X_t) \le \operatorname{diam}_2(Y_t)$, sharp for every $\beta$ and"
        r" condition number $\kappa$. If $\kappa\tanh\beta < 1$ the collapse is certain and doubly"
        r" exponential. The equilibria of two equal groups meet it with equality.",
        hypotheses=r"Unit tokens in an open hemisphere, one head, invertible $V$, row $\ell_2$"
        r" normalisation, no mask, no positions, no skips.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("contraction", "ln-orthogonal"),
    ),
    Claim(
        label="ln-equilibria",
        title="Equilibria of every rank under normalisation",
        source=_SETTING,
        provenance=Provenance.OURS,
        statement=r"Let every token be one of $k$ orthonormal vectors, each taken at least once."
        r" With $M = bI$ and values that undo what attention does to these vectors, nothing moves,"
        r" and the rank is $k$. With $k \ge 2$ vectors, each taken equally often, and $b \ne 0$"
        r" this is unstable. If all groups approach alike, the multiplier is $1 + 2bp/(e^b - 1) >"
        r" 1$ with $p = e^b/(e^b + k - 1)$; the other multipliers in the span have closed forms"
        r" too, and for all $k \ge 4$ one of them is larger.",
        hypotheses=r"Attention followed by row $\ell_2$ normalisation, one head, no skip,"
        r" $1 \le k \le \min(n, d)$; $b \ne 0$ unless $k = 1$.",
        verdict=Verdict.HOLDS,
        chapter=8,
    ),
    Claim(
        label="ln-two-token",
        title="Two tokens under normalisation: two limits and their basins",
        source=_SETTING,
        provenance=Provenance.OURS,
        statement=r"With attention rows $(1, 0)$ and $(\tfrac12, \tfrac12)$,"
        r" $V = \begin{pmatrix}1 & w\\ 0 & 1\end{pmatrix}$, $w > 1$ and $x_1 = (0, 1)$ at rest,"
        r" $x_2$ tends to $(0, 1)$, with multiplier $\tfrac12$, or to $(-1/w, -\sqrt{1-1/w^2})$,"
        r" with multiplier $1 - \sqrt{1-1/w^2}$; both are stable. To the second it goes from an"
        r" open arc of $180^\circ - \arcsin(1/w)$, whose ends are the repeller $(-1/w,"
        r" \sqrt{1-1/w^2})$ and $(0, -1)$. For $x_1$ at an angle $\alpha$ with $0 < \alpha <"
        r" 90^\circ$ it is one arc that ends at $-x_1$, or empty; for $-90^\circ < \alpha \le 0$ it"
        r" is empty.",
        hypotheses=r"Fixed attention matrix, row $\ell_2$ normalisation, no skip.",
        verdict=Verdict.HOLDS,
        chapter=8,
    ),
    Claim(
        label="preln-collapse",
        title="With pre-LayerNorm one layer is within η²",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$S'(X) = X + \sum_\ell A_\ell(\sqrt d\,N(X))$, one pre-normalised layer of"
        r" $LH$ heads, has an error of order $\eta^2/r$ on tokens no shorter than $r$, with an"
        r" explicit bound for all weights.",
        hypotheses=r"Each layer is $X \mapsto X + A(\sqrt d\,N(X))$, where $N$ scales tokens to"
        r" length 1; with or without mask, no positions; $p = 2$, bounded $M$ for the order. That"
        r" no layer beats the order is preln-floor.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("attention-lipschitz", "preln-floor"),
    ),
    Claim(
        label="postln-collapse",
        title="With post-LayerNorm one layer is within η²",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$S'(X) = N(X + \sum_\ell A_\ell(X))$, one post-normalised layer of $LH$ heads,"
        r" has an error of order $\eta^2$ on unit tokens, with an explicit bound for all weights.",
        hypotheses=r"Each layer is $X \mapsto N(X + A(X))$, skip 1, with or without mask, no"
        r" positions; unit tokens, $p = 2$, bounded $M$ for the order.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("attention-lipschitz",),
    ),
    Claim(
        label="postln-floor",
        title="With post-LayerNorm and a causal mask nothing beats η²",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"On unit tokens every causal one-layer network misses one of the orders"
        r" $e_1, e_2, (e_1+e_2)/\sqrt2$ and $e_2, e_1, (e_1+e_2)/\sqrt2$ by an explicit amount"
        r" $\to \eta^2/12$, where two post-normalised causal layers with $M = 0$ and $V = \eta I$"
        r" tell them apart.",
        hypotheses=r"Any heads and weights, any map of single tokens behind; no positions. The"
        r" error is measured in the largest entry.",
        verdict=Verdict.HOLDS,
        chapter=8,
        depends=("postln-collapse", "causal-floor"),
    ),
)
