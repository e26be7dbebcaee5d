"""Substitutes for attention, made by means that the package does not use.

Another kernel stands in torch's place, arguments are replaced on the way in, and parameters are
scaled in a copy of the model.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from inspected import Case, D, N
from torch import Tensor, nn

from collapse import Network


@contextmanager
def kernel(substitute: Callable[[int, Tensor], Tensor] | None) -> Iterator[None]:
    """Another scaled_dot_product_attention: patterns come from ``substitute(call, patterns)``."""
    original = nn.functional.scaled_dot_product_attention
    calls = itertools.count()

    def attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, **rest):
        shared = q.shape[-3] // k.shape[-3]
        k, v = (x.repeat_interleave(shared, -3) for x in (k, v))
        logits = q @ k.transpose(-1, -2) * (q.shape[-1] ** -0.5 if scale is None else scale)
        n = q.shape[-2]
        if is_causal:
            attn_mask = torch.ones(n, n, dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            logits = logits.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            logits = logits + attn_mask
        P = torch.softmax(logits, -1)
        return (P if substitute is None else substitute(next(calls), P)) @ v

    nn.functional.scaled_dot_product_attention = attention
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = original


def averaged(layers: Any = None) -> Callable[[int, Tensor], Tensor]:
    """Patterns that average what is visible, in some layers."""

    def substitute(call: int, P: Tensor) -> Tensor:
        if layers is not None and call not in layers:
            return P
        seen = (P > 0).double()
        return seen / seen.sum(-1, keepdim=True)

    return substitute


def twin_output(case: Case, what: str | None, scale: float = 1.0, layers: Any = None) -> Tensor:
    """The output of a copy of the model, with a substitute and scaled parameters."""
    if isinstance(case.model, Network):
        return network_output(case, what, scale, layers)
    twin = copy.deepcopy(case.model).eval()
    scale_parameters(twin, scale)
    handles = []
    if what == "first":
        handles = read_first(case, twin)
    patterns = {"average": averaged(layers), "removed": lambda _, P: 0 * P}.get(what or "")
    with kernel(patterns):
        out = case.run(twin)
    for handle in handles:
        handle.remove()
    return out.detach()


def read_first(case: Case, twin: Any) -> list[Any]:
    """Give every attention module the first block's input, through its own norm."""
    start: list[Tensor] = []
    handles = [
        case.blocks(twin)[0].register_forward_pre_hook(lambda _, args: start.append(args[0]))
    ]
    for module, norm in case.attentions(twin):

        def swap(_: Any, args: Any, kwargs: Any, norm: Any = norm) -> Any:
            tokens = start[0] if norm is None else norm(start[0])
            if "hidden_states" in kwargs:
                return args, kwargs | {"hidden_states": tokens}
            count = 3 if isinstance(_, nn.MultiheadAttention) else 1
            return (*[tokens] * count, *args[count:]), kwargs

        handles.append(module.register_forward_pre_hook(swap, with_kwargs=True))
    return handles


def scale_parameters(twin: Any, scale: float) -> None:
    """Multiply all query, key and value projections, weights and biases."""
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            whole = (
                ".query.",
                ".key.",
                ".value.",
                "q_proj",
                "k_proj",
                "v_proj",
                "c_attn",
                "in_proj",
            )
            if any(part in name for part in whole):
                parameter.mul_(scale)


def network_output(case: Case, what: str | None, scale: float, layers: Any) -> Tensor:
    """The same for a Network, layer by layer."""
    net = case.model
    net = net.replace(query=net.query * scale, key=net.key * scale, value=net.value * scale)
    X = start = case.inputs
    seen = torch.ones(N, N, dtype=torch.float64) if net.mask is None else net.mask.double()
    for index in range(net.depth):
        read = start if what == "first" else X
        replaced = what is not None and (layers is None or index in layers)
        if what == "removed" and replaced:
            add = torch.zeros_like(X)
        elif what == "average" and replaced:
            unit = read
            if net.norm == "pre":
                unit = read / read.norm(dim=-1, keepdim=True) * math.sqrt(D)
            P = seen / seen.sum(-1, keepdim=True)
            add = sum(P @ unit @ V for V in net.value_output[index])
        else:
            add = net.attention(read, index)
        X = net.skip * X + add
        if net.norm == "row":
            X = X / X.norm(dim=-1, keepdim=True)
    return X


def change(case: Case, what: str, scale: float = 1.0, layers: Any = None) -> float:
    ours, theirs = twin_output(case, None, scale), twin_output(case, what, scale, layers)
    return float((ours - theirs).norm() / ours.norm())
