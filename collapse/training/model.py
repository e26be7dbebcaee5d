"""An ensemble as a value: one batched Network with the embeddings before it, the readout behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from collapse.attention import Network
from collapse.kernels import times
from collapse.training.forward import rows_read

Parameters = dict[str, Tensor]
WEIGHTS = ("query", "key", "value")


@dataclass(frozen=True)
class Model:
    r"""E networks with embeddings and readouts: logits = S(embedding + position) · readout.

    Attributes:
        network: A Network of batch (E, 1).
        embedding: Shape (E, vocabulary, d).
        position: Shape (E, n, d).
        readout: Shape (E, d, vocabulary).
        read: The positions that are read.
    """

    network: Network
    embedding: Tensor
    position: Tensor
    readout: Tensor
    read: tuple[int, ...]

    def inputs(self, tokens: Tensor) -> Tensor:
        """The tokens that enter the stack.

        Args:
            tokens: Integers, shape (B, n), the same for all members, or (E, B, n).

        Returns:
            Shape (E, B, n, d).
        """
        members, vocabulary, _ = self.embedding.shape
        rows = tokens + vocabulary * torch.arange(members)[:, None, None]
        table = self.embedding.flatten(0, 1)
        return torch.nn.functional.embedding(rows, table) + self.position[:, None]

    def logits(self, output: Tensor) -> Tensor:
        """What is read off the output of a stack: (E, B, n, d) → (E, B, r, vocabulary)."""
        return self._said(output[..., list(self.read), :])

    def loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """The mean cross-entropy of each member in nats, shape (E,).

        Args:
            tokens: Integers, shape (B, n) or (E, B, n).
            targets: The right answers, shape (B, r) or (E, B, r).
        """
        return self.loss_of(self.network(self.inputs(tokens)), targets)

    def loss_of(self, output: Tensor, targets: Tensor) -> Tensor:
        """The same for a given output of the stack, shape (E, B, n, d)."""
        return _cross_entropy(self.logits(output), targets)

    def training_loss(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """The same as ``loss`` up to rounding, made for gradients of many short sequences."""
        rows = rows_read(self.network, self.inputs(tokens), self.read)
        return _cross_entropy(self._said(rows), targets)

    def members(self, rows: Sequence[int]) -> Model:
        """The model of some of the members."""
        chosen, net = list(rows), self.network
        weights = {name: getattr(net, name)[chosen] for name in WEIGHTS}
        network = net.replace(**weights, skip=net.skip[chosen])
        rest = {name: getattr(self, name)[chosen] for name in ("embedding", "position", "readout")}
        return replace(self, network=network, **rest)

    def _said(self, rows: Tensor) -> Tensor:
        return times(rows, self.readout[:, None])


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    right = targets.expand(logits.shape[:-1])[..., None]
    return -logits.log_softmax(-1).gather(-1, right).flatten(1).mean(-1)
