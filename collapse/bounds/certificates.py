"""Bounds on a given network and given tokens: measure the sizes, then apply the formulas."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

from collapse import numeric
from collapse.attention import Network
from collapse.bounds.contraction import contraction_factor
from collapse.bounds.ladder import Attention, Sizes, State, ladder
from collapse.kernels import rotate
from collapse.norms import diameter, query_key_norm, query_key_upper, token_norm, value_norm
from collapse.numeric import Bound, Number, Relation, require

EXACT_WIDTH = 16  # up to here the ∞→1 norm is found exactly, in milliseconds


def collapse_bound(
    network: Network,
    X: Number,
    rung: int,
    p: float = math.inf,
    data: Literal["weights", "measured"] = "weights",
) -> Bound:
    r"""Bound on ‖S(X) − S′(X)‖_p, with S′ the surrogate of a rung, in exact arithmetic.

    The recursion of :func:`~collapse.bounds.ladder.ladder`. It holds for all weights and tokens.

    Args:
        network: A Network or ExactNetwork with skip 1 and norm None, with or without RoPE;
            rungs 2 and 3 want no mask.
        X: Tokens, shape (\*batch, n, d).
        rung: 0, 1, 2 or 3.
        p: 1, 2 or ``math.inf``.
        data: "weights" uses the weights, ‖X‖ and diam(X); "measured" also what this input's
            forward pass shows before each layer (‖X_ℓ‖, diam X_ℓ, ‖X_ℓ − X‖, diam(X_ℓ − X)),
            never the error itself, and is tighter.

    Returns:
        A Bound; its value has shape (\*batch,).

    Raises:
        ValueError: On bad input, or an option of the network for which there is no proof.

    Source:
        rung-0, rung-1, rung-2, rung-3

    >>> g = torch.Generator().manual_seed(0)
    >>> network = Network.random(4, 2, 3, 3, eta=0.1, generator=g)
    >>> X = torch.rand(5, 3, generator=g, dtype=torch.float64)
    >>> from collapse.rungs import surrogate
    >>> error = (network(X) - surrogate(network, 2)(X)).abs().max()
    >>> bool(error <= collapse_bound(network, X, 2).value)
    True
    """
    require(network.skip == 1, "skip", "1 for a collapse bound", network.skip)
    require(network.norm is None, "norm", "None for a collapse bound", network.norm)
    require(data in ("weights", "measured"), "data", '"weights" or "measured"', repr(data))
    X = network.prepare(X)
    sizes, assumptions = _sizes(network, X.shape[-2], p)
    states = None
    if data == "measured":
        steps = network.trace(X)
        states = []
        for layer in range(network.depth):
            Z = steps[..., layer, :, :]
            # Exactly zero before the first layer, where the difference of two balls is not.
            moved = Z - X if layer else 0 * X
            sized = (token_norm(Z, p), diameter(Z, p), token_norm(moved, p), diameter(moved, p))
            states.append(State(*sized))
        assumptions += ("the sizes of the tokens before each layer, measured",)
    value = ladder(sizes, token_norm(X, p), diameter(X, p), rung, states)
    return Bound(value, f"rung-{rung}", "upper", assumptions)


def contraction_bound(network: Network, X: Number, p: float = math.inf) -> Bound:
    r"""Bound on diam_p(A(X)), the attention output of a one-layer network without its skip.

    .. math:: \mathrm{diam}_p(A(X)) \le \mathrm{diam}_p(X)
        \sum_h \nu_p(V_h) \tanh\bigl(\beta_p(M_h)\,\mathrm{diam}_p(X)^2/4\bigr),

    with Σν in place of the sum under a mask, and Σν tanh(βφ²), φ = ‖X‖, with RoPE alone.

    Args:
        network: A Network or ExactNetwork of depth 1, norm None.
        X: Tokens, shape (\*batch, n, d).
        p: 1, 2 or ``math.inf``.

    Returns:
        A Bound; its value has shape (\*batch,). It is sharp for plain attention.

    Raises:
        ValueError: On bad input, another depth, or a norm.

    Source:
        contraction

    >>> one = torch.ones(1, 1, 1, 1)
    >>> X = torch.tensor([[-1.0], [1.0]])
    >>> network = Network(one, one, one)
    >>> diameter(network.attention(X, 0)), contraction_bound(network, X).value
    (tensor(1.5232), tensor(1.5232))
    """
    require(network.depth == 1, "depth", "1 for a contraction bound", network.depth)
    require(network.norm is None, "norm", "None for a contraction bound", network.norm)
    X = network.prepare(X)
    sizes, assumptions = _sizes(network, X.shape[-2], p)
    D = diameter(X, p)
    value = contraction_factor(sizes, 0, token_norm(X, p), D) * D
    relation: Relation = "sharp" if sizes.attention == "plain" else "upper"
    return Bound(value, "contraction", relation, assumptions)


def network_sizes(network: Network, n: int, p: float = math.inf) -> Sizes:
    """The sizes of a network's weights that the bounds need, for inputs of n tokens.

    Args:
        network: A Network or ExactNetwork.
        n: Number of tokens; only RoPE depends on it.
        p: 1, 2 or ``math.inf``.

    Returns:
        Sizes with batch, layers and heads of the network.

    Raises:
        ValueError: If p is outside the list.

    Source:
        contraction

    >>> g = torch.Generator().manual_seed(0)
    >>> network_sizes(Network.random(2, 3, 4, 2, 0.1, g), 5).query_key.shape
    torch.Size([2, 3])
    """
    return _sizes(network, n, p)[0]


def _sizes(network: Network, n: int, p: float) -> tuple[Sizes, tuple[str, ...]]:
    V = network.value_output
    if network.rope is not None:
        beta, note = _largest_over_offsets(network, n, p)
    else:
        beta, note = _query_key(network.query, network.key, p)
    attention: Attention = "plain" if network.rope is None else "rope"
    if network.mask is not None:
        attention = "mask" if network.rope is None else "masked rope"
    # A sum of no heads is a zero matrix; reading it off V keeps the number type.
    layer_value = value_norm(V.sum(-3), p)
    return Sizes(value_norm(V, p), layer_value, beta, attention), (note,)


def _query_key(query: Number, key: Number, p: float) -> tuple[Number, str]:
    if p != math.inf or query.shape[-2] <= EXACT_WIDTH:
        return query_key_norm(query @ key.swapaxes(-1, -2), p), f"beta exact, p = {p}"
    return query_key_upper(query, key, p), f"beta an upper bound, p = {p}"


def _largest_over_offsets(network: Network, n: int, p: float) -> tuple[Number, str]:
    """Sup over i − j of β(W_Q R_{i−j} W_Kᵀ): one of the two positions may be taken as 0."""
    query, key = (_turned(w, n, network.rope) for w in (network.query, network.key))
    forward, note = _query_key(query, network.key[..., None, :, :], p)
    backward, _ = _query_key(network.query[..., None, :, :], key, p)
    return numeric.maximum(numeric.amax(forward, -1), numeric.amax(backward, -1)), note


def _turned(weight: Any, n: int, base: Number) -> Any:
    """The weight as position i sees it, for i = 0, …, n − 1: shape (*batch, L, H, n, d, k)."""
    rows = weight[..., None, :]
    # rotate() turns row i by the angle of position i: give every row of W a copy a position.
    copies = rows.repeat_interleave(n, -2) if isinstance(rows, torch.Tensor) else rows.repeat(n, -2)
    return rotate(copies, base).swapaxes(-2, -3)
