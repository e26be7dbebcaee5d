"""Chapter 9. Weighted skips: what one layer keeps, how deep it lasts, and where J24's bound is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.attention import Network
from collapse.bounds.weighted_pairs import merging, narrowing
from collapse.bounds.weighted_skips import j24_threshold, normalised_factor, row_drift
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.style import COLOURS, INK
from collapse.kernels import unit_rows
from collapse.lambda_skip import j24_least_skip, kept_diameters
from collapse.norms import diameter, query_key_norm, value_norm
from collapse.norms.measures import mean_residual_norm

WEIGHT = Axis("weight of the skip |λ| / v", scale="log")
FLOOR = 1e-17  # below what float64 can tell from equal tokens
STRENGTH = 2.0  # β diam² of the layers of the first figure: K = v tanh(1/2)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _sized(V: Tensor) -> Tensor:
    """V scaled to spectral norm 1."""
    return V / value_norm(V, 2)[..., None, None]


# --- one layer -----------------------------------------------------------------------------------


def one_layer(points: int, samples: int, tokens: int, width: int, seed: int) -> FigureData:
    """The share of the diameter that a normalised layer keeps, over the weight of its skip.

    Args:
        points: Values of |λ|/v on either side of 1, ≥ 2.
        samples: Random layers at each, all with β diam² = 2 and v = 1, and of either sign of λ.
        tokens: Their tokens.
        width: Their width.
        seed: Seed of layers and tokens.

    Source:
        lambda-skip
    """
    generator = _generator(seed)
    above = torch.logspace(0.01, 1.5, points, dtype=torch.float64)
    below = torch.logspace(-1, -0.01, points, dtype=torch.float64)
    one = torch.ones_like(above)
    K = one * math.tanh(STRENGTH / 4)
    near = 1e-3 * one
    chord = diameter(narrowing(near, one, one, 2.0)[1], 2)
    family = narrowing(near, STRENGTH / chord**2, one, 2.0)[0].replace(skip=above)
    attained = diameter(family(narrowing(near, one, one, 2.0)[1]), 2) / chord

    turn = ((1 - below) / (1 + below)).sqrt()  # its unit vector has cosine |λ|/v
    merger, Y = merging(turn, turn / 2, one)
    merged = diameter(merger(Y), 2) / diameter(Y, 2)

    weights = torch.cat((below, above))
    shares = []
    for weight in weights:
        spread = torch.exp(2 * _normal(samples, 1, 1, generator=generator) - 1)
        centre = _normal(samples, 1, width, generator=generator)
        Y = unit_rows(centre + spread * _normal(samples, tokens, width, generator=generator))
        M, V = (_normal(samples, width, width, generator=generator) for _ in range(2))
        D = diameter(Y, 2)
        M = M * (STRENGTH / (query_key_norm(M, 2) * D.square()))[:, None, None]
        sign = 1 - 2.0 * (torch.arange(samples) % 2)
        eye = torch.eye(width, dtype=torch.float64).expand_as(M)
        heads = (w[:, None, None] for w in (M, eye, _sized(V)))
        query, key, value = heads
        layer = Network(query, key, value, skip=sign * weight, norm="row")
        shares.append(diameter(layer(Y), 2) / D)
    share = torch.stack(shares)
    lines = (
        series("guaranteed", above, normalised_factor(above, one, K).clamp(min=0)),
        series("sharp family", above, attained),
        series("two tokens merged", below, merged),
        series("random 5%", weights, share.quantile(0.05, 1)),
        series("random 50%", weights, share.quantile(0.5, 1)),
        series("least random", weights, share.amin(1)),
    )
    settings = {"points": points, "samples": samples, "tokens": tokens, "width": width}
    panel = Panel("", WEIGHT, Axis("diameter kept by one layer"), lines)
    return FigureData("lambda-one-layer", (panel,), {**settings, "strength": STRENGTH}, seed)


def draw_one_layer(axes: Sequence[Axes], data: FigureData) -> None:
    """The guarantee as a line with the sharp family on it; zero below v; random layers above."""
    (ax,), (panel,) = axes, data.panels
    line, family, merged = (panel[n] for n in ("guaranteed", "sharp family", "two tokens merged"))
    low, middle, least = (panel[f"{n}"] for n in ("random 5%", "random 50%", "least random"))
    ax.axvline(1, ymax=0.72, color=INK, lw=0.8, ls=":")  # up to the legend
    ax.fill_between(line.x, line.y, -0.1, color=COLOURS["sky"], alpha=0.3, lw=0)
    ax.plot(line.x, line.y, color=COLOURS["blue"], label="guaranteed")
    ax.plot(family.x[::2], family.y[::2], "o", ms=5, mfc="none", mec=INK, label="sharp family")
    ax.plot(merged.x, merged.y, color=COLOURS["red"], lw=3, label="two tokens merged")
    ax.plot(middle.x, middle.y, color=COLOURS["green"], label="random layers, median")
    ax.plot(low.x, low.y, color=COLOURS["green"], lw=1, ls="--", label="random layers, 5%")
    ax.plot(least.x, least.y, ".", ms=4, color=COLOURS["green"], label="random layers, least")
    ax.set(ylim=(-0.05, 1.75), xlim=(0.1, 32))
    ax.legend(loc="upper right", ncols=2)


# --- many layers ---------------------------------------------------------------------------------


def _stack(
    depth: int, seeds: int, tokens: int, width: int, generator: torch.Generator
) -> tuple[Network, Tensor]:
    """Layers with Gaussian M of spectral norm 1 and V of spectral norm 1, and Gaussian tokens."""
    M, V = (_normal(seeds, depth, 1, width, width, generator=generator) for _ in range(2))
    eye = torch.eye(width, dtype=torch.float64).expand_as(M)
    Y = unit_rows(_normal(seeds, tokens, width, generator=generator))
    return Network(M / query_key_norm(M, 2)[..., None, None], eye, _sized(V), norm="row"), Y


def least_where(holds: Callable[[float], bool], low: float = 1e-3, high: float = 1e9) -> float:
    """The least number at which a condition holds that holds from there on, by bisection.

    >>> round(least_where(lambda x: x * x >= 2), 6)
    1.414214
    """
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _asks(skip: float, a: float, depth: int, size: float, tokens: int, width: int) -> float:
    """What J24 ask of μ² at a given a, infinite where the first condition fails."""
    if skip * skip <= a * (size + skip) ** 2:
        return math.inf
    return j24_threshold(a, depth, skip, size, tokens, width)


def guarantees(
    points: int, depth: int, at: int, seeds: int, tokens: int, width: int, seed: int
) -> FigureData:
    """The map over weight and depth, and a cut through it: what is proved, what is observed.

    Args:
        points: Values of |λ|/v from 1/4 to 10⁵.
        depth: Layers of the deepest stack.
        at: Depth of the cut, ≤ depth.
        seeds: Random stacks; the worst of them counts.
        tokens: N.
        width: d.
        seed: Seed of the stacks and tokens.

    Returns:
        Two panels. Over |λ|/v and depth: the least observed μ(Y⁽ᴷ⁾)/μ(Y⁽⁰⁾) as a grid, with the
        least |λ| at which each guarantee keeps half of μ, or anything. Over |λ|/v: the shares of μ
        that are observed and that are guaranteed after ``at`` layers.

    Source:
        lambda-skip, skip-drift, j24-lower-bound
    """
    network, Y = _stack(depth, seeds, tokens, width, _generator(seed))
    weights = torch.logspace(math.log10(0.25), 5, points, dtype=torch.float64)
    mu0 = mean_residual_norm(Y)
    share0 = float((mu0.square() / tokens).min())
    size = float(network.value.square().sum((-2, -1)).max().sqrt()) * math.sqrt(tokens)
    observed, kept = [], []
    for weight in weights:
        each = network.replace(skip=float(weight))
        observed.append((mean_residual_norm(each.trace(Y)) / mu0[:, None]).amin(0))
        if weight > 1:
            kept.append((kept_diameters(each, Y) / mu0[:, None] / math.sqrt(2)).amin(0))
    grid = torch.stack(observed, 1)  # depth + 1, points
    depths = [k for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128) if k <= depth]

    def half_j24(k: int) -> float:
        a = 0.25 ** (1 / k)
        return least_where(lambda x: _asks(x, a, k, size, tokens, width) <= share0 * tokens)

    def drifted(x: float, k: int) -> float:
        return 1 - k * row_drift(1 / x) / math.sqrt(share0) if x > 1 else -1.0

    def half_drift(k: int) -> float:
        return least_where(lambda x: drifted(x, k) >= 0.5)

    maps = (
        series("observed", weights, depths, grid[depths].clamp(min=FLOOR).log10()),
        series("J24, anything", [j24_least_skip(k, width, size, share0) for k in depths], depths),
        series("J24, half", [half_j24(k) for k in depths], depths),
        series("drift, half", [half_drift(k) for k in depths], depths),
    )  # fmt: skip

    def best_j24(x: float) -> float:
        """The largest aᴷ in J24's conclusion, as a share of μ; 0 where no a will do."""
        peak = at / ((at + 1) * (1 + size / x) ** 2)
        if _asks(x, peak, at, size, tokens, width) > share0 * tokens:
            return 0.0
        low, high = peak, (1 + size / x) ** -2
        for _ in range(100):
            middle = (low + high) / 2
            met = _asks(x, middle, at, size, tokens, width) <= share0 * tokens
            low, high = (middle, high) if met else (low, middle)
        return float(low ** (at / 2))

    def positive(x: Sequence[float], y: Sequence[float]) -> tuple[list[float], list[float]]:
        pairs = [(a, b) for a, b in zip(x, y, strict=True) if b > 0]
        return [a for a, _ in pairs], [b for _, b in pairs]

    fine = torch.logspace(math.log10(0.25), 5, 8 * points, dtype=torch.float64).tolist()
    over = [x for x in weights.tolist() if x > 1]
    cuts = (
        series("observed", weights, grid[at]),
        series("lambda-skip", *positive(over, torch.stack(kept)[:, at].tolist())),
        series("skip-drift", *positive(fine, [drifted(x, at) for x in fine])),
        series("J24", *positive(fine, [best_j24(x) for x in fine])),
    )
    panels = (
        Panel("log₁₀ of the share of μ left, worst stack", WEIGHT, Axis("depth K", scale="log"),
              maps),
        Panel(f"after {at} layers", WEIGHT, Axis("share of μ", scale="log"), cuts),
    )  # fmt: skip
    settings = {"points": points, "depth": depth, "at": at, "seeds": seeds}
    parameters = {**settings, "tokens": tokens, "width": width, "S C_M": size}
    return FigureData("lambda-map", panels, parameters, seed)


def draw_guarantees(axes: Sequence[Axes], data: FigureData) -> None:
    """A coloured grid with three boundaries; below it the cut."""
    (top, bottom), (maps, cut) = axes, data.panels
    grid = maps["observed"]
    assert grid.z is not None
    mesh = top.pcolormesh(grid.x, grid.y, grid.z, cmap="viridis", vmin=-8, vmax=0,
                          shading="nearest", rasterized=True)  # fmt: skip
    top.figure.colorbar(mesh, ax=top, pad=0.02, extend="min")
    looks = (("drift, half", INK, "-"), ("J24, anything", COLOURS["red"], "--"),
             ("J24, half", COLOURS["red"], "-"))  # fmt: skip
    for name, colour, style in looks:
        top.plot(maps[name].x, maps[name].y, color=colour, ls=style, lw=2)
    top.axvline(1, color=INK, lw=1.2, ls=":")
    for text, x in (("skip-drift", 7.5), ("J24", 1300)):
        top.text(x, 5, text, ha="right", va="center")
    top.set(xlim=(grid.x[0], grid.x[-1]), ylim=(grid.y[0], grid.y[-1]))
    top.set_yticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
    top.set_ylim(grid.y[0], grid.y[-1])
    top.minorticks_off()
    top.grid(False)
    styles = (("observed", INK, "o-"), ("lambda-skip", COLOURS["blue"], "-"),
              ("skip-drift", COLOURS["green"], "-"), ("J24", COLOURS["red"], "-"))  # fmt: skip
    for name, colour, style in styles:
        bottom.plot(cut[name].x, cut[name].y, style, ms=3, color=colour, label=name)
    bottom.set(xlim=(grid.x[0], grid.x[-1]), ylim=(1e-5, 3))
    bottom.legend(loc="lower right", ncols=2)
