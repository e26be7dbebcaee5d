"""Trials of chapter 7: the least loss near rung 2, and gradients of queries and keys."""

from __future__ import annotations

from functools import partial

from collapse import numeric
from collapse.attention import Network
from collapse.bounds.learning import loss_floor, query_gradient_bound
from collapse.numeric import Number
from collapse.referee.trial import Case, Trial
from collapse.referee.trials.domain import causal, network, shapes
from collapse.softmax import oscillation, softmax

Pair = tuple[Number, Number]

# --- loss-floor ----------------------------------------------------------------------------------


def _turns(scores: Number, push: Number) -> Case:
    """Logits on the m turns of a sequence: common scores, and what tells the turns apart."""
    return {"scores": scores, "push": push}


def _mean_loss(scores: Number, push: Number, same: bool = False) -> Pair:
    """The floor and the mean loss; ``same`` asks for one value on all turns, the control."""
    m = push.shape[-2]
    P = softmax(scores + push)
    loss = 0 * P[..., 0, 0]
    for turn in range(m):
        loss = loss - numeric.log(P[..., turn, 0 if same else turn]) / m
    return loss_floor(m, numeric.amax(oscillation(push), -1)), loss


# --- gradient-order ------------------------------------------------------------------------------


def _layer(
    query: Number, key: Number, value: Number, X: Number, upstream: Number, masked: bool = False
) -> Case:
    mask = causal(X.shape[-2]) if masked else None
    return {"layer": network(query, key, value, mask=mask), "X": X, "upstream": upstream}


def _gradient(layer: Network, X: Number, upstream: Number, of_key: bool = False) -> Pair:
    """The largest entry of the gradient of the first head's W_Q or W_K, and its bound."""
    P = layer.attention_matrices(X, 0)[..., 0, :, :]
    query, key, V = (w[..., 0, 0, :, :] for w in (layer.query, layer.key, layer.value))
    g = upstream @ (X @ V).swapaxes(-1, -2)
    G = P * (g - (P * g).sum(-1)[..., None])
    if of_key:
        gradient = (G @ X).swapaxes(-1, -2) @ (X @ query)
    else:
        gradient = X.swapaxes(-1, -2) @ (G @ X @ key)
    bounds = query_gradient_bound(layer, X, upstream, 0)
    return numeric.amax(numeric.amax(abs(gradient), -1), -1), bounds[of_key][..., 0]


def _common_drift(layer: Network, X: Number, upstream: Number, of_key: bool = False) -> Pair:
    """Control: the gradients of the rows summed before their sizes are taken."""
    found, bound = _gradient(layer, X, upstream, of_key)
    total, summed = abs(upstream).sum((-2, -1)), abs(upstream.sum(-2)).sum(-1)
    return found * total, bound * summed


_LAYER = shapes(1, 1, 2, 2, tokens=3) | {"upstream": (3, 2)}
_DROPPED = "the rows' gradients may cancel before their sizes are taken"

TRIALS: tuple[Trial, ...] = (
    *(
        Trial(
            "loss-floor",
            f"{m} pairs, {classes} tokens",
            {"scores": (1, classes), "push": (m, classes)},
            _turns,
            _mean_loss,
            sharp=classes == m,
            control=partial(_mean_loss, same=True),
            dropped="one value is the answer on all turns",
        )
        for m, classes in ((2, 2), (3, 3), (3, 5))
    ),
    *(
        Trial(
            "gradient-order",
            f"{name}{', causal mask' if masked else ''}",
            _LAYER,
            partial(_layer, masked=masked),
            partial(_gradient, of_key=of_key),
            sharp=True,
            control=partial(_common_drift, of_key=of_key),
            dropped=_DROPPED,
        )
        for name, of_key in (("queries", False), ("keys", True))
        for masked in (False, True)
    ),
)
