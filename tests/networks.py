"""Small networks in every option, and their translation for the slow twins."""

from __future__ import annotations

import math
from typing import Any

import reference
import torch
from strategies import generator, lists

from collapse.attention import Network

N, D, K = 4, 3, 2  # tokens, width, key width of the small networks

CAUSAL = torch.ones(N, N, dtype=torch.bool).tril()
SCATTERED = torch.tensor([[0, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 0, 0]], dtype=torch.bool)

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no skip": {"skip": 0.0},
    "skip λ": {"skip": -0.5},
    "causal": {"mask": CAUSAL},
    "scattered mask": {"mask": SCATTERED},
    "rope": {"rope": 10.0},
    "pre": {"norm": "pre"},
    "row": {"norm": "row"},
    "mixer": {"mixer_scale": 0.25},
    "factored": {"output": 2},
    "wide values": {"output": 5},
    "all but row": {
        "output": 2, "mask": SCATTERED, "rope": 100.0, "norm": "pre", "mixer_scale": -2.0, "skip": 2
    },
    "all but pre": {
        "output": 5, "mask": CAUSAL, "rope": 100.0, "norm": "row", "mixer_scale": 0.5, "skip": 1.5
    },
}  # fmt: skip


def weights(*shape: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    """Uniform entries in [-0.7, 0.7], the same up to rounding in every dtype."""
    entries = torch.rand(shape, generator=generator(seed), dtype=torch.float64) * 1.4 - 0.7
    return entries.to(dtype)


def build(
    option: str = "plain",
    batch: tuple[int, ...] = (),
    layers: int = 2,
    heads: int = 2,
    width: int = D,
    key_width: int = K,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Network:
    """A random network in one of the OPTIONS; there, output stands for the value width."""
    options = dict(OPTIONS[option])
    middle = options.pop("output", None)
    shape = (*batch, layers, heads)
    query, key, value = (
        weights(*shape, width, columns, seed=seed + i, dtype=dtype)
        for i, columns in enumerate((key_width, key_width, middle or width))
    )
    if middle:
        options["output"] = weights(*shape, middle, width, seed=seed + 3, dtype=dtype)
    return Network(query, key, value, **options)


def tokens(*shape: int, seed: int = 100, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def twin(network: Network) -> tuple[list[list[reference.Head]], reference.Options]:
    """Layers and options of an unbatched network as the slow twin takes them."""
    parts = (network.query, network.key, network.value, network.output)
    layers = [
        [
            reference.Head(*(None if w is None else lists(w[layer, head]) for w in parts))
            for head in range(network.heads)
        ]
        for layer in range(network.depth)
    ]
    options = reference.Options(
        skip=network.skip,
        mask=None if network.mask is None else network.mask.tolist(),
        rope=network.rope,
        norm=network.norm,
        mixer_scale=network.mixer_scale,
    )
    return layers, options


def twin_trace(network: Network, X: torch.Tensor) -> list[reference.Matrix]:
    """The slow twin's trace of one input through an unbatched network."""
    layers, options = twin(network)
    return reference.trace(lists(X), layers, options)


def rounding_scale(network: Network, X: torch.Tensor) -> float:
    """The largest token times the Lipschitz constants of the layers: what rounding grows by.

    A change δ of the tokens that attention reads moves the logits by at most 2βφδ, hence a row of
    softmax by at most βφδ in total variation, hence the output by at most v(1 + 2βφ²)δ; β and v
    are taken of absolute values, since every product rounds on its own.
    """
    network, X = network.to(torch.float64), X.double()
    steps = network.trace(X)
    largest = max(1.0, float(steps.abs().max()) if steps.numel() else 1.0)
    root = math.sqrt(network.width)
    growth = 1.0
    for layer in range(network.depth):
        part, before = network.layers(layer, layer + 1), steps[..., layer, :, :]
        read = root if network.norm == "pre" else float(before.abs().max())
        beta = (part.query.abs().sum(-2) * part.key.abs().sum(-2)).sum(-1)
        V = part.value.abs() if part.output is None else part.value.abs() @ part.output.abs()
        v = V.sum(-2).amax(-1)
        mixer = 1.0 if network.mixer_scale is None else network.mixer_scale
        moved = abs(torch.as_tensor(mixer)).max() * (v * (1 + 2 * beta * read**2)).sum(-1).max()
        if network.norm == "pre":
            moved = moved * 2 * network.width / torch.linalg.vector_norm(before, dim=-1).min()
        amplified = float(abs(torch.as_tensor(network.skip)).max() + moved)
        if network.norm == "row":
            raw = part.replace(norm=None)(before)
            amplified *= 2 * root / float(torch.linalg.vector_norm(raw, dim=-1).min())
        growth *= max(1.0, amplified)
    return largest * growth


def operations(network: Network, X: torch.Tensor) -> int:
    """Roundings on the longest chain: the products' sums, exp, division, in every layer."""
    inner = network.key_width + network.value.shape[-1] + network.heads
    return network.depth * (2 * X.shape[-2] + 3 * network.width + inner + 20) + 1
