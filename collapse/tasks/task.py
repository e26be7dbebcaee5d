"""What a task is: sequences of tokens, and what is to be said at some of their positions."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch


class Batch(NamedTuple):
    r"""Sequences with their answers.

    Attributes:
        tokens: Integers in 0, …, vocabulary − 1, shape (\*batch, n).
        targets: The right tokens at the positions that are read, shape (\*batch, r).
    """

    tokens: torch.Tensor
    targets: torch.Tensor


class Task(Protocol):
    """A source of random sequences with answers."""

    @property
    def vocabulary(self) -> int:
        """Number of different tokens."""

    @property
    def tokens(self) -> int:
        """Length n of every sequence."""

    @property
    def positions(self) -> tuple[int, ...]:
        """The positions at which the network is read, counted from 0."""

    @property
    def causal(self) -> bool:
        """Whether a position sees only itself and the positions before it."""

    def sample(self, count: int, generator: torch.Generator) -> Batch:
        """Random sequences with their answers.

        Args:
            count: Number of sequences, ≥ 1.
            generator: Source of randomness, on the CPU.
        """

    def held_out(self, count: int, generator: torch.Generator) -> Batch:
        """Sequences to measure the loss on, drawn as :meth:`sample` does or kept aside.

        Args:
            count: Number of sequences, ≥ 1, at least.
            generator: Source of randomness, on the CPU.
        """
