"""Chapter 3. What masks and rotary positions change: near tokens, and depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import mpmath
import torch
from matplotlib.axes import Axes

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.contraction import contraction_factor
from collapse.exact import lift
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.iteration import LAYER, LOG_RHO, fit_line, log10s, one, orthogonal_stack
from collapse.figures.style import COLOURS
from collapse.norms import diameter, residual_norm, token_norm
from collapse.numeric import Number
from collapse.witnesses.contraction import causal_pair, extremal, rope_pair


def near_tokens(points: int) -> FigureData:
    """Observed contraction over the unmasked factor K, as two tokens approach each other.

    Args:
        points: Number of distances from 1e-6 to 1, evenly spaced in the logarithm, ≥ 2.

    Source:
        contraction, rope-collapse
    """
    gaps = torch.logspace(-6, 0, points, dtype=torch.float64)
    with mpmath.workdps(60):
        lines = [
            series(name, gaps, [float(_over_plain_factor(*make(g))) for g in lift(gaps, "mpf")])
            for name, make in _NEAR.items()
        ]
    return FigureData(
        "contraction-near-tokens",
        (
            Panel(
                "",
                Axis("distance of two tokens", scale="log"),
                Axis("observed ÷ unmasked bound", scale="log"),
                tuple(lines),
            ),
        ),
        {"points": points, "beta": 1, "nu": 1},
        dtype="60 decimal digits",
    )


_NEAR: dict[str, Callable[..., tuple[Network, Number]]] = {
    "plain": lambda g: extremal(1 + 0 * g, 1 + 0 * g, g / 2),
    "causal mask": lambda g: causal_pair(1 + 0 * g, g),
    "RoPE": lambda g: rope_pair(1 + 0 * g, 1 + 0 * g, g),
}


def _over_plain_factor(network: Network, X: Number) -> Number:
    D = diameter(X)
    plain = network.replace(mask=None, rope=None)
    K = contraction_factor(network_sizes(plain, 2), 0, token_norm(X), D)
    return diameter(network(X)) / (K * D)


def draw_near_tokens(axes: Sequence[Axes], data: FigureData) -> None:
    """Three lines: level, and two that rise by two decades a decade."""
    (ax,), (panel,) = axes, data.panels
    for name, colour in zip(_NEAR, ("blue", "orange", "red"), strict=True):
        ax.plot(panel[name].x, panel[name].y, color=COLOURS[colour])
    ax.set(xlim=(1e-6, 1), ylim=(0.05, 1e14))
    ax.text(2e-6, 3, "plain attention: never above 1", color=COLOURS["blue"])
    ax.text(2e-4, 1e9, "causal mask", color="#9a6a00")
    ax.text(1.3e-6, 2e9, "RoPE", color="#a84a00")


def positions(
    layers: int, tokens: int, width: int, eta: float, shrink: float, seed: int
) -> FigureData:
    """ρ of one random network when masked, given positions, or shrunk, by the exact twin.

    Args:
        layers: Depth L.
        tokens: Number of tokens.
        width: Width d, even.
        eta: Size of the entries of W_Q and W_K.
        shrink: Factor of all values in the last variant, in (0, 1).
        seed: Seed of the network.

    Returns:
        One curve a variant; the parameters hold the fitted decades per layer of the straight ones
        and the quadratic coefficient of the shrunk one, whose proved limit is log₁₀(shrink).

    Source:
        rope-collapse
    """
    batch, inputs = orthogonal_stack(1, layers, tokens, width, eta, seed)
    network, X = one(batch, 0), inputs[0]
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    variants = {
        "plain": network.layers(0, min(4, layers)),
        "causal mask": network.replace(mask=causal),
        "RoPE": network.replace(rope=10_000.0),
        "RoPE, values shrunk": network.replace(rope=10_000.0, value=network.value * shrink),
    }
    lines = []
    with mpmath.workdps(200):
        for name, variant in variants.items():
            rho = residual_norm(lift(variant, "mpf").trace(lift(X, "mpf")))
            lines.append(series(name, range(len(rho)), log10s(rho)))
    index = torch.arange(layers + 1, dtype=torch.float64)
    rates = {line.name: fit_line(index, torch.tensor(line.y))[0] for line in lines[1:3]}
    curve = torch.tensor(lines[3].y, dtype=torch.float64)
    # The quadratic coefficient of a least-squares parabola.
    powers = torch.stack((index**0, index, index**2), -1)
    curvature = float(torch.linalg.lstsq(powers, curve[:, None]).solution[2])
    return FigureData(
        "iteration-positions",
        (Panel("", LAYER, LOG_RHO, tuple(lines)),),
        {
            "layers": layers,
            "tokens": tokens,
            "width": width,
            "eta": eta,
            "shrink": shrink,
            "decades per layer": rates,
            "curvature": curvature,
        },
        seed,
        dtype="200 decimal digits",
    )


def draw_positions(axes: Sequence[Axes], data: FigureData) -> None:
    """Four curves: one dives, two are straight, one bends like a parabola."""
    (ax,), (panel,) = axes, data.panels
    for line, colour in zip(panel.series, ("blue", "orange", "red", "purple"), strict=True):
        ax.plot(line.x, line.y, color=COLOURS[colour], marker="o", ms=3.5, label=line.name)
    ax.legend(loc="lower left")
    ax.set(xlim=(0, None), ylim=(-60, 3), xticks=range(0, len(line.x), 5))
