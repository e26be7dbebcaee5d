"""Real text, character by character: continue each prefix of an excerpt.

The text is the book of Genesis, chapters 1 to 26, in the King James Version of 1611, as found in
Debian's package bible-kjv-text 4.38. The translation is in the public domain; verse numbers were
taken out, one verse is a line. The file ``genesis.txt`` lies beside this module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import torch
from torch import Generator, Tensor

from collapse.numeric import require
from collapse.tasks.task import Batch

ALPHABET = " abcdefghijklmnopqrstuvwxyz"
HELD_OUT = 0.1  # the share of the excerpt, its end, on which nothing is trained


@cache
def excerpt() -> str:
    """The excerpt in small letters, with one space for whatever is between words.

    >>> excerpt()[:29]
    'in the beginning god created '
    """
    text = files("collapse.tasks").joinpath("genesis.txt").read_text(encoding="utf-8")
    return re.sub("[^a-z]+", " ", text.lower())


@dataclass(frozen=True)
class Text:
    """The next character of real text, after every prefix of a window.

    Attributes:
        window: Number n of characters that the network sees at most, ≥ 2.

    Raises:
        ValueError: On a window below 2 or longer than the held-out part.

    >>> batch = Text(4).sample(1, torch.Generator().manual_seed(0))
    >>> bool((batch.tokens[:, 1:] == batch.targets[:, :-1]).all())
    True
    """

    window: int = 12

    def __post_init__(self) -> None:
        """Check the size."""
        longest = len(self._part(held_out=True)) - 1
        require(2 <= self.window <= longest, "window", f"2 <= window <= {longest}", self.window)

    @property
    def vocabulary(self) -> int:
        """Number of different characters."""
        return len(ALPHABET)

    @property
    def tokens(self) -> int:
        """Length n of every sequence."""
        return self.window

    @property
    def positions(self) -> tuple[int, ...]:
        """All positions."""
        return tuple(range(self.window))

    @property
    def causal(self) -> bool:
        """True, as who continues a text must not see what comes."""
        return True

    def sample(self, count: int, generator: Generator) -> Batch:
        """Random windows of the part that is trained on, and the characters that follow.

        Args:
            count: Number of windows, ≥ 1.
            generator: Source of randomness, on the CPU.

        Returns:
            A Batch: tokens and targets, both (count, n).

        Raises:
            ValueError: If the count is below 1.

        >>> Text(4).sample(3, torch.Generator().manual_seed(0)).tokens.shape
        torch.Size([3, 4])
        """
        return self._windows(self._part(held_out=False), count, generator)

    def held_out(self, count: int, generator: Generator) -> Batch:
        """Random windows of the part that was kept aside; else as :meth:`sample`."""
        return self._windows(self._part(held_out=True), count, generator)

    def _windows(self, part: Tensor, count: int, generator: Generator) -> Batch:
        require(count >= 1, "count", "an integer >= 1", count)
        starts = torch.randint(len(part) - self.window, (count, 1), generator=generator)
        places = starts + torch.arange(self.window)
        return Batch(part[places], part[places + 1])

    @staticmethod
    def _part(held_out: bool) -> Tensor:
        characters = _encoded()
        cut = int(len(characters) * (1 - HELD_OUT))
        return characters[cut:] if held_out else characters[:cut]


@cache
def _encoded() -> Tensor:
    return torch.tensor([ALPHABET.index(character) for character in excerpt()])
