r"""Floor 5. A network as the sum over its paths, each a product of attention matrices and weights.

At every layer a path takes either one of the H heads or, with factor λ, the skip. With the
attention matrices of the forward pass, multiplying out the layers gives

.. math:: S(X) = \sum_{\text{paths}} \lambda^{\text{skips}}\,
    P_{\ell_k h_k} \cdots P_{\ell_1 h_1}\, X\, V_{\ell_1 h_1} \cdots V_{\ell_k h_k} .
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from collapse.attention import Network
from collapse.numeric import Number, require

_ENTRIES = 1 << 26  # of all terms together: half a GiB in float64


@dataclass(frozen=True)
class Paths:
    r"""The terms of a network's output, path by path.

    Attributes:
        terms: What each path contributes, shape (\*batch, paths, n, d).
        choices: Shape (paths, L), integers: 0 for the skip, h for head h = 1, …, H of the layer.
    """

    terms: Number
    choices: torch.Tensor

    @property
    def lengths(self) -> torch.Tensor:
        """Number of heads on each path, shape (paths,)."""
        return (self.choices > 0).sum(-1)

    def of_length(self, length: int) -> Number:
        r"""The sum of all paths through so many heads, shape (\*batch, n, d).

        Args:
            length: From 0 to L; zero tokens where there is no such path.

        Raises:
            ValueError: If the length is outside 0..L.
        """
        depth = self.choices.shape[-1]
        require(0 <= length <= depth, "length", f"0 <= length <= {depth}", length)
        chosen = self.lengths == length
        if not isinstance(self.terms, torch.Tensor):
            return self.terms[..., chosen.numpy(), :, :].sum(-3)
        return self.terms[..., chosen.to(self.terms.device), :, :].sum(-3)


def path_decomposition(network: Network, X: Number) -> Paths:
    r"""Split the output of a network into its :math:`(H + 1)^L` paths; :math:`H^L` without skips.

    .. math:: S(X) = \sum_{\text{paths}} \lambda^{\text{skips}}\,
        P_{\mathrm{path}}\, X\, V_{\mathrm{path}} .

    Masks and RoPE only change the attention matrices, which come from the forward pass.

    Args:
        network: A Network or ExactNetwork with norm None.
        X: Tokens, shape (\*batch, n, d).

    Returns:
        The Paths; their terms add up to network(X).

    Raises:
        ValueError: If the network has a norm, X does not fit it, or the terms would have more than
            2²⁶ entries.

    Source:
        path-decomposition

    >>> network = Network.random(2, 2, 3, 3, 0.5, torch.Generator().manual_seed(0))
    >>> X = torch.eye(3, dtype=torch.float64)
    >>> paths = path_decomposition(network, X)
    >>> len(paths.choices), bool((paths.terms.sum(-3) - network(X)).abs().max() < 1e-15)
    (9, True)
    """
    require(network.norm is None, "norm", "None for a path decomposition", network.norm)
    X = network.prepare(X)
    skips = isinstance(network.skip, torch.Tensor) or network.skip != 0
    ways = torch.arange(0 if skips else 1, network.heads + 1)
    entries = len(ways) ** network.depth * math.prod(X.shape)
    require(entries <= _ENTRIES, "paths", f"at most {_ENTRIES} entries in all terms", entries)
    # A leading factor of one way keeps the shape right at depths 0 and 1.
    choices = torch.cartesian_prod(torch.zeros(1, dtype=torch.int64), *[ways] * network.depth)
    choices = choices.reshape(-1, network.depth + 1)[:, 1:]

    steps, values = network.trace(X), network.value_output
    terms = X[..., None, :, :]
    for layer in range(network.depth):
        P = network.attention_matrices(steps[..., layer, :, :], layer)
        V = values[..., layer, :, :, :]
        # One axis for the paths so far, one for the next choice; the last choice varies fastest.
        continued = P[..., None, :, :, :] @ terms[..., None, :, :] @ V[..., None, :, :, :]
        parts = (_skipped(network.skip, terms)[..., None, :, :], continued)
        if skips:
            continued = _join(parts, continued)
        before, after = continued.shape[-4:-2]
        terms = continued.reshape(*continued.shape[:-4], before * after, *X.shape[-2:])
    return Paths(terms, choices)


def _skipped(skip: Number, terms: Number) -> Number:
    return terms * (skip[..., None, None, None] if isinstance(skip, torch.Tensor) else skip)


def _join(parts: tuple[Number, Number], like: Number) -> Number:
    if not isinstance(like, torch.Tensor):
        return np.concatenate(parts, -3)
    batch = torch.broadcast_shapes(*(part.shape[:-3] for part in parts))
    return torch.cat([part.expand(*batch, *part.shape[-3:]) for part in parts], -3)
