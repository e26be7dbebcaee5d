"""The models that can be inspected: torch's attention modules, and our own networks.

Hugging Face models are in :mod:`collapse.inspection.pretrained`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from collapse.attention import Network
from collapse.inspection.site import Projections, Site, read
from collapse.kernels import fused_attention, rotate, unit_rows
from collapse.numeric import require

KNOWN = (
    "torch.nn.MultiheadAttention, TransformerEncoderLayer or TransformerEncoder, a BERT-, GPT-2-"
    " or Llama-style model of transformers, a collapse.Network, or a Subject that describes another"
)


@dataclass(frozen=True)
class Subject:
    """A model made ready for inspection; describe one of your own with it.

    Attributes:
        model: The module that runs.
        sites: Its attention layers, in the order in which they run.
        run: Maps a batch, token ids (batch, n) or embeddings (batch, n, d), to outputs
            (batch, n, d).
        width: Width d of the tokens.
        words: What the attention stack is and what counts as the model's output.
        longest: Largest number of tokens that the model takes, None without a limit.
        vocabulary: Number of token ids that the model knows, None if it reads embeddings alone.
    """

    model: nn.Module
    sites: tuple[Site, ...]
    run: Callable[[Tensor], Tensor]
    width: int
    words: str
    longest: int | None = None
    vocabulary: int | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the weights."""
        return _first(self.model).dtype

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return _first(self.model).device


def _first(model: nn.Module) -> Tensor:
    """A tensor of the model's type and on its device."""
    for layer in model.modules():
        if isinstance(layer, _Attention):
            return layer.network.query
    return next(model.parameters())


def refuse_unknown(model: object, sites: tuple[Site, ...]) -> None:
    """Refuse a model with attention modules that no site accounts for, naming them."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model: expected {KNOWN}, received {type(model).__name__}")
    known = {id(site.attention) for site in sites}
    inside = {id(part) for site in sites for part in site.attention.modules()}
    strange = [
        f"{name or 'the model itself'} ({type(module).__name__})"
        for name, module in model.named_modules()
        if any(word in type(module).__name__.lower() for word in ("attention", "attn", "mixer"))
        and id(module) not in inside
        and not any(id(part) in known for part in module.modules())
    ]
    listed = ", ".join(strange[:4]) + (", …" if len(strange) > 4 else "")
    if not sites:
        what = f"the attention modules {listed}" if strange else "no attention modules"
        raise ValueError(f"model: expected {KNOWN}, received {type(model).__name__} with {what}")
    require(not strange, "model", "only attention modules that can be inspected", listed)


def check_length(mask: Tensor | None, tokens: Tensor) -> None:
    """Refuse tokens for which the mask is not made."""
    n = tokens.shape[-2]
    fits = mask is None or mask.shape[-1] == n
    require(fits, "mask", f"shape {(n, n)}, for {n} tokens", mask is not None and (*mask.shape,))


# --- torch.nn -----------------------------------------------------------------------------------


def torch_subject(model: nn.Module, mask: Tensor | None) -> Subject | None:
    """The subject of a torch.nn module, or None for any other model."""
    if isinstance(model, nn.MultiheadAttention):
        sites: tuple[Site, ...] = (multihead_site("attention", model, model),)
        words = "one attention layer without skip connection; its output is the model's"
    elif isinstance(model, nn.TransformerEncoderLayer):
        sites = _encoder((model,), ("",))
        words = _encoder_words(1)
    elif isinstance(model, nn.TransformerEncoder):
        layers = tuple(model.layers)
        for name, layer in enumerate(layers):
            require(
                isinstance(layer, nn.TransformerEncoderLayer),
                f"layers.{name}",
                "a torch.nn.TransformerEncoderLayer",
                type(layer).__name__,
            )
        names = tuple(f"layers.{i}." for i in range(len(layers)))
        sites, words = _encoder(layers, names), _encoder_words(len(layers))
    else:
        return None
    refuse_unknown(model, sites)
    module = sites[0].attention
    assert isinstance(module, nn.MultiheadAttention)
    hidden = None if mask is None else ~mask.to(module.out_proj.weight.device)

    def run(batch: Tensor) -> Tensor:
        check_length(mask, batch)
        x = batch if module.batch_first else batch.transpose(0, 1)
        if isinstance(model, nn.MultiheadAttention):
            out = model(x, x, x, attn_mask=hidden, need_weights=False)[0]
        elif isinstance(model, nn.TransformerEncoder):
            out = model(x, mask=hidden)
        else:
            out = model(x, src_mask=hidden)
        return out if module.batch_first else out.transpose(0, 1)

    return Subject(model, sites, run, module.embed_dim, words)


def _encoder_words(depth: int) -> str:
    many = "one self-attention layer" if depth == 1 else f"the {depth} self-attention layers"
    return f"{many} between MLPs, skip connections and LayerNorm; outputs are those of the encoder"


def _encoder(layers: tuple[nn.TransformerEncoderLayer, ...], names: tuple[str, ...]) -> Any:
    sites = []
    for index, (layer, name) in enumerate(zip(layers, names, strict=True)):
        norm: nn.Module | None = None
        if layer.norm_first:
            norm = layer.norm1
        elif index:
            norm = layers[index - 1].norm2
        where = f"{name}self_attn"
        sites.append(multihead_site(where, layer.self_attn, layer, norm, layer.norm_first))
    return tuple(sites)


def multihead_site(
    name: str,
    module: nn.MultiheadAttention,
    layer: nn.Module,
    norm: nn.Module | None = None,
    pre: bool = False,
) -> Site:
    """The site of a torch.nn.MultiheadAttention in any model.

    Args:
        name: What the report calls it.
        module: The attention, called with one tensor as query, key and value.
        layer: The module whose input and output are the residual stream.
        norm: The LayerNorm or RMSNorm whose output attention reads, None without.
        pre: Whether the norm is part of the layer.

    Raises:
        ValueError: If the module has other widths, bias_k or zero attention.

    >>> module = nn.MultiheadAttention(4, 2)
    >>> multihead_site("attention", module, module).heads
    2
    """
    plain = (
        type(module) is nn.MultiheadAttention
        and module.in_proj_weight is not None
        and module.bias_k is None
        and not module.add_zero_attn
    )
    expected = "torch.nn.MultiheadAttention with one width, no bias_k and no zero attention"
    require(plain, name, expected, module)
    heads, d = module.num_heads, module.embed_dim
    k = d // heads

    def projections(dtype: torch.dtype) -> Projections:
        joint, bias = read(module.in_proj_weight, dtype), read(module.in_proj_bias, dtype)
        weight = joint.unflatten(0, (3, heads, k)).movedim(-1, 1)
        parts = (None,) * 3 if bias is None else tuple(bias.reshape(3, heads, k))
        output = read(module.out_proj.weight, dtype).T.unflatten(0, (heads, k))
        biases = (*parts, read(module.out_proj.bias, dtype))
        query, key, value = weight
        return Projections(query, key, value, output, biases).scaled(1 / math.sqrt(k))

    return Site(name, module, layer, heads, projections, norm, pre)


# --- our own networks ---------------------------------------------------------------------------


class _Attention(nn.Module):
    """Attention of one layer of a Network, as a module that hooks can reach."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        check_length(self.network.mask, tokens)
        q, k, v, output = network_weights(self.network)
        parts = [torch.einsum("...nd,dhk->...hnk", tokens, w) for w in (q, k, v)]
        if self.network.rope is not None:
            parts[:2] = (rotate(part, self.network.rope) for part in parts[:2])
        mask = None if self.network.mask is None else self.network.mask.to(tokens.device)
        mixed = fused_attention(parts[0], parts[1], parts[2], mask)
        return torch.einsum("...hnv,hvd->...nd", mixed, output)

    def double(self) -> Self:
        """The same in float64; torch would look for parameters, and a Network has none."""
        self.network = self.network.to(torch.float64)
        return self


class UnitRows(nn.Module):
    """Tokens scaled to ℓ₂ length √d, or 1."""

    def __init__(self, length: float) -> None:
        """Scale to that length."""
        super().__init__()
        self.length = length

    def forward(self, tokens: Tensor) -> Tensor:
        """The tokens, scaled; a zero token stays zero."""
        return unit_rows(tokens) * self.length


class _Layer(nn.Module):
    """One layer of a Network."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.skip = network.skip
        self.read: nn.Module = nn.Identity()
        if network.norm == "pre":
            self.read = UnitRows(math.sqrt(network.width))
        self.attention = _Attention(network)
        self.leave: nn.Module = UnitRows(1.0) if network.norm == "row" else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.leave(self.skip * tokens + self.attention(self.read(tokens)))


def network_subject(network: Network) -> Subject:
    """The subject of a Network: the same layers as torch modules."""
    require(network.batch == (), "network", "no batch dimensions", network.batch)
    require(network.depth > 0 and network.heads > 0, "network", "layers and heads", network)
    layers = [_Layer(network.layers(i, i + 1)) for i in range(network.depth)]
    model = nn.Sequential(*layers)

    def site(index: int, layer: _Layer) -> Site:
        own = layer.attention.network

        def projections(dtype: torch.dtype) -> Projections:
            query, key, value, output = (w.to(dtype) for w in network_weights(own))
            return Projections(query, key, value, output)

        return Site(
            f"layer {index}",
            layer.attention,
            layer,
            own.heads,
            projections,
            layer.read if network.norm == "pre" else None,
            pre=network.norm == "pre",
            rotary=None if network.rope is None else "pairs",
            base=network.rope,
            mask=network.mask,
        )

    sites = tuple(site(index, layer) for index, layer in enumerate(layers))
    words = f"the network itself, {network.depth} attention layers; its output tokens"
    return Subject(model, sites, model, network.width, words)


def network_weights(network: Network) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """W_Q, W_K, W_V, W_O of a network of one layer, in the shapes of Projections."""
    query, key, value = (w[0].movedim(0, 1) for w in (network.query, network.key, network.value))
    eye = torch.eye(network.width, dtype=query.dtype, device=query.device)
    output = eye.expand(network.heads, -1, -1) if network.output is None else network.output[0]
    return (
        query,
        key,
        value,
        output if network.mixer_scale is None else output * network.mixer_scale,
    )
