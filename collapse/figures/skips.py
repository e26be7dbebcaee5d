"""The figures on Lemma 5.2 and its repair: what moves attention, and what the width adds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import flint
import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.adversary import ascend
from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.ladder import State, spread
from collapse.bounds.lipschitz import attention_lipschitz_bound
from collapse.bounds.skips import head_epsilon, reported_epsilon
from collapse.exact import lift
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.style import COLOURS, INK
from collapse.norms import diameter, residual_norm, token_norm
from collapse.witnesses.skips import width_missing

ETA = Axis("bound η on the weights", scale="log")
RESIDUAL, SHIFT, MOVE, BOUND = "ρ(Δ)", "‖Δ‖", "move of A₂", "bound"


def largest(X: Tensor) -> Tensor:
    """The largest entry in size of every matrix of a batch."""
    return X.abs().amax((-2, -1))


def what_moves(points: int, seed: int) -> FigureData:
    """How far the second layer's attention output moves because of the first layer's.

    Args:
        points: Number of η from 10⁻⁴ to 0.3, evenly spaced in log η.
        seed: Seed of network and tokens.

    Returns:
        One panel over η: ‖Δ‖ and ρ(Δ) for Δ = A₁(X), the move ‖A₂(X + Δ) − A₂(X)‖, and its bound.

    Source:
        shift-matters, attention-lipschitz
    """
    eta = torch.logspace(-4, math.log10(0.3), points, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    network = Network.random(2, 2, 3, 2, eta, generator)
    X = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    shift = network.attention(X, 0)
    # ρ(Δ) is far smaller than Δ: taken in 50 digits, where float64 would show its rounding.
    first = lift(network.layers(0, 1).replace(skip=0.0), "mpf")
    rho = [float(r) for r in residual_norm(first(lift(X, "mpf")))]
    Z = X + shift
    move = largest(network.attention(Z, 1) - network.attention(X, 1))
    bound = attention_lipschitz_bound(network, X.expand_as(Z), Z, layer=1).value
    return FigureData(
        "skips-what-moves",
        (
            Panel(
                "",
                ETA,
                Axis("size", scale="log"),
                (
                    series(SHIFT, eta, largest(shift)),
                    series(RESIDUAL, eta, rho),
                    series(MOVE, eta, move),
                    series(BOUND, eta, bound),
                ),
            ),
        ),
        {"points": points, "layers": 2, "heads": 2, "width": 3, "key_width": 2, "tokens": 4},
        seed,
    )


def draw_what_moves(axes: Sequence[Axes], data: FigureData) -> None:
    """Three powers of η, labelled at the curves; the bound dashed above the move."""
    (panel,), (ax,) = data.panels, axes
    look = {SHIFT: "grey", MOVE: "red", RESIDUAL: "blue"}
    for name, colour in look.items():
        ax.plot(panel[name].x, panel[name].y, color=COLOURS[colour])
    ax.plot(panel[BOUND].x, panel[BOUND].y, "--", color=INK, lw=1.3)
    key(
        ax,
        [
            ("‖Δ‖, order η", "#5c5c5c"),
            ("bound on the move (dashed)", INK),
            ("move of A₂, order η²", "#a84a00"),
            ("ρ(Δ), order η³", COLOURS["blue"]),
        ],
    )
    x = panel[MOVE].x
    ax.set(xlim=(x[0], x[-1]))


def key(ax: Axes, entries: Sequence[tuple[str, str]]) -> None:
    """Names of the curves in their colours, from top to bottom, in the lower right corner."""
    for i, (word, colour) in enumerate(reversed(entries)):
        ax.text(0.98, 0.04 + 0.105 * i, word, color=colour, ha="right", transform=ax.transAxes)


def moved_parts(point: Tensor, theta: Tensor, tokens: int, p: float) -> tuple[Tensor, ...]:
    """One head made of free numbers, turned so that its logits change by θ at most.

    Args:
        point: X, Δ, W_Q, W_K and V above one another, shape (cases, 2 tokens + 3 d, d).
        theta: The argument of the bound's 4 artanh, shape (cases,); W_Q is scaled to give it.
        tokens: Number of tokens.
        p: Norm of the tokens.

    Returns:
        The move ‖A(Z) − A(X)‖, and the bound's two terms: ν‖Δ‖ and diam(X) ν tanh(θ/4).

    Source:
        attention-lipschitz
    """
    d = point.shape[-1]
    X, step, *weights = point.split([tokens, tokens, d, d, d], -2)
    network = Network(*(w[:, None, None] for w in weights))
    Z = X + step
    state = State(token_norm(Z, p), diameter(Z, p), token_norm(step, p), diameter(step, p))
    phi, D = token_norm(X, p), diameter(X, p)
    sizes = network_sizes(network, tokens, p)
    now = sizes.query_key[:, 0, 0] * (state.delta * state.D + phi * state.kappa)
    network = network.replace(query=network.query * (theta / now)[:, None, None, None, None])
    sizes = network_sizes(network, tokens, p)
    move = token_norm(network.attention(Z, 0) - network.attention(X, 0), p)
    return move, sizes.head_value[:, 0, 0] * state.delta, D * spread(sizes, 0, state, phi).moved


def lipschitz_slack(
    points: int, tokens: int, width: int, cases: int, starts: int, steps: int, seed: int
) -> FigureData:
    """Observed move of attention divided by its bound: at random, and where a search drives it.

    Args:
        points: Number of θ from 0.01 to 30, evenly spaced in log θ.
        tokens: Number of tokens n.
        width: Width d = d_k.
        cases: Random cases for each θ: Gaussian tokens, moves of sizes 10⁻² to 10², weights.
        starts: Random starts of the search for each θ.
        steps: Steps of the search.
        seed: Seed of both.

    Returns:
        One panel over θ: median and largest ratio at random, and the ratio at the points where the
        search got the most out of the term with tanh.

    Source:
        attention-lipschitz
    """
    p = math.inf
    theta = torch.logspace(-2, math.log10(30), points, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)

    def draw(count: int) -> Tensor:
        shape = (points * count, 2 * tokens + 3 * width, width)
        point = torch.randn(shape, generator=generator, dtype=torch.float64)
        size = 10 ** (4 * torch.rand(len(point), 1, 1, generator=generator) - 2).double()
        point[:, tokens : 2 * tokens] *= size
        return point

    def ratio(point: Tensor, each: Tensor) -> Tensor:
        move, carried, turned = moved_parts(point, each, tokens, p)
        return move / (carried + turned)

    random = ratio(draw(cases), theta.repeat_interleave(cases)).reshape(points, cases)
    each = theta.repeat_interleave(starts)

    def share(point: Tensor) -> Tensor:
        move, carried, turned = moved_parts(point, each, tokens, p)
        return (move - carried) / turned

    reached, where = ascend(share, draw(starts), steps, learning_rate=0.05)
    best = reached.reshape(points, starts).argmax(1) + starts * torch.arange(points)
    return FigureData(
        "skips-lipschitz",
        (
            Panel(
                "",
                Axis("change θ of the logits that the bound allows", scale="log"),
                Axis("observed ÷ bound"),
                (
                    series("median", theta, random.median(1).values),
                    series("largest", theta, random.amax(1)),
                    series("search", theta, ratio(where[best], theta)),
                    series("tanh term", theta, reached[best]),
                ),
            ),
        ),
        {
            "points": points,
            "tokens": tokens,
            "width": width,
            "cases": cases,
            "starts": starts,
            "steps": steps,
        },
        seed,
    )


def draw_lipschitz(axes: Sequence[Axes], data: FigureData) -> None:
    """The bound as a line at one, the search's finds as circles on it, random cases below."""
    (panel,), (ax,) = data.panels, axes
    ax.axhline(1, color=COLOURS["grey"], lw=0.9, ls=":")
    ax.plot(panel["largest"].x, panel["largest"].y, color=COLOURS["orange"], marker=".")
    ax.plot(panel["median"].x, panel["median"].y, color=COLOURS["blue"], marker=".")
    ax.plot(panel["search"].x, panel["search"].y, "o", ms=5, mfc="none", mec=INK, clip_on=False)
    ax.text(panel["search"].x[0], 1.04, "found by search", color=INK)
    for name, word, colour in (
        ("median", "at random: median", COLOURS["blue"]),
        ("largest", "at random: largest", "#9a6a00"),
    ):
        ax.text(panel[name].x[0], min(panel[name].y) - 0.03, word, color=colour, va="top")
    ax.set(ylim=(0, 1.13))


def missing_width(widths: Sequence[int], eta: str, phi: int, bits: int = 100) -> FigureData:
    """The residual of one attention output, and two bounds on it, as the width grows.

    Args:
        widths: The widths d.
        eta: All weights, a decimal string.
        phi: The tokens are ±φ.
        bits: Precision of the balls in which all is computed.

    Returns:
        One panel over d: ρ(A₁) in ball arithmetic, ε₁ as reported, and the bound with the width.

    Source:
        eps-counterexample, as25-eps
    """
    with flint.ctx.workprec(bits):
        observed, reported, corrected = [], [], []
        for d in widths:
            network, X, _ = (lift(part, "arb") for part in width_missing(eta, phi, d))
            size = network.value[0, 0, 0, 0]
            observed.append(float(residual_norm(network.replace(skip=0)(X))))
            reported.append(float(reported_epsilon(size, phi, 1, 1)))
            corrected.append(float(head_epsilon(size, phi, 1, d, 1)))
    curves = {"observed": observed, "as reported": reported, "with the width": corrected}
    return FigureData(
        "skips-width",
        (
            Panel(
                "",
                Axis("width d of the tokens", scale="log"),
                Axis("ρ(A₁)", scale="log"),
                tuple(series(name, widths, curve) for name, curve in curves.items()),
            ),
        ),
        {"widths": list(widths), "eta": eta, "phi": phi, "bits": bits, "heads": 1, "key_width": 1},
        dtype=f"balls of {bits} bits",
    )


def draw_missing_width(axes: Sequence[Axes], data: FigureData) -> None:
    """Observed points on the corrected line, crossing the reported one."""
    (panel,), (ax,) = data.panels, axes
    d = panel["observed"].x
    ax.plot(d, panel["with the width"].y, color=COLOURS["blue"])
    ax.plot(d, panel["as reported"].y, "--", color=COLOURS["red"])
    ax.plot(d, panel["observed"].y, "o", ms=4.5, mfc="none", mec=INK, clip_on=False)
    last = len(d) - 1
    ax.text(d[last], panel["as reported"].y[last] * 0.75, "2ηφ(1+Hη), as reported",
            color="#a84a00", ha="right", va="top")  # fmt: skip
    ax.text(d[last // 2], panel["with the width"].y[last // 2] * 1.5, "dηφ, with the width",
            color=COLOURS["blue"], ha="right", va="bottom")  # fmt: skip
    ax.text(d[last // 2] * 1.15, panel["observed"].y[last // 2] * 0.86, "observed", va="top")
    ax.set(xticks=d, xticklabels=[f"{x:g}" for x in d])
    ax.minorticks_off()
