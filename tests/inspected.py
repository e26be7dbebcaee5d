"""Tiny models of every family that diagnose reads, and what a slow twin needs of them.

A twin reads what the model itself shows (its own hidden states and attention patterns) and takes
the weights from the parameters. Nothing here comes from collapse but the networks looked at.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from inspected_softmax import causal_softmax, masked_softmax, rotation
from torch import Tensor, nn

from collapse import Network

N, D, HEADS = 6, 8, 4


@dataclass
class Seen:
    """One layer of one sequence: everything as numpy arrays.

    stream (n, d); N (n, d) before gain and shift; P (H, n, n); M, V (H, d, d) with gains folded in,
    or for rotary positions M[h] a function of the offset; add (n, d) what attention adds.
    """

    stream: Any
    tokens: Any
    P: Any
    M: Any
    V: Any
    add: Any
    query: Any = None
    key: Any = None
    pairs: Any = None


@dataclass
class Case:
    """A model, an input for diagnose, and its twin."""

    model: Any
    inputs: Tensor
    layers: Callable[[], tuple[list[Seen], Any]]  # the layers and the stream behind the last
    kind: str
    run: Callable[[Any], Tensor]
    options: dict[str, Any]
    attentions: Callable[[Any], list[tuple[nn.Module, nn.Module | None]]]
    blocks: Callable[[Any], list[nn.Module]]


def shake(model: nn.Module, seed: int, size: float = 0.4) -> nn.Module:
    """Random entries in every parameter, gains and biases too; in float64, in training mode."""
    g = torch.Generator().manual_seed(seed)
    model = model.double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = size * torch.randn(parameter.shape, generator=g, dtype=torch.float64)
            gain = "norm" in name.lower() and name.endswith("weight") or "ln_" in name
            parameter.copy_(1 + noise / 2 if gain and name.endswith("weight") else noise)
    return model


def array(x: Tensor) -> Any:
    return x.detach().double().numpy()


def split(weight: Any, heads: int) -> list[Any]:
    """Columns of a matrix that acts on rows, head by head."""
    return np.split(weight, heads, axis=1)


def normalised(x: Any, eps: float, centre: bool) -> Any:
    rows = []
    for row in x:
        row = row - row.mean() if centre else row
        rows.append(row / math.sqrt((row * row).mean() + eps))
    return np.array(rows)


def folded(gain: Any, Q: Any, K: Any, V: Any, outward: Any, scale: float, shared: int = 1) -> Any:
    """M and V of every head from matrices that act on rows; keys serve ``shared`` heads."""
    heads = len(outward)
    G = np.diag(gain)
    M = [G @ Q[h] @ K[h // shared].T @ G * scale for h in range(heads)]
    return np.array(M), np.array([G @ V[h // shared] @ outward[h] for h in range(heads)])


# --- families -----------------------------------------------------------------------------------


def bert(seed: int, name: str = "Bert") -> Case:
    import transformers

    config = getattr(transformers, f"{name}Config")(
        vocab_size=32, hidden_size=D, num_hidden_layers=3, num_attention_heads=HEADS,
        intermediate_size=12, max_position_embeddings=20, pad_token_id=1, bos_token_id=0,
        eos_token_id=2,
    )  # fmt: skip
    model: Any = shake(getattr(transformers, f"{name}ForMaskedLM")(config), seed)
    base = model.base_model

    def layers() -> tuple[list[Seen], Any]:
        twin = copy.deepcopy(base).eval()
        twin.set_attn_implementation("eager")
        out = twin(input_ids=inputs[None], output_hidden_states=True, output_attentions=True)
        hidden = [array(h[0]) for h in out.hidden_states]
        seen, norm = [], base.embeddings.LayerNorm
        for index, layer in enumerate(base.encoder.layer):
            own, dense = layer.attention.self, layer.attention.output.dense
            gain, shift = array(norm.weight), array(norm.bias)
            tokens = (hidden[index] - shift) / gain
            parts = [split(array(w.weight).T, HEADS) for w in (own.query, own.key, own.value)]
            outward = np.split(array(dense.weight).T, HEADS, axis=0)
            M, V = folded(gain, *parts, outward, 1 / math.sqrt(D // HEADS))
            P = array(out.attentions[index][0])
            bias = array(own.value.bias)
            values = [hidden[index] @ parts[2][h] + np.split(bias, HEADS)[h] for h in range(HEADS)]
            add = sum(P[h] @ values[h] @ outward[h] for h in range(HEADS)) + array(dense.bias)
            seen.append(Seen(hidden[index], tokens, P, M, V, add))
            norm = layer.output.LayerNorm
        return seen, hidden[-1]

    inputs = torch.tensor([5, 9, 7, 21, 9, 3])[:N]
    return Case(
        model, inputs, layers, "plain",
        lambda m: m.base_model(input_ids=inputs[None]).last_hidden_state[0], {},
        lambda m: [(layer.attention.self, None) for layer in m.base_model.encoder.layer],
        lambda m: list(m.base_model.encoder.layer),
    )  # fmt: skip


def gpt2(seed: int) -> Case:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=32, n_embd=D, n_layer=3, n_head=HEADS, n_positions=20,
        scale_attn_by_inverse_layer_idx=True, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    model: Any = shake(GPT2LMHeadModel(config), seed)
    inputs = torch.tensor([5, 9, 7, 21, 9, 3])[:N]

    def layers() -> tuple[list[Seen], Any]:
        twin = copy.deepcopy(model.transformer).eval()
        twin.set_attn_implementation("eager")
        streams = capture(twin, twin.h, inputs)
        out = twin(input_ids=inputs[None], output_attentions=True)
        seen = []
        for index, layer in enumerate(twin.h):
            gain, shift = array(layer.ln_1.weight), array(layer.ln_1.bias)
            tokens = normalised(streams[index], layer.ln_1.eps, True)
            read = tokens * gain + shift
            weight, bias = array(layer.attn.c_attn.weight), array(layer.attn.c_attn.bias)
            parts = [split(w, HEADS) for w in np.split(weight, 3, axis=1)]
            outward = np.split(array(layer.attn.c_proj.weight), HEADS, axis=0)
            M, V = folded(gain, *parts, outward, 1 / math.sqrt(D // HEADS) / (index + 1))
            P = array(out.attentions[index][0])
            bv = np.split(np.split(bias, 3)[2], HEADS)
            add = sum(P[h] @ (read @ parts[2][h] + bv[h]) @ outward[h] for h in range(HEADS))
            add = add + array(layer.attn.c_proj.bias)
            seen.append(Seen(streams[index], tokens, P, M, V, add))
        return seen, streams[-1]

    return Case(
        model, inputs, layers, "mask",
        lambda m: m.transformer(input_ids=inputs[None], use_cache=False).last_hidden_state[0], {},
        lambda m: [(layer.attn, layer.ln_1) for layer in m.transformer.h],
        lambda m: list(m.transformer.h),
    )  # fmt: skip


def llama(seed: int, name: str = "Llama") -> Case:
    import transformers

    options = {"attention_bias": True} if name == "Llama" else {}
    config = getattr(transformers, f"{name}Config")(
        vocab_size=32, hidden_size=D, num_hidden_layers=3, num_attention_heads=HEADS,
        num_key_value_heads=2, intermediate_size=12, max_position_embeddings=20, bos_token_id=0,
        eos_token_id=2, **options,
    )  # fmt: skip
    model: Any = shake(getattr(transformers, f"{name}ForCausalLM")(config), seed)
    inputs = torch.tensor([5, 9, 7, 21, 9, 3])[:N]
    k, shared = D // HEADS, HEADS // 2

    def layers() -> tuple[list[Seen], Any]:
        twin = copy.deepcopy(model.model).eval()
        streams = capture(twin, twin.layers, inputs)
        turns = [rotation(j, k, 10_000.0) for j in range(N)]
        seen = []
        for index, layer in enumerate(twin.layers):
            own, norm = layer.self_attn, layer.input_layernorm
            gain = array(norm.weight)
            tokens = normalised(streams[index], norm.variance_epsilon, False)
            read = tokens * gain
            q, key, v, o = (own.q_proj, own.k_proj, own.v_proj, own.o_proj)
            Q, K, V_ = (split(array(w.weight).T, c) for w, c in ((q, HEADS), (key, 2), (v, 2)))
            bq, bk, bv = (
                np.split(array(w.bias), c) if w.bias is not None else [0.0] * c
                for w, c in ((q, HEADS), (key, 2), (v, 2))
            )
            outward = np.split(array(o.weight).T, HEADS, axis=0)
            _, V = folded(gain, Q, K, V_, outward, 1.0, shared)
            P, add = [], 0.0 if o.bias is None else array(o.bias)
            for h in range(HEADS):
                queries = np.array([(x @ Q[h] + bq[h]) @ turns[i] for i, x in enumerate(read)])
                keys = read @ K[h // shared] + bk[h // shared]
                keys = np.array([y @ turns[j] for j, y in enumerate(keys)])
                P.append(causal_softmax(queries @ keys.T / math.sqrt(k)))
                add = add + P[-1] @ (read @ V_[h // shared] + bv[h // shared]) @ outward[h]
            G = np.diag(gain)
            query = np.array([G @ Q[h] / math.sqrt(k) for h in range(HEADS)])
            keyed = np.array([G @ K[h // shared] for h in range(HEADS)])
            pairs = [(a, a + k // 2) for a in range(k // 2)]
            seen.append(
                Seen(streams[index], tokens, np.array(P), None, V, add, query, keyed, pairs)
            )
        return seen, streams[-1]

    return Case(
        model, inputs, layers, "mask",
        lambda m: m.model(input_ids=inputs[None], use_cache=False).last_hidden_state[0], {},
        lambda m: [(layer.self_attn, layer.input_layernorm) for layer in m.model.layers],
        lambda m: list(m.model.layers),
    )  # fmt: skip


def encoder(seed: int, first: bool, batch_first: bool, masked: bool = False) -> Case:
    layer = nn.TransformerEncoderLayer(
        D, HEADS, 12, norm_first=first, batch_first=batch_first, activation="gelu"
    )
    stack = nn.TransformerEncoder(layer, 3, norm=nn.LayerNorm(D), enable_nested_tensor=False)
    model: Any = shake(stack, seed)
    inputs = torch.randn(N, D, generator=torch.Generator().manual_seed(seed)).double()
    mask = torch.ones(N, N, dtype=torch.bool).tril() if masked else None
    if masked:
        mask[2, 4] = True  # neither causal nor full

    def run(m: Any) -> Tensor:
        x = inputs[None] if batch_first else inputs[:, None]
        out = m(x, mask=None if mask is None else ~mask)
        return out[0] if batch_first else out[:, 0]

    def layers() -> tuple[list[Seen], Any]:
        twin = copy.deepcopy(model).eval()
        streams = capture(twin, twin.layers, inputs, lambda: run(twin), batch_first)
        seen, norm = [], None
        for index, each in enumerate(twin.layers):
            if first:
                norm = each.norm1
            gain = np.ones(D) if norm is None else array(norm.weight)
            shift = np.zeros(D) if norm is None else array(norm.bias)
            read = streams[index]
            tokens = (read - shift) / gain
            if first:
                tokens = normalised(streams[index], norm.eps, True)
                read = tokens * gain + shift
            seen.append(multihead(each.self_attn, read, streams[index], tokens, gain, mask))
            norm = None if first else each.norm2
        return seen, streams[-1]

    return Case(
        model, inputs, layers, "mask" if masked else "plain", run, {} if mask is None else
        {"mask": mask},
        lambda m: [(each.self_attn, each.norm1 if first else None) for each in m.layers],
        lambda m: list(m.layers),
    )  # fmt: skip


def multihead(own: Any, read: Any, stream: Any, tokens: Any, gain: Any, mask: Any) -> Seen:
    weight, bias = array(own.in_proj_weight).T, array(own.in_proj_bias)
    Q, K, V_ = (split(w, HEADS) for w in np.split(weight, 3, axis=1))
    bq, bk, bv = (np.split(b, HEADS) for b in np.split(bias, 3))
    outward = np.split(array(own.out_proj.weight).T, HEADS, axis=0)
    M, V = folded(gain, Q, K, V_, outward, 1 / math.sqrt(D // HEADS))
    seen = np.ones((len(read),) * 2, bool) if mask is None else mask.numpy()
    P, add = [], array(own.out_proj.bias)
    for h in range(HEADS):
        logits = (read @ Q[h] + bq[h]) @ (read @ K[h] + bk[h]).T / math.sqrt(D // HEADS)
        P.append(masked_softmax(logits, seen))
        add = add + P[-1] @ (read @ V_[h] + bv[h]) @ outward[h]
    return Seen(stream, tokens, np.array(P), M, V, add)


def attention_module(seed: int) -> Case:
    model: Any = shake(nn.MultiheadAttention(D, HEADS), seed)
    inputs = torch.randn(N, D, generator=torch.Generator().manual_seed(seed)).double()

    def layers() -> tuple[list[Seen], Any]:
        x = inputs.numpy()
        seen = multihead(model, x, x, x, np.ones(D), None)
        return [seen], seen.add

    def run(m: Any) -> Tensor:
        return m(inputs[:, None], inputs[:, None], inputs[:, None], need_weights=False)[0][:, 0]

    return Case(model, inputs, layers, "plain", run, {}, lambda m: [(m, None)], lambda m: [m])


def encoder_layer(seed: int) -> Case:
    model: Any = shake(nn.TransformerEncoderLayer(D, HEADS, 12, batch_first=True), seed)
    inputs = torch.randn(N, D, generator=torch.Generator().manual_seed(seed)).double()

    def layers() -> tuple[list[Seen], Any]:
        x = inputs.numpy()
        out = run(copy.deepcopy(model).eval())
        return [multihead(model.self_attn, x, x, x, np.ones(D), None)], array(out)

    def run(m: Any) -> Tensor:
        return m(inputs[None])[0]

    return Case(
        model, inputs, layers, "plain", run, {},
        lambda m: [(m.self_attn, None)], lambda m: [m],
    )  # fmt: skip


def network(seed: int, kind: str = "plain", **options: Any) -> Case:
    g = torch.Generator().manual_seed(seed)
    model = Network.random(3, HEADS, D, 4, 0.4, g).replace(**options)
    inputs = torch.randn(N, D, generator=g, dtype=torch.float64)

    def layers() -> tuple[list[Seen], Any]:
        streams, seen = model.trace(inputs), []
        for index in range(model.depth):
            X = streams[index]
            read = X
            if model.norm == "pre":
                read = X / X.norm(dim=-1, keepdim=True) * math.sqrt(D)
            P = array(model.attention_matrices(X, index))
            add = array(model.attention(X, index))
            one = Seen(array(X), array(read), P, array(model.query_key[index]),
                       array(model.value_output[index]), add)  # fmt: skip
            if model.rope is not None:
                one.M = None
                one.query, one.key = array(model.query[index]), array(model.key[index])
                one.pairs = [(2 * a, 2 * a + 1) for a in range(2)]
            seen.append(one)
        return seen, array(streams[-1])

    return Case(model, inputs, layers, kind, lambda m: m(inputs), {}, lambda m: [], lambda m: [])


CAUSAL = torch.ones(N, N, dtype=torch.bool).tril()
CASES: dict[str, Callable[[], Case]] = {
    "Bert": lambda: bert(0),
    "Roberta": lambda: bert(1, "Roberta"),
    "GPT2": lambda: gpt2(2),
    "Llama": lambda: llama(3),
    "Qwen2": lambda: llama(4, "Qwen2"),
    "Mistral": lambda: llama(5, "Mistral"),
    "encoder": lambda: encoder(6, False, True),
    "encoder, norm first": lambda: encoder(7, True, False),
    "encoder, mask": lambda: encoder(8, False, False, masked=True),
    "encoder layer": lambda: encoder_layer(9),
    "MultiheadAttention": lambda: attention_module(10),
    "network": lambda: network(11),
    "network, mask": lambda: network(12, "mask", mask=CAUSAL),
    "network, rope": lambda: network(13, "rope", rope=50.0),
    "network, pre": lambda: network(14, norm="pre", mixer_scale=0.7, skip=0.9),
    "network, row": lambda: network(15, norm="row"),
}


# --- helpers of the twins -----------------------------------------------------------------------


def capture(
    model: Any, blocks: Any, inputs: Tensor, run: Any = None, batch_first: bool = True
) -> list[Any]:
    """Inputs of all blocks and the output of the last, by replacing their forward."""
    seen: list[Any] = []
    last = blocks[-1]

    def wrapped(block: Any) -> Any:
        original = block.forward

        def forward(x: Tensor, *args: Any, **kwargs: Any) -> Any:
            seen.append(array(x[0] if batch_first else x[:, 0]))
            out = original(x, *args, **kwargs)
            if block is last:
                seen.append(array(out[0] if batch_first else out[:, 0]))
            return out

        return forward

    for block in blocks:
        block.forward = wrapped(block)
    (run or (lambda: model(input_ids=inputs[None], use_cache=False)))()
    for block in blocks:
        del block.forward
    return seen
