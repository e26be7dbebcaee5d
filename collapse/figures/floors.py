"""The figures on what one layer cannot do: floors below, rungs and bounds above, search between."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.adversary import ascend
from collapse.attention import Network
from collapse.bounds import collapse_bound
from collapse.bounds.certificates import network_sizes
from collapse.bounds.floors import one_head_floor, one_layer_floor, one_layer_floor_with_biases
from collapse.bounds.ladder import ladder
from collapse.exact import ExactNetwork, lift
from collapse.figures.data import Axis, FigureData, Panel, Series, series
from collapse.figures.orders import ERROR, ETA
from collapse.figures.style import COLOURS, INK
from collapse.imitation import imitate
from collapse.norms import token_norm
from collapse.rungs import surrogate
from collapse.witnesses import layers as witnesses
from collapse.witnesses.layers import scaled

Witness = Callable[[], tuple[ExactNetwork, np.ndarray]]


def as_floats(witness: Witness, t: float = 1.0) -> tuple[Network, Tensor]:
    """A witness at η = 1 as a Network in float64, its inputs (inputs, n, d) times t.

    >>> as_floats(witnesses.one_head_floor, 2.0)[1].flatten()
    tensor([0., 2.], dtype=torch.float64)
    """
    network, X = witness()
    query, key, value = (_tensor(getattr(network, name)) for name in ("query", "key", "value"))
    return Network(query, key, value), t * _tensor(X).reshape(-1, *X.shape[-2:])


def with_constant_feature(network: Network, X: Tensor) -> tuple[Network, Tensor]:
    """The network and tokens of width one with a second feature, always 1, that it does not read.

    One layer on these tokens has biases in queries, keys and values.

    >>> with_constant_feature(*as_floats(witnesses.one_head_floor))[1].tolist()
    [[[0.0, 1.0], [1.0, 1.0]]]
    """
    pad = torch.nn.functional.pad
    weights = {"query": (0, 0, 0, 1), "key": (0, 0, 0, 1), "value": (0, 1, 0, 1)}
    wide = {name: pad(getattr(network, name), sides) for name, sides in weights.items()}
    return network.replace(**wide), torch.cat([X, torch.ones_like(X)], -1)


def _tensor(entries: np.ndarray) -> Tensor:
    floats = [float(entry) for entry in entries.flat]
    return torch.tensor(floats, dtype=torch.float64).reshape(entries.shape)


def _enclosed(
    witness: Witness, floor: Any, rung: int, etas: Tensor, t: float, digits: int
) -> tuple[Series, ...]:
    """Bound of the rung, its exact error, and the floor, each the worst of the inputs."""
    network, X = as_floats(witness, t)
    bound = collapse_bound(scaled(network, etas), X[:, None], rung).value.amax(0)
    with mpmath.workdps(digits):
        lifted, tokens = lift(network, "mpf"), lift(X, "mpf")
        errors = []
        for eta in etas.tolist():
            deep = scaled(lifted, mpmath.mpf(eta))
            gap = deep(tokens[:, None]) - surrogate(deep, rung)(tokens[:, None])
            errors.append(float(abs(gap).max()))
    return (
        series("bound", etas, bound),
        series("rung", etas, errors),
        series("floor", etas, [floor(eta, t) for eta in etas.tolist()]),
    )


def enclosure(points: int, t: float, heads: int, starts: int, steps: int, seed: int) -> FigureData:
    """Upper and lower bounds around the best one-layer network, with one head and with any number.

    Args:
        points: Number of η from 1e-4 to 3, evenly spaced in log η.
        t: Size of the tokens.
        heads: Heads of the optimised imitation in the second panel.
        starts: Random starts of the optimisation at each η.
        steps: Gradient steps.
        seed: Seed of the starts.

    Returns:
        Panels "One head" (rung 2) and "Any number of heads" (rung 3), each with the series
        "bound", "rung", "optimised" and "floor", on the inputs of the floor; the second also with
        "floor with biases". Panel "Upper ÷ lower" has the ratio of bound and floor in both.

    Source:
        one-layer-floor, one-head-floor, rung-2, rung-3
    """
    etas = torch.logspace(-4, math.log10(3), points, dtype=torch.float64)
    some = torch.tensor([0.1, 0.2, 0.4, 0.8, 1.6], dtype=torch.float64)
    cases = (
        ("One head", witnesses.one_head_floor, one_head_floor, 2, 1),
        ("Any number of heads", witnesses.one_layer_floor, one_layer_floor, 3, heads),
    )
    panels, ratios = [], []
    for name, witness, floor, rung, size in cases:
        lines = _enclosed(witness, floor, rung, etas, t, 60)
        network, X = as_floats(witness, t)
        g = torch.Generator().manual_seed(seed)
        best, _ = imitate(scaled(network, some), X, size, g, starts, steps)
        lines += (series("optimised", some, best),)
        if rung == 3:
            biased = [one_layer_floor_with_biases(eta, t / 2) for eta in etas.tolist()]
            lines += (series("floor with biases", etas, biased),)
        panels.append(Panel(name, ETA, ERROR, lines))
        ratio = np.array(lines[0].y) / np.array(lines[2].y)
        ratios.append(series(name, etas, ratio))
    panels.append(Panel("Upper ÷ lower", ETA, Axis("ratio"), tuple(ratios)))
    settings = {"points": points, "t": t, "heads": heads, "starts": starts, "steps": steps}
    return FigureData("floors-enclosure", tuple(panels), settings, seed)


def undercut(data: FigureData) -> float:
    """The smallest optimised error ÷ floor of an enclosure: below 1, a floor would be false.

    >>> undercut(enclosure(5, 2.0, 2, 2, 20, 0)) >= 1
    True
    """
    floors = (one_head_floor, one_layer_floor)
    return min(
        y / floor(x, data.parameters["t"])
        for panel, floor in zip(data.panels, floors, strict=False)
        for x, y in zip(panel["optimised"].x, panel["optimised"].y, strict=True)
    )


def draw_enclosure(axes: Sequence[Axes], data: FigureData) -> None:
    """Bound, rung, search and floor; below, the ratio."""
    for ax, panel, colour, rung in zip(axes, data.panels, ("green", "blue"), (2, 3), strict=False):
        bound, exact, floor, best = (panel[n] for n in ("bound", "rung", "floor", "optimised"))
        ax.fill_between(floor.x, floor.y, bound.y, color=COLOURS[colour], alpha=0.13, lw=0)
        ax.plot(bound.x, bound.y, color=COLOURS[colour], lw=1.2, label=f"bound of rung {rung}")
        ax.plot(exact.x, exact.y, "o", color=COLOURS[colour], ms=3, label=f"rung {rung}, exact")
        ax.plot(best.x, best.y, "x", color=INK, ms=6, zorder=4, label="optimised, best found")
        ax.plot(floor.x, floor.y, color=INK, lw=1.2, ls="--", label="floor")
        if rung == 3:
            biased = panel["floor with biases"]
            ax.plot(biased.x, biased.y, color="#7a7a7a", lw=1, ls=":", label="floor with biases")
        ax.legend(loc="upper left")
    for name, colour in (("One head", "green"), ("Any number of heads", "blue")):
        ratio = data.panels[2][name]
        axes[2].plot(ratio.x, ratio.y, color=COLOURS[colour])
        axes[2].annotate(name.lower(), (ratio.x[2], ratio.y[2]), (0, 5),
                         textcoords="offset points", color=COLOURS[colour])  # fmt: skip
    axes[2].set_ylim(0, 1.25 * max(max(line.y) for line in data.panels[2].series))


def ball(points: int, tokens: int, starts: int, steps: int, eta: float, seed: int) -> FigureData:
    """The worst error over all inputs of size at most φ, from small to huge, for one network.

    Args:
        points: Number of s = η³φ² from 1e-4 to 1e4, evenly spaced in log s.
        tokens: Tokens of the inputs that the search and the wide pair use, >= 10.
        starts: Random starts of the search for the input on which rung 3 is worst.
        steps: Gradient steps.
        eta: η; divided by ηφ, bound and floors depend on s alone.
        seed: Seed of the starts.

    Returns:
        One panel, all divided by ηφ: "bound of rung 3", "rung 3, worst input found", "floor, many
        tokens", "floor, three tokens".

    Source:
        one-layer-floor, rung-3
    """
    s = torch.logspace(-4, 4, points, dtype=torch.float64)
    phi = (s / eta**3).sqrt()
    network, _ = as_floats(witnesses.one_layer_floor)
    network = scaled(network, torch.tensor(eta, dtype=torch.float64))
    bound = ladder(network_sizes(network, tokens), phi, 2 * phi, 3)

    g = torch.Generator().manual_seed(seed)
    size = phi.repeat_interleave(starts)[:, None, None]
    shallow = surrogate(network, 3)
    free = torch.ones(starts, tokens, 1, dtype=torch.float64)
    free[::2, 0] = 0  # at a zero token one layer is blind: half of the starts keep one
    free = free.repeat(points, 1, 1)

    def error(z: Tensor) -> Tensor:
        X = size * free * torch.tanh(z)
        return token_norm(network(X) - shallow(X)) / size[:, 0, 0]

    begin = 2 * torch.randn(len(size), tokens, 1, generator=g, dtype=torch.float64)
    worst = ascend(error, begin, steps, 0.1)[0].unflatten(0, (points, starts)).amax(1)

    highs = range(tokens // 2, tokens)
    pairs = [_tensor(witnesses.wide_pair(k, tokens - 1 - k)[1]) for k in highs]
    gaps = network(torch.stack(pairs)[:, :, None] * phi[:, None, None])[..., 0, 0]
    wide = (gaps[:, 0] - gaps[:, 1]).abs().amax(0) / 2
    floor = torch.tensor([one_layer_floor(eta, t) for t in phi.tolist()], dtype=torch.float64)
    axis = Axis("s = η³φ²", scale="log")
    lines = (
        series("bound of rung 3", s, bound / (eta * phi)),
        series("rung 3, worst input found", s, worst / eta),
        series("floor, many tokens", s, wide / (eta * phi)),
        series("floor, three tokens", s, floor / (eta * phi)),
    )
    settings = {"points": points, "tokens": tokens, "starts": starts, "steps": steps, "eta": eta}
    panel = Panel("", axis, Axis("worst error ÷ ηφ", scale="log"), lines)
    return FigureData("floors-ball", (panel,), settings, seed)


def draw_ball(axes: Sequence[Axes], data: FigureData) -> None:
    """Three curves and the points of the search between them."""
    (ax,), (panel,) = axes, data.panels
    look = (("bound of rung 3", COLOURS["blue"], "-"), ("floor, many tokens", INK, "--"),
            ("floor, three tokens", "#7a7a7a", ":"))  # fmt: skip
    for name, colour, style in look:
        ax.plot(panel[name].x, panel[name].y, color=colour, ls=style, lw=1.3, label=name)
    found = panel["rung 3, worst input found"]
    ax.plot(found.x, found.y, "o", color=COLOURS["blue"], ms=3.4, label=found.name)
    ax.legend(loc="lower right")
