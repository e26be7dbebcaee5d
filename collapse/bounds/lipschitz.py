"""How far the output of one attention layer moves when the tokens that it reads move."""

from __future__ import annotations

import math

from collapse.attention import Network
from collapse.bounds.certificates import network_sizes
from collapse.bounds.ladder import Sizes, State, spread
from collapse.norms import diameter, token_norm
from collapse.numeric import Bound, Number, Relation, require


def attention_lipschitz(sizes: Sizes, layer: int, state: State, phi0: Number, D0: Number) -> Number:
    r"""Bound on ‖A(Z) − A(X)‖ for tokens Z = X + Δ.

    .. math:: \lVert A(Z) - A(X) \rVert \le \sum_h \nu_h \lVert \Delta \rVert
        + \mathrm{diam}(X) \sum_h \nu_h \tanh\bigl(\beta_h(\lVert \Delta \rVert\,
        \mathrm{diam}(Z) + \lVert X \rVert\, \mathrm{diam}(\Delta))/4\bigr).

    The first sum is the tokens that moved, the second the attention that moved. It holds under a
    mask as well; with RoPE the bracket is 2(‖Δ‖‖Z‖ + ‖X‖‖Δ‖), masked or not.

    Args:
        sizes: The network's weights.
        layer: Index of the layer, counted from 0.
        state: ‖Z‖, diam(Z), ‖Δ‖ and diam(Δ).
        phi0: ‖X‖.
        D0: diam(X).

    Returns:
        The bound, of the number type of the inputs.

    Source:
        attention-lipschitz

    >>> import torch
    >>> one, D = torch.ones(1, 1), torch.tensor(2.0)
    >>> moved = State(torch.tensor(1.0), D, torch.tensor(0.5), 0 * D)
    >>> attention_lipschitz(Sizes(one, one[0], one), 0, moved, torch.tensor(1.0), D)
    tensor(0.9898)
    """
    carried = sizes.head_value[..., layer, :].sum(-1) * state.delta
    return carried + D0 * spread(sizes, layer, state, phi0).moved


def attention_lipschitz_bound(
    network: Network, X: Number, Z: Number, p: float = math.inf, layer: int = 0
) -> Bound:
    r"""Bound on ‖A(Z) − A(X)‖_p, the move of one layer's attention output, for given tokens.

    The formula of :func:`attention_lipschitz`, with every norm measured.

    Args:
        network: A Network or ExactNetwork, norm None, with or without mask and RoPE.
        X: Tokens, shape (\*batch, n, d).
        Z: Tokens of the same shape, the moved ones.
        p: 1, 2 or ``math.inf``.
        layer: Index of the layer, counted from 0.

    Returns:
        A Bound; its value has shape (\*batch,). It is sharp for plain attention.

    Raises:
        ValueError: On bad input, another shape of Z, a norm, or if there is no such layer.

    Source:
        attention-lipschitz

    >>> import torch
    >>> one, X = torch.ones(1, 1, 1, 1), torch.tensor([[-0.5], [1.5]])
    >>> network, Z = Network(one, one, one), X + 1
    >>> moved = (network.attention(Z, 0) - network.attention(X, 0)).abs().max()
    >>> moved, attention_lipschitz_bound(network, X, Z).value
    (tensor(1.9242), tensor(1.9242))
    """
    require(0 <= layer < network.depth, "layer", f"0 <= layer < {network.depth}", layer)
    require(network.norm is None, "norm", "None for a Lipschitz bound", network.norm)
    require(X.shape[-2:] == Z.shape[-2:], "Z", f"tokens {tuple(X.shape[-2:])}", tuple(Z.shape))
    X, Z = network.prepare(X), network.prepare(Z)
    sizes = network_sizes(network, X.shape[-2], p)
    moved = Z - X
    state = State(token_norm(Z, p), diameter(Z, p), token_norm(moved, p), diameter(moved, p))
    value = attention_lipschitz(sizes, layer, state, token_norm(X, p), diameter(X, p))
    relation: Relation = "sharp" if sizes.attention == "plain" else "upper"
    return Bound(value, "attention-lipschitz", relation, ("every norm of the tokens measured",))
