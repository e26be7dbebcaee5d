"""All proofs of the book: importing this module registers every one of them."""

from collapse.symbolic import contraction, orders, res, skips, softmax
from collapse.symbolic.proof import PROOFS

__all__ = ["PROOFS", "contraction", "orders", "res", "skips", "softmax"]
