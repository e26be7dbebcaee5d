"""Models of Hugging Face's transformers: BERT-, GPT-2- and Llama-style."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from collapse.inspection.families import Subject, refuse_unknown
from collapse.inspection.site import Projections, Site, read
from collapse.numeric import require

BERT = ("BertLayer", "RobertaLayer", "XLMRobertaLayer")
GPT2 = ("GPT2Block",)
LLAMA = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer")


def pretrained_subject(model: nn.Module) -> Subject | None:
    """The subject of a model of transformers, or None for any other model.

    Heads on top are left out: the output is the last hidden state of the base model.
    """
    config = getattr(model, "config", None)
    base = getattr(model, "base_model", None)
    if config is None or not isinstance(base, nn.Module):
        return None
    blocks = [(name, block, kind) for name, block in base.named_modules() if (kind := _kind(block))]
    sites = tuple(
        kind(name, block, blocks[index - 1][1] if index else None, base)
        for index, (name, block, kind) in enumerate(blocks)
    )
    refuse_unknown(base, sites)
    # Fused kernels carry windows and masks in forms of their own, past what the hooks can read.
    kernel = getattr(config, "_attn_implementation", None) or "eager"
    require(kernel in ("eager", "sdpa"), "attn_implementation", "eager or sdpa", kernel)
    decoder = any(site.causal for site in sites)

    def run(batch: Tensor) -> Tensor:
        name = "inputs_embeds" if batch.dtype.is_floating_point else "input_ids"
        options = {"use_cache": False} if decoder else {}
        return base(**{name: batch}, **options, return_dict=True).last_hidden_state

    longest = getattr(config, "max_position_embeddings", None)
    if type(base).__name__.startswith(("Roberta", "XLMRoberta")) and longest is not None:
        longest -= config.pad_token_id + 1  # its positions are counted from there
    placed = "after" if not sites[0].pre else "before"
    words = (
        f"the {len(sites)} self-attention layers of a {type(base).__name__}, between MLPs and skip"
        f" connections, normalised {placed} each sublayer; outputs are the last hidden states"
    )
    embeddings: Any = base.get_input_embeddings
    vocabulary = embeddings().num_embeddings
    return Subject(base, sites, run, config.hidden_size, words, longest, vocabulary)


def _kind(module: nn.Module) -> Callable[..., Site] | None:
    name = type(module).__name__
    for names, make in ((BERT, _bert), (GPT2, _gpt2), (LLAMA, _llama)):
        if name in names:
            return make
    return None


def _bert(name: str, layer: Any, before: Any, base: Any) -> Site:
    own, dense = layer.attention.self, layer.attention.output.dense
    where = f"{name}.attention.self"
    require(not hasattr(layer, "crossattention"), name, "no cross-attention", type(layer).__name__)
    _plain(where, own.query, own.key, own.value, dense)
    heads = own.num_attention_heads

    def projections(dtype: torch.dtype) -> Projections:
        parts = (own.query, own.key, own.value, dense)
        return Projections.from_linear(_stored(parts), heads, None, own.scaling, dtype)

    # Each block ends with a norm; the first one reads the norm of the embeddings.
    norm = base.embeddings.LayerNorm if before is None else before.output.LayerNorm
    return Site(
        where,
        own,
        layer,
        heads,
        projections,
        norm,
        outside=True,
        causal=bool(own.is_causal),
    )


def _gpt2(name: str, layer: Any, before: Any, base: Any) -> Site:
    own, where = layer.attn, f"{name}.attn"
    require(not hasattr(layer, "crossattention"), name, "no cross-attention", type(layer).__name__)
    for part in (own.c_attn, own.c_proj):
        require(type(part).__name__ == "Conv1D", where, "plain Conv1D weights", type(part).__name__)
    heads = own.num_heads

    def projections(dtype: torch.dtype) -> Projections:
        # Conv1D stores matrices as they act on rows.
        weight = read(own.c_attn.weight, dtype).unflatten(1, (3, heads, own.head_dim))
        bias = read(own.c_attn.bias, dtype).reshape(3, heads, own.head_dim)
        output = read(own.c_proj.weight, dtype).unflatten(0, (heads, own.head_dim))
        biases = (*bias, read(own.c_proj.bias, dtype))
        query, key, value = weight.unbind(1)
        return Projections(query, key, value, output, biases).scaled(own.scaling)

    return Site(where, own, layer, heads, projections, layer.ln_1, pre=True, causal=True)


def _llama(name: str, layer: Any, before: Any, base: Any) -> Site:
    own, where = layer.self_attn, f"{name}.self_attn"
    linear = (own.q_proj, own.k_proj, own.v_proj, own.o_proj)
    _plain(where, *linear)
    strange = [part for part, _ in own.named_children() if part[1:] != "_proj"]
    require(not strange, where, "only q_proj, k_proj, v_proj and o_proj", ", ".join(strange))
    heads = own.q_proj.out_features // own.head_dim
    groups = own.k_proj.out_features // own.head_dim

    def projections(dtype: torch.dtype) -> Projections:
        return Projections.from_linear(_stored(linear), heads, groups, own.scaling, dtype)

    norm = layer.input_layernorm
    return Site(where, own, layer, heads, projections, norm, pre=True, rotary="halves", causal=True)


def _plain(where: str, *parts: nn.Module) -> None:
    for part in parts:
        require(
            type(part) is nn.Linear, where, "plain torch.nn.Linear weights", type(part).__name__
        )


def _stored(parts: tuple[nn.Linear, ...]) -> list[tuple[Tensor, Tensor | None]]:
    return [(part.weight, part.bias) for part in parts]
