r"""Floor 8. State space models as mixers: diagonal decays, and the fixed model, S4.

All are h_i = a_i ∘ h_{i−1} + w_i x_i, y_i = r_i·h_i, with decays a_i, writes w_i and reads r_i that
depend on token i or not. As a matrix: M_ij = Σ_s r_is (Π_{j<k≤i} a_ks) w_js.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from torch import Tensor

from collapse import numeric
from collapse.bounds.states import stacked
from collapse.numeric import Number, require
from collapse.ssm.attention import uniform
from collapse.ssm.mixer import Mixer, decays

Discretisation = Literal["zoh", "euler"]
DISCRETISATIONS = ("zoh", "euler")


def discretise(rate: Number, step: Number, rule: Discretisation) -> tuple[Number, Number]:
    r"""Decay and write of h' = −rate·h + x over one step with constant x.

    .. math:: \log a = -\mathrm{rate}\cdot\mathrm{step}, \qquad
        w = \frac{1 - a}{\mathrm{rate}} \;\text{(zero-order hold)}
        \quad\text{or}\quad w = \mathrm{step} \;\text{(Euler)}.

    Zero-order hold is the exact solution at the end of the step; Euler keeps the exact decay and
    takes the first-order write, as Mamba's code does.

    Args:
        rate: > 0, any shape.
        step: > 0, of a shape that broadcasts.
        rule: "zoh" or "euler".

    Returns:
        log a and w.

    Raises:
        ValueError: On another rule.

    Source:
        ssm-lti-exact

    >>> log_decay, write = discretise(2.0, 0.5, "zoh")
    >>> round(log_decay, 4), round(write, 4)
    (-1.0, 0.3161)
    """
    require(rule in DISCRETISATIONS, "discretisation", f"one of {DISCRETISATIONS}", rule)
    log_decay = -rate * step
    write = -numeric.expm1(log_decay) / rate if rule == "zoh" else step + 0 * log_decay
    return log_decay, write


@dataclass(frozen=True, kw_only=True)
class Diagonal(Mixer):
    """Each feature has N states of its own; a mixer per feature."""

    rate: Number

    @property
    def channels(self) -> int:
        """Number c of matrices, as many as ``rate`` has rows."""
        return self.rate.shape[-2]

    @property
    def state(self) -> int:
        """Number N of states of a feature."""
        return self.rate.shape[-1]

    @abstractmethod
    def _factors(self, X: Number) -> tuple[Number, Number, Number]:
        r"""Log decays, writes and reads, each broadcasting to (\*batch, c, n, N)."""

    def _weights(self, X: Number) -> Number:
        log_decay, write, read = self._factors(X)
        left = decays(log_decay.swapaxes(-1, -2))  # (*batch, c, N, n, n)
        read, write = (x.swapaxes(-1, -2) for x in (read, write))
        return (read[..., :, None] * left * write[..., None, :]).sum(-3)

    def _scan(self, X: Number, values: Number) -> Number:
        log_decay, write, read = self._factors(X)
        kept = numeric.exp(log_decay)
        hidden, rows = 0, []
        for i in range(X.shape[-2]):
            entered = write[..., i, :] * values[..., i, :, None]
            hidden = kept[..., i, :] * hidden + entered
            rows.append((read[..., i, :] * hidden).sum(-1))
        return stacked(rows, -2)

    def _check_sizes(self) -> None:
        d, c = self.width, self.channels
        require(c in (1, d), "rate", f"1 or d = {d} rows", tuple(self.rate.shape))
        require((self.rate > 0), "rate", "entries > 0", self.rate)


@dataclass(frozen=True, kw_only=True)
class LTI(Diagonal):
    r"""A linear time-invariant mixer with diagonal state, S4D: M does not depend on the tokens.

    .. math:: M_{ij} = \sum_s r_s\, a_s^{\,i-j}\, w_s \quad (j \le i),

    a Toeplitz matrix for each feature; decay and write come from :func:`discretise`. Real rates.

    Attributes:
        features: d, the width of the tokens.
        rate: > 0, shape (\*batch, c, N) with c = 1 or d.
        step: > 0, shape (\*batch, c).
        write: B, shape (\*batch, c, N).
        read: C, shape (\*batch, c, N).
        discretisation: "zoh" or "euler".

    Raises:
        ValueError: On wrong shapes, NaN or infinity, rates or steps that are not positive.

    Source:
        ssm-lti-exact

    >>> one = torch.ones(1, 1)
    >>> mixer = LTI(features=1, rate=one * math.log(2), step=one[0], write=one, read=one)
    >>> mixer.replace(discretisation="euler")(torch.tensor([[1.0], [0.0], [0.0]])).flatten()
    tensor([1.0000, 0.5000, 0.2500])
    """

    features: int
    step: Number
    write: Number
    read: Number
    discretisation: Discretisation = "zoh"

    @property
    def width(self) -> int:
        """Number d of features of a token."""
        return self.features

    @classmethod
    def random(
        cls, width: int, state: int, generator: torch.Generator, scale: float = 1.0, **options: Any
    ) -> Self:
        r"""Rates 1 to 1 + N, steps in [0.1, 1], other weights uniform in [−scale, scale].

        Args:
            width: Features d of a token.
            state: States N of each.
            generator: Source of randomness.
            scale: Largest entry of B, C and V.
            **options: Further attributes.

        Returns:
            A mixer in float64 with c = d.

        Source:
            ssm-lti-exact
        """
        weights = {
            "rate": draw_rates(generator, width, state),
            "step": draw_steps(generator, width),
            "write": uniform(generator, scale, width, state),
            "read": uniform(generator, scale, width, state),
            "value": uniform(generator, scale, width, width),
        }
        return cls(features=width, **weights | options)

    def __post_init__(self) -> None:
        """Refuse weights of a wrong shape or range."""
        super().__post_init__()
        self._check_sizes()
        c, N = self.channels, self.state
        self._check(rate=(c, N), step=(c,), write=(c, N), read=(c, N))
        require((self.step > 0), "step", "entries > 0", self.step)
        require(self.discretisation in DISCRETISATIONS, "discretisation",
                f"one of {DISCRETISATIONS}", self.discretisation)  # fmt: skip

    def _factors(self, X: Number) -> tuple[Number, Number, Number]:
        log_decay, write = discretise(self.rate, self.step[..., None], self.discretisation)
        every = 0 * X[..., None, :, :1] + 1  # (*batch, 1, n, 1): the same at each token
        parts = log_decay, write * self.write, self.read
        decay, enter, leave = (part[..., :, None, :] * every for part in parts)
        return decay, enter, leave


def draw_rates(generator: torch.Generator, channels: int, state: int) -> Tensor:
    """1 to 1 + N, N rates a channel in order, as S4D spreads them."""
    spread = torch.rand(channels, state, generator=generator, dtype=torch.float64)
    return 1 + torch.arange(state, dtype=torch.float64) + spread


def draw_steps(generator: torch.Generator, channels: int) -> Tensor:
    """Even in the logarithm between 0.1 and 1, as Mamba draws them."""
    share = torch.rand(channels, generator=generator, dtype=torch.float64)
    return torch.exp(math.log(10) * (share - 1))
