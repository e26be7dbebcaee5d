"""Floor 2. How far tokens are from equal, and how large weights are.

Tokens are the rows of ``X``, shape ``(*batch, n, d)``. The norm on token space is p = 1, 2 or ∞.
The functions take torch tensors; those whose formula is rational also take numpy arrays of exact
numbers (Fractions, flint, sympy), so that witnesses and certificates run through the same line.
"""

from collapse.norms.measures import (
    composite_residual_norm,
    mean_residual_norm,
    measure_dictionary,
    stable_rank,
)
from collapse.norms.tokens import (
    diameter,
    dobrushin,
    residual,
    residual_lipschitz,
    residual_norm,
    token_norm,
)
from collapse.norms.weights import query_key_norm, query_key_upper, value_norm

__all__ = [
    "composite_residual_norm",
    "diameter",
    "dobrushin",
    "mean_residual_norm",
    "measure_dictionary",
    "query_key_norm",
    "query_key_upper",
    "residual",
    "residual_lipschitz",
    "residual_norm",
    "stable_rank",
    "token_norm",
    "value_norm",
]
