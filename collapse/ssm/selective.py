r"""Floor 8. Selective state space models: steps, writes and reads that the token chooses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from collapse import numeric
from collapse.bounds.states import stacked
from collapse.numeric import Number, require
from collapse.ssm.attention import uniform
from collapse.ssm.fixed import (
    DISCRETISATIONS,
    Diagonal,
    Discretisation,
    discretise,
    draw_rates,
    draw_steps,
)
from collapse.ssm.mixer import Mixer, decays, softplus


@dataclass(frozen=True, kw_only=True)
class _Selection(Mixer):
    """Steps, writes and reads that the token chooses."""

    step: Number
    step_bias: Number
    write: Number
    write_bias: Number
    read: Number
    read_bias: Number
    discretisation: Discretisation = "zoh"

    @property
    def width(self) -> int:
        """Number d of features of a token."""
        return self.step.shape[-2]

    @classmethod
    def _selection(
        cls, generator: torch.Generator, scale: float, width: int, channels: int, state: int
    ) -> dict[str, Tensor]:
        target = draw_steps(generator, channels)
        return {
            "step": uniform(generator, scale, width, channels),
            "step_bias": torch.log(torch.expm1(target)),  # softplus of it is the target
            "write": uniform(generator, scale, width, state),
            "write_bias": uniform(generator, scale, state),
            "read": uniform(generator, scale, width, state),
            "read_bias": uniform(generator, scale, state),
            "value": uniform(generator, scale, width, width),
        }

    def _check_selection(self, channels: int, state: int) -> None:
        d = self.width
        self._check(step=(d, channels), step_bias=(channels,), write=(d, state),
                    write_bias=(state,), read=(d, state), read_bias=(state,))  # fmt: skip
        require(self.discretisation in DISCRETISATIONS, "discretisation",
                f"one of {DISCRETISATIONS}", self.discretisation)  # fmt: skip

    def _steps(self, X: Number) -> Number:
        r"""Δ = softplus(X step + bias), shape (\*batch, n, c)."""
        return softplus(X @ self.step + self.step_bias[..., None, :])

    def _writes_and_reads(self, X: Number) -> tuple[Number, Number]:
        write = X @ self.write + self.write_bias[..., None, :]
        return write, X @ self.read + self.read_bias[..., None, :]


@dataclass(frozen=True, kw_only=True)
class SelectiveSSM(_Selection, Diagonal):
    r"""The selective mixer of Mamba (S6): step, write and read depend on the token.

    .. math:: \Delta_i = \mathrm{softplus}(x_i W_\Delta + b_\Delta), \qquad
        M^{(c)}_{ij} = \sum_s C_{is}\, e^{-\alpha_{cs}\sum_{j<k\le i}\Delta_{kc}}\,
        \bar B^{(c)}_{js},

    with :math:`B_j = x_jW_B + b_B`, :math:`C_i = x_iW_C + b_C` common to all features, and
    :math:`\bar B` from :func:`~collapse.ssm.fixed.discretise`.

    Attributes:
        rate: α > 0, shape (\*batch, c, N) with c = 1 or d.
        step: W_Δ, shape (\*batch, d, c).
        step_bias: b_Δ, shape (\*batch, c).
        write: W_B, shape (\*batch, d, N).
        write_bias: b_B, shape (\*batch, N).
        read: W_C, shape (\*batch, d, N).
        read_bias: b_C, shape (\*batch, N).
        discretisation: "zoh" or "euler", which is Mamba's.

    Raises:
        ValueError: On wrong shapes, NaN or infinity, or rates that are not positive.

    Source:
        ssm-selective-order

    >>> mixer = SelectiveSSM.random(3, 2, torch.Generator().manual_seed(0))
    >>> mixer.matrix(torch.eye(3, dtype=torch.float64)).shape
    torch.Size([3, 3, 3])
    """

    @classmethod
    def random(
        cls, width: int, state: int, generator: torch.Generator, scale: float = 1.0, **options: Any
    ) -> Self:
        r"""Rates 1 to 1 + N, steps in [0.1, 1] at x = 0, other weights uniform in [−scale, scale].

        Args:
            width: Features d of a token.
            state: States N of each.
            generator: Source of randomness.
            scale: Largest entry of the other weights.
            **options: Further attributes.

        Returns:
            A mixer in float64 with c = d.

        Source:
            ssm-selective-order
        """
        weights = cls._selection(generator, scale, width, width, state)
        return cls(**{"rate": draw_rates(generator, width, state)} | weights | options)

    def __post_init__(self) -> None:
        """Refuse weights of a wrong shape or range."""
        super().__post_init__()
        self._check_sizes()
        self._check(rate=(self.channels, self.state))
        self._check_selection(self.channels, self.state)

    def _factors(self, X: Number) -> tuple[Number, Number, Number]:
        step = self._steps(X).swapaxes(-1, -2)[..., None]
        log_decay, enter = discretise(self.rate[..., :, None, :], step, self.discretisation)
        write, read = self._writes_and_reads(X)
        return log_decay, enter * write[..., None, :, :], read[..., None, :, :] + 0 * log_decay


@dataclass(frozen=True, kw_only=True)
class ScalarSSM(_Selection):
    r"""The selective mixer with one decay for all states, Mamba-2's: a masked linear attention.

    .. math:: M = L \circ (C \bar B^\top), \qquad L_{ij} = \prod_{j<k\le i} a_k ,

    one matrix for all features. The recurrent twin keeps an N × d matrix.

    Attributes:
        rate: α > 0, shape (\*batch, 1).
        step: W_Δ, shape (\*batch, d, 1).
        step_bias: b_Δ, shape (\*batch, 1).
        write: W_B, shape (\*batch, d, N).
        write_bias: b_B, shape (\*batch, N).
        read: W_C, shape (\*batch, d, N).
        read_bias: b_C, shape (\*batch, N).
        discretisation: "zoh" or "euler", which is Mamba-2's.

    Raises:
        ValueError: On wrong shapes, NaN or infinity, or rates that are not positive.

    Source:
        ssm-selective-order

    >>> mixer = ScalarSSM.random(3, 2, torch.Generator().manual_seed(0))
    >>> mixer.matrix(torch.eye(3, dtype=torch.float64)).shape
    torch.Size([1, 3, 3])
    """

    rate: Number

    @classmethod
    def random(
        cls, width: int, state: int, generator: torch.Generator, scale: float = 1.0, **options: Any
    ) -> Self:
        r"""Rate 1, steps in [0.1, 1] at x = 0, other weights uniform in [−scale, scale].

        Args:
            width: Features d of a token.
            state: States N.
            generator: Source of randomness.
            scale: Largest entry of the other weights.
            **options: Further attributes.

        Returns:
            A mixer in float64.

        Source:
            ssm-selective-order
        """
        weights = cls._selection(generator, scale, width, 1, state)
        return cls(**{"rate": torch.ones(1, dtype=torch.float64)} | weights | options)

    def __post_init__(self) -> None:
        """Refuse weights of a wrong shape or range."""
        super().__post_init__()
        self._check(rate=(1,))
        require((self.rate > 0), "rate", "entries > 0", self.rate)
        self._check_selection(1, self.write.shape[-1])

    def _parts(self, X: Number) -> tuple[Number, Number, Number]:
        step = self._steps(X)
        log_decay, enter = discretise(self.rate[..., None, :], step, self.discretisation)
        write, read = self._writes_and_reads(X)
        return log_decay, enter * write, read

    def _weights(self, X: Number) -> Number:
        log_decay, write, read = self._parts(X)
        M = decays(log_decay[..., 0]) * (read @ write.swapaxes(-1, -2))
        return M[..., None, :, :]

    def _scan(self, X: Number, values: Number) -> Number:
        log_decay, write, read = self._parts(X)
        kept = numeric.exp(log_decay)[..., None]
        hidden, rows = 0, []
        for i in range(X.shape[-2]):
            entered = write[..., i, :, None] * values[..., i, None, :]
            hidden = kept[..., i, :, :] * hidden + entered
            rows.append((read[..., i, None, :] @ hidden)[..., 0, :])
        return stacked(rows, -2)
