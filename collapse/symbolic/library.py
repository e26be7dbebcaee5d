"""All proofs of the book: importing this module registers every one of them."""

from collapse.symbolic import contraction, cost, depth, orders, res, rules, skips, softmax
from collapse.symbolic.proof import PROOFS

__all__ = ["PROOFS", "contraction", "cost", "depth", "orders", "res", "rules", "skips", "softmax"]
