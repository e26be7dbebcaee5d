r"""What Alman and Song claim, as far as public reports let one read it (AS25)."""

from __future__ import annotations

from collapse.ledger.model import KINDS, Claim
from collapse.numeric import Provenance, Verdict

CLAIMS = (
    Claim(
        label="as25-res",
        title="The Res function",
        source="AS25, definition of Res",
        provenance=Provenance.REPORTED,
        statement=r"$\operatorname{Res}(X) = X - \mathbf 1 y^\top$, where $y$ minimises the largest"
        r" entry $\lVert X - \mathbf 1 y^\top\rVert_\infty$. We take the column midrange"
        r" $y_j = \tfrac12(\max_i X_{ij} + \min_i X_{ij})$, the only reading that reproduces the"
        r" numbers in both public reviews.",
        hypotheses=r"$X \in \mathbb R^{n\times d}$, $n, d \ge 1$; $\lVert\cdot\rVert_\infty$ is the"
        r" largest absolute entry.",
        verdict=Verdict.DEFINITION,
        chapter=1,
    ),
    Claim(
        label="as25-lem-4.1",
        title="Lemma 4.1: Res does not expand distances",
        source="AS25, Lemma 4.1",
        provenance=Provenance.REPORTED,
        statement=r"If $\lVert A - B\rVert_\infty \le \varepsilon$, then"
        r" $\lVert\operatorname{Res} A - \operatorname{Res} B\rVert_\infty \le \varepsilon$.",
        hypotheses=r"$A, B \in \mathbb R^{n\times d}$.",
        verdict=Verdict.REFUTED,
        chapter=1,
        depends=("as25-res", "res-lipschitz", "res-norm-lipschitz"),
        problem="False as soon as there are three tokens. The midrange follows the two outermost"
        " tokens, and a token between them may move against it.",
        repaired_by=("res-norm-lipschitz", "res-lipschitz"),
    ),
    Claim(
        label="as25-lem-4.2",
        title="Lemma 4.2: a perturbation bound for the exponential",
        source="AS25, Lemma 4.2",
        provenance=Provenance.REPORTED,
        statement=r"A bound on how the exponential reacts to a small change of its argument. Its"
        r" text could not be read, so we neither restate nor judge it.",
        hypotheses="Unknown.",
        verdict=Verdict.OPEN,
        chapter=2,
        depends=("softmax-ratio",),
        inapplicable=dict.fromkeys(KINDS, "the text of the lemma could not be read"),
    ),
    Claim(
        label="as25-lem-5.1",
        title="Lemma 5.1: self-attention contracts Res",
        source="AS25, Lemma 5.1",
        provenance=Provenance.REPORTED,
        statement=r"$\lVert\operatorname{Res}(\mathrm{SAtt}(X))\rVert_\infty \le"
        r" K \lVert\operatorname{Res}(X)\rVert_\infty$ with a factor $K$ obtained from"
        r" $\theta$-balance and $e^\theta - 1$.",
        hypotheses=r"One attention layer without skip; the smallness that the paper asks of the"
        r" weights is known only from reports.",
        verdict=Verdict.REPAIRED,
        chapter=3,
        depends=("contraction", "res-norm-lipschitz"),
        problem="The public reviews find gaps in the proof. A bound of this form holds, with an"
        " explicit factor that cannot be improved, and it asks nothing to be small.",
        repaired_by=("contraction",),
    ),
    Claim(
        label="as25-lem-5.2",
        title="Lemma 5.2: later attention outputs barely move",
        source="AS25, Lemma 5.2",
        provenance=Provenance.REPORTED,
        statement=r"With skips, if $\lVert\operatorname{Res}(A_i)\rVert_\infty$ is small for every"
        r" earlier attention output $A_i$ (hence at most $2H\varepsilon$ for $H$ heads), the output"
        r" of a later layer moves by at most $\varepsilon_0 = 3g(2H\varepsilon)$.",
        hypotheses=r"Networks with skip connections; $g$ is the paper's perturbation function.",
        verdict=Verdict.REPAIRED,
        chapter=5,
        depends=("shift-matters", "attention-lipschitz"),
        problem=r"Argued for softmax and used for attention, where it fails. A shift of all tokens"
        r" by the same row has $\operatorname{Res} = 0$, yet it moves what attention returns,"
        r" through the values and through the logits. The referee tries it with $g(x) = e^x - 1$"
        r" and $\varepsilon = 10^{-3}$ above the residual. Where that is 0, $\varepsilon$ can be as"
        r" small as one likes, so that no other continuous $g$ with $g(0) = 0$ helps.",
        repaired_by=("attention-lipschitz",),
    ),
    Claim(
        label="as25-lem-c.1",
        title="Lemma C.1: the same for several heads",
        source="AS25, Lemma C.1",
        provenance=Provenance.REPORTED,
        statement=r"The companion statement to Lemma 5.2 in the appendix, with the same passage"
        r" from small $\operatorname{Res}$ to a small change of attention.",
        hypotheses=r"Networks with skip connections and $H$ heads.",
        verdict=Verdict.REPAIRED,
        chapter=5,
        depends=("shift-matters", "attention-lipschitz"),
        problem="It fails for attention like Lemma 5.2, and for the same reason.",
        repaired_by=("attention-lipschitz",),
    ),
    Claim(
        label="as25-eps",
        title="The error recursion of the layers",
        source="AS25, proof of Theorem 5.3",
        provenance=Provenance.REPORTED,
        statement=r"$\varepsilon_\ell = 2\eta\varphi_0(1+H\eta)^\ell$ bounds the deviation of layer"
        r" $\ell$.",
        hypotheses=r"$\lVert W\rVert_\infty \le \eta$ and $\lVert X_0\rVert_\infty \le \varphi_0$,"
        r" both entrywise.",
        verdict=Verdict.REFUTED,
        chapter=5,
        depends=("eps-counterexample",),
        problem="False for the entrywise norm: the width $d$ is missing. An entry of a token times"
        " a matrix is a sum of $d$ products, each as large as the norms allow.",
        repaired_by=("eps-counterexample",),
    ),
    Claim(
        label="as25-thm-5.3",
        title="Theorem 5.3: one layer is within O(η)",
        source="AS25, Theorem 5.3 (also stated as Theorem 1.2)",
        provenance=Provenance.REPORTED,
        statement=r"There is a one-layer network $S'$ with skip such that"
        r" $\lVert S(X) - S'(X)\rVert_\infty \le O(\eta)\,\lVert X\rVert_\infty$ for all $X$.",
        hypotheses=r"$\lVert W_Q\rVert_\infty, \lVert W_K\rVert_\infty, \lVert W_V\rVert_\infty \le"
        r" \eta$ entrywise. $O(\cdot)$ hides $L$, $H$, $d$ and the assumption $LHd\eta = O(1)$.",
        verdict=Verdict.SHARPENED,
        chapter=4,
        depends=("rung-0", "rung-1", "rung-2", "rung-3", "one-layer-floor"),
        problem=r"True, but weaker than it reads: the identity map already satisfies it, with the"
        r" constant $(1+Hd\eta)^L - 1$. On bounded inputs one layer comes within $\eta^2$,"
        r" $\eta^3$ or $\eta^4$, and none does better than $\eta^4$.",
        repaired_by=("rung-0", "rung-1", "rung-2", "rung-3", "one-layer-floor"),
    ),
    Claim(
        label="as25-skip",
        title="Skip connections alone do not prevent layer collapse",
        source="AS25, abstract",
        provenance=Provenance.READ,
        statement=r"A network with skip connections and small weights is close to a one-layer"
        r" network.",
        hypotheses=r"Small weights; the exact orders are those of the ladder.",
        verdict=Verdict.HOLDS,
        chapter=5,
        depends=("as25-thm-5.3", "rung-2", "rung-3", "rank-survives"),
    ),
    Claim(
        label="as25-eq-1",
        title="The result of Dong et al. as restated",
        source="AS25, equation (1) and abstract",
        provenance=Provenance.REPORTED,
        statement=r"Restates D21 as a residual of $O(\beta)^{(3^L-1)/2}$ after $L$ layers, and the"
        r" abstract places that collapse in networks with skip connections.",
        hypotheses=r"Attention layers without skip connections or feed-forward blocks.",
        verdict=Verdict.REPAIRED,
        chapter=3,
        depends=("double-exponential",),
        problem=r"Two hypotheses are lost. D21 are reported to prove their bound without skip"
        r" connections, and to show that skip connections can prevent the collapse. And the bound"
        r" contains the size of the input's residual to the power $3^L$; without it, it fails for"
        r" tokens that are far apart.",
        repaired_by=("double-exponential",),
    ),
    Claim(
        label="as25-tradeoff",
        title="Expressive attention takes quadratic time",
        source="AS25, abstract; AS23",
        provenance=Provenance.REPORTED,
        statement=r"Small weights admit attention in almost linear time and make the network"
        r" collapse; an expressive network therefore needs weights for which no truly subquadratic"
        r" algorithm is known or, under SETH, possible.",
        hypotheses=r"AS23: entries of $Q$ and $K$ in $[-B, B]$, logits $QK^\top/d$,"
        r" $d = O(\log n)$; the threshold is $B \asymp \sqrt{\log n}$.",
        verdict=Verdict.CITED,
        chapter=6,
        depends=("retrieval", "linear-time", "large-weights-needed"),
        inapplicable=dict.fromkeys(KINDS, "taken from its source, not checked here"),
    ),
)
