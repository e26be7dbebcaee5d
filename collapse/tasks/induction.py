r"""Two attention layers that look up a key, with all weights written down.

Width and key width are split into blocks. A token's row holds

======== =====  ======================================================
block    size   what stands there
======== =====  ======================================================
symbol   N      1 at its symbol
position n      1 at its position
before   N      empty; layer 1 writes what stood one place before
answer   N      empty; layer 2 writes what followed the queried symbol
======== =====  ======================================================

Layer 1, the previous-token head, lets position i ask for position i − 1. Layer 2, the induction
head, lets a token ask for its own symbol in the block "before". Every weight is 0 or s.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Generator, Tensor

from collapse.attention import Network
from collapse.bounds.needs import induction_gap
from collapse.exact import ExactNetwork
from collapse.numeric import Number, require
from collapse.softmax import retrieval_threshold
from collapse.stack import column
from collapse.tasks.recall import Recall
from collapse.tasks.task import Batch


def induction_network(task: Recall, scale: Number) -> Network:
    r"""The two-layer network that solves associative recall once its weights are large.

    .. math:: W_Q, W_K, V \in \{0, s\}^{\cdot\times\cdot}, \qquad
        M_1 = s^2 \textstyle\sum_i e_{\mathrm{position}\,i}\, e_{\mathrm{position}\,i-1}^\top, \quad
        M_2 = s^2 \sum_a e_{\mathrm{symbol}\,a}\, e_{\mathrm{before}\,a}^\top .

    Args:
        task: Associative recall; it fixes N and n.
        scale: s ≥ 0: a number, a tensor of shape (\*batch,), or a scalar of another number type,
            which makes an ExactNetwork.

    Returns:
        A Network of two layers with one head and skip 1, of width 3N + n, in float64 if s is a
        float.

    Raises:
        ValueError: If s is negative.

    Source:
        large-weights-suffice

    >>> induction_network(Recall(2, 2, 2), 3.0)
    Network(depth=2, heads=1, width=17, key_width=5, dtype=torch.float64, device='cpu')
    """
    require(scale >= 0, "scale", "s >= 0", scale)
    N, n = task.vocabulary, task.tokens
    width, slots = 3 * N + n, max(N, n)
    symbol, position, before, answer = 0, N, N + n, 2 * N + n
    query, key = torch.zeros(2, 1, width, slots), torch.zeros(2, 1, width, slots)
    value = torch.zeros(2, 1, width, width)
    letters, places = torch.arange(N), torch.arange(n)
    query[0, 0, position + places, places] = 1
    key[0, 0, position + places[:-1], places[1:]] = 1
    value[0, 0, symbol + letters, before + letters] = 1
    query[1, 0, symbol + letters, letters] = 1
    key[1, 0, before + letters, letters] = 1
    value[1, 0, symbol + letters, answer + letters] = 1
    parts = (query, key, value)
    if isinstance(scale, float | int):
        scale = torch.tensor(scale, dtype=torch.float64)
    if isinstance(scale, Tensor):
        return Network(*(w.to(scale) * column(scale, 4) for w in parts))
    return ExactNetwork(*(_whole(w) * scale for w in parts))


def embed(task: Recall, tokens: Tensor) -> Tensor:
    r"""Tokens of the induction network: symbol and position, and two empty blocks.

    Args:
        task: Associative recall.
        tokens: Sequences of symbols, shape (\*batch, n).

    Returns:
        Shape (\*batch, n, 3N + n), float64, of entries 0 and 1.

    Raises:
        ValueError: If the length is not n, or a symbol is outside 0, …, N − 1.

    Source:
        large-weights-suffice

    >>> embed(Recall(1, 1, 1), torch.tensor([0, 1, 0]))[:, :5].int().tolist()
    [[1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1]]
    """
    N, n = task.vocabulary, task.tokens
    require(tokens.shape[-1] == n, "tokens", f"length n = {n}", tokens.shape[-1])
    require((tokens >= 0) & (tokens < N), "tokens", f"symbols 0, …, {N - 1}", tokens)
    X = torch.zeros(*tokens.shape, 3 * N + n, dtype=torch.float64)
    X[..., N : N + n] = torch.eye(n, dtype=torch.float64)
    return X.scatter(-1, tokens[..., None], 1.0)


def answer(task: Recall, X: Number) -> Number:
    r"""What the last row holds in the block "answer" for each value, shape (\*batch, values).

    >>> task = Recall(2, 2, 2)
    >>> batch = task.sample(50, torch.Generator().manual_seed(0))
    >>> said = answer(task, induction_network(task, 3.0)(embed(task, batch.tokens)))
    >>> bool((said.argmax(-1) + task.keys == batch.targets[:, 0]).all())
    True
    """
    return X[..., -1, -task.values :]


def labelled(task: Recall, labels: int, count: int, generator: Generator) -> Batch:
    """Recall whose values are drawn anew for each pair, among the first few: they repeat.

    So the commonest value is often a wrong answer.

    >>> task = Recall(4, 4, 4)
    >>> labelled(task, 2, 3, torch.Generator().manual_seed(0)).tokens.shape
    torch.Size([3, 9])
    """
    require(1 <= labels <= task.values, "labels", f"from 1 to values = {task.values}", labels)
    batch = task.sample(count, generator)
    drawn = torch.randint(labels, (count, task.pairs), generator=generator)
    return _with_values(batch, drawn + task.keys)


def misleading(task: Recall, count: int, generator: Generator) -> Batch:
    """Recall where all pairs but the queried one hold the same, wrong value: the worst case.

    >>> task = Recall(4, 4, 4)
    >>> batch = misleading(task, 3, torch.Generator().manual_seed(0))
    >>> [(row == target).sum().item() for row, target in zip(*batch)]
    [1, 1, 1]
    """
    require(task.values >= 2, "values", "at least 2 to mislead", task.values)
    batch = task.sample(count, generator)
    wrong = (batch.targets - task.keys + 1) % task.values + task.keys
    asked = batch.tokens[:, 0:-1:2] == batch.tokens[:, -1:]
    return _with_values(batch, torch.where(asked, batch.targets, wrong))


def induction_threshold(task: Recall) -> float:
    r"""The scale above which the induction network is right on every input, and only there.

    .. math:: \Delta(s^*) = \log(m - 1) ,

    the retrieval threshold for more than half of the mass on one of m tokens.

    Args:
        task: Associative recall with m ≥ 3 pairs.

    Returns:
        s*, to double precision.

    Raises:
        ValueError: If m < 3: for two pairs every s > 0 will do.

    Source:
        large-weights-suffice

    >>> s = induction_threshold(Recall(32, 32, 32))
    >>> round(induction_gap(65, s) / math.log(31), 12)
    1.0
    """
    require(task.pairs >= 3, "pairs", ">= 3 for a threshold", task.pairs)
    target = retrieval_threshold(task.pairs, 0.5)
    low, high = 0.0, 2.0 + math.sqrt(math.log(task.tokens))
    for _ in range(64):
        middle = (low + high) / 2
        low, high = (middle, high) if induction_gap(task.tokens, middle) < target else (low, middle)
    return (low + high) / 2


def _with_values(batch: Batch, values: Tensor) -> Batch:
    """The same keys and query with other values, shape (count, m)."""
    keys, query = batch.tokens[:, 0:-1:2], batch.tokens[:, -1:]
    tokens = torch.cat((torch.stack((keys, values), -1).flatten(-2), query), -1)
    asked = (keys == query).int().argmax(-1, keepdim=True)
    return Batch(tokens, values.gather(-1, asked))


def _whole(weight: Tensor) -> np.ndarray:
    """The entries 0 and 1 as Python's integers."""
    return np.array(weight.int().tolist(), dtype=object).reshape(weight.shape)
