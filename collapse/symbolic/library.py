"""All proofs of the book: importing this module registers every one of them."""

from collapse.symbolic import (
    contraction,
    cost,
    depth,
    layernorm,
    masks,
    orders,
    res,
    rules,
    skips,
    softmax,
    states,
    weighted_skips,
)
from collapse.symbolic.proof import PROOFS

__all__ = [
    "PROOFS",
    "contraction",
    "cost",
    "depth",
    "layernorm",
    "masks",
    "orders",
    "res",
    "rules",
    "skips",
    "softmax",
    "states",
    "weighted_skips",
]
