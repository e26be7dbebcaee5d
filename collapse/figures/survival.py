"""The figures on what skips and weights decide: rank and layers, cell by cell and through depth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import mpmath
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.ladder import State
from collapse.bounds.skips import surviving_diameters
from collapse.exact import lift
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.orders import LOOK
from collapse.figures.skips import ETA, largest
from collapse.figures.style import COLOURS, INK
from collapse.norms import diameter, residual_norm, token_norm
from collapse.numeric import Number
from collapse.rungs import mean_head, surrogate
from collapse.witnesses.skips import four_cells


def spread_share(X: Number) -> Number:
    r"""How much of the tokens tells them apart: ρ(X)/‖X‖∞, between 0 and 1.

    >>> spread_share(torch.tensor([[1.0], [3.0]]))
    tensor(0.3333)
    """
    return residual_norm(X) / token_norm(X)


def one_cell(eta: str, skip: int) -> dict[str, float]:
    r"""One cell of the table skip × weights, measured on a network of two layers.

    Args:
        eta: All weights, a decimal string.
        skip: 1 or 0.

    Returns:
        "rank": the share ρ/‖·‖ that is left of the input's, the smaller of two inputs; "floor":
        what every one-layer network misses on one of them; "imitation": what an explicit one-layer
        network misses, rung 3 with skips and one average without. The last two relative to ‖S(X)‖.

    Source:
        as25-skip, rank-survives, one-layer-floor
    """
    with mpmath.workdps(100):
        network, *inputs = (lift(part, "mpf") for part in four_cells(eta, skip))
        outputs = [network(X) for X in inputs]
        size = max(token_norm(S) for S in outputs)
        imitator = surrogate(network, 3) if skip else averaged(network)
        missed = max(token_norm(S - imitator(X)) for S, X in zip(outputs, inputs, strict=True))
        kept = min(spread_share(S) / spread_share(X) for S, X in zip(outputs, inputs, strict=True))
        # A zero token attends uniformly: row 1 of one layer is the same on both inputs.
        floor = abs(outputs[0] - outputs[1])[0].max() / 2
        return {
            "rank": float(kept),
            "floor": float(floor / size),
            "imitation": float(missed / size),
        }


def averaged(network: Network) -> Network:
    """The one-head layer without skip that averages and applies all value matrices in turn."""
    V = network.value_output.sum(-3)
    product = V[0]
    for layer in range(1, network.depth):
        product = product @ V[layer]
    head = mean_head(network)
    return head.replace(value=product[None, None])


def cells(points: int) -> FigureData:
    """Rank and layers against the size of the weights, with and without skips.

    Args:
        points: Number of η from 10⁻² to 10, evenly spaced in log η.

    Returns:
        Panels "rank" and "layers" over η; the second holds, for each skip, the floor for all
        one-layer networks and the error of an explicit one.

    Source:
        as25-skip, rank-survives, one-layer-floor
    """
    grid = np.logspace(-2, 1, points)
    found = {skip: [one_cell(repr(float(eta)), skip) for eta in grid] for skip in (1, 0)}
    words = {1: "with skips", 0: "without"}

    def curve(skip: int, key: str, name: str) -> Series:
        return series(f"{words[skip]}{name}", grid, [cell[key] for cell in found[skip]])

    rank = tuple(curve(skip, "rank", "") for skip in (1, 0))
    layers = tuple(
        curve(skip, key, f": {key}") for skip in (1, 0) for key in ("floor", "imitation")
    )
    return FigureData(
        "skips-cells",
        (
            Panel("Rank: differences kept", ETA, Axis("share of the input's", scale="log"), rank),
            Panel(
                "Layers: what one layer misses", ETA, Axis("error ÷ ‖S(X)‖", scale="log"), layers
            ),
        ),
        {"points": points, "layers": 2, "width": 1, "tokens": 4},
        dtype="100 decimal digits",
    )


def draw_cells(axes: Sequence[Axes], data: FigureData) -> None:
    """With skips blue, without orange; floors solid, explicit networks dashed."""
    rank, layers = data.panels
    for word, colour in (("with skips", "blue"), ("without", "orange")):
        axes[0].plot(rank[word].x, rank[word].y, color=COLOURS[colour])
        floor, imitation = layers[f"{word}: floor"], layers[f"{word}: imitation"]
        axes[1].plot(floor.x, floor.y, color=COLOURS[colour])
        axes[1].plot(imitation.x, imitation.y, "--", color=COLOURS[colour])
        axes[1].fill_between(floor.x, floor.y, imitation.y, color=COLOURS[colour], alpha=0.15)
    axes[1].text(0.012, 6e-3, "without skips", color="#9a6a00")
    axes[1].text(0.03, 1e-9, "with skips", color=COLOURS["blue"])
    axes[0].text(0.02, 0.02, "with skips", color=COLOURS["blue"])
    axes[0].text(0.2, 1e-13, "without skips", color="#9a6a00")
    axes[0].set(ylim=(1e-25, 30), xlim=(0.01, 10))
    axes[1].set(ylim=(1e-12, 5), xlim=(0.01, 10))
    axes[1].text(4, 0.02, "solid: every\none-layer network\nmisses at least this", ha="center",
                 va="top", color=INK, fontsize=9)  # fmt: skip


def diameters_of(network: Network, X: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Relative diameters before each layer: observed, and bounded below in two ways.

    Args:
        network: Skip 1, without batch.
        X: Tokens, shape (n, d).

    Returns:
        Observed; the bound fed with the diameters met on the way; the bound from the weights alone.
        Each of shape (L + 1,).

    Source:
        rank-survives
    """
    D, phi0 = diameter(network.trace(X)), token_norm(X)
    sizes = network_sizes(network, len(X))
    states = [State(phi0, D[layer], 0 * phi0, 0 * phi0) for layer in range(network.depth)]
    met = torch.stack(surviving_diameters(sizes, phi0, D[0], states))
    ahead = torch.stack(surviving_diameters(sizes, phi0, D[0]))
    return D / D[0], met / D[0], ahead / D[0]


def opposed(nu: float, layers: int) -> tuple[Network, Tensor]:
    """The sharp family of ``rank-survives`` through many layers: V = −ν, M = 1, tokens −1 and 1."""
    head = torch.ones(layers, 1, 1, 1, dtype=torch.float64)
    return Network(head, head, -nu * head), torch.tensor([[-1.0], [1.0]], dtype=torch.float64)


def through_depth(
    nus: Sequence[float],
    eta: float,
    layers: int,
    heads: int,
    width: int,
    tokens: int,
    points: int,
    seed: int,
) -> FigureData:
    """The diameter through depth with its lower bounds, and the rungs' errors at the end.

    Args:
        nus: Value weights ν of the sharp family, one curve each.
        eta: Bound on the weights of the random network in the first panel.
        layers: Depth L.
        heads: H of the random network.
        width: d = d_k of the random network.
        tokens: n of the random network.
        points: Number of η from 10⁻³ to 0.3 in the second panel.
        seed: Seed of network and tokens.

    Returns:
        Panels "diameter" (for each ν the series "ν" and "bound ν"; for the random network "random",
        "random, met" and "random, ahead") and "layers" (kept diameter and the errors of rungs 2
        and 3 relative to ‖S(X)‖ over η).

    Source:
        rank-survives, rung-2, rung-3
    """
    depth = torch.arange(layers + 1, dtype=torch.float64)
    curves = []
    for nu in nus:
        observed, met, _ = diameters_of(*opposed(nu, layers))
        curves += [series(f"{nu:g}", depth, observed), series(f"bound {nu:g}", depth, met)]
    swept = torch.logspace(-3, math.log10(0.3), points, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    network = Network.random(
        layers, heads, width, width, torch.cat([swept, swept.new_tensor([eta])]), generator
    )
    X = torch.rand(tokens, width, generator=generator, dtype=torch.float64) * 2 - 1
    weights = (w[-1] for w in (network.query, network.key, network.value))
    for name, values in zip(
        ("random", "random, met", "random, ahead"), diameters_of(Network(*weights), X), strict=True
    ):
        curves.append(series(name, depth, values))
    end = network(X)
    errors = {
        "kept diameter": diameter(end) / diameter(X),
        **{
            f"rung {rung}": largest(end - surrogate(network, rung)(X)) / largest(end)
            for rung in (2, 3)
        },
    }
    relative = tuple(series(name, swept, values[:-1]) for name, values in errors.items())
    across, up = Axis("layer ℓ"), Axis("diam(X$_ℓ$) ÷ diam(X)")
    settings = {"nus": list(nus), "eta": eta, "layers": layers, "heads": heads, "width": width}
    return FigureData(
        "skips-through-depth",
        (
            Panel("Rank survives", across, up, tuple(curves)),
            Panel(
                f"Layers collapse: {layers} against one",
                ETA,
                Axis("relative size", scale="log"),
                relative,
            ),
        ),
        settings | {"tokens": tokens, "points": points},
        seed,
    )


def draw_through_depth(axes: Sequence[Axes], data: FigureData) -> None:
    """The sharp family as circles on its bound, a random network above its two; below, rungs."""
    diameters, layers = data.panels
    for nu, colour in zip(data.parameters["nus"], ("orange", "red"), strict=False):
        bound, observed = diameters[f"bound {nu:g}"], diameters[f"{nu:g}"]
        axes[0].plot(bound.x, bound.y, color=COLOURS[colour])
        axes[0].plot(observed.x, observed.y, "o", ms=4.5, mfc="none", mec=INK, clip_on=False)
        axes[0].text(bound.x[-1] * 0.98, bound.y[-1] - 0.04, f"worst case, ν = {nu:g}",
                     ha="right", va="top")  # fmt: skip
    for name, style in (("random", "-"), ("random, met", "--"), ("random, ahead", ":")):
        curve = diameters[name]
        axes[0].plot(curve.x, curve.y, style, color=COLOURS["blue"])
    axes[0].text(len(bound.x) - 1, 1.04, f"random, η = {data.parameters['eta']:g}, and two bounds",
                 color=COLOURS["blue"], ha="right")  # fmt: skip
    axes[0].set(xlim=(0, data.parameters["layers"]), ylim=(0, 1.15))
    for name, colour, factor in (
        ("kept diameter", "grey", 0.2),
        ("rung 2", LOOK[2], 5),
        ("rung 3", LOOK[3], 0.1),
    ):
        curve = layers[name]
        axes[1].plot(curve.x, curve.y, color=COLOURS[colour])
        at = len(curve.x) // 3
        axes[1].text(curve.x[at], curve.y[at] * factor, name, ha="center")
    axes[1].set(ylim=(None, 5))
