r"""How well one layer imitates many, with skip connections: the ladder and its floors.

Weights are scaled jointly: :math:`M = O(\eta^2)`, :math:`V = O(\eta)`, tokens bounded.
"""

from __future__ import annotations

from collapse.ledger.model import Claim
from collapse.numeric import Provenance, Verdict

_LADDER = (
    r"$L$ attention layers with skip 1, $M = O(\eta^2)$ and $V = O(\eta)$, bounded tokens, no mask"
    r" and no normalisation. $V_\ell = \sum_hV_{\ell h}$, $J = \mathbf 1\mathbf 1^\top/n$,"
    r" $W = (I+V_1)\cdots(I+V_L)$, $W_{>\ell} = (I+V_{\ell+1})\cdots(I+V_L)$."
)

CLAIMS = (
    Claim(
        label="rung-0",
        title="Rung 0: the identity, error of order η",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\lVert S(X) - X\rVert_p \le \lVert X\rVert_p\,\bigl(\prod_\ell(1+v_\ell) -"
        r" 1\bigr)$ with $v_\ell = \sum_h\nu_p(V_{\ell h})$; the leading term is $\lVert"
        r" JX\sum_\ell V_\ell\rVert$, of order $\eta$.",
        hypotheses=_LADDER + r" The bound itself holds for all weights and masks.",
        verdict=Verdict.HOLDS,
        chapter=4,
    ),
    Claim(
        label="rung-1",
        title="Rung 1: all heads read the input, error of order η²",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$S'(X) = X + \sum_\ell A_\ell(X)$, a layer of $LH$ heads, has an error of"
        r" order $\eta^2$ with leading term $\lVert JX\sum_{k<\ell}V_kV_\ell\rVert$ and an"
        r" explicit bound for all weights, which holds under masks as well.",
        hypotheses=_LADDER,
        verdict=Verdict.HOLDS,
        chapter=4,
        depends=("contraction", "uniform-tv", "softmax-tv"),
    ),
    Claim(
        label="rung-2",
        title="Rung 2: an average and one matrix, error of order η³",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$S'(X) = X + JX(W - I)$, one head with zero query and key weights, has an"
        r" error of order $\eta^3$ with leading term $\lVert\sum_\ell C_\ell\rVert$, $C_\ell ="
        r" \tfrac1n\sum_h XM_{\ell h}X^\top(I-J)XV_{\ell h}$, and an explicit bound for all"
        r" weights.",
        hypotheses=_LADDER,
        verdict=Verdict.HOLDS,
        chapter=4,
        depends=("uniform-tv", "contraction"),
    ),
    Claim(
        label="rung-3",
        title="Rung 3: attention read once, error of order η⁴",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$S'(X) = X + \sum_{\ell,h}P_{\ell h}(X)XV_{\ell h}W_{>\ell}$, a layer of $LH$"
        r" heads, has an error of order $\eta^4$ with leading term"
        r" $\lVert\tfrac1n\sum_{\ell,h}JX\sum_{k<\ell}V_kM_{\ell h}X^\top(I-J)XV_{\ell h} -"
        r" \sum_{k<\ell}(I-J)C_kV_\ell\rVert$ and an explicit bound for all weights.",
        hypotheses=_LADDER + r" $C_k$ as in rung 2.",
        verdict=Verdict.HOLDS,
        chapter=4,
        depends=("rung-2", "softmax-tv", "contraction"),
    ),
    Claim(
        label="one-layer-floor",
        title="No one-layer network beats η⁴",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"Whatever its heads and weights, and even followed by a token-wise map, a"
        r" one-layer network with skip misses some input by order $\eta^4$. With $d = H = 1$, $L ="
        r" 2$, $M_1 = 0$ and all other weights $\eta$, one of $X = t(0,1,0)^\top$ and $\tilde X ="
        r" t(0,\tfrac12,\tfrac12)^\top$ has error at least $\tfrac12\eta"
        r" t\,\frac{u(u-1)(u+2)}{(2+u^2)(1+2u)}$, $u = e^{\eta^3t^2/6}$, which is $\eta^4t^3/36$"
        r" to leading order. With biases in queries, keys and values but no token-wise map, one of"
        r" $t(0,1,1,2)^\top$, $t(0,0,1,1)^\top$ and 0 has error at least $\tfrac14\eta"
        r" t(\tanh\tfrac x2 - \tanh\tfrac x4)$, $x = \eta^3t^2$, for the same network, which is"
        r" $\eta^4t^3/16$ to leading order.",
        hypotheses=r"First part: no query bias, no mask, no positions.",
        verdict=Verdict.HOLDS,
        chapter=4,
        depends=("rung-3",),
    ),
    Claim(
        label="one-head-floor",
        title="One head does not beat η³",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$S(X) = X + \eta(P_+ - P_-)X$ with $M = \pm\eta^2$ and $X = t(0,1)^\top$:"
        r" every one-head layer with skip and without biases misses it by at least $\tfrac{\eta"
        r" t}{3}\tanh(\eta^2t^2/2)$. So no head gives $\eta$, one head $\eta^3$, any number"
        r" $\eta^4$.",
        hypotheses=r"One layer with skip and one head, no biases, no mask; $d = 1$, two tokens."
        r" With a value bias one head can do it without error.",
        verdict=Verdict.HOLDS,
        chapter=4,
        depends=("rung-2",),
    ),
    Claim(
        label="causal-floor",
        title="With a causal mask nothing beats η²",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"Row $i$ of one causal layer ignores the order of $x_1,\dots,x_{i-1}$. Swapping"
        r" $x_1$ and $x_2$ moves row $i$ of the deep network by $\tfrac{\eta^2}{i}(x_2 -"
        r" x_1)\sum_{k<\ell}V_kV_\ell$ to leading order, so the error is at least half of that."
        r" One head, $X + CX\sum_\ell V_\ell$ with causal averaging $C$, reaches $\eta^2$.",
        hypotheses=r"Causal mask, $n \ge 3$, $i \ge 3$, $V_\ell$ divided by $\eta$ in the display.",
        verdict=Verdict.HOLDS,
        chapter=5,
        depends=("rung-1",),
    ),
    Claim(
        label="preln-floor",
        title="With pre-LayerNorm nothing beats η²",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"Row $i$ of one pre-normalised layer ignores the lengths $\lVert x_j\rVert$, $j"
        r" \ne i$; the deep network sees them at order $\eta^2$. One head, $X + J\,N(X)\sum_\ell"
        r" V_\ell$, reaches that order in time linear in $n$.",
        hypotheses=r"Each layer reads the row-normalised tokens $N(X)$; skip 1; tokens no shorter"
        r" than a fixed length, without which nothing beats $\eta$.",
        verdict=Verdict.HOLDS,
        chapter=5,
        depends=("rung-1",),
    ),
    Claim(
        label="attention-lipschitz",
        title="How far attention moves when its input does",
        source="ours, repairing AS25, Lemmas 5.2 and C.1",
        provenance=Provenance.OURS,
        statement=r"For $Z = X + \Delta$, $\lVert A(Z) - A(X)\rVert_p \le \sum_h\nu_p(V_h)"
        r"\bigl(\lVert\Delta\rVert_p + \operatorname{diam}_p(X)\tanh(\theta_h/4)\bigr)$ with"
        r" $\theta_h = \beta_p(M_h)\bigl(\lVert\Delta\rVert_p\operatorname{diam}_p(Z) +"
        r" \lVert X\rVert_p\operatorname{diam}_p(\Delta)\bigr)$.",
        hypotheses=r"Attention without positions, masked or not, any weights and any $\Delta$.",
        verdict=Verdict.HOLDS,
        chapter=5,
        depends=("softmax-tv", "res-left"),
    ),
    Claim(
        label="shift-matters",
        title="A common shift of all tokens changes attention",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\Delta = \mathbf 1y^\top$ has $\operatorname{Res}(\Delta) = 0$, yet the"
        r" logits gain $yMx_j^\top$, which varies with $j$, and $P$ changes. Small"
        r" $\operatorname{Res}(\Delta)$ does not make attention move little.",
        hypotheses=r"Any $M$ and $y$ for which $XM^\top y^\top$ is not constant over the tokens.",
        verdict=Verdict.HOLDS,
        chapter=5,
        depends=("res-seminorm",),
    ),
    Claim(
        label="eps-counterexample",
        title="The width is missing from ε",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"Two tokens $\pm\varphi\mathbf 1^\top$ and all weights $\eta$ give $\rho(A_1) ="
        r" Hd\eta\varphi\tanh(d^2d_k\eta^2\varphi^2)$, above $2\eta\varphi(1+H\eta)$ for $(H, d,"
        r" d_k, \eta, \varphi) = (1, 3, 1, \tfrac1{10}, 10)$. Correct is $\rho(A_{\ell,h}) \le"
        r" d\eta\varphi_0(1+Hd\eta)^{\ell-1}$ per head, $H$ times that for the layer.",
        hypotheses=r"Entrywise $\lvert W_Q\rvert, \lvert W_K\rvert, \lvert W_V\rvert \le \eta$,"
        r" $\lvert X_0\rvert \le \varphi_0$.",
        verdict=Verdict.HOLDS,
        chapter=5,
        depends=("contraction", "res-left"),
    ),
    Claim(
        label="rank-survives",
        title="With skips and small weights the tokens stay apart",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$\operatorname{diam}_p(X_\ell) \ge \max(0, 1 -"
        r" K_\ell)\operatorname{diam}_p(X_{\ell-1})$ with the contraction factor $K_\ell$ of the"
        r" layer, sharp; over several layers the product of these factors. Layers collapse while"
        r" the rank does not.",
        hypotheses=r"Attention layers with skip 1, no mask, no positions.",
        verdict=Verdict.HOLDS,
        chapter=5,
        depends=("contraction",),
    ),
    Claim(
        label="rope-collapse",
        title="Rotary positions slow rank collapse",
        source="ours",
        provenance=Provenance.OURS,
        statement=r"$D_L \le D_0\prod_{\ell=1}^Lv_\ell\tanh(\beta\varphi^2v_1^2\cdots"
        r" v_{\ell-1}^2)$: exponential in $L$ where $v_\ell \le 1$, and at most"
        r" $D_0(\beta\varphi^2v)^Lv^{L(L-1)}$ where $v_\ell \le v$. These orders are right: with"
        r" $V = vI$, $0 < v \le 1$, some networks and tokens have $D_L$ above a product of the"
        r" same form, so that their collapse is not doubly exponential."
        r" Equal tokens at different positions have different attention.",
        hypotheses=r"Attention without skips and masks, rotary positions; $v_\ell ="
        r" \sum_h\nu(V_{\ell h})$, $\varphi = \lVert X\rVert$, $\beta$ the largest over layers,"
        r" heads and offsets.",
        verdict=Verdict.HOLDS,
        chapter=3,
        depends=("contraction", "double-exponential"),
    ),
)
