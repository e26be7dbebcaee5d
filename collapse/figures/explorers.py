"""The data of the interactive figures of chapters 1, 2 and 5, and what they show in print."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.adversary import worst_balanced
from collapse.attention import Network
from collapse.centred import centred_trace
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.softmax import OBSERVED, distance
from collapse.figures.style import COLOURS, INK
from collapse.norms import residual, residual_norm, token_norm
from collapse.numeric import require
from collapse.softmax import extremal_pair, softmax, tv_bounds
from collapse.symbolic.softmax import d21_limit
from collapse.witnesses.res import lipschitz

STEP, REACH = 0.25, 4.0  # entries that can be set by hand: multiples of the step, exact in binary
FLOOR = -30.0  # decades below which a share is drawn on the edge of its panel
_PAIR = (("A", "blue", "o", -0.14), ("B", "orange", "s", 0.14))


def moves(tokens: Sequence[int], seed: int) -> FigureData:
    """Two columns for each number of tokens: where a reader starts, and the sharp witness.

    Args:
        tokens: Numbers of tokens, each ≥ 3.
        seed: Seed of the pairs to start from: small random multiples of a quarter.

    Returns:
        First a panel of entries for each n, then one of residuals, both with the series "A", "B"
        (the start) and "A, witness", "B, witness".

    Source:
        res-lipschitz
    """
    require(min(tokens) >= 3, "tokens", "at least 3 each", list(tokens))
    generator = torch.Generator().manual_seed(seed)
    before: list[Panel] = []
    after: list[Panel] = []
    for n in tokens:
        A = _quarters(2 * torch.randn(n, 1, generator=generator, dtype=torch.float64))
        B = A + _quarters(2 * torch.rand(n, 1, generator=generator, dtype=torch.float64) - 1)
        exact = (torch.tensor([[float(x)] for x in Y[:, 0]]).double() for Y in lipschitz(n))
        pairs = {"": (A, B), ", witness": tuple(exact)}
        for panels, change, name in ((before, _same, "entry"), (after, residual, "residual")):
            lines = [
                series(f"{letter}{which}", range(1, n + 1), change(Y)[:, 0])
                for which, pair in pairs.items()
                for letter, Y in zip("AB", pair, strict=True)
            ]
            title = f"n = {n}" if name == "entry" else "after Res"
            panels.append(Panel(title, Axis("token"), Axis(name), tuple(lines)))
    settings = {"tokens": list(tokens), "step": STEP, "reach": REACH}
    return FigureData("explorer-res", (*before, *after), settings, seed)


def _quarters(X: Tensor) -> Tensor:
    return (X / STEP).round().clamp(-3 / STEP, 3 / STEP) * STEP


def _same(X: Tensor) -> Tensor:
    return X


def draw_moves(axes: Sequence[Axes], data: FigureData) -> None:
    """The witnesses: a round and a square mark for each token, joined; the farthest in red."""
    for ax, panel in zip(axes, data.panels, strict=True):
        A, B = panel["A, witness"], panel["B, witness"]
        gaps = [abs(a - b) for a, b in zip(A.y, B.y, strict=True)]
        for x, a, b, gap in zip(A.x, A.y, B.y, gaps, strict=True):
            farthest = gap == max(gaps)
            colour = COLOURS["red"] if farthest else COLOURS["grey"]
            ax.plot([x - 0.14, x + 0.14], [a, b], color=colour, lw=2.2 if farthest else 1.2)
        for name, colour, marker, shift in _PAIR:
            line = panel[f"{name}, witness"]
            ax.plot([x + shift for x in line.x], line.y, marker, ms=5, color=COLOURS[colour],
                    label=name)  # fmt: skip
        ax.set_title(f"{panel.title}: {max(gaps):g}")
        ax.set(xlim=(0.5, len(A.x) + 0.5), ylim=(-REACH, REACH), xticks=A.x)
    axes[0].legend(loc="lower left", ncols=2, handletextpad=0, columnspacing=0.6)
    for ax in axes[: len(axes) // 2]:
        ax.set_xlabel("")
    for i, ax in enumerate(axes):
        if i % (len(axes) // 2):
            ax.set_ylabel("")


def balance(points: int, tokens: int, starts: int, seed: int) -> FigureData:
    """The worst perturbation at evenly spaced θ: what a search finds, and every bound.

    Args:
        points: Number of θ, evenly spaced up to 12.
        tokens: Length of the row that the search may fill.
        starts: Random starts of the search at each θ.
        seed: Seed of the starts.

    Returns:
        One panel over θ. "worst case found" is the distance; "before" and "after" are the mass of
        the tokens that gain by the perturbation found, "before, proved" and "after, proved" that
        of the extremal pair; "sharp", "linear", "as25" and "d21" are the bounds, the last as far
        as it is proved.

    Source:
        softmax-tv, softmax-compare
    """
    require(points >= 1, "points", "at least 1", points)
    theta = 12 * torch.arange(1, points + 1, dtype=torch.float64) / points
    generator = torch.Generator().manual_seed(seed)
    worst, A, E = worst_balanced(distance, theta, tokens, generator, starts)
    P, after = softmax(A)[:, 0], softmax(A + E)[:, 0]
    gains = after > P
    pair, change = extremal_pair(theta)
    masses = {
        "before": (P * gains).sum(-1),
        "after": (after * gains).sum(-1),
        "before, proved": softmax(pair)[:, 0, 0],
        "after, proved": softmax(pair + change)[:, 0, 0],
    }
    limit = float(d21_limit())
    lines = [series(OBSERVED, theta, worst)]
    for name, bound in tv_bounds(theta).items():
        proved = theta <= (limit if name == "d21" else math.inf)
        lines.append(series(name, theta[proved], bound[proved]))
    lines += [series(name, theta, mass) for name, mass in masses.items()]
    panel = Panel("", Axis("balance θ of the perturbation"), Axis("mass that gains"), tuple(lines))
    settings = {"points": points, "tokens": tokens, "starts": starts, "d21_limit": limit}
    return FigureData("explorer-theta", (panel,), settings, seed)


def draw_balance(axes: Sequence[Axes], data: FigureData) -> None:
    """The mass before and after as points on their curves; what lies between has moved."""
    (panel,), (ax,) = data.panels, axes
    low, high = panel["before, proved"], panel["after, proved"]
    ax.fill_between(low.x, low.y, high.y, color=COLOURS["sky"], alpha=0.25, lw=0)
    for name, colour in (("before", "blue"), ("after", "red")):
        line = panel[f"{name}, proved"]
        ax.plot(line.x, line.y, color=COLOURS[colour], lw=1.2)
        ax.plot(panel[name].x, panel[name].y, "o", ms=3, mfc="none", color=COLOURS[colour])
    ax.text(8, 0.91, "after", color="#a84a00", va="top")
    ax.text(8, 0.09, "before", color=COLOURS["blue"], va="bottom")
    ax.text(6, 0.5, "distance: tanh(θ/4)", ha="center", va="center")
    ax.set(xlim=(0, 12.2), ylim=(0, 1), xticks=range(0, 13, 2))


def contraction(
    etas: Sequence[float], layers: int, heads: int, tokens: int, seed: int
) -> FigureData:
    """Tokens in the plane through the layers, with and without skips, for several sizes of weights.

    Args:
        etas: Bounds on the entries of the weights, which scale one draw.
        layers: L.
        heads: H.
        tokens: n.
        seed: Seed of weights and tokens.

    Returns:
        For each η and skip a panel with a series a token: its two coordinates in layers 0 to L,
        divided by ‖X_ℓ‖∞. Last a panel with log₁₀ of ρ(X_ℓ)/‖X_ℓ‖∞ over ℓ, without skips from
        the centred propagation, which double precision does not limit.

    Source:
        double-exponential, rank-survives, centred-propagation
    """
    generator = torch.Generator().manual_seed(seed)
    network = Network.random(layers, heads, 2, 2, torch.tensor(etas).double(), generator)
    X = torch.rand(tokens, 2, generator=generator, dtype=torch.float64) * 2 - 1
    panels, shares = [], []
    depth = range(layers + 1)
    for skip, word in ((1.0, "with skips"), (0.0, "no skips")):
        traces = network.replace(skip=skip).trace(X)
        size = token_norm(traces)
        rho = residual_norm(traces).log10()
        if skip == 0:
            rho = centred_trace(network.replace(skip=0.0), X).log10_rho
        for eta, trace, sizes, left in zip(etas, traces, size, rho - size.log10(), strict=True):
            name = f"η = {eta:g}, {word}"
            places = trace / sizes[:, None, None]
            lines = [series(f"token {i + 1}", *places[:, i].T) for i in range(tokens)]
            panels.append(Panel(name, Axis("x₁ ÷ ‖X‖"), Axis("x₂ ÷ ‖X‖"), tuple(lines)))
            shares.append(series(name, depth, left))
    last = Panel("log₁₀ of ρ ÷ ‖X‖", Axis("layer ℓ"), Axis("log₁₀ of the share"), tuple(shares))
    settings = {"etas": list(etas), "layers": layers, "heads": heads, "tokens": tokens}
    return FigureData("explorer-tokens", (*panels, last), settings, seed)


def draw_contraction(axes: Sequence[Axes], data: FigureData) -> None:
    """Rings for layer 0, crosses for 1, dots for the last; then the shares, cut at the edge."""
    *planes, shares = data.panels
    for ax, panel in zip(axes, planes, strict=False):
        for line in panel.series:
            ax.plot(line.x[0], line.y[0], "o", ms=5, mfc="none", color=COLOURS["blue"])
            ax.plot(line.x[1], line.y[1], "x", ms=4, color=INK)
            ax.plot(line.x[-1], line.y[-1], "o", ms=4, color=COLOURS["red"])
        ax.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal", xlabel="", ylabel="")
    half = len(shares.series) // 2
    for i, line in enumerate(shares.series):
        colour, ends = COLOURS["blue" if i < half else "orange"], _until(line)
        axes[-1].plot(line.x[:ends], [max(y, FLOOR) for y in line.y[:ends]], color=colour, lw=1.2)
    axes[-1].text(line.x[-1], -3, "with skips", ha="right", va="top", color=COLOURS["blue"])
    axes[-1].text(line.x[-1], FLOOR / 2, "no skips", ha="right", va="top", color="#9a6a00")
    axes[-1].set(ylim=(FLOOR, 1), xlabel="layer ℓ", ylabel="", xticks=line.x)
    axes[-1].set_yticks(range(int(FLOOR), 1, 10))


def _until(line: Series) -> int:
    """How many points lie on the panel, and one more where the curve leaves it."""
    below = [i for i, y in enumerate(line.y) if y < FLOOR]
    return below[0] + 1 if below else len(line.y)
