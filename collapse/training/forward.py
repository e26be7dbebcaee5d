r"""The stack on many short sequences at once, in few products of matrices.

:class:`~collapse.attention.Network` calls torch's fused attention, which keeps no n × n matrix. On
a dozen tokens the fused kernels cost far more than their arithmetic, and most where gradients are
wanted. Here a layer is four batched products and a softmax. With
:math:`P_h = \mathrm{softmax}(X M_h X^\top)` it maps

.. math:: X \mapsto \lambda X + (P_1 X, \dots, P_H X)
    \begin{pmatrix} V_1 \\ \vdots \\ V_H \end{pmatrix} .

The last layer is evaluated at the rows that are read, and nowhere else. All matrices :math:`P_h`
are kept for the gradients, so that memory grows with the square of n.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from collapse.attention import Network
from collapse.numeric import require
from collapse.stack import column


def rows_read(network: Network, X: Tensor, read: Sequence[int]) -> Tensor:
    """Some rows of the output S(X).

    Args:
        network: Of batch (E, 1) and depth L ≥ 1, without normalisation or rotary positions.
        X: Tokens, shape (E, B, n, d). They are not checked, nor is the output: this is the inner
            loop of training, where the next Network checks the weights that came of it.
        read: The r rows, as indices in 0, …, n − 1.

    Returns:
        Shape (E, B, r, d).

    Raises:
        ValueError: On another depth, or an option that is not offered.

    >>> g = torch.Generator().manual_seed(0)
    >>> one, X = Network.random(2, 1, 3, 2, 0.5, g), torch.eye(3, dtype=torch.float64)
    >>> row = rows_read(Network.stack([Network.stack([one])]), X[None, None], [2])[0, 0, 0]
    >>> bool((row - one(X)[2]).abs().max() < 1e-15)
    True
    """
    require(network.depth >= 1, "depth", "L >= 1", network.depth)
    require(network.norm is None, "norm", "None", repr(network.norm))
    require(network.rope is None, "rope", "None", network.rope)
    members, count, n, d = X.shape
    rows, every = torch.tensor(read), list(read) == list(range(n))
    # (M_1 … M_H) and (V_1; …; V_H) of every layer.
    logits = network.query_key[:, 0].movedim(-3, -2).flatten(-2).unbind(1)
    values = network.value_output[:, 0].flatten(-3, -2).unbind(1)
    for layer, (M, V) in enumerate(zip(logits, values, strict=True)):
        part = layer == network.depth - 1 and not every
        asking = X.index_select(2, rows) if part else X
        tokens = X.flatten(0, 1)
        asked = (asking.flatten(1, 2) @ M).view(len(tokens), -1, d)  # its rows: token by head
        # Transposed: torch is fast at a softmax over a dimension that is not the last.
        A = tokens @ asked.mT
        if network.mask is not None:
            visible = network.mask[rows] if part else network.mask
            A = A.masked_fill(~visible.repeat_interleave(network.heads, 0).mT, -torch.inf)
        mixed = (A.softmax(-2).mT @ tokens).view(members, -1, network.heads * d)
        skipped = (asking * column(network.skip, 2)).flatten(1, 2)
        X = torch.baddbmm(skipped, mixed, V).view(members, count, -1, d)
    return X
