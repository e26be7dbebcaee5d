"""Chapter 9. Weighted skips through depth: five mixers, ablations, and the two-token example."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from collapse.bounds.weighted_pairs import two_token_mixer
from collapse.bounds.weighted_skips import threshold_rate
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.style import COLOURS, INK
from collapse.kernels import unit_rows
from collapse.lambda_skip import mixed, weighted_trace
from collapse.norms.measures import mean_residual_norm
from collapse.numeric import require
from collapse.ssm import MIXERS, Mixer

FLOOR = 1e-17  # below what float64 can tell from equal tokens
DEPTH = Axis("depth")
MEASURE = Axis("μ / ‖X‖ (Frobenius)", scale="log")
SHADES = ("grey", "sky", "blue", "green", "orange", "red")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def relative_measure(trace: Tensor) -> Tensor:
    """Distance of tokens from their mean over their size, NaN where they overflowed.

    >>> relative_measure(torch.tensor([[1.0], [-1.0]]))
    tensor(1.)
    """
    finite = torch.isfinite(trace).flatten(-2).all(-1)
    filled = torch.where(finite[..., None, None], trace, 1.0)
    largest = filled.abs().amax((-2, -1), keepdim=True)  # squares of large tokens would overflow
    filled = filled / torch.where(largest > 0, largest, 1)
    size = torch.linalg.matrix_norm(filled)
    ratio = mean_residual_norm(filled) / torch.where(size > 0, size, 1)
    return torch.where(finite, ratio, torch.nan)


def drawn(
    name: str, depth: int, tokens: int, width: int, generator: torch.Generator, **options: bool
) -> tuple[list[Mixer], Tensor]:
    """Tokens and one random mixer a layer, each scaled to ‖O‖_F = ‖Y‖_F on these tokens.

    So at λ = 1 skip and mixer start equally strong, whatever the mixer.

    Args:
        name: One of :data:`collapse.ssm.MIXERS`.
        depth: Number of layers.
        tokens: N.
        width: d.
        generator: Source of weights and tokens.
        **options: gate or normalise of the mixers, True or False.

    Returns:
        The mixers, and unit tokens of shape (N, d).
    """
    require(name in MIXERS, "mixer", f"one of {list(MIXERS)}", name)
    Y = unit_rows(torch.randn(tokens, width, generator=generator, dtype=torch.float64))
    layers = []
    for _ in range(depth):
        layer: Mixer = MIXERS[name].random(width, 4, generator)
        gate = 2 * torch.rand(width, width, generator=generator, dtype=torch.float64) - 1
        layer = layer.replace(gate=gate if options.get("gate") else None)
        if options.get("normalise"):
            layer = layer.replace(normalise=True)
        value = torch.eye(width, dtype=Y.dtype) if layer.value is None else layer.value
        size = torch.linalg.matrix_norm(layer(Y)) / math.sqrt(tokens)
        layers.append(layer.replace(value=value / size))
    return layers, Y


def _mean(values: Tensor) -> Tensor:
    """The geometric mean over the first axis, at least the floor."""
    return values.clamp(min=FLOOR).log().mean(0).exp()


def through_depth(
    names: Sequence[str],
    weights: Sequence[float],
    depth: int,
    seeds: int,
    tokens: int,
    width: int,
    seed: int,
    normalise: bool,
) -> FigureData:
    """The measure against depth for some mixers and weights of the skip.

    Args:
        names: Mixers, of :data:`collapse.ssm.MIXERS`.
        weights: Values of λ, at most six.
        depth: Number of layers.
        seeds: Stacks whose geometric mean is shown.
        tokens: N.
        width: d.
        seed: Seed of the first stack.
        normalise: Whether rows are scaled to length 1 after each layer.

    Returns:
        A panel a mixer, a series a weight, up to the first overflow.

    Source:
        lambda-skip
    """
    panels = []
    for name in names:
        found = []
        for k in range(seeds):
            layers, Y = drawn(name, depth, tokens, width, _generator(seed + k))
            traces = [weighted_trace(layers, Y, float(w), normalise) for w in weights]
            found.append(torch.stack([relative_measure(trace) for trace in traces]))
        measure = _mean(torch.stack(found))
        lines = [_finite(f"λ = {w:g}", measure[i]) for i, w in enumerate(weights)]
        panels.append(Panel(name, DEPTH, MEASURE, tuple(lines)))
    settings = {"weights": list(weights), "depth": depth, "seeds": seeds, "tokens": tokens}
    label = "lambda-depth" if normalise else "lambda-depth-raw"
    return FigureData(label, tuple(panels), {**settings, "width": width}, seed)


def _finite(name: str, values: Tensor) -> Series:
    until = int(torch.isfinite(values).cumprod(0).sum())
    return series(name, range(until), values[:until])


def draw_through_depth(axes: Sequence[Axes], data: FigureData) -> None:
    """A colour a weight; the floor of float64 as a dotted line."""
    for ax, panel in zip(axes, data.panels, strict=True):
        for curve, shade in zip(panel.series, SHADES, strict=False):
            ax.plot(curve.x, curve.y, color=COLOURS[shade], label=curve.name)
        ax.axhline(1.1e-16, color=INK, lw=0.8, ls=":")
        ax.set_ylim(1e-17, 3)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    handles, names = axes[0].get_legend_handles_labels()
    axes[0].figure.legend(handles, names, loc="outside lower center", ncols=3)


# --- gating and normalisation --------------------------------------------------------------------

OPTIONS: dict[str, tuple[dict[str, bool], bool]] = {
    "plain": ({}, True),
    "gated": ({"gate": True}, True),
    "rows of M sum to 1": ({"normalise": True}, True),
    "no LayerNorm": ({}, False),
}


def ablations(
    names: Sequence[str],
    points: int,
    depth: int,
    seeds: int,
    tokens: int,
    width: int,
    seed: int,
) -> FigureData:
    """The measure at the end over the weight of the skip, with one part changed at a time.

    Args:
        names: Mixers, of :data:`collapse.ssm.MIXERS`.
        points: Values of λ from 1/10 to 30.
        depth: Number of layers.
        seeds: Stacks whose geometric mean is shown.
        tokens: N.
        width: d.
        seed: Seed of the first stack.

    Returns:
        A panel a mixer, a series a change; values where a stack overflowed are left out.

    Source:
        lambda-skip
    """
    weights = torch.logspace(-1, 1.5, points, dtype=torch.float64)
    panels = []
    for name in names:
        lines = []
        for option, (changes, normalise) in OPTIONS.items():
            ends = []
            for k in range(seeds):
                layers, Y = drawn(name, depth, tokens, width, _generator(seed + k), **changes)
                traces = (weighted_trace(layers, Y, float(w), normalise)[-1] for w in weights)
                ends.append(torch.stack([relative_measure(end) for end in traces]))
            end = _mean(torch.stack(ends))
            kept = torch.isfinite(end)
            lines.append(series(option, weights[kept], end[kept]))
        axes = Axis("weight of the skip λ", scale="log"), MEASURE
        panels.append(Panel(f"{name}, {depth} layers", *axes, tuple(lines)))
    settings = {"points": points, "depth": depth, "seeds": seeds, "tokens": tokens}
    return FigureData("lambda-ablations", tuple(panels), {**settings, "width": width}, seed)


def draw_ablations(axes: Sequence[Axes], data: FigureData) -> None:
    """A colour a change, the plain stack in ink."""
    looks = ((INK, "-"), (COLOURS["orange"], "-"), (COLOURS["green"], "--"), (COLOURS["blue"], "-"))
    for ax, panel in zip(axes, data.panels, strict=True):
        for curve, (colour, style) in zip(panel.series, looks, strict=True):
            ax.plot(curve.x, curve.y, style, color=colour, label=curve.name)
        ax.set_ylim(1e-17, 3)
    axes[0].legend(loc="lower right")


# --- the two-token example -----------------------------------------------------------------------


def two_tokens(
    kept: float, given: float, gaps: Sequence[float], depth: int, points: int
) -> FigureData:
    """The example with M = [[m, 0], [c, m]] on both sides of its threshold λ = −m.

    Args:
        kept: m.
        given: c > 0.
        gaps: Distances of λ from the threshold, taken on both sides.
        depth: Number of layers of the first panel, and of the second.
        points: Values of λ in the second panel.

    Returns:
        Over the depth, the angle of the two tokens from 120°, with the bound. Over λ, μ and the
        ratio of the singular values at the end.

    Source:
        lambda-threshold
    """
    M = two_token_mixer(*(torch.tensor(x, dtype=torch.float64) for x in (kept, given)))
    start = math.radians(120)
    Y = torch.tensor([[1.0, 0.0], [math.cos(start), math.sin(start)]], dtype=torch.float64)
    eye = torch.eye(2, dtype=torch.float64)

    def after(skip: float) -> list[Tensor]:
        steps = [Y]
        for _ in range(depth):
            steps.append(mixed(M, steps[-1], eye, skip))
        return steps

    lines = []
    for side in (1, -1):
        for gap in gaps:
            skip = side * gap - kept
            angles = torch.stack([_angle(Z) for Z in after(skip)])
            rate = threshold_rate(skip, kept, given)
            powers = rate ** torch.arange(depth + 1, dtype=torch.float64)
            half = start / 2 if side > 0 else (math.pi - start) / 2
            bound = 2 * torch.atan(powers * math.tan(half))
            bound = bound if side > 0 else math.pi - bound
            name = f"λ = {skip:g}"
            lines.append(series(name, range(depth + 1), torch.rad2deg(angles)))
            lines.append(series(f"{name}, bound", range(depth + 1), torch.rad2deg(bound)))
    # An even number of values keeps λ = −m itself, where token 1 becomes zero, off the grid.
    skips = torch.linspace(-kept - 3, -kept + 3, points + points % 2, dtype=torch.float64).tolist()
    ends = [after(skip)[-1] for skip in skips]
    values = torch.stack([torch.linalg.svdvals(Z) for Z in ends])
    measures = (
        series("μ", skips, torch.stack([mean_residual_norm(Z) for Z in ends])),
        series("second singular value ÷ first", skips, values[:, 1] / values[:, 0]),
    )
    panels = (
        Panel("", DEPTH, Axis("angle of the two tokens", "°"), tuple(lines)),
        Panel(f"after {depth} layers", Axis("weight of the skip λ"), Axis("μ"), measures),
    )
    settings = {"m": kept, "c": given, "gaps": list(gaps), "depth": depth, "points": points}
    return FigureData("lambda-two-tokens", panels, settings)


def _angle(Z: Tensor) -> Tensor:
    difference, total = (torch.linalg.vector_norm(Z[0] + side * Z[1]) for side in (-1, 1))
    return 2 * torch.atan2(difference, total)


def draw_two_tokens(axes: Sequence[Axes], data: FigureData) -> None:
    """Dots on the angles with their bounds as lines; below, the jump of μ while the rank stays."""
    first, second = data.panels
    curves = [s for s in first.series if "bound" not in s.name]
    for curve, shade in zip(curves, ("blue", "sky", "red", "orange"), strict=True):
        bound = first[f"{curve.name}, bound"]
        axes[0].plot(bound.x, bound.y, color=COLOURS[shade], lw=1)
        axes[0].plot(curve.x, curve.y, "o", ms=3.5, color=COLOURS[shade], label=curve.name)
    axes[0].set(ylim=(-5, 185), yticks=[0, 60, 120, 180])
    axes[0].legend(loc="center right", ncols=2)
    mu, rank = second.series
    axes[1].plot(mu.x, mu.y, color=COLOURS["blue"], label=mu.name)
    axes[1].plot(rank.x, rank.y, color=COLOURS["red"], ls="--", label=rank.name)
    axes[1].axvline(-data.parameters["m"], color=INK, lw=0.8, ls=":")
    axes[1].set(ylim=(-0.05, 1.6))
    axes[1].legend(loc="upper right")
