r"""Attention under a mask: how fast the tokens must meet, from the shape of the mask alone.

The mask is a graph: an edge leads from each token to the tokens that it may attend to. Every
formula takes one number a layer, a floor under the attention weights on the edges.
"""

from __future__ import annotations

from collections.abc import Sequence

from collapse import numeric
from collapse.bounds.ladder import Sizes
from collapse.numeric import Number, require
from collapse.softmax import tv_bound


def least_weight(theta: Number, visible: int) -> Number:
    r"""The least attention weight in a row whose logits oscillate by at most θ.

    .. math:: \varepsilon = \frac{1}{1 + (m - 1)\, e^{\theta}} \ge \frac{e^{-\theta}}{m} .

    Attained: one logit θ below all others.

    Args:
        theta: θ ≥ 0, of any number type.
        visible: Number m ≥ 1 of tokens that the row may attend to.

    Returns:
        ε, of the type of θ.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        masked-collapse

    >>> least_weight(0.0, 4)
    0.25
    """
    require(theta >= 0, "theta", "theta >= 0", theta)
    require(visible >= 1, "visible", "at least one visible token", visible)
    # By the small power: the large one would overflow where the weight only vanishes.
    small = numeric.exp(-theta)
    return small / ((visible - 1) + small) if visible > 1 else 1 + 0 * small


def centre_factors(weights: Sequence[Number], centres: int, steps: int) -> list[Number]:
    r"""Bounds on τ of the product of all layers so far, from the centres of the mask.

    .. math:: \tau(P_t \cdots P_1) \le (1 - \lvert C \rvert\, \varepsilon^r)^{\lfloor t/r \rfloor},

    where from every token a path of at most r edges leads to each of the centres C. With a floor
    :math:`\varepsilon_s` for each layer the power is a product over the r layers of each block.

    Args:
        weights: :math:`\varepsilon_1, \dots, \varepsilon_t`, each in [0, 1/\|C|].
        centres: \|C| ≥ 1.
        steps: r ≥ 1.

    Returns:
        t + 1 bounds, after 0, 1, …, t layers.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        masked-collapse

    >>> centre_factors([0.5, 0.5, 0.5], centres=1, steps=2)
    [1.0, 1.0, 0.75, 0.75]
    """
    require(centres >= 1, "centres", "at least one", centres)
    require(steps >= 1, "steps", "at least one", steps)
    one = 1 + 0 * weights[0] if len(weights) else 1
    bounds, block = [one], one
    for layer, weight in enumerate(weights, start=1):
        require(weight >= 0, "weights", "floors >= 0", weight)
        block = block * weight
        if layer % steps:
            bounds.append(bounds[-1])
        else:
            bounds.append(bounds[-1] * (1 - centres * block))
            block = one
    return bounds


def walk_factors(weights: Sequence[Number], longest: int) -> list[Number]:
    r"""The same for a mask whose only cycles are self-loops, with a single centre.

    .. math:: \tau(P_t \cdots P_1) \le \Pr[\mathrm{Bin}(t, \varepsilon) < R]
        = \sum_{k < R} \binom{t}{k} \varepsilon^k (1 - \varepsilon)^{t - k} ,

    where R is the length of a longest path. With a floor for each layer, the number of successes
    in independent trials of those chances. Attained at every t by a window of one token.

    Args:
        weights: :math:`\varepsilon_1, \dots, \varepsilon_t`, each in [0, 1].
        longest: R ≥ 1.

    Returns:
        t + 1 bounds, after 0, 1, …, t layers.

    Raises:
        ValueError: If an argument leaves its range.

    Source:
        masked-walk

    >>> walk_factors([0.5, 0.5, 0.5], longest=2)
    [1.0, 1.0, 0.75, 0.5]
    """
    require(longest >= 1, "longest", "at least one", longest)
    one = 1 + 0 * weights[0] if len(weights) else 1
    # chance[k] of exactly k moves so far; with R moves the walk has arrived.
    chance = [one] + [0 * one] * (longest - 1)
    bounds = [one]
    for weight in weights:
        require(weight >= 0, "weights", "floors in [0, 1]", weight)
        require(weight <= 1, "weights", "floors in [0, 1]", weight)
        before = [0 * one, *chance[:-1]]
        chance = [
            (1 - weight) * stay + weight * move for stay, move in zip(chance, before, strict=True)
        ]
        bounds.append(sum(chance[1:], chance[0]))
    return bounds


def averaging_error(sizes: Sizes, layer: int, phi: Number, D: Number) -> Number:
    r"""Bound on how far attention under a mask is from averaging what each token sees.

    .. math:: \Bigl\lVert A(X) - P^* X \sum_h V_h \Bigr\rVert
        \le \sum_h \nu_h \tanh(\beta_h \varphi D/4)\; D ,

    of second order in D, with the same matrix P* whatever the weights.

    Args:
        sizes: The network's weights.
        layer: Index of the layer, counted from 0.
        phi: ‖X‖, shape (\*batch,).
        D: diam(X), shape (\*batch,).

    Returns:
        The bound, of the number type of the inputs.

    Raises:
        ValueError: With RoPE, where equal tokens are not averaged evenly.

    Source:
        masked-rate

    >>> import torch
    >>> one = torch.ones(1, 1)
    >>> averaging_error(Sizes(one, one[0], one, "mask"), 0, torch.tensor(1.0), torch.tensor(2.0))
    tensor(0.9242)
    """
    require(not sizes.rotary, "attention", '"plain" or "mask"', sizes.attention)
    nu, beta = (size[..., layer, :] for size in (sizes.head_value, sizes.query_key))
    theta = phi * D
    theta = theta[..., None] if hasattr(theta, "shape") else theta
    return (nu * tv_bound(beta * theta)).sum(-1) * D
