"""Chapter 8, masks: measured decay beside its bounds, the limit rate, temperature."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.axes import Axes
from torch import Tensor

from collapse import masks
from collapse.attention import Network
from collapse.centred import centred_trace
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.style import COLOURS, INK
from collapse.norms import diameter

LAYER, LOG_D = Axis("layer"), Axis("D/D₀", "log₁₀")
COMPLETE, DISCONNECTED, REVERSED = "complete", "disconnected", "reversed star"


def named_masks(n: int, window: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The masks of the chapter on n tokens; the last two are the controls."""
    return {
        COMPLETE: masks.complete(n),
        "causal": masks.causal(n),
        f"sliding window {window}": masks.sliding_window(n, window),
        f"one-sided window {window}": masks.one_sided_window(n, window),
        "star": masks.star(n),
        "random sparse": masks.random_sparse(n, window, generator),
        DISCONNECTED: masks.disconnected(n),
        REVERSED: masks.reversed_star(n),
    }


def rotations(
    layers: int, width: int, generator: torch.Generator, batch: tuple[int, ...] = ()
) -> Network:
    """One head a layer: V orthogonal, so that only attention shrinks; M Gaussian of norm about 1.

    Returns:
        A network without skips and mask, or a batch of them.
    """
    shape = (*batch, layers, 1, width, width)
    value, query, key = (
        torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    value, _ = torch.linalg.qr(value)
    return Network(query / width, key / math.sqrt(width), value, skip=0)


def log_diameters(network: Network, X: Tensor) -> Tensor:
    r"""log₁₀ of diam₂(X_ℓ)/diam₂(X) by centred propagation, shape (\*batch, L + 1)."""
    trace = centred_trace(network, X)
    logs = diameter(trace.differences, 2).log10() + trace.scale * math.log10(2)
    return logs - logs[..., :1]


def late_rate(logs: Tensor) -> Tensor:
    r"""The factor per layer over the second half of the layers, shape (\*batch,)."""
    half = (logs.shape[-1] - 1) // 2
    return 10 ** ((logs[..., -1] - logs[..., -1 - half]) / half)


# --- decay ---------------------------------------------------------------------------------------


def decay(n: int, width: int, window: int, layers: int, seed: int) -> FigureData:
    """Diameter of one network under every mask, by centred propagation, and its bound.

    Args:
        n: Number of tokens.
        width: Width d.
        window: Neighbours in the windows, and edges of the random mask.
        layers: Depth L; the complete mask stops at four, where its bound meets rounding.
        seed: Seed of network, tokens and random mask.

    Returns:
        A panel a mask: log₁₀ D/D₀, the bound of masked-collapse with the least weights on the
        edges as measured, and the limit rate as a line through the last point. The parameters hold
        centres, radius and rates.

    Source:
        masked-collapse, masked-walk, masked-rate
    """
    generator = torch.Generator().manual_seed(seed)
    network = rotations(layers, width, generator)
    X = torch.randn(n, width, generator=generator, dtype=torch.float64)
    panels, facts = [], {}
    # Of its own generator, so that a reader can make the same masks without the network.
    drawn = named_masks(n, window, torch.Generator().manual_seed(seed))
    for name, mask in drawn.items():
        depth = 4 if name == COMPLETE else layers
        masked = network.layers(0, depth).replace(mask=mask)
        logs, index = log_diameters(masked, X), list(range(depth + 1))
        bound = masks.masked_diameters(masked, X, 2, "measured") / diameter(X, 2)
        lines = [series("observed", index, logs), series("bound", index, bound.log10())]
        rate = masks.limit_rate(mask)
        if rate > 1e-12:  # zero, but for rounding, on the complete mask
            line = logs[-1] + math.log10(rate) * (torch.arange(depth + 1) - depth)
            lines.append(series("limit rate", index, line))
        panels.append(Panel(name, LAYER, LOG_D, tuple(lines)))
        facts[name] = {
            "centres": len(masks.centres(mask)),
            "radius": masks.radius(mask),
            "closed classes": len(masks.closed_classes(mask)),
            "limit rate": rate,
            "late rate": float(late_rate(logs)),
            "last": float(logs[-1]),
            "last bound": float(bound[-1].log10()),
        }
    settings = {"tokens": n, "width": width, "window": window, "layers": layers, "masks": facts}
    return FigureData(
        "masks-decay", tuple(panels), settings, seed, dtype="float64 with carried exponents"
    )


def draw_decay(axes: Sequence[Axes], data: FigureData) -> None:
    """Observed in ink, the bound blue, the limit rate dotted."""
    look = {"observed": (INK, "-"), "bound": (COLOURS["blue"], "--")}
    for ax, panel in zip(axes, data.panels, strict=True):
        for line in panel.series:
            colour, style = look.get(line.name, (COLOURS["red"], ":"))
            ax.plot(line.x, line.y, color=colour, ls=style, label=line.name)
        observed = panel["observed"]
        low = min(observed.y)
        ax.set(xlim=(0, observed.x[-1]), ylim=(1.12 * low if low < -1 else -3, 0.5 - low / 20))
    axes[-1].legend(loc="lower left")


# --- the rate ------------------------------------------------------------------------------------

Family = Callable[[int, int], Tensor]


def bound_gap(mask: Tensor) -> float:
    """1 − the rate per layer that the bounds give in the long run, where ε = 1/deg."""
    epsilon, gaps = 1 / int(mask.sum(-1).max()), [0.0]
    for steps, count in masks.choices(mask):
        gaps.append(-math.expm1(math.log1p(-min(count * epsilon**steps, 1 - 1e-16)) / steps))
    if masks.longest_path(mask) and len(masks.centres(mask)) == 1:
        gaps.append(epsilon)
    return max(gaps)


def rates(
    sizes: Sequence[int], windows: Sequence[int], width: int, layers: int, seed: int
) -> FigureData:
    """The rate of random networks late in the stack, against λ₂ of the mask and its radius.

    Args:
        sizes: Numbers of tokens n.
        windows: Neighbours in the windows, edges of the random masks.
        width: Width d.
        layers: Depth L; the rate is taken over its second half.
        seed: Seed of networks, tokens and random masks.

    Returns:
        A panel of observed 1 − rate against 1 − λ₂, with what the bound gives for the same masks,
        and one of both against the radius, for the windows at the largest n.

    Source:
        masked-rate
    """
    generator = torch.Generator().manual_seed(seed)
    families: Mapping[str, Family] = {
        "sliding window": masks.sliding_window,
        "one-sided window": masks.one_sided_window,
        "random sparse": lambda n, w: masks.random_sparse(n, w, generator),
    }
    seen: dict[str, list[tuple[float, ...]]] = {name: [] for name in families}
    against: dict[str, list[tuple[float, ...]]] = {name: [] for name in families}
    network = rotations(layers, width, generator)
    for n in sizes:
        X = torch.randn(n, width, generator=generator, dtype=torch.float64)
        for name, family in families.items():
            for window in windows:
                mask = family(n, window)
                steps = masks.radius(mask)
                if steps is None:
                    continue
                gap = 1 - float(late_rate(log_diameters(network.replace(mask=mask), X)))
                row = (1 - masks.limit_rate(mask), gap, bound_gap(mask), steps)
                seen[name].append(row)
                if n == max(sizes):
                    against[name].append(row)
    first, second = [], []
    for name, rows in seen.items():
        gaps, found, bounds, _ = zip(*sorted(rows), strict=True)
        first.append(series(name, gaps, found))
        first.append(series(f"{name}, bound", gaps, bounds))
    for name in ("sliding window", "one-sided window"):
        gaps, found, bounds, radii = zip(*sorted(against[name], key=lambda r: r[3]), strict=True)
        second.append(series(name, radii, found))
        second.append(series(f"{name}, bound", radii, bounds))
        second.append(series(f"{name}, limit", radii, gaps))
    shown = Axis("1 − rate", scale="log")
    errors = [abs(found / gap - 1) for rows in seen.values() for gap, found, *_ in rows]
    return FigureData(
        "masks-rate",
        (
            Panel("Against the mask's second eigenvalue", Axis("1 − λ₂", scale="log"), shown,
                  tuple(first)),
            Panel(f"Windows on {max(sizes)} tokens", Axis("radius r", scale="log"), shown,
                  tuple(second)),
        ),
        {
            "sizes": list(sizes),
            "windows": list(windows),
            "width": width,
            "layers": layers,
            "masks": len(errors),
            "largest error of 1 - rate": max(errors),
            "median error of 1 - rate": sorted(errors)[len(errors) // 2],
        },
        seed,
        dtype="float64 with carried exponents",
    )  # fmt: skip


_LOOK = {
    "sliding window": ("blue", "o", "#0072B2"),
    "one-sided window": ("orange", "s", "#9a6a00"),
    "random sparse": ("green", "^", "#00714f"),
}


def draw_rates(axes: Sequence[Axes], data: FigureData) -> None:
    """Filled marks on the diagonal, the bound's hollow below; then the two windows by radius."""
    (top, low), (first, second) = axes, data.panels
    ends = [min(first["sliding window"].x), 1.0]
    top.plot(ends, ends, color=COLOURS["grey"], lw=1)
    for i, (name, (colour, mark, dark)) in enumerate(_LOOK.items()):
        found, bound = first[name], first[f"{name}, bound"]
        top.plot(found.x, found.y, mark, color=COLOURS[colour], ms=5)
        top.plot(bound.x, bound.y, mark, mec=COLOURS[colour], mfc="none", ms=5)
        top.text(0.98, 0.26 - 0.1 * i, name, color=dark, ha="right", transform=top.transAxes)
        if f"{name}, limit" not in [line.name for line in second.series]:
            continue
        found, bound, limit = (second[f"{name}{end}"] for end in ("", ", bound", ", limit"))
        low.plot(limit.x, limit.y, color=COLOURS[colour], lw=1)
        low.plot(found.x, found.y, mark, color=COLOURS[colour], ms=5)
        low.plot(bound.x, bound.y, mark, mec=COLOURS[colour], mfc="none", ms=5, ls="--",
                 color=COLOURS[colour], lw=1)  # fmt: skip
    top.set_ylim(1e-6, 2)
    top.text(0.02, 0.9, "filled: observed, hollow: bound", transform=top.transAxes)
    radii = second["sliding window"].x
    low.set_xticks(radii, [f"{r:g}" for r in radii])
    low.minorticks_off()
    low.set_ylim(1e-8, 3)


# --- temperature ---------------------------------------------------------------------------------


def temperature(
    n: int,
    width: int,
    window: int,
    layers: int,
    scales: Sequence[float],
    networks: int,
    seed: int,
) -> FigureData:
    """The same networks with logits multiplied by s: when the limit rate is reached.

    Args:
        n: Number of tokens.
        width: Width d.
        window: Neighbours on each side of the sliding window.
        layers: Depth L.
        scales: The factors s.
        networks: Number of random networks, of which the figure shows medians.
        seed: Seed of networks and tokens.

    Returns:
        A panel of diameters; and one of the quotient of 1 − rate over the second half of the
        layers and 1 − λ₂: its median and the range of 90% of the networks.

    Source:
        masked-rate
    """
    generator = torch.Generator().manual_seed(seed)
    base = rotations(layers, width, generator, (networks,))
    X = torch.randn(networks, n, width, generator=generator, dtype=torch.float64)
    mask = masks.sliding_window(n, window)
    gap, curves, late = 1 - masks.limit_rate(mask), [], []
    for s in scales:
        logs = log_diameters(base.replace(query=base.query * s, mask=mask), X)
        curves.append(series(f"s = {s:g}", range(layers + 1), logs.median(0).values))
        late.append((1 - late_rate(logs)) / gap)
    levels = torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64)
    low, middle, high = torch.stack(late, -1).quantile(levels, 0)
    return FigureData(
        "masks-temperature",
        (
            Panel(f"Sliding window {window} on {n} tokens", LAYER, LOG_D, tuple(curves)),
            Panel(
                "Second half of the layers",
                Axis("factor s on the logits", scale="log"),
                Axis("(1 − rate)/(1 − λ₂)"),
                tuple(
                    series(name, scales, values)
                    for name, values in (("5%", low), ("median", middle), ("95%", high))
                ),
            ),
        ),
        {
            "tokens": n,
            "width": width,
            "window": window,
            "layers": layers,
            "scales": list(scales),
            "networks": networks,
        },
        seed,
        dtype="float64 with carried exponents",
    )


def draw_temperature(axes: Sequence[Axes], data: FigureData) -> None:
    """Curves that run parallel in the end; early and late rates over the scale."""
    (top, low), (curves, rate) = axes, data.panels
    colours = ["sky", "blue", "green", "orange", "red"]
    for line, colour in zip(curves.series, colours, strict=False):
        top.plot(line.x, line.y, color=COLOURS[colour], label=line.name)
    top.legend(loc="lower left", ncols=2)
    low.axhline(1, color=COLOURS["grey"], lw=1)
    middle = rate["median"]
    down = [m - a for m, a in zip(middle.y, rate["5%"].y, strict=True)]
    up = [b - m for m, b in zip(middle.y, rate["95%"].y, strict=True)]
    low.errorbar(middle.x, middle.y, (down, up), fmt="o", color=COLOURS["blue"], capsize=4)
    low.set_ylim(min(0.9, min(rate["5%"].y) - 0.05), max(1.1, max(rate["95%"].y) + 0.05))
