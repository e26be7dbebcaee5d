"""How fast networks run: one, many at once, in linear time, and far below machine epsilon."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import mpmath
import torch
from torch import Tensor

from benchmarks.record import Case, Figure, Ratio, figure, ratio
from benchmarks.timing import Times, compare, fastest, seconds, threads
from collapse import Network, centred_trace
from collapse.exact import lift
from collapse.fast import certified_forward
from collapse.numeric import Bound

FORWARD, LINEAR, CENTRED, SWEEP = "forward", "linear-time", "centred", "sweep"
# batch, tokens, width, heads, layers
SIZES = (
    (1, 16, 16, 2, 8),
    (1, 32, 64, 2, 4),
    (8, 128, 128, 4, 2),
    (8, 128, 512, 8, 1),
    (1, 512, 768, 12, 1),
    (4, 256, 256, 8, 2),
    (1, 2048, 64, 1, 2),
)
TOKENS = tuple(2**k for k in range(8, 13))  # where exact attention can be run in turn
LINE = tuple(2**k for k in range(12, 19))  # over which the slope of rung 2 is fitted
SLOPE, CENTRED_GAIN, SWEEP_GAIN = 1.05, 1000.0, 10.0


class TorchStack:
    """A stack of torch.nn.MultiheadAttention with skips, and the Network of the same weights."""

    def __init__(self, width: int, heads: int, layers: int, device: str) -> None:
        """Draw the weights."""
        torch.manual_seed(0)
        self.modules = [
            torch.nn.MultiheadAttention(width, heads, bias=False, batch_first=True)
            for _ in range(layers)
        ]
        self.modules = [module.to(device).eval() for module in self.modules]
        self.network = Network.from_torch(self.modules)

    def __call__(self, X: Tensor) -> Tensor:
        """The output tokens, by torch's fused attention."""
        for module in self.modules:
            X = X + module(X, X, X, need_weights=False)[0]
        return X

    def trace(self, X: Tensor) -> Tensor:
        """The tokens before and after each layer."""
        steps = [X]
        for module in self.modules:
            steps.append(steps[-1] + module(*[steps[-1]] * 3, need_weights=False)[0])
        return torch.stack(steps, -3)


def forward(device: str) -> Iterator[Case]:
    """A Network and its trace against the same network in torch."""
    for size in SIZES:
        for traced in (False, True):
            yield partial(against_torch, *size, device, traced)


def against_torch(
    batch: int, n: int, d: int, heads: int, layers: int, device: str, traced: bool
) -> Ratio:
    """One size, on one thread, in inference mode."""
    stack = TorchStack(d, heads, layers, device)
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(batch, n, d, generator=generator).to(device)
    ours, theirs = stack.network, stack
    case = f"B = {batch}, n = {n}, d = {d}, H = {heads}, L = {layers}"
    with threads(1), torch.inference_mode():
        calls = (ours.trace, theirs.trace) if traced else (ours, theirs)
        times = compare(partial(calls[0], X), {"MultiheadAttention": partial(calls[1], X)}, 1.0)
        return ratio(FORWARD, case, "trace" if traced else "forward", times, target=1.0)


def linear_time(device: str) -> Iterator[Case]:
    """Rung 2 with its certificate: by n, and against exact attention."""
    yield partial(slope, device)
    for n in TOKENS:
        yield partial(against_exact, n, device)


def rung_2(network: Network, X: Tensor) -> tuple[Tensor, Bound]:
    """Output and certificate, for p = 1: of the three norms its sizes cost least beside n."""
    return certified_forward(network, X, 1)


def _linear_case(n: int, device: str) -> tuple[Network, Tensor]:
    generator = torch.Generator().manual_seed(0)
    network = Network.random(4, 2, 16, 8, 0.05, generator, torch.float32, device)
    return network, torch.randn(n, 16, generator=generator).to(device)


def against_exact(n: int, device: str) -> Ratio:
    """One length."""
    network, X = _linear_case(n, device)
    with threads(1), torch.inference_mode():
        rivals = {"exact attention": lambda: network(X)}
        times = compare(lambda: rung_2(network, X), rivals, 0.3)
        return ratio(LINEAR, f"n = {n}", "rung 2, certified", times, ">=")


def slope(device: str, run: Callable[[Network, Tensor], object] = rung_2) -> Figure:
    """Least-squares slope of log time against log n, every length in turn."""
    cases = [_linear_case(n, device) for n in LINE]
    best = [math.inf] * len(cases)
    with threads(1), torch.inference_mode():
        for _ in range(12):
            best = [
                min(b, seconds(partial(run, *case))) for b, case in zip(best, cases, strict=True)
            ]
    points = torch.tensor([LINE, best], dtype=torch.float64).log()
    x, y = points - points.mean(1, keepdim=True)
    case = f"n = {LINE[0]} to {LINE[-1]}"
    return figure(LINEAR, case, "slope in log-log", float(x @ y / (x @ x)), target=SLOPE)


def centred(device: str) -> Iterator[Case]:
    """Centred propagation against mpmath with as many digits as the residual needs."""
    yield partial(against_mpmath, device)


def against_mpmath(device: str, tokens: int = 48, width: int = 16, layers: int = 6) -> Ratio:
    """The residual of the last layer, to the same relative accuracy."""
    generator = torch.Generator().manual_seed(0)
    network = Network.random(layers, 1, width, width, 0.1, generator).replace(skip=0.0)
    X = torch.randn(tokens, width, generator=generator, dtype=torch.float64)
    moved, Y = network.to(device), X.to(device)
    trace = centred_trace(moved, Y)
    digits = int(-float(trace.log10_rho[-1])) + 16
    with mpmath.workdps(digits):
        exact = lift(network, "mpf")
        lifted = lift(X, "mpf")
        found: list[Any] = []
        theirs = seconds(lambda: found.append(exact.trace(lifted)))
        last = found[0][-1]
        spread = (last.max(0) - last.min(0)).max() / 2
        ours = mpmath.mpf(float(trace.mantissa[-1])) * mpmath.mpf(2) ** int(trace.exponent[-1])
        error = float(abs(ours / spread - 1))
    with threads(1):
        fast = fastest(lambda: centred_trace(moved, Y), 10)
    times = Times(fast, theirs, f"mpmath with {digits} digits", (theirs / fast,) * 2, 1)
    case = f"n = {tokens}, d = {width}, L = {layers}; both agree to {error:.0e}"
    with threads(1):
        return ratio(CENTRED, case, "centred_trace", times, ">=", CENTRED_GAIN)


def sweep(device: str) -> Iterator[Case]:
    """Networks × η in one call against one after another."""
    for each in (8, 32):
        yield partial(against_loop, each, device)


def against_loop(each: int, device: str, batched: bool = True) -> Ratio:
    """Several networks for each of 25 weight bounds."""
    generator = torch.Generator().manual_seed(0)
    etas = torch.logspace(-3, 0, 25, dtype=torch.float64).repeat(each)
    singles = [Network.random(4, 1, 4, 4, float(eta), generator, device=device) for eta in etas]
    networks = Network.stack(singles)
    X = torch.randn(8, 4, generator=generator, dtype=torch.float64).to(device)

    def loop() -> object:
        return [network(X) for network in singles]

    with threads(1), torch.inference_mode():
        ours = (lambda: networks(X)) if batched else loop
        times = compare(ours, {"a loop over the networks": loop}, 1.0)
        case = f"{len(singles)} networks, n = 8, d = 4, L = 4"
        return ratio(SWEEP, case, "one call", times, ">=", SWEEP_GAIN)
