r"""Floor 8. Two ways round the n² of attention, each with a bound on what it costs in accuracy.

A whole network of small weights is nearly its mean field:
:func:`~collapse.fast.linear.certified_forward` evaluates that in time linear in n, and says how far
off it may be. One attention of small logits is nearly a polynomial of degree g:
:func:`~collapse.fast.taylor.taylor_attention` factors it through :math:`\binom{k+g}{g}` features.
"""

from collapse.fast.linear import (
    certified_forward,
    diameter_upper,
    distinction_bound,
    mean_token,
)
from collapse.fast.taylor import (
    taylor_attention,
    taylor_bound,
    taylor_degree,
    taylor_features,
    taylor_rank,
)

__all__ = [
    "certified_forward",
    "diameter_upper",
    "distinction_bound",
    "mean_token",
    "taylor_attention",
    "taylor_bound",
    "taylor_degree",
    "taylor_features",
    "taylor_rank",
]
