"""The masks of the chapter: Booleans (n, n), True at [i, j] where token i may attend to token j.

An attention path leads from i to j. Information flows the other way: after one layer token i has
seen token j. Every mask has all its self-loops.
"""

from __future__ import annotations

import torch
from torch import Tensor

from collapse.checks import check_whole
from collapse.numeric import require


def complete(n: int) -> Tensor:
    """Every token attends to every token.

    Args:
        n: Number of tokens, ≥ 1.

    Returns:
        Booleans of shape (n, n).

    Raises:
        ValueError: If n < 1.

    Source:
        masked-collapse

    >>> complete(3).sum().item()
    9
    """
    n = check_whole(n, "n", 1)
    return torch.ones(n, n, dtype=torch.bool)


def causal(n: int) -> Tensor:
    """Every token attends to itself and to all before it.

    Args:
        n: Number of tokens, ≥ 1.

    Returns:
        Booleans of shape (n, n).

    Raises:
        ValueError: If n < 1.

    Source:
        masked-collapse

    >>> causal(3).sum(-1)
    tensor([1, 2, 3])
    """
    return complete(n).tril()


def sliding_window(n: int, width: int) -> Tensor:
    """Every token attends to itself and to so many neighbours on each side.

    Args:
        n: Number of tokens, ≥ 1.
        width: Neighbours on each side, ≥ 1.

    Returns:
        Booleans of shape (n, n).

    Raises:
        ValueError: If n < 1 or width < 1.

    Source:
        masked-collapse

    >>> sliding_window(4, 1).sum(-1)
    tensor([2, 3, 3, 2])
    """
    width = check_whole(width, "width", 1)
    return complete(n).tril(width).triu(-width)


def one_sided_window(n: int, width: int) -> Tensor:
    """Every token attends to itself and to so many tokens before it.

    Args:
        n: Number of tokens, ≥ 1.
        width: Earlier tokens that are seen, ≥ 1.

    Returns:
        Booleans of shape (n, n).

    Raises:
        ValueError: If n < 1 or width < 1.

    Source:
        masked-collapse, masked-walk

    >>> one_sided_window(4, 2).sum(-1)
    tensor([1, 2, 3, 3])
    """
    return sliding_window(n, width).tril()


def star(n: int) -> Tensor:
    """Every token attends to itself and to token 0, which sees itself alone.

    Args:
        n: Number of tokens, ≥ 1.

    Returns:
        Booleans of shape (n, n).

    Raises:
        ValueError: If n < 1.

    Source:
        masked-collapse

    >>> star(4).sum(-1)
    tensor([1, 2, 2, 2])
    """
    n = check_whole(n, "n", 1)
    mask = torch.eye(n, dtype=torch.bool)
    mask[:, 0] = True
    return mask


def random_sparse(n: int, degree: int, generator: torch.Generator) -> Tensor:
    """Every token attends to itself and to so many others, chosen at random.

    Args:
        n: Number of tokens, ≥ 2.
        degree: Others that each token sees, from 1 to n − 1.
        generator: Source of randomness.

    Returns:
        Booleans of shape (n, n). With few edges the graph may have no centre.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        masked-collapse

    >>> random_sparse(5, 2, torch.Generator().manual_seed(0)).sum(-1)
    tensor([3, 3, 3, 3, 3])
    """
    n, degree = check_whole(n, "n", 2), check_whole(degree, "degree", 1)
    require(degree < n, "degree", f"1 <= degree < n = {n}", degree)
    order = torch.rand(n, n, generator=generator).fill_diagonal_(-1).argsort(-1)
    return torch.zeros(n, n, dtype=torch.bool).scatter_(-1, order[:, : degree + 1], True)


def disconnected(n: int) -> Tensor:
    """A control: two halves, each complete, that never see each other.

    Args:
        n: Number of tokens, ≥ 2.

    Returns:
        Booleans of shape (n, n).

    Raises:
        ValueError: If n < 2.

    Source:
        masked-collapse

    >>> disconnected(4).sum(-1)
    tensor([2, 2, 2, 2])
    """
    n = check_whole(n, "n", 2)
    half = torch.arange(n) < n // 2
    return half[:, None] == half


def reversed_star(n: int) -> Tensor:
    """A control: token 0 attends to all, every other token to itself alone.

    Args:
        n: Number of tokens, ≥ 1.

    Returns:
        Booleans of shape (n, n).

    Raises:
        ValueError: If n < 1.

    Source:
        masked-collapse

    >>> reversed_star(4).sum(-1)
    tensor([4, 1, 1, 1])
    """
    return star(n).T
