"""The figures on the bounds: what was observed under each certificate, and how near it came."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.adversary import ascend
from collapse.attention import Network
from collapse.bounds import collapse_bound
from collapse.bounds.ladder import identity_constant
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.orders import LOOK, rung_errors
from collapse.figures.style import COLOURS, INK
from collapse.norms import token_norm
from collapse.rungs import RUNGS, surrogate

Certificate = Literal["weights", "measured"]
CERTIFICATES: tuple[Certificate, ...] = ("weights", "measured")
NORMS = {"1": 1, "2": 2, "∞": math.inf}


def all_inputs(points: int, inputs: int, eta: float, seed: int) -> FigureData:
    """Error and bound per unit of input, for inputs from tiny to huge.

    Args:
        points: Number of sizes ‖X‖ from 1e-3 to 1e6, ≥ 2.
        inputs: Random inputs of each size, of which the worst is shown.
        eta: Bound on the entries of the weights.
        seed: Seed of network and tokens.

    Returns:
        A panel for each rung with the series "observed", "measured" and "weights" (the bound of
        either certificate at the input with the largest observed error), all divided by ‖X‖, and
        "theorem", the constant of the identity.

    Source:
        as25-thm-5.3, rung-0, rung-1, rung-2, rung-3
    """
    g = torch.Generator().manual_seed(seed)
    network = Network.random(3, 2, 3, 2, eta, g)
    X = torch.rand(inputs, 4, 3, generator=g, dtype=torch.float64) * 2 - 1
    X = X / token_norm(X)[:, None, None]
    sizes = torch.logspace(-3, 6, points, dtype=torch.float64)
    X = X * sizes[:, None, None, None]
    panels = []
    constant = identity_constant(eta, 3, 2, 3)
    for rung, errors in enumerate(rung_errors(network, X)):
        worst, where = (errors / sizes[:, None]).max(1)
        lines = [series("observed", sizes, worst)]
        for data in ("measured", "weights"):
            bound = collapse_bound(network, X, rung, data=data).value / sizes[:, None]
            lines.append(series(data, sizes, bound.gather(1, where[:, None])[:, 0]))
        lines.append(series("theorem", sizes, torch.full_like(sizes, constant)))
        axes = Axis("‖X‖", scale="log"), Axis("error ÷ ‖X‖", scale="log")
        panels.append(Panel(f"Rung {rung}", *axes, tuple(lines)))
    settings = {"points": points, "inputs": inputs, "eta": eta, "layers": 3, "heads": 2, "width": 3}
    return FigureData("orders-all-inputs", tuple(panels), settings, seed)


def draw_all_inputs(axes: Sequence[Axes], data: FigureData) -> None:
    """Observed points below the two certificates; the O(η) line across."""
    for ax, panel, rung in zip(axes, data.panels, RUNGS, strict=True):
        colour = COLOURS[LOOK[rung]]
        ax.plot(panel["weights"].x, panel["weights"].y, color=colour, lw=1.2)
        ax.plot(panel["measured"].x, panel["measured"].y, color=colour, lw=1.2, ls="--")
        ax.plot(panel["observed"].x, panel["observed"].y, "o", ms=3, color=INK)
        ax.plot(panel["theorem"].x, panel["theorem"].y, color="#7a7a7a", lw=0.8, ls=":")
        ax.set_xticks([1e-3, 1, 1e3, 1e6])
    names = ["from weights", "from states", "observed"]
    axes[3].legend(axes[3].lines[:3], names, fontsize=8, loc="lower right")


def slack(cases: int, starts: int, steps: int, seed: int) -> FigureData:
    """How near the observed errors come to the certificates, at random and by search.

    Args:
        cases: Random networks (three layers, two heads, width three), each with four tokens of its
            own; the sizes of weights and tokens span four decades.
        starts: Random starts of the search over small networks and their tokens.
        steps: Gradient steps of the search.
        seed: Seed of both.

    Returns:
        One panel: for each certificate and norm the largest random ratio of each rung, series
        "weights, p = 1" and so on, and the series "search", against "weights" at p = ∞.

    Source:
        rung-0, rung-1, rung-2, rung-3
    """
    network, X = many(cases, seed)
    lines = []
    for data in CERTIFICATES:
        for name, p in NORMS.items():
            errors = rung_errors(network, X, p)
            bounds = [collapse_bound(network, X, rung, p, data).value for rung in RUNGS]
            largest = [float((errors[rung] / bounds[rung]).max()) for rung in RUNGS]
            lines.append(series(f"{data}, p = {name}", largest, list(RUNGS)))
    found = [float(attack(rung, "weights", starts, steps, seed).max()) for rung in RUNGS]
    lines.append(series("search", found, list(RUNGS)))
    axes = Axis("largest error ÷ bound", scale="log"), Axis("rung")
    settings = {"cases": cases, "starts": starts, "steps": steps}
    return FigureData("orders-slack", (Panel("", *axes, tuple(lines)),), settings, seed)


def many(cases: int, seed: int) -> tuple[Network, Tensor]:
    """Random networks of three layers, two heads and width three, with four tokens each.

    η is log-uniform in [1e-2, 1], the size of the tokens in [1e-2, 1e2].

    >>> many(5, 0)[1].shape
    torch.Size([5, 4, 3])
    """
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(cases, *shape, generator=g, dtype=torch.float64) * 2 - 1

    eta, size = 10 ** (draw(1, 1, 1, 1) - 1), 10 ** (2 * draw(1, 1))
    query, key, value = (eta * draw(3, 2, 3, columns) for columns in (2, 2, 3))
    return Network(query, key, value), size * draw(4, 3)


def attack(rung: int, data: Certificate, starts: int, steps: int, seed: int) -> Tensor:
    """The largest error ÷ bound that gradient ascent finds over networks and tokens.

    Two layers, one head, width two, three tokens, p = ∞; all weights and tokens are free.

    Args:
        rung: 0, 1, 2 or 3.
        data: Which certificate.
        starts: Random starts.
        steps: Gradient steps.
        seed: Seed of the starts.

    Returns:
        The ratio reached from each start, shape (starts,).

    Source:
        rung-0, rung-1, rung-2, rung-3

    >>> bool((attack(0, "weights", 2, 5, 0) <= 1 + 1e-12).all())
    True
    """
    sizes = (4, 4, 8, 6)  # query, key and value of two layers; three tokens

    def ratio(point: Tensor) -> Tensor:
        query, key, value, tokens = point.split(sizes, -1)
        batch = len(point)
        network = Network(query.reshape(batch, 2, 1, 2, 1), key.reshape(batch, 2, 1, 2, 1),
                          value.reshape(batch, 2, 1, 2, 2))  # fmt: skip
        X = tokens.reshape(batch, 3, 2)
        error = token_norm(network(X) - surrogate(network, rung)(X))
        return error / collapse_bound(network, X, rung, data=data).value

    g = torch.Generator().manual_seed(seed)
    begin = torch.randn(starts, sum(sizes), generator=g, dtype=torch.float64)
    return ascend(ratio, begin, steps, 0.05)[0]


def draw_slack(axes: Sequence[Axes], data: FigureData) -> None:
    """A row a rung: random cases by norm and certificate, and the search."""
    (ax,), (panel,) = axes, data.panels
    shades = [COLOURS[name] for name in ("orange", "green", "purple")]
    for certificate, shift in (("weights", 0.14), ("measured", -0.14)):
        for name, shade in zip(NORMS, shades, strict=True):
            line = panel[f"{certificate}, p = {name}"]
            full, rows = certificate == "measured", [y + shift for y in line.y]
            label = f"random, p = {name}" if full else None
            ax.plot(line.x, rows, "o", color=shade, ms=5.5, mfc=shade if full else "none",
                    label=label)  # fmt: skip
    line = panel["search"]
    ax.plot(line.x, [y + 0.14 for y in line.y], "D", color=INK, ms=5, mfc="none", label="search")
    ax.axvline(1, color=INK, lw=0.8)
    ax.set_xticks([0.1, 0.2, 0.5, 1], ["0.1", "0.2", "0.5", "1"])
    ax.minorticks_off()
    ax.set_yticks(RUNGS, [f"rung {rung}" for rung in RUNGS])
    ax.set_ylim(3.6, -0.6)
    ax.set_ylabel("")
    ax.legend(loc="upper left")
