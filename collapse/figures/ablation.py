"""Which part of a transformer keeps its tokens apart: attention, perceptrons, skips, or both."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.attention import Network
from collapse.blocks import MLP, trace_blocks
from collapse.centred import centred_trace
from collapse.exact import lift
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.style import COLOURS, INK
from collapse.norms import composite_residual_norm, residual_norm
from collapse.paths import path_decomposition

PURE, WITH_MLP, WITH_SKIP, BOTH = "attention alone", "with MLP", "with skips", "with both"
_COLOUR = {PURE: "blue", WITH_MLP: "orange", WITH_SKIP: "green", BOTH: "purple"}
_DARK = {PURE: "#0072B2", WITH_MLP: "#9a6a00", WITH_SKIP: "#00714f", BOTH: "#9c3c72"}


def random_blocks(
    layers: int, heads: int, width: int, seed: int, skip: float = 0.0
) -> tuple[Network, MLP]:
    """Attention and perceptrons of a transformer as they are commonly initialised.

    Glorot's uniform entries for W_Q, W_K, W_V, W_O and both matrices of a perceptron four times as
    wide as the tokens, biases uniform within 1/√d, logits divided by √d_k.

    Args:
        layers: L.
        heads: H, a divisor of the width.
        width: d.
        seed: Seed of the draw; the same for every skip.
        skip: λ.
    """
    generator = torch.Generator().manual_seed(seed)
    k, m = width // heads, 4 * width

    def draw(*shape: int, size: float) -> Tensor:
        return size * (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1)

    square, oblong = math.sqrt(3 / width), math.sqrt(6 / (width + m))
    query, key, value = (draw(layers, heads, width, k, size=square) for _ in range(3))
    output = draw(layers, heads, k, width, size=square)
    network = Network(query / math.sqrt(k), key, value, output, skip=skip)
    bias = draw(layers, m, size=1 / math.sqrt(width))
    return network, MLP(
        draw(layers, width, m, size=oblong), bias, draw(layers, m, width, size=oblong)
    )


def relative_residual(X: Tensor) -> Tensor:
    """D21's measure of the centred tokens over that of the tokens, shape (*batch,)."""
    whole = X.abs().sum(-2).amax(-1).sqrt() * X.abs().sum(-1).amax(-1).sqrt()
    return composite_residual_norm(X) / whole


def centred_residual(network: Network, X: Tensor, mlp: MLP | None = None) -> Tensor:
    r"""Decimal logarithm of :func:`relative_residual` by centred propagation, (*batch, L + 1)."""
    trace = centred_trace(network, X, mlp)
    scale = trace.scale.double()
    tokens = trace.centre + torch.exp2(scale)[..., None, None] * trace.differences
    whole = tokens.abs().sum(-2).amax(-1).sqrt() * tokens.abs().sum(-1).amax(-1).sqrt()
    R = composite_residual_norm(trace.differences)
    return R.log10() + scale * math.log10(2) - whole.log10()


def components(
    layers: int, tokens: int, heads: int, width: int, networks: int, seed: int
) -> FigureData:
    """D21's relative residual through the layers with and without MLP and skips.

    Args:
        layers: Depth L.
        tokens: Number of tokens n, drawn from a normal distribution.
        heads: H.
        width: d.
        networks: Number of random networks; the curves are medians.
        seed: Seed of the first; the others count on.

    Returns:
        A panel in float32, as such curves are usually measured, with its unit roundoff, and one
        of −log₁₀ of the true curves without skips, from centred propagation.

    Source:
        d21-mlp, d21-skips
    """
    single: dict[str, list[Tensor]] = {}
    true: dict[str, list[Tensor]] = {}
    for k in range(networks):
        network, mlp = random_blocks(layers, heads, width, seed + k)
        generator = torch.Generator().manual_seed(seed + k)
        X = torch.randn(tokens, width, generator=generator, dtype=torch.float64)
        parts = {PURE: (0.0, None), WITH_MLP: (0.0, mlp), WITH_SKIP: (1.0, None), BOTH: (1.0, mlp)}
        for name, (skip, perceptron) in parts.items():
            low = network.replace(skip=skip).to(torch.float32)
            narrow = perceptron and perceptron.to(torch.float32)
            steps = trace_blocks(low, X.float(), narrow)
            single.setdefault(name, []).append(relative_residual(steps.double()))
            if not skip:
                true.setdefault(name, []).append(centred_residual(network, X, perceptron))
    index = list(range(layers + 1))
    shown = []
    for name, curves in single.items():
        middle = torch.stack(curves).median(0).values
        seen = middle > 0
        shown.append(series(name, torch.tensor(index)[seen], middle[seen].log10()))
    unit = math.log10(torch.finfo(torch.float32).eps / 2)
    shown.append(series("unit roundoff", [0, layers], [unit, unit]))
    deep = []
    for name, curves in true.items():
        middle = torch.stack(curves).median(0).values
        shown.append(series(f"{name}, true", index, middle))
        deep.append(series(name, index[1:], -middle[1:]))
    return FigureData(
        "ablation-components",
        (
            Panel(
                "Measured in float32", Axis("block"), Axis("relative residual", "log₁₀"),
                tuple(shown),
            ),
            Panel(
                "The same without rounding",
                Axis("block"),
                Axis("−log₁₀ of the residual", scale="log"),
                tuple(deep),
            ),
        ),
        {
            "layers": layers,
            "tokens": tokens,
            "heads": heads,
            "width": width,
            "networks": networks,
        },
        seed,
        dtype="float32; float64 with carried exponents",
    )  # fmt: skip


def draw_components(axes: Sequence[Axes], data: FigureData) -> None:
    """Four curves in float32 with the true ones dashed; then the true ones on their own scale."""
    (top, low), (single, deep) = axes, data.panels
    floor = single["unit roundoff"]
    top.plot(floor.x, floor.y, color=COLOURS["grey"], ls=":", lw=1.2)
    last = floor.x[1]
    top.text(last, floor.y[0] - 0.25, "unit roundoff of float32", ha="right", va="top")
    for name, colour in _COLOUR.items():
        top.plot(single[name].x, single[name].y, color=COLOURS[colour], marker=".")
    for name in (PURE, WITH_MLP):
        true = single[f"{name}, true"]
        top.plot(true.x, true.y, "--", color=COLOURS[_COLOUR[name]], lw=1.2)
        low.plot(deep[name].x, deep[name].y, color=COLOURS[_COLOUR[name]], marker="o", ms=4)
    top.set(ylim=(-13.5, 1.6), xlim=(0, last))
    for i, name in enumerate((WITH_SKIP, BOTH)):
        top.text(last * (0.55 + 0.25 * i), 0.6, name, color=_DARK[name])
    for i, name in enumerate((PURE, WITH_MLP)):
        top.text(last, -10.2 - 1.3 * i, f"{name} (dashed: true)", color=_DARK[name], ha="right")
        low.text(0.03, 0.9 - 0.1 * i, name, color=_DARK[name], transform=low.transAxes)
    low.text(0.97, 0.06, "a straight line is double exponential", color=INK, ha="right",
             transform=low.transAxes)  # fmt: skip


# --- paths ---------------------------------------------------------------------------------------


def path_lengths(layers: int, heads: int, tokens: int, width: int, seed: int) -> FigureData:
    """What the paths of each length add to the residual of a network with skips, and their number.

    Args:
        layers: L.
        heads: H.
        tokens: n.
        width: d.
        seed: Seed of weights and tokens.

    Source:
        path-decomposition
    """
    network, _ = random_blocks(layers, heads, width, seed, skip=1.0)
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(tokens, width, generator=generator, dtype=torch.float64)
    paths = path_decomposition(lift(network, "mpf"), lift(X, "mpf"))
    index = list(range(layers + 1))
    single = [float(max(residual_norm(paths.terms)[paths.lengths.numpy() == k])) for k in index]
    together = [float(residual_norm(paths.of_length(k))) for k in index]
    count = [int((paths.lengths == k).sum()) for k in index]
    return FigureData(
        "ablation-paths",
        (
            Panel(
                "",
                Axis("heads on the path"),
                Axis("residual ρ", scale="log"),
                (series("all paths of the length", index, together),
                 series("largest single path", index, single)),
            ),
            Panel("", Axis("heads on the path"), Axis("paths"), (series("paths", index, count),)),
        ),
        {"layers": layers, "heads": heads, "tokens": tokens, "width": width,
         "output": float(residual_norm(network(X)))},
        seed,
        dtype="mpmath",
    )  # fmt: skip


def draw_path_lengths(axes: Sequence[Axes], data: FigureData) -> None:
    """Residuals falling with the length; below, the number of paths."""
    (top, low), (sizes, counts) = axes, data.panels
    all_of, one = sizes.series
    top.plot(all_of.x, all_of.y, color=COLOURS["blue"], marker="o", ms=4)
    top.plot(one.x, one.y, color=COLOURS["orange"], marker="s", ms=4, ls="--")
    top.text(0.97, 0.9, "all paths of the length", color="#0072B2", ha="right",
             transform=top.transAxes)  # fmt: skip
    top.text(0.97, 0.78, "largest single path", color="#9a6a00", ha="right",
             transform=top.transAxes)  # fmt: skip
    low.bar(counts["paths"].x, counts["paths"].y, color=COLOURS["sky"], width=0.7)
