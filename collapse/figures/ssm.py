"""Chapter 9. State space models: what depth is worth, and whether tokens collapse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse.bounds.states import deep_kernel, shallow_kernel, state_floor
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.style import COLOURS, INK
from collapse.kernels import unit_rows
from collapse.norms import diameter, token_norm
from collapse.ssm import (
    LTI,
    MIXERS,
    LinearAttention,
    Mixer,
    ScalarSSM,
    SelectiveSSM,
    SoftmaxAttention,
)
from collapse.ssm.depth import Layer, exchange, exchanged, forward, one_layer

ETA = Axis("weights η", scale="log")
ERROR = Axis("largest error", scale="log")
_LOOK = {
    "no layer": ("#7a7a7a", "-"),
    "the heads side by side": (COLOURS["orange"], "-"),
    "one layer, changed values": (COLOURS["blue"], "-"),
    "floor": (INK, "--"),
}


def _normal(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


# --- orders --------------------------------------------------------------------------------------


def scaled(layers: Sequence[Sequence[ScalarSSM]], eta: Tensor, sigma: Tensor) -> list[Layer]:
    r"""Values times η, selection weights times σ, η and σ of shape (\*batch,)."""
    e, s = eta[..., None, None], sigma[..., None, None]
    chosen = ("step", "write", "read")
    return [
        [
            head.replace(
                value=e * torch.as_tensor(head.value), **{x: s * getattr(head, x) for x in chosen}
            )
            for head in layer
        ]
        for layer in layers
    ]


def errors(layers: Sequence[Layer], X: Tensor, inputs: Tensor) -> dict[str, Tensor]:
    """How far no layer, rung 1 and the one layer are from the network on X; and the floor.

    The weights have one batch dimension. The floor is a quarter of the exchange on the inputs.
    """
    deep = forward(layers, X)
    shallow: dict[str, list[Layer]] = {
        "no layer": [],
        "the heads side by side": [[head for layer in layers for head in layer]],
        "one layer, changed values": [one_layer(layers)],
    }
    found = {name: token_norm(deep - forward(one, X)) for name, one in shallow.items()}
    parts = torch.stack([forward(layers, x) for x in inputs], -3)
    return found | {"floor": exchange(parts).abs().amax(-1) / 4}


def orders(
    points: int, layers: int, width: int, tokens: int, fixed: float, seed: int
) -> FigureData:
    """Errors of the one-layer networks of a selective stack, over η with σ = η, and over σ.

    Args:
        points: Number of η, and of σ, from 1e-4 to 1, evenly spaced in the logarithm.
        layers: Number L of layers, a Mamba-2 head each.
        width: Features d.
        tokens: Tokens n of the input that the errors are measured on.
        fixed: η in the second panel.
        seed: Seed of weights and tokens.

    Returns:
        Panels "σ = η" and "η fixed", each with "no layer", "the heads side by side", "one layer,
        changed values" and "floor".

    Source:
        ssm-selective-order
    """
    g = torch.Generator().manual_seed(seed)
    stack = [[ScalarSSM.random(width, 2, g, discretisation="euler")] for _ in range(layers)]
    X = _normal(tokens, width, generator=g)
    ends = _normal(3, 1, width, generator=g)
    inputs = exchanged(ends[0], ends[1], _normal(2, width, generator=g), ends[2])
    sizes = torch.logspace(-4, 0, points, dtype=torch.float64)
    still = torch.full_like(sizes, fixed)
    panels = []
    for title, axis, eta, sigma in (
        ("σ = η", ETA, sizes, sizes),
        (f"η = {fixed:g}", Axis("selection weights σ", scale="log"), still, sizes),
    ):
        found = errors(scaled(stack, eta, sigma), X, inputs)
        lines = tuple(series(name, sizes, error) for name, error in found.items())
        panels.append(Panel(title, axis, ERROR, lines))
    settings = {"points": points, "layers": layers, "width": width, "tokens": tokens}
    return FigureData("ssm-orders", tuple(panels), settings | {"fixed": fixed}, seed)


def draw_orders(axes: Sequence[Axes], data: FigureData) -> None:
    """Three errors and the floor; float64 ends below the shaded line."""
    for ax, panel in zip(axes, data.panels, strict=True):
        for line in panel.series:
            colour, style = _LOOK[line.name]
            ax.plot(line.x, line.y, color=colour, ls=style, label=line.name)
        ax.axhspan(1e-17, 1e-15, color=INK, alpha=0.08, lw=0)
        ax.set(xlim=(1e-4, 1), ylim=(1e-16, 30))
    axes[0].text(0.06, 2.2e-16, "rounding of float64", color="#5a5a5a", fontsize=9)
    axes[1].legend(loc="lower right")


# --- states --------------------------------------------------------------------------------------


def ladder(layers: int, pole: float, points: int, tokens: int) -> FigureData:
    """How far L equal fixed layers are from one layer of r states, with the floor, exactly.

    Args:
        layers: L.
        pole: a in (0, 1].
        points: Number of η = 2^-k, from k = 3 on.
        tokens: Tokens n ≥ 2L of the impulse.

    Returns:
        One panel with "r states" and "floor of r states" for r = 0, …, L − 1.

    Source:
        ssm-state-ladder
    """
    etas = [Fraction(1, 2**k) for k in range(points + 2, 2, -1)]
    a = Fraction(pole)
    lines = []
    for states in range(layers):
        found, floors = [], []
        for eta in etas:
            deep = deep_kernel(layers, eta, a, tokens)
            one = shallow_kernel(layers, states, eta, a, tokens)
            found.append(float(max(abs(x - y) for x, y in zip(deep, one, strict=True))))
            floors.append(float(state_floor(deep, states)))
        at = [float(eta) for eta in etas]
        lines += [series(f"{states} states", at, found), series(f"floor of {states}", at, floors)]
    settings = {"layers": layers, "pole": pole, "points": points, "tokens": tokens}
    panel = Panel("", ETA, Axis("error on an impulse", scale="log"), tuple(lines))
    return FigureData("ssm-states", (panel,), settings, dtype="exact rationals")


def draw_ladder(axes: Sequence[Axes], data: FigureData) -> None:
    """A line for each number of states, its floor dashed in the same colour."""
    (ax,), (panel,) = axes, data.panels
    colours = [COLOURS[name] for name in ("grey", "orange", "green", "blue", "purple", "red")]
    for states in range(data.parameters["layers"]):
        line, floor = panel[f"{states} states"], panel[f"floor of {states}"]
        colour = colours[states % len(colours)]
        ax.plot(line.x, line.y, color=colour)
        ax.plot(floor.x, floor.y, color=colour, ls="--", lw=1.2)
        word = "state" if states == 1 else "states"
        ax.annotate(f"{states} {word}: η$^{{{2 * states + 1}}}$", (line.x[0], line.y[0]),
                    (-6, -2), textcoords="offset points", ha="right", va="center")  # fmt: skip
    ax.set_xlim(left=line.x[0] / 20)


# --- the exchange --------------------------------------------------------------------------------


def blind(samples: int, width: int, states: int, layers: int, seed: int) -> FigureData:
    """The exchange, relative to the size of the outputs, over one layer and over two.

    Args:
        samples: Networks of each kind of mixer, of two heads a layer.
        width: Features d.
        states: States or key width of a head.
        layers: Depth of the deep networks.
        seed: Seed of weights and tokens.

    Returns:
        One panel with a series for each mixer and depth; y numbers the mixers. An exchange of
        exactly zero is entered as 1e-18.

    Source:
        ssm-selective-order
    """
    g = torch.Generator().manual_seed(seed)
    lines = []
    for row, (name, kind) in enumerate(MIXERS.items()):
        for depth in (1, layers):
            found = []
            for _ in range(samples):
                net = [[kind.random(width, states, g, 0.5) for _ in range(2)] for _ in range(depth)]
                ends = _normal(3, 1, width, generator=g)
                inputs = exchanged(ends[0], ends[1], _normal(2, width, generator=g), ends[2])
                outputs = forward(net, inputs)
                gap = exchange(outputs).abs().max() / outputs.abs().max()
                found.append(max(float(gap), 1e-18))
            lines.append(series(f"{name}, {depth}", found, [-row] * samples))
    settings = {"samples": samples, "width": width, "states": states, "layers": layers}
    panel = Panel("", Axis("exchange ÷ largest output", scale="log"), Axis("mixer"), tuple(lines))
    return FigureData("ssm-exchange", (panel,), settings, seed)


def draw_blind(axes: Sequence[Axes], data: FigureData) -> None:
    """One layer at the rounding, two layers at their exchange; the fixed mixer stays left."""
    (ax,), (panel,) = axes, data.panels
    deep = data.parameters["layers"]
    for row, name in enumerate(MIXERS):
        one, many = panel[f"{name}, 1"], panel[f"{name}, {deep}"]
        ax.plot(one.x, [-row + 0.14] * len(one.x), "o", ms=4, mfc="none", color=COLOURS["blue"])
        ax.plot(many.x, [-row - 0.14] * len(many.x), "x", ms=5, color=COLOURS["red"])
    ax.plot([], [], "o", mfc="none", color=COLOURS["blue"], label="one layer")
    ax.plot([], [], "x", color=COLOURS["red"], label=f"{deep} layers")
    ax.set_yticks([-row for row in range(len(MIXERS))], list(MIXERS))
    ax.set_ylabel("")
    ax.set(xlim=(3e-19, 10), ylim=(-len(MIXERS) + 0.4, 1.3))
    ax.legend(loc="upper center", ncols=2)


# --- collapse without skips ----------------------------------------------------------------------

Draw = Callable[[torch.Generator, int, Tensor], Mixer]
_WEAK = 0.2  # entries of W_B and W_C; with biases 1 and width 8 no score is negative


def _uniform(g: torch.Generator, *shape: int) -> Tensor:
    return _WEAK * (2 * torch.rand(shape, generator=g, dtype=torch.float64) - 1)


def _ones(*shape: int) -> Tensor:
    return torch.ones(shape, dtype=torch.float64)


def _selective(kind: type[ScalarSSM] | type[SelectiveSSM], signed: bool) -> Draw:
    """A selective mixer with positive scores, or with scores of both signs and no bias."""

    def draw(g: torch.Generator, d: int, V: Tensor) -> Mixer:
        mixer = kind.random(d, 4, g, _WEAK, value=V, discretisation="euler")
        scale, bias = (5, 0 * _ones(4)) if signed else (1, _ones(4))
        return mixer.replace(write=scale * mixer.write, read=scale * mixer.read,
                             write_bias=bias, read_bias=bias)  # fmt: skip

    return draw


def _fixed(g: torch.Generator, d: int, V: Tensor) -> Mixer:
    mixer = LTI.random(1, 4, g, value=None)
    return LTI(features=d, rate=mixer.rate, step=mixer.step, write=_ones(1, 4), read=_ones(1, 4),
               value=V)  # fmt: skip


def _softmax(g: torch.Generator, d: int, V: Tensor) -> Mixer:
    return SoftmaxAttention(query=_uniform(g, d, 4), key=_uniform(g, d, 4), value=V)


def _linear(g: torch.Generator, d: int, V: Tensor) -> Mixer:
    return LinearAttention(query=_uniform(g, d, 4), key=_uniform(g, d, 4), value=V)


def _normalised(draw: Draw) -> Draw:
    return lambda g, d, V: draw(g, d, V).replace(normalise=True)


def _gated(draw: Draw) -> Draw:
    return lambda g, d, V: draw(g, d, V).replace(gate=5 * _uniform(g, d, d))


KINDS: dict[str, dict[str, Draw]] = {
    "one matrix with positive entries for all features": {
        "softmax": _softmax,
        "linear attention": _linear,
        "Mamba-2": _selective(ScalarSSM, signed=False),
        "S4": _fixed,
    },
    "otherwise": {
        "Mamba-2, signed": _selective(ScalarSSM, signed=True),
        "softmax, gated": _gated(_softmax),
        "Mamba-2, gated": _gated(_selective(ScalarSSM, signed=False)),
        "S6": _selective(SelectiveSSM, signed=False),
        "S6, rows normalised": _normalised(_selective(SelectiveSSM, signed=False)),
    },
}


# Some curves lie on each other: these are drawn so that those below show through.
_STYLES = {"linear attention": "--", "softmax, gated": "--", "Mamba-2, gated": ":"}


def _spreads(draw: Draw, depth: int, tokens: int, width: int, seed: int) -> Tensor:
    """Largest distances after each layer of a random stack, and the same up to sign, (2, L + 1)."""
    g = torch.Generator().manual_seed(seed)
    X = _normal(tokens, width, generator=g)
    X[:, 0] = X[:, 0].abs() + 0.1
    steps = [unit_rows(X)]
    for _ in range(depth):
        V = torch.linalg.qr(_normal(width, width, generator=g)).Q
        steps.append(unit_rows(draw(g, width, V)(steps[-1])))
    trace = torch.stack(steps)
    side = torch.sign((trace * trace[:, :1]).sum(-1, keepdim=True))
    return torch.stack((diameter(trace, 2), diameter(side * trace, 2)))


def collapsing(depth: int, tokens: int, width: int, samples: int, seed: int) -> FigureData:
    """The farthest two tokens over depth, without skips, tokens of length 1 after each layer.

    Args:
        depth: Number of layers.
        tokens: Number of tokens, in a half-space.
        width: Features d, at most 8.
        samples: Random stacks of which the median is taken, each with an input of its own:
            inputs of one stack rise and fall together.
        seed: Seed of the first stack and its tokens; the others count on.

    Returns:
        Two panels of series by mixer; for the signed one also "up to sign", with each token turned
        to the side of the first.

    Source:
        j24-selective-collapse, ssm-normalised-collapse
    """
    panels = []
    for title, kinds in KINDS.items():
        lines = []
        for name, draw in kinds.items():
            found = [_spreads(draw, depth, tokens, width, seed + k) for k in range(samples)]
            spread, signless = torch.stack(found).median(0).values
            lines.append(series(name, range(depth + 1), spread))
            if "signed" in name:
                lines.append(series(f"{name}, up to sign", range(depth + 1), signless))
        axes = Axis("layers"), Axis("largest distance", scale="log")
        panels.append(Panel(title, *axes, tuple(lines)))
    settings = {"depth": depth, "tokens": tokens, "width": width, "samples": samples}
    return FigureData("ssm-collapse", tuple(panels), settings, seed)


def draw_collapsing(axes: Sequence[Axes], data: FigureData) -> None:
    """A line a mixer, and where float64 ends."""
    for ax, panel in zip(axes, data.panels, strict=True):
        for line, colour in zip(panel.series, COLOURS.values(), strict=False):
            style = _STYLES.get(line.name, "-")
            ax.plot(line.x, line.y, color=colour, ls=style, label=line.name)
        ax.axhspan(1e-17, 1e-15, color=INK, alpha=0.08, lw=0)
        ax.set(xlim=(0, data.parameters["depth"]), ylim=(1e-16, 5))
        ax.legend(loc="lower left")
