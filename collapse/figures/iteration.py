"""Chapter 3. Attention without skips, layer after layer: bounds, exponents, floats, positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mpmath
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.contraction import (
    diameter_recursion,
    dong_beta,
    dong_bound,
    dong_gamma,
    double_exponential,
)
from collapse.bounds.ladder import Sizes
from collapse.centred import centred_trace
from collapse.exact import lift
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS, INK
from collapse.norms import composite_residual_norm, diameter, residual_norm
from collapse.numeric import Number
from collapse.witnesses.contraction import extremal

_DIGITS = 1500  # the exact twin must resolve residuals of 1e-500 beside tokens of size 1
LAYER, LOG_RHO = Axis("layer"), Axis("residual ρ", "log₁₀")


def orthogonal_stack(
    networks: int, layers: int, tokens: int, width: int, eta: float, seed: int
) -> tuple[Network, Tensor]:
    """One head a layer: W_Q, W_K uniform in [−η, η], V orthogonal, so that tokens keep their size.

    Returns:
        A batch of networks without skips, and Gaussian tokens (networks, tokens, width).
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (networks, layers, 1, width, width)
    query, key = (
        eta * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)
        for _ in range(2)
    )
    value, _ = torch.linalg.qr(torch.randn(shape, generator=generator, dtype=torch.float64))
    X = torch.randn(networks, tokens, width, generator=generator, dtype=torch.float64)
    return Network(query, key, value, skip=0), X


def one(network: Network, index: int) -> Network:
    """One network of a batch."""
    weights = {name: getattr(network, name)[index] for name in ("query", "key", "value")}
    return network.replace(**weights)


def log10s(values: Sequence[Number]) -> list[float]:
    """Decimal logarithms of mpmath numbers, as floats."""
    return [float(mpmath.log10(v)) for v in values]


def centred_error(network: Network, X: Tensor) -> float:
    """Largest relative error of ρ by centred propagation, against 1500 decimal digits."""
    trace = centred_trace(network, X)
    with mpmath.workdps(_DIGITS):
        truth = residual_norm(lift(network, "mpf").trace(lift(X, "mpf")))
        found = [
            mpmath.ldexp(mpmath.mpf(float(m)), int(e))
            for m, e in zip(trace.mantissa, trace.exponent, strict=True)
        ]
        return float(max(abs(a / b - 1) for a, b in zip(found, truth, strict=True)))


# --- one network and all its bounds --------------------------------------------------------------


@dataclass(frozen=True)
class Bounds:
    """Bounds on ρ after 0, 1, …, L layers, as mpmath numbers; γ as measured in each layer."""

    recursion: list[Number]
    closed: list[Number]
    dong_safe: list[Number]
    dong_measured: list[Number]
    dong_sharpened: list[Number]
    gamma: list[float]


def bounds(network: Network, X: Tensor) -> Bounds:
    """Every bound of the chapter on one network with one head a layer, on the scale of ρ.

    ρ = diam_∞/2, and D21's measure m is at least √2 ρ. Its γ is measured by the exact twin.

    Args:
        network: No skip, mask, RoPE or norm; unbatched; one head a layer.
        X: Tokens, shape (n, d).

    Source:
        double-exponential
    """
    sizes, n = network_sizes(network, len(X)), len(X)
    with mpmath.workdps(_DIGITS):
        measured = (sizes.head_value, sizes.layer_value, sizes.query_key)
        exactly = Sizes(*(lift(x, "mpf") for x in measured))
        recursion = [D / 2 for D in diameter_recursion(exactly, lift(diameter(X), "mpf"))]
        c = (exactly.head_value * exactly.query_key / 4).sum(-1)
        depths = [(layers, max(1, layers)) for layers in range(network.depth + 1)]
        # The same recursion halved: ρ ← 4c ρ³.
        closed = [
            double_exponential(4 * max(c[:use]), recursion[0], layers) for layers, use in depths
        ]
        m0, root = lift(composite_residual_norm(X), "mpf"), mpmath.sqrt(2)
        beta = lift(dong_beta(network.query_key, network.value_output), "mpf")
        gamma = _gamma(network, X)

        def dong(gammas: Sequence[Number], constant: int) -> list[Number]:
            return [
                dong_bound(max(gammas[:use]), max(beta[:use]), m0, layers, constant) / root
                for layers, use in depths
            ]

        return Bounds(
            recursion,
            closed,
            dong([mpmath.sqrt(n)] * network.depth, 4),
            dong(gamma, 4),
            dong(gamma, 1),
            [float(g) for g in gamma],
        )


def _gamma(network: Network, X: Tensor) -> list[Number]:
    """D21's γ before each layer, with the centre that its proof carries along."""
    twin, tokens = lift(network, "mpf"), lift(X, "mpf")
    centre, gammas = tokens.sum(0) / len(tokens), []
    for layer in range(network.depth):
        M, V = twin.query_key[layer, 0], twin.value_output[layer, 0]
        R = tokens - centre
        gammas.append(dong_gamma((R @ M @ R.T)[None]))
        row = np.vectorize(mpmath.exp, otypes=[object])(centre @ M @ R.T)
        centre = (centre + (row / row.sum()) @ R) @ V
        tokens = twin.attention(tokens, layer)
    return gammas


def depth(layers: int, tokens: int, width: int, eta: float, steps: int, seed: int) -> FigureData:
    """ρ of one random network by centred propagation, its bounds, plain floats, and skips.

    Args:
        layers: Depth L.
        tokens: Number of tokens n.
        width: Width d.
        eta: Size of the entries of W_Q and W_K.
        steps: Layers of the extremal family in the last panel.
        seed: Seed of the network.

    Source:
        double-exponential, as25-eq-1
    """
    batch, inputs = orthogonal_stack(1, layers, tokens, width, eta, seed)
    network, X = one(batch, 0), inputs[0]
    found, index = bounds(network, X), list(range(layers + 1))
    below = centred_trace(network, X).log10_rho
    named = {
        "tanh recursion": found.recursion,
        "closed form": found.closed,
        "D21, γ = √n": found.dong_safe,
        "D21, γ measured": found.dong_measured,
        "D21 with constant 1": found.dong_sharpened,
    }
    lines = [series("centred propagation", index, below)]
    lines += [series(name, index, log10s(values)) for name, values in named.items()]

    plain = [_floats(network, X, dtype) for dtype in (torch.float64, torch.float32)]
    with_skip = residual_norm(network.replace(skip=1).trace(X)).log10()
    close = [series("centred propagation", index[:4], below[:4]), *plain]
    close += [
        series(
            f"{name} unit roundoff", [0, layers], [float(np.log10(torch.finfo(dtype).eps / 2))] * 2
        )
        for name, dtype in (("float64", torch.float64), ("float32", torch.float32))
    ]
    close.append(series("with skips", index, with_skip))

    family, pair = extremal(1.0, 1.0, 1.5, steps)
    deep = list(range(steps + 1))
    with mpmath.workdps(50):
        ones = lift(torch.ones(steps, 1, dtype=torch.float64), "mpf")
        recursion = diameter_recursion(Sizes(ones, ones[:, 0], ones), mpmath.mpf(3))
        closed = [double_exponential(1, mpmath.mpf(1.5), k) for k in deep]
    strong = (
        series("centred propagation", deep, centred_trace(family, pair).log10_rho),
        series("tanh recursion", deep, log10s([D / 2 for D in recursion])),
        series("closed form", deep, log10s(closed)),
    )
    return FigureData(
        "iteration-depth",
        (
            Panel("One random network and its bounds", LAYER, LOG_RHO, tuple(lines)),
            Panel("The same network in plain floats", LAYER, LOG_RHO, tuple(close)),
            Panel("The extremal family from βρ² = 2.25", LAYER, LOG_RHO, strong),
        ),
        {"layers": layers, "tokens": tokens, "width": width, "eta": eta, "gamma": found.gamma},
        seed,
        dtype="float64 with carried exponents; bounds in 1500 decimal digits",
    )


def _floats(network: Network, X: Tensor, dtype: torch.dtype) -> Series:
    """ρ of the ordinary forward pass, where it is not exactly zero."""
    rho = residual_norm(network.to(dtype).trace(X.to(dtype))).double()
    seen = rho > 0
    name = str(dtype).removeprefix("torch.")
    return series(name, torch.arange(len(rho))[seen], rho[seen].log10())


def draw_depth(axes: Sequence[Axes], data: FigureData) -> None:
    """Bounds above the observed curve; plain floats stopping at their roundoff; strong weights."""
    top, middle, low = axes
    bounds, plain, strong = data.panels
    look = {
        "D21, γ = √n": ("red", "-"),
        "D21, γ measured": ("red", "--"),
        "D21 with constant 1": ("red", ":"),
        "closed form": ("blue", "--"),
        "tanh recursion": ("blue", "-"),
    }
    for name, (colour, style) in look.items():
        top.plot(bounds[name].x, bounds[name].y, color=COLOURS[colour], ls=style, label=name)
    seen = bounds["centred propagation"]
    top.plot(seen.x, seen.y, color=INK, marker="o", ms=4.5, label="observed")
    top.legend(loc="lower left")
    for name, colour in (("float64", "green"), ("float32", "orange")):
        line, level = plain[name], plain[f"{name} unit roundoff"]
        middle.plot(line.x, line.y, color=COLOURS[colour], marker="s", ms=7)
        middle.plot(level.x, level.y, color=COLOURS[colour], lw=1, ls=":")
        middle.text(level.x[1], level.y[0] + 0.7, f"unit roundoff of {name}", ha="right")
        last = f"{name}, then exactly 0" if line.x[-1] < seen.x[-1] else name
        middle.text(line.x[-1] + 0.12, line.y[-1] - 1.4, last)
    near, skips = plain["centred propagation"], plain["with skips"]
    middle.plot(near.x, near.y, color=INK, marker="o", ms=4.5)
    middle.plot(skips.x, skips.y, color=COLOURS["purple"])
    middle.text(skips.x[-1], skips.y[-1] - 2.4, "the same with skips", color="#9c3c72", ha="right")
    middle.text(2.3, -25, "centred propagation", color=INK)
    middle.set(ylim=(-28, 3))
    for name, style in (("closed form", "--"), ("tanh recursion", "-")):
        low.plot(strong[name].x, strong[name].y, color=COLOURS["blue"], ls=style)
    family = strong["centred propagation"]
    low.plot(family.x, family.y, "o", color=INK, ms=4.5)
    low.set(ylim=(-40, 12))
    low.text(3.6, 7, "closed form", color=COLOURS["blue"])
    low.text(0.2, -7, "tanh recursion (line), observed (dots)", color=COLOURS["blue"])
    for ax in axes:
        ax.set_xlim(0, None)


# --- the exponent --------------------------------------------------------------------------------


def fit_line(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """Least-squares line: slope, its standard error, intercept.

    >>> fit_line(torch.tensor([0.0, 1, 2]), torch.tensor([1.0, 4, 7]))
    (3.0, 0.0, 1.0)
    """
    dx, dy = x - x.mean(), y - y.mean()
    slope = (dx * dy).sum() / dx.square().sum()
    left = (dy - slope * dx).square().sum() / (len(x) - 2)
    error = (left / dx.square().sum()).sqrt()
    return float(slope), float(error), float(y.mean() - slope * x.mean())


def exponents(
    networks: int, layers: int, tokens: int, width: int, eta: float, seed: int
) -> FigureData:
    """The power by which each layer shrinks ρ, from successive logarithms, and one fit to all.

    Args:
        networks: Number of random networks.
        layers: Depth L, ≥ 2.
        tokens: Number of tokens.
        width: Width d.
        eta: Size of the entries of W_Q and W_K.
        seed: Seed of the networks.

    Returns:
        Quantiles over the networks of (log ρ_{ℓ+1} − log ρ_ℓ)/(log ρ_ℓ − log ρ_{ℓ−1}), which is
        the exponent where each layer obeys the same power law. The parameters hold the fit
        log ρ_{ℓ+1} = slope · log ρ_ℓ + constant over all networks and all layers but the first,
        whose tokens are random where later ones are what attention leaves.

    Source:
        double-exponential
    """
    logs = centred_trace(*orthogonal_stack(networks, layers, tokens, width, eta, seed)).log10_rho
    steps = logs.diff(dim=-1)
    local = steps[:, 1:] / steps[:, :-1]
    slope, error, constant = fit_line(logs[:, 1:-1].flatten(), logs[:, 2:].flatten())
    levels = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)
    index = torch.arange(1, layers)
    lines = [
        series(f"{level:.0%}", index, values)
        for level, values in zip(levels.tolist(), local.quantile(levels, 0), strict=True)
    ]
    settings = {"networks": networks, "layers": layers, "tokens": tokens, "width": width}
    fit = {
        "slope": slope,
        "slope_error": error,
        "constant": constant,
        "points": logs[:, 2:].numel(),
    }
    return FigureData(
        "iteration-exponent",
        (Panel("", LAYER, Axis("exponent"), tuple(lines)),),
        {
            **settings,
            "eta": eta,
            "deepest": float(logs.min()),
            "points": logs[:, 2:].numel(),
            **fit,
        },
        seed,
        dtype="float64 with carried exponents",
    )


def draw_exponents(axes: Sequence[Axes], data: FigureData) -> None:
    """Median and 90% of the networks, layer by layer, around the line at 3."""
    (ax,), (panel,) = axes, data.panels
    low, middle, high = panel.series
    ax.axhline(3, color=INK, lw=1, ls=":")
    down = [m - a for m, a in zip(middle.y, low.y, strict=True)]
    up = [b - m for m, b in zip(middle.y, high.y, strict=True)]
    ax.errorbar(middle.x, middle.y, (down, up), fmt="o", color=COLOURS["blue"], capsize=4)
    ax.set_xticks(middle.x)
    ax.set_ylim(min(low.y) - 0.3, max(high.y) + 0.3)
