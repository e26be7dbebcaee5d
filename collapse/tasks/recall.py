r"""Associative recall: look up a key among pairs of a key and a value.

A sequence is :math:`k_1 v_1 k_2 v_2 \dots k_m v_m q`, of length n = 2m + 1. The query q is one of
the keys, and the answer, read at the last position, is the value behind it. Keys are the tokens
0, …, keys − 1, values the tokens behind them. Within a sequence no key and no value occurs twice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from collapse.numeric import require
from collapse.tasks.task import Batch


@dataclass(frozen=True)
class Recall:
    r"""Associative recall with m pairs.

    Attributes:
        pairs: m ≥ 1.
        keys: Number of keys, ≥ m.
        values: Number of values, ≥ m.
        causal: Whether a position sees only what is before it.

    Raises:
        ValueError: On sizes outside their ranges.

    >>> task = Recall(pairs=2, keys=3, values=4)
    >>> task.tokens, task.vocabulary, task.positions
    (5, 7, (4,))
    """

    pairs: int = 5
    keys: int = 6
    values: int = 6
    causal: bool = False

    def __post_init__(self) -> None:
        """Check the sizes."""
        require(self.pairs >= 1, "pairs", "an integer >= 1", self.pairs)
        for name in ("keys", "values"):
            number = getattr(self, name)
            require(number >= self.pairs, name, f"at least pairs = {self.pairs}", number)

    @property
    def vocabulary(self) -> int:
        """Number of different tokens, the keys before the values."""
        return self.keys + self.values

    @property
    def tokens(self) -> int:
        """Length n = 2m + 1 of every sequence."""
        return 2 * self.pairs + 1

    @property
    def positions(self) -> tuple[int, ...]:
        """The last position, where the query stands."""
        return (self.tokens - 1,)

    @property
    def guess(self) -> float:
        """The least loss, log m, of anyone who sees all tokens but not their order.

        Given the query and the tokens as a multiset, every value is the answer equally often.
        """
        return math.log(self.pairs)

    @property
    def solved_below(self) -> float:
        """Half the loss of guessing, below which we say that a network has learnt recall."""
        return self.guess / 2

    def sample(self, count: int, generator: Generator) -> Batch:
        """Random sequences: keys and values without repetition, a random one of the keys asked.

        Args:
            count: Number of sequences, ≥ 1.
            generator: Source of randomness, on the CPU.

        Returns:
            A Batch: tokens (count, n), targets (count, 1).

        Raises:
            ValueError: If the count is below 1.

        >>> batch = Recall(2, 3, 3).sample(4, torch.Generator().manual_seed(0))
        >>> batch.tokens.shape, batch.targets.shape
        (torch.Size([4, 5]), torch.Size([4, 1]))
        """
        require(count >= 1, "count", "an integer >= 1", count)
        keys = _distinct(count, self.keys, self.pairs, generator)
        values = _distinct(count, self.values, self.pairs, generator) + self.keys
        asked = torch.randint(self.pairs, (count, 1), generator=generator)
        pairs = torch.stack((keys, values), -1).flatten(-2)
        return Batch(torch.cat((pairs, keys.gather(-1, asked)), -1), values.gather(-1, asked))

    def held_out(self, count: int, generator: Generator) -> Batch:
        """Random sequences with all their turns: m⌈count/m⌉ of them.

        Args:
            count: Number of sequences, ≥ 1, rounded up to a multiple of m.
            generator: Source of randomness, on the CPU.

        Returns:
            A Batch on which no one who does not see the order has a loss below log m.

        Raises:
            ValueError: If the count is below 1.

        >>> len(Recall().held_out(64, torch.Generator().manual_seed(0)).tokens)
        65
        """
        require(count >= 1, "count", "an integer >= 1", count)
        return self.turned(self.sample(-(-count // self.pairs), generator))

    def turned(self, batch: Batch) -> Batch:
        r"""Each sequence with its values turned in a circle, in all m ways.

        The m copies of a sequence differ in the order of their tokens alone, and each of its
        values is the answer once. So on such a set whoever does not see the order has a loss of
        at least log m, exactly and not only on average.

        Args:
            batch: Tokens (count, n) and targets (count, 1).

        Returns:
            A Batch of m·count sequences.

        >>> task = Recall(2, 2, 2)
        >>> batch = task.turned(Batch(torch.tensor([[0, 2, 1, 3, 0]]), torch.tensor([[2]])))
        >>> batch.tokens.tolist(), batch.targets.tolist()
        ([[0, 2, 1, 3, 0], [0, 3, 1, 2, 0]], [[2], [3]])
        """
        keys, values = batch.tokens[:, 0:-1:2], batch.tokens[:, 1::2]
        query = batch.tokens[:, -1:]
        asked = (keys == query).int().argmax(-1, keepdim=True)
        turns = [values.roll(-step, -1) for step in range(self.pairs)]
        tokens = [torch.cat((torch.stack((keys, v), -1).flatten(-2), query), -1) for v in turns]
        return Batch(torch.cat(tokens), torch.cat([v.gather(-1, asked) for v in turns]))


def _distinct(count: int, among: int, number: int, generator: Generator) -> Tensor:
    """Without repetition, ``number`` of 0, …, among − 1: shape (count, number)."""
    return torch.rand(count, among, generator=generator).argsort(-1)[:, :number]
