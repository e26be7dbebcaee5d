"""How attention collapses, exactly: the package behind the book.

A floor imports only from the floors below it.

=====  ======================================  ================================================
floor  modules                                 what is there
=====  ======================================  ================================================
1      numeric, checks, stamp, statements      one spelling of exp, tanh, max for every number
                                               type; Bound, Verdict; checks of input; commit
                                               and versions; what the book's pages state
2      norms                                   residual, residual_norm, diameter, value_norm,
                                               query_key_norm, dobrushin, other papers' measures
3      softmax                                 total variation under θ-balance, tv_bound,
                                               retrieval_threshold
4      attention, kernels, exact, centred,     Network; the same forward over exact numbers;
       blocks                                  propagation far below machine epsilon; perceptrons
5      rungs, paths, rescaling                 surrogate: the one-layer networks of the ladder;
                                               the sum over all paths; skips of any weight as 1
6      bounds                                  upper bounds (ladder, contraction, lipschitz), lower
                                               bounds (floors), collapse_bound, contraction_bound
7      symbolic, witnesses, adversary,         sympy proofs; exact inputs that refute or attain;
       imitation                               search for the worst case, for the best imitation
8      fast, tasks, training                   networks and attention in time linear in n; what
                                               networks are asked to do; ensembles trained on it
       masks, layernorm,                       which masks collapse, and how fast; normalised
       lambda_skip, ssm                        tokens; weighted skips; state space models
       inspection                              diagnose: the collapse report of a real transformer
9      ledger, referee                         claims: everything the book states, with verdicts;
                                               attack, certify: the checks behind them
10     figures                                 data and drawing of every figure
11     commands                                the command line, ``collapse COMMAND``
=====  ======================================  ================================================

The names below are the public ones; they load on first use, so that ``import collapse`` is light.

>>> import torch
>>> from collapse import residual_norm
>>> residual_norm(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
tensor(0.5000)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "Bound": "collapse.numeric",
    "residual": "collapse.norms",
    "residual_norm": "collapse.norms",
    "diameter": "collapse.norms",
    "value_norm": "collapse.norms",
    "query_key_norm": "collapse.norms",
    "query_key_upper": "collapse.norms",
    "dobrushin": "collapse.norms",
    "tv_bound": "collapse.softmax",
    "retrieval_threshold": "collapse.softmax",
    "Network": "collapse.attention",
    "default_device": "collapse.attention",
    "centred_trace": "collapse.centred",
    "surrogate": "collapse.rungs",
    "collapse_bound": "collapse.bounds",
    "contraction_bound": "collapse.bounds",
    "diagnose": "collapse.inspection",
    "claims": "collapse.ledger",
    "attack": "collapse.referee",
    "certify": "collapse.referee",
}

__all__ = [*_EXPORTS]

if TYPE_CHECKING:
    from collapse.attention import Network as Network
    from collapse.attention import default_device as default_device
    from collapse.bounds import collapse_bound as collapse_bound
    from collapse.bounds import contraction_bound as contraction_bound
    from collapse.centred import centred_trace as centred_trace
    from collapse.inspection import diagnose as diagnose
    from collapse.ledger import claims as claims
    from collapse.norms import diameter as diameter
    from collapse.norms import dobrushin as dobrushin
    from collapse.norms import query_key_norm as query_key_norm
    from collapse.norms import query_key_upper as query_key_upper
    from collapse.norms import residual as residual
    from collapse.norms import residual_norm as residual_norm
    from collapse.norms import value_norm as value_norm
    from collapse.numeric import Bound as Bound
    from collapse.referee import attack as attack
    from collapse.referee import certify as certify
    from collapse.rungs import surrogate as surrogate
    from collapse.softmax import retrieval_threshold as retrieval_threshold
    from collapse.softmax import tv_bound as tv_bound


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'collapse' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted([*globals(), *_EXPORTS])
