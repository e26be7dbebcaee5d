"""Chapter 3. One attention layer: how far its contraction is attained, in which norm, and when."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.adversary import ascend
from collapse.attention import Network
from collapse.bounds import contraction_bound
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.style import COLOURS, INK
from collapse.norms import diameter, query_key_norm, residual_norm
from collapse.softmax import tv_bounds
from collapse.witnesses.contraction import extremal

NORMS = {"1": 1.0, "2": 2.0, "∞": math.inf}
QUANTILES = (0.05, 0.5, 0.95)
_COLOUR = {"1": "orange", "2": "blue", "∞": "green"}


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def slack(network: Network, X: Tensor, p: float = math.inf) -> Tensor:
    """Observed diameter of one layer's attention output ÷ its bound.

    >>> slack(*extremal(1.0, 2.0, 3.0))
    tensor(1., dtype=torch.float64)
    """
    return diameter(network.attention(X, 0), p) / contraction_bound(network, X, p).value


# --- attained at every strength ------------------------------------------------------------------


def attained(
    points: int, samples: int, tokens: int, width: int, starts: int, steps: int, seed: int
) -> FigureData:
    """Observed ÷ bound over βρ²: extremal family, gradient search, random layers, older route.

    Args:
        points: Number of βρ² from 1e-3 to 1e2, evenly spaced in the logarithm, ≥ 2.
        samples: Random layers at each.
        tokens: Tokens of the random and the searched layers.
        width: Their width.
        starts: Random starts of the search at each.
        steps: Steps of the search.
        seed: Seed of layers and starts.

    Source:
        contraction
    """
    generator = _generator(seed)
    strength = torch.logspace(-3, 2, points, dtype=torch.float64)

    def layer(z: Tensor, target: Tensor) -> tuple[Network, Tensor]:
        """M, V and X stacked as rows; X scaled so that βρ² is the target."""
        M, V, X = z.split((width, width, tokens), -2)
        one = torch.eye(width, dtype=z.dtype).expand_as(M)
        size = query_key_norm(M) * residual_norm(X).square()
        query, key, value = (w[:, None, None] for w in (M, one, V))
        return Network(query, key, value, skip=0), X * (target / size).sqrt()[:, None, None]

    def draw(count: int) -> Tensor:
        return _normal(points * count, 2 * width + tokens, width, generator=generator)

    each = strength.repeat_interleave(samples)
    random = slack(*layer(draw(samples), each)).unflatten(0, (points, samples))
    low, middle, high = random.quantile(torch.tensor(QUANTILES, dtype=random.dtype), 1)

    begin, each_start = draw(starts), strength.repeat_interleave(starts)
    found, _ = ascend(lambda z: slack(*layer(z, each_start)), begin, steps, 0.1)

    family = extremal(strength, torch.ones_like(strength), torch.ones_like(strength))
    moved = diameter(family[0](family[1])) / diameter(family[1])
    older = moved / tv_bounds(4 * strength)["as25"]
    lines = (
        series("extremal family", strength, slack(*family)),
        series("best found by search", strength, found.unflatten(0, (points, starts)).amax(1)),
        series("random 5%", strength, low),
        series("random 50%", strength, middle),
        series("random 95%", strength, high),
        series("largest random", strength, random.amax(1)),
        series("extremal family, e^θ − 1 route", strength, older),
    )
    settings = {"points": points, "samples": samples, "tokens": tokens, "width": width}
    return FigureData(
        "contraction-attained",
        (Panel("", Axis("strength βρ²", scale="log"), Axis("observed ÷ bound"), lines),),
        {**settings, "starts": starts, "steps": steps},
        seed,
    )


def draw_attained(axes: Sequence[Axes], data: FigureData) -> None:
    """The line at 1 with the searched points on it, the random band, the older route below."""
    (ax,), (panel,) = axes, data.panels
    family, found = panel["extremal family"], panel["best found by search"]
    older = panel["extremal family, e^θ − 1 route"]
    low, middle, high = (panel[f"random {q:.0%}"] for q in QUANTILES)
    ax.plot(family.x, family.y, color=COLOURS["blue"])
    ax.plot(found.x, found.y, "o", ms=5, mfc="none", mec=INK, zorder=3)
    ax.plot(older.x, older.y, color=COLOURS["red"], ls="--")
    ax.fill_between(low.x, low.y, high.y, color=COLOURS["green"], alpha=0.2, lw=0)
    ax.plot(middle.x, middle.y, color=COLOURS["green"])
    ax.set(xlim=(1e-3, 1e2), ylim=(0, 1.16))
    ax.text(1.2e-3, 1.035, "extremal family (line), search (circles)", color=COLOURS["blue"])
    ax.text(0.16, 0.62, "the same by\nthe e$^θ$−1 route", color="#a84a00")
    ax.text(1.2e-3, high.y[0] + 0.03, "random layers", color="#00714f")


# --- which token norm ----------------------------------------------------------------------------

Instance = tuple[Network, Tensor]
Kind = Callable[[int, int, int, torch.Generator], Instance]


def _layer(M: Tensor, V: Tensor, X: Tensor) -> Instance:
    """One head a layer, M scaled so that β₂(M) diam₂(X)² = ½: no tanh is saturated."""
    strength = query_key_norm(M, 2) * diameter(X, 2).square()
    query, value = (w[:, None, None] for w in (M * (0.5 / strength)[:, None, None], V))
    key = torch.eye(M.shape[-1], dtype=M.dtype).expand_as(query)
    return Network(query, key, value, skip=0), X


def _uniform(count: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    shape = (2, count, width, width)
    M, V = torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
    return M, V


def _dense(count: int, tokens: int, width: int, generator: torch.Generator) -> Instance:
    X = _normal(count, tokens, width, generator=generator)
    return _layer(*_uniform(count, width, generator), X)


def _identity(count: int, tokens: int, width: int, generator: torch.Generator) -> Instance:
    eye = torch.eye(width, dtype=torch.float64).expand(count, width, width)
    return _layer(eye, eye, _normal(count, tokens, width, generator=generator))


def _one_hot(count: int, tokens: int, width: int, generator: torch.Generator) -> Instance:
    """Each feature writes to one feature only, chosen at random."""
    which = torch.randint(width, (count, tokens), generator=generator)
    which[:, :2] = torch.arange(2)  # two tokens at least differ
    features = torch.eye(width, dtype=torch.float64)
    M, V = _uniform(count, width, generator)
    target = torch.randint(width, (count, width), generator=generator)
    return _layer(M, V * features[target], features[which])


def _one_feature(count: int, tokens: int, width: int, generator: torch.Generator) -> Instance:
    """Tokens meet in their first feature alone."""
    eye = torch.eye(width, dtype=torch.float64).expand(count, width, width)
    first = (eye * eye[:, :, :1]).clone()
    return _layer(first, eye, _normal(count, tokens, width, generator=generator))


KINDS: dict[str, Kind] = {
    "Gaussian tokens, M and V dense": _dense,
    "Gaussian tokens, M and V the identity": _identity,
    "one-hot tokens, M dense, one entry a row in V": _one_hot,
    "Gaussian tokens, one entry in M, V the identity": _one_feature,
}


def norms(widths: Sequence[int], tokens: int, samples: int, seed: int) -> FigureData:
    """Observed ÷ bound in each norm's own measure, and which norm has the least factor K.

    Args:
        widths: Widths d, each from 2 to 16.
        tokens: Number of tokens.
        samples: Layers of each kind at each width.
        seed: Seed of the layers.

    Returns:
        A panel a kind, with quantiles of the slack for each p, the median of K_p over the least
        of the three, and the share of layers in which K_p is the least.

    Source:
        norm-choice
    """
    generator = _generator(seed)
    panels = []
    for kind, draw in KINDS.items():
        columns: dict[str, list[Tensor]] = {}
        for width in widths:
            network, X = draw(samples, tokens, width, generator)
            bounds = {name: contraction_bound(network, X, p).value for name, p in NORMS.items()}
            factors = {name: bounds[name] / diameter(X, p) for name, p in NORMS.items()}
            least = torch.stack(list(factors.values())).amin(0)
            for name, p in NORMS.items():
                ratio = diameter(network.attention(X, 0), p) / bounds[name]
                for q in QUANTILES:
                    columns.setdefault(f"p = {name}, {q:.0%}", []).append(ratio.quantile(q))
                columns.setdefault(f"p = {name}, max", []).append(ratio.amax())
                over = (factors[name] / least).median()
                columns.setdefault(f"p = {name}, K over least K", []).append(over)
                share = (factors[name] <= least).double().mean()
                columns.setdefault(f"p = {name}, share of least K", []).append(share)
        lines = (series(name, widths, torch.stack(column)) for name, column in columns.items())
        axes = Axis("width d", scale="log"), Axis("observed ÷ bound", scale="log")
        panels.append(Panel(kind, *axes, tuple(lines)))
    return FigureData(
        "contraction-norms",
        tuple(panels),
        {"tokens": tokens, "samples": samples, "beta_2 diam_2^2": 0.5},
        seed,
    )


def draw_norms(axes: Sequence[Axes], data: FigureData) -> None:
    """A median line and a band of 90% for each norm."""
    for ax, panel in zip(axes, data.panels, strict=True):
        for name in NORMS:
            low, middle, high = (panel[f"p = {name}, {q:.0%}"] for q in QUANTILES)
            colour = COLOURS[_COLOUR[name]]
            ax.fill_between(low.x, low.y, high.y, color=colour, alpha=0.18, lw=0)
            ax.plot(middle.x, middle.y, color=colour, marker="o", ms=3.5, label=f"p = {name}")
        ax.axhline(1, color=INK, lw=0.8, ls=":")
        ax.set_xticks(middle.x, [f"{d:g}" for d in middle.x])
        ax.minorticks_off()
        ax.set_ylim(8e-4, 1.4)
    axes[0].legend(loc="lower left", ncols=3)
