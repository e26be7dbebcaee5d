r"""Floor 8. Many layers of mixers with skips, and the one layer that stands for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from collapse.bounds.states import identity_like, shallow_values, stacked
from collapse.numeric import Number, require
from collapse.ssm.mixer import Mixer

Layer = Sequence[Mixer]


def forward(layers: Sequence[Layer], X: Number) -> Number:
    r"""Layers of mixers with skips: X becomes X + Σ_h M_h(X) X V_h, layer by layer.

    Args:
        layers: The heads of each layer, the first layer first; a layer without heads is legal.
        X: Tokens, shape (\*batch, n, d).

    Returns:
        Shape (\*batch, n, d).

    Raises:
        ValueError: On bad tokens.

    Source:
        ssm-lti-exact

    >>> forward([], torch.ones(2, 1)).flatten()
    tensor([1., 1.])
    """
    for heads in layers:
        X = X + sum(head(X) for head in heads)
    return X


def at_rest(mixer: Mixer) -> tuple[Number, Number]:
    r"""Pole a and weight γ of the kernel γ aᵏ that a mixer has on tokens that are zero.

    Args:
        mixer: One with a single matrix and a single decay: a ScalarSSM, or an LTI with N = 1.

    Returns:
        a and γ, shape (\*batch,).

    Raises:
        ValueError: If the mixer has several matrices, or is softmax attention or S6 with N > 1.

    Source:
        ssm-lti-exact
    """
    require(mixer.channels == 1, "mixer", "one matrix for all features", mixer.channels)
    weight = mixer.gate if mixer.gate is not None else mixer.value
    like = weight if weight is not None else getattr(mixer, "rate", None)
    require(like is not None, "mixer", "a state space model", type(mixer))
    M = mixer.matrix(_zeros(3, mixer.width, like))[..., 0, :, :]
    first, second, third = (M[..., i, 0] for i in range(3))
    if isinstance(M, torch.Tensor):
        single = torch.isclose(first * third, second * second, rtol=1e-9, atol=0)
        require(single, "mixer", "a single decay", mixer)
    return second / first, first


def one_layer(layers: Sequence[Layer]) -> Layer:
    r"""One layer with the same mixers, and other values.

    They are those of :func:`~collapse.bounds.states.shallow_values`. It is the whole network
    exactly where no mixer depends on the tokens, whatever the weights; with selective mixers it is
    so on vanishing tokens only.

    Args:
        layers: Layers of equally many heads, each with a single decay at rest, those of different
            layers different.

    Returns:
        The heads of the one layer.

    Raises:
        ValueError: If poles of two layers meet, or as for :func:`at_rest`.

    Source:
        ssm-lti-exact, ssm-selective-order

    >>> g = torch.Generator().manual_seed(0)
    >>> from collapse.ssm import ScalarSSM
    >>> layers = [[ScalarSSM.random(3, 2, g, scale=0.1)] for _ in range(4)]
    >>> len(one_layer(layers))
    4
    """
    heads = [head for layer in layers for head in layer]
    L, H = len(layers), len(layers[0])
    require(all(len(layer) == H for layer in layers), "layers", f"{H} heads each", layers)
    rest = [at_rest(head) for head in heads]
    poles = stacked([pole for pole, _ in rest], -1)
    values = []
    for head, (_, weight) in zip(heads, rest, strict=True):
        V = head.value if head.value is not None else identity_like(head.width, weight)
        values.append(weight[..., None, None] * V)
    V = stacked(values, -3)
    poles = poles.reshape(*poles.shape[:-1], L, H)
    W = shallow_values(poles, V.reshape(*V.shape[:-3], L, H, *V.shape[-2:]))
    W = W.reshape(*W.shape[:-4], L * H, *W.shape[-2:])
    return tuple(
        head.replace(value=W[..., p, :, :] / weight[..., None, None])
        for p, (head, (_, weight)) in enumerate(zip(heads, rest, strict=True))
    )


def _zeros(tokens: int, width: int, like: Number) -> Number:
    if isinstance(like, torch.Tensor):
        return like.new_zeros(tokens, width)
    return np.zeros((tokens, width), dtype=object) + 0 * like.reshape(-1)[0]


def exchanged(first: Number, other: Number, middle: Number, last: Number) -> Number:
    r"""Four inputs on which one layer cannot tell how the first token meets an exchange.

    The tokens in the middle in their order and with two of them exchanged, behind each of two first
    tokens.

    Args:
        first: A token, shape (\*batch, 1, d).
        other: Another one.
        middle: Tokens, shape (\*batch, m, d), m ≥ 2, of which the first two change places.
        last: A token, shape (\*batch, 1, d).

    Returns:
        Shape (\*batch, 4, m + 2, d).

    Raises:
        ValueError: If there are fewer than two tokens in the middle.

    Source:
        ssm-selective-order

    >>> one = torch.ones(1, 1)
    >>> exchanged(one, 2 * one, torch.tensor([[3.0], [4.0]]), one).shape
    torch.Size([4, 4, 1])
    """
    require(middle.shape[-2] >= 2, "middle", "two tokens at least", tuple(middle.shape))
    swapped = stacked([middle[..., i, :] for i in (1, 0, *range(2, middle.shape[-2]))], -2)
    inputs = []
    for begin in (first, other):
        for rest in (middle, swapped):
            between = (rest[..., i, :] for i in range(rest.shape[-2]))
            inputs.append(stacked([begin[..., 0, :], *between, last[..., 0, :]], -2))
    return stacked(inputs, -3)


def exchange(outputs: Number) -> Number:
    r"""What the exchange does to the last token behind one first token, less that behind the other.

    Zero for every one-layer network of causal softmax attention, linear attention or state space
    models with diagonal decays, however many heads: decays commute, and so do sums.

    Args:
        outputs: A network on :func:`exchanged` inputs, shape (\*batch, 4, n, d).

    Returns:
        Shape (\*batch, d). A quarter of its largest entry is the least error that any such layer
        has on one of the inputs.

    Raises:
        ValueError: If there are not four outputs.

    Source:
        ssm-selective-order

    >>> exchange(torch.tensor([[[1.0]], [[2.0]], [[3.0]], [[5.0]]]))
    tensor([1.])
    """
    require(outputs.shape[-3] == 4, "outputs", "four of them", tuple(outputs.shape))
    last = outputs[..., -1, :]
    return last[..., 0, :] - last[..., 1, :] - last[..., 2, :] + last[..., 3, :]
