"""Chapter 8. Normalised rows: collapse in a hemisphere, its condition, and the orders of layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import mpmath
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from torch import Tensor

from collapse.attention import Network
from collapse.bounds.normalised import hemisphere_factors, stretched_diameters
from collapse.exact import lift
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.skips import ETA, key
from collapse.figures.style import COLOURS, INK
from collapse.figures.variants import DIGITS, ERROR, FLOOR, errors, floor
from collapse.kernels import unit_rows
from collapse.layernorm import normalised_bound, normalised_layer, projected
from collapse.masks import causal, centres, one_sided_window, radius
from collapse.norms import diameter, query_key_norm
from collapse.rungs import mean_field, surrogate

DEEP_DIGITS = 600
ONE_LAYER, TOKENS, AVERAGES, BOUND = "one layer", "tokens as they are", "averages stacked", "bound"


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _orthogonal(generator: torch.Generator, *shape: int) -> Tensor:
    q: Tensor = torch.linalg.qr(_normal(generator, *shape)).Q
    return q


def normalised_stack(M: Tensor, V: Tensor, mask: Tensor | None = None) -> Network:
    r"""A network of one head a layer, normalised rows and no skip.

    Args:
        M: Shape (\*batch, L, d, d).
        V: The same shape.
        mask: Booleans (n, n), or None.

    Returns:
        A Network.

    >>> normalised_stack(torch.zeros(3, 2, 2), torch.ones(3, 2, 2)).depth
    3
    """
    one = torch.eye(M.shape[-1], dtype=M.dtype).expand_as(M)
    query, identity, value = (w[..., None, :, :] for w in (M, one, V))
    return Network(query, identity, value, skip=0.0, mask=mask, norm="row")


# --- a hemisphere, with and without a mask --------------------------------------------------------


def decay(layers: int, deep: int, tokens: int, width: int, beta: float, seed: int) -> FigureData:
    """Diameters over depth with orthogonal values, beside their bounds, masked and not.

    Args:
        layers: Depth under the masks.
        deep: Depth without mask, in many digits.
        tokens: n.
        width: d.
        beta: β₂(M) of every layer.
        seed: Seed of tokens and weights.

    Returns:
        Panel "masks" with log₁₀ of the diameter for each mask and its bound; panel "no mask" with
        the measured diameter, the recursion, and the bound that masks have too.

    Source:
        ln-orthogonal, ln-contraction
    """
    generator = torch.Generator().manual_seed(seed)
    axis = torch.eye(width, dtype=torch.float64)[0]
    X = unit_rows(axis + _normal(generator, tokens, width) / 4)
    M, V = _normal(generator, layers, width, width), _orthogonal(generator, layers, width, width)
    M = M * (beta / query_key_norm(M, 2))[:, None, None]
    height, D0 = float((X @ axis).min()), float(diameter(projected(X, axis), 2))
    masked = []
    for name, mask in (("causal", causal(tokens)), ("window", one_sided_window(tokens, 2))):
        found = diameter(normalised_stack(M, V, mask).trace(X), 2)
        seen = int(mask.sum(-1).max())
        steps = radius(mask)
        assert steps is not None
        bounds = hemisphere_factors(beta, seen, height, layers, len(centres(mask)), steps)
        depth = range(layers + 1)
        masked += [
            series(name, depth, found.log10().clamp(min=-17)),
            series(f"{name}, bound", depth, [math.log10(D0 * bound) for bound in bounds]),
        ]
    with mpmath.workdps(DEEP_DIGITS):
        exact = lift(normalised_stack(M, V).layers(0, deep), "mpf")
        trace = exact.trace(unit_rows(lift(X, "mpf")))
        measured = [_log10(_wide(step)) for step in trace]
        start = lift(projected(X, axis), "mpf")
        recursion = stretched_diameters([mpmath.mpf(beta)] * deep, [1] * deep, _wide(start))
        ahead = hemisphere_factors(beta, tokens, height, deep, tokens)
        depth = range(deep + 1)
        free = (
            series("measured", depth, measured),
            series("recursion", depth, [_log10(D) for D in recursion]),
            series("bound of the masks", depth, [math.log10(D0 * bound) for bound in ahead]),
        )
    axes = Axis("layer"), Axis("log₁₀ of diam₂(X_t)")
    return FigureData(
        "layernorm-decay",
        (Panel("Masks", *axes, tuple(masked)), Panel("No mask", *axes, free)),
        {"layers": layers, "deep": deep, "tokens": tokens, "width": width, "beta": beta},
        seed,
        dtype=f"float64; without mask {DEEP_DIGITS} decimal digits",
    )


def _wide(X: Tensor) -> mpmath.mpf:
    pairs = ((X[i] - X[j]) for i in range(len(X)) for j in range(i))
    return mpmath.sqrt(max((gap * gap).sum() for gap in pairs))


def _log10(x: mpmath.mpf) -> float:
    return float(mpmath.log10(x))


def draw_decay(axes: Sequence[Axes], data: FigureData) -> None:
    """Solid what is measured, dashed what is proved."""
    for ax, panel in zip(axes, data.panels, strict=True):
        looks = {"causal": "blue", "window": "orange", "measured": "blue"}
        for curve in panel.series:
            name = curve.name.removesuffix(", bound")
            proved = name != curve.name or name not in looks
            colour = COLOURS[looks.get(name, "green" if name == "recursion" else "grey")]
            ax.plot(curve.x, curve.y, color=colour, ls="--" if proved else "-",
                    marker="o" if len(curve.x) < 20 else None, ms=4)  # fmt: skip
        ax.set(xlim=(0, panel.series[0].x[-1]))
    masks, free = axes
    masks.axhline(math.log10(torch.finfo(torch.float64).eps), color=INK, lw=0.8, ls=":")
    masks.text(0.5, -15.5, "float64's rounding", fontsize=9, va="bottom")
    masks.set(ylim=(-18, 3))
    masks.text(0.98, 0.5, "dashed: bounds", ha="right", transform=masks.transAxes)
    for name, colour, height in (("window", "#9a6a00", 0.4), ("causal", COLOURS["blue"], 0.3)):
        masks.text(0.98, height, name, color=colour, ha="right", transform=masks.transAxes)
    names = (("measured", "blue"), ("recursion", "green"), ("bound that masks have too", "grey"))
    for i, (name, colour) in enumerate(names):
        ink = {"green": "#00714f", "grey": INK}.get(colour, COLOURS[colour])
        free.text(0.03, 0.28 - 0.11 * i, name, color=ink, transform=free.transAxes)
    free.set_xticks(data.panels[1].series[0].x)


# --- how ill-conditioned values must be -----------------------------------------------------------


def survivors(samples: int, layers: int, tokens: int, width: int, seed: int) -> tuple[Tensor, ...]:
    """Random layers applied many times to random tokens of a hemisphere.

    Args:
        samples: Number of networks, κ tanh β from 0.16 to 6.3.
        layers: How often each network's layer is applied.
        tokens: n.
        width: d.
        seed: Seed of all.

    Returns:
        κ(V) tanh β₂(M) and the last diameter, both of shape (samples,).

    Source:
        ln-contraction

    >>> product, diameters = survivors(10, 3, 3, 2, 0)
    >>> product.shape == diameters.shape
    True
    """
    generator = torch.Generator().manual_seed(seed)
    X = _normal(generator, samples, tokens, width)
    X = unit_rows(torch.cat((X[..., :1].abs(), X[..., 1:]), -1))
    M = _normal(generator, samples, width, width)
    beta = 3 * torch.rand(samples, generator=generator, dtype=torch.float64)
    M = M * (beta / query_key_norm(M, 2))[:, None, None]
    product = 10 ** (1.6 * torch.rand(samples, generator=generator, dtype=torch.float64) - 0.8)
    condition = (product / beta.tanh()).clamp(min=1)
    part = torch.linspace(0, 1, width, dtype=torch.float64)
    turns = _orthogonal(generator, 2, samples, width, width)
    V = turns[0] @ torch.diag_embed(condition[:, None] ** part) @ turns[1]
    layer = normalised_stack(M[:, None], V[:, None])
    for _ in range(layers):
        X = layer(X)
    return condition * beta.tanh(), diameter(X, 2)


def threshold(points: int, b: float, layers: int) -> FigureData:
    """Two tokens at equal angles to the axis: do they meet, and from where does theory know?

    Args:
        points: Condition numbers κ from 1 to 4, and angles from 0° to 90°, each as many.
        b: M = bI.
        layers: How often the layer is applied.

    Returns:
        The grid "apart", 1 where the tokens end farther apart than they began, with the curve on
        which the factor is one and the condition number below which all tokens meet.

    Source:
        ln-contraction
    """
    part = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    condition, angle = 1 + 3 * part, 90 * part
    turn = angle.deg2rad()[:, None].expand(points, points)
    X = torch.stack((turn.sin(), turn.cos()), -1)
    X = torch.stack((X, X * torch.tensor([-1.0, 1.0])), -2)
    V = torch.diag_embed(torch.stack((condition, torch.ones_like(condition)), -1))
    M = b * torch.eye(2, dtype=torch.float64).expand_as(V)
    layer = normalised_stack(M[:, None], V[:, None])
    last = X
    for _ in range(layers):
        last = layer(last)
    apart = (diameter(last, 2) > diameter(X, 2)).double()
    curve = torch.linspace(1, 90, 200, dtype=torch.float64)
    edge = 1 / torch.tanh(b * curve.deg2rad().sin() ** 2)
    seen = edge <= 4
    lines = (
        series("apart", condition, angle, apart),
        series("factor one", edge[seen], curve[seen]),
        series("certain collapse", [1 / math.tanh(b)] * 2, [0, 90]),
    )
    axes = Axis("condition number κ(V)"), Axis("angle of the tokens to the axis", "°")
    return FigureData(
        "layernorm-threshold",
        (Panel("", *axes, lines),),
        {"points": points, "b": b, "layers": layers},
    )


def draw_threshold(axes: Sequence[Axes], data: FigureData) -> None:
    """The grid in two shades, the curve on its edge, the line that touches it."""
    (ax,), (panel,) = axes, data.panels
    grid, curve, line = panel["apart"], panel["factor one"], panel["certain collapse"]
    shades = ListedColormap(["#ffffff00", COLOURS["sky"]])
    assert grid.z is not None
    ax.pcolormesh(grid.x, grid.y, grid.z, cmap=shades, vmin=0, vmax=1, rasterized=True)
    ax.plot(curve.x, curve.y, color=INK)
    ax.plot(line.x, line.y, color=COLOURS["red"], ls="--")
    ax.set(xlim=(1, 4), ylim=(0, 90), yticks=range(0, 91, 30))
    ax.text(2.9, 65, "the tokens part", ha="center")
    ax.text(2.2, 12, "the tokens meet", ha="center")
    ax.text(line.x[0] - 0.02, 45, "κ tanh b = 1", color="#a84a00", rotation=90, ha="right",
            va="center")  # fmt: skip


# --- layer collapse -------------------------------------------------------------------------------

IMITATORS: Mapping[str, Callable[[Network], Network]] = {
    TOKENS: lambda network: surrogate(network.replace(norm=None), 0),
    ONE_LAYER: normalised_layer,
    AVERAGES: mean_field,
}


def orders(points: int, layers: int, heads: int, seed: int) -> FigureData:
    """How far one layer is from many, with normalisation before and after the attention.

    Args:
        points: Number of η from 10⁻⁵ to 10⁻¹.
        layers: L.
        heads: H.
        seed: Seed of networks and tokens.

    Returns:
        Panels for pre-, post-, and causal post-normalisation over η, with the errors of the input
        tokens themselves, of one layer, and of stacked averages, and the bound for one layer; the
        last with the floor, half the gap between two orders of the tokens.

    Source:
        preln-collapse, postln-collapse, postln-floor
    """
    eta = torch.logspace(-5, -1, points, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    plain = Network.random(layers, heads, 3, 2, eta, generator)
    X = unit_rows(_normal(generator, 4, 3))
    swapped = X[[1, 0, 2, 3]]
    panels = []
    for title, network in (
        ("Pre-normalisation", plain.replace(norm="pre")),
        ("Post-normalisation", plain.replace(norm="row")),
        ("Post-normalisation, causal mask", plain.replace(norm="row", mask=causal(4))),
    ):
        curves = errors(network, IMITATORS, (X, swapped) if network.mask is not None else (X,))
        bound = torch.maximum(*(normalised_bound(network, Z).value for Z in (X, swapped)))
        curves[BOUND] = bound.tolist()
        if network.mask is not None:
            curves[FLOOR] = floor(network, X, swapped, (2, 3))
        lines = tuple(series(name, eta, y) for name, y in curves.items())
        panels.append(Panel(title, ETA, ERROR, lines))
    return FigureData(
        "layernorm-orders",
        tuple(panels),
        {"points": points, "layers": layers, "heads": heads, "width": 3, "tokens": 4},
        seed,
        dtype=f"{DIGITS} decimal digits",
    )


def draw_orders(axes: Sequence[Axes], data: FigureData) -> None:
    """Slopes one, two and three, and in the last panel a floor under the second."""
    looks = {TOKENS: "grey", ONE_LAYER: "blue", AVERAGES: "green", BOUND: "blue", FLOOR: "red"}
    words = {TOKENS: INK, ONE_LAYER: COLOURS["blue"], AVERAGES: "#00714f", FLOOR: "#a84a00"}
    for ax, panel in zip(axes, data.panels, strict=True):
        for curve in panel.series:
            style = "--" if curve.name == BOUND else "-"
            ax.plot(curve.x, curve.y, color=COLOURS[looks[curve.name]], ls=style)
        names = [curve.name for curve in panel.series if curve.name in words]
        key(ax, [(name + (" (dashed: its bound)" if name == ONE_LAYER else ""), words[name])
                 for name in names])  # fmt: skip
        ax.set(xlim=(panel.series[0].x[0], panel.series[0].x[-1]))
