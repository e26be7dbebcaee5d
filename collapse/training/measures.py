"""What trained networks became: residuals, rungs, gradients, ablations, margins."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor

from collapse.attention import Network
from collapse.bounds.certificates import collapse_bound, network_sizes
from collapse.bounds.contraction import contraction_factor
from collapse.bounds.learning import query_gradient_bound
from collapse.norms import diameter, residual_norm, token_norm
from collapse.numeric import require
from collapse.rungs import RUNGS, surrogate
from collapse.tasks import Batch
from collapse.tasks.recall import Recall
from collapse.training.model import WEIGHTS, Model
from collapse.training.run import Trained


@dataclass(frozen=True)
class LayerMeasures:
    """Where the tokens of each layer are, averaged over sequences; layer 0 is the input.

    Attributes:
        residual: ρ(X_ℓ), shape (E, L + 1).
        diameter: diam₂(X_ℓ), shape (E, L + 1); the one for p = ∞ is 2ρ.
        contraction: The factor K_ℓ of each layer at its own input, for p = 2, shape (E, L).
    """

    residual: Tensor
    diameter: Tensor
    contraction: Tensor


def layer_measures(model: Model, tokens: Tensor) -> LayerMeasures:
    """Residual, diameter and contraction factor of every layer.

    The norm of the factor is p = 2, whose sizes of weights are spectral norms: those of p = ∞ take
    the enumeration of sign vectors.

    Args:
        model: Without a mask the factor is that of plain attention.
        tokens: Integers, shape (B, n).

    Returns:
        A LayerMeasures.

    Source:
        contraction
    """
    trace = model.network.trace(model.inputs(tokens))  # (E, B, L + 1, n, d)
    sizes = network_sizes(model.network, tokens.shape[-1], p=2)
    phi, D = token_norm(trace, 2), diameter(trace, 2)
    factors = [
        contraction_factor(sizes, layer, phi[..., layer], D[..., layer])
        for layer in range(model.network.depth)
    ]
    factor = torch.stack(factors, -1)
    return LayerMeasures(residual_norm(trace).mean(1), D.mean(1), factor.mean(1))


def rung_errors(model: Model, tokens: Tensor) -> Tensor:
    """How far the rungs are from the stack, in units of the stack's output.

    Args:
        model: With skip 1 in all members and no mask.
        tokens: Integers, shape (B, n).

    Returns:
        ‖S(X) − S′(X)‖ / ‖S(X)‖ for rungs 0 to 3, averaged over sequences; shape (E, 4).

    Raises:
        ValueError: With a mask or another skip.

    Source:
        rung-0, rung-1, rung-2, rung-3
    """
    X = model.inputs(tokens)
    output = model.network(X)
    errors = [token_norm(output - surrogate(model.network, rung)(X)) for rung in RUNGS]
    return (torch.stack(errors, -1) / token_norm(output)[..., None]).mean(1)


def rung_losses(model: Model, batch: Batch) -> Tensor:
    """The loss when the stack is replaced by each of its rungs, shape (E, 4).

    Args:
        model: With skip 1 in all members and no mask.
        batch: Sequences and answers.

    Raises:
        ValueError: With a mask or another skip.

    Source:
        rung-0, rung-1, rung-2, rung-3
    """
    replaced = [replace(model, network=surrogate(model.network, rung)) for rung in RUNGS]
    return torch.stack([each.loss(*batch) for each in replaced], -1)


def ablated_losses(model: Model, batch: Batch) -> Tensor:
    """The loss when one layer is taken out and the others stay, shape (E, L).

    Args:
        model: Of depth L ≥ 1. Without skip nothing replaces what the layer would pass on.
        batch: Sequences and answers.
    """
    network = model.network
    losses = []
    for layer in range(network.depth):
        rest = {
            name: torch.cat((w[..., :layer, :, :, :], w[..., layer + 1 :, :, :, :]), -4)
            for name, w in ((name, getattr(network, name)) for name in WEIGHTS)
        }
        losses.append(replace(model, network=network.replace(**rest)).loss(*batch))
    return torch.stack(losses, -1)


def gradient_norms(model: Model, batch: Batch) -> dict[str, Tensor]:
    """The gradients of the loss with respect to W_Q, W_K and V, by layer.

    Args:
        model: The networks.
        batch: Sequences and answers.

    Returns:
        Frobenius norms over the heads of a layer, shape (E, L), under "query", "key", "value".

    Source:
        gradient-order
    """
    leaves = {name: getattr(model.network, name).clone().requires_grad_() for name in WEIGHTS}
    loss = replace(model, network=model.network.replace(**leaves)).loss(*batch).sum()
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    return {
        name: torch.linalg.vector_norm(gradient[:, 0], dim=(-3, -2, -1))
        for name, gradient in zip(leaves, gradients, strict=True)
    }


def gradient_slack(model: Model, batch: Batch) -> Tensor:
    """The largest entry of the gradients of W_Q and W_K, divided by its bound.

    Args:
        model: With skip 1 in all members.
        batch: Sequences and answers.

    Returns:
        The larger of the two ratios for every head, shape (E, L, H).

    Source:
        gradient-order
    """
    leaves = {name: getattr(model.network, name).clone().requires_grad_() for name in WEIGHTS}
    network, X = model.network.replace(**leaves), model.inputs(batch.tokens)
    entering, attended = [], []
    for layer in range(network.depth):
        entering.append(X)
        attended.append(network.attention(X, layer))
        X = X + attended[-1]
    wanted = [leaves["query"], leaves["key"], *attended]
    loss = model.loss_of(X, batch.targets).sum()
    query, key, *upstream = torch.autograd.grad(loss, wanted)
    ratios = []
    for layer, (Z, u) in enumerate(zip(entering, upstream, strict=True)):
        bounds = query_gradient_bound(model.network, Z.detach(), u, layer)
        found = (gradient[:, 0, layer].abs().amax((-2, -1)) for gradient in (query, key))
        each = [f / bound.sum(1) for f, bound in zip(found, bounds, strict=True)]
        ratios.append(torch.maximum(*each))
    return torch.stack(ratios, 1)


def observed_margin(model: Model, batch: Batch, turns: int) -> Tensor:
    r"""How far the logits are from those of rung 2: what recall needs and collapse denies.

    Args:
        model: With skip 1 in all members and no mask.
        batch: Sequences with all turns of their values, as ``Recall.turned`` orders them.
        turns: Their number m.

    Returns:
        The oscillation of the change of logits, the largest over the turns of a sequence, averaged
        over sequences; shape (E,).

    Raises:
        ValueError: If the sequences do not come in m turns, with a mask or another skip.

    Source:
        loss-floor
    """
    require(
        len(batch.tokens) % turns == 0, "sequences", f"a multiple of {turns}", len(batch.tokens)
    )
    X = model.inputs(batch.tokens)
    change = model.logits(model.network(X) - surrogate(model.network, 2)(X))[..., 0, :]
    span = change.amax(-1) - change.amin(-1)  # (E, turns · sequences)
    return span.unflatten(-1, (turns, -1)).amax(-2).mean(-1)


def certified_margin(model: Model, batch: Batch) -> Tensor:
    r"""A bound on the margin of given networks, from rung 2's certificate.

    .. math:: a \le E_2\,\max_{c,c'}\lVert r_c - r_{c'}\rVert_1

    with r the columns of the readout and E₂ the bound for the sizes of the weights.

    Args:
        model: With skip 1 in all members and no mask.
        batch: Sequences; the largest bound over them is taken.

    Returns:
        Shape (E,).

    Raises:
        ValueError: With a mask or another skip.

    Source:
        loss-floor, rung-2
    """
    error = collapse_bound(model.network, model.inputs(batch.tokens), 2).value.amax(-1)
    columns = model.readout.mT
    return error * torch.cdist(columns, columns, p=1).amax((-2, -1))


def scaled(network: Network, eta: Tensor) -> Network:
    """The network with W_Q, W_K and V multiplied by η, an ensemble over the values of η.

    Args:
        network: A Network of batch (E, 1).
        eta: Shape (points,).

    Returns:
        A Network of batch (points · E, 1), η changing slowest.

    >>> draw = Network.random(1, 1, 2, 2, torch.ones(3, 1), torch.Generator().manual_seed(0))
    >>> scaled(draw, torch.tensor([0.1, 0.2])).batch
    (6, 1)
    """
    factor = eta.to(network.query)[:, None, None, None, None, None, None]
    weights = {name: (factor * getattr(network, name)).flatten(0, 1) for name in WEIGHTS}
    skip = torch.as_tensor(network.skip, dtype=network.query.dtype).expand(network.batch)
    return network.replace(**weights, skip=skip.repeat(len(eta), 1))


def solved(run: Trained, **settings: Any) -> list[bool]:
    """Which members with these settings have learnt recall.

    Args:
        run: A run on recall.
        settings: As for :meth:`~collapse.training.run.Trained.where`.

    Returns:
        Whether the held-out loss of each ends below half that of guessing.

    Raises:
        ValueError: On another task.

    >>> from collapse.training import Member, Plan, train
    >>> solved(train(Plan("recall", 1, (Member(0.1, 0),), steps=1, batch=2)))
    [False]
    """
    task = run.plan.source
    if not isinstance(task, Recall):
        raise ValueError(f"run: expected a run on recall, received {run.plan.task}")
    return [bool(run.final[i] < task.solved_below) for i in run.where(**settings)]


def leading(
    run: Trained,
    name: str,
    values: Iterable[float],
    test: Callable[[list[bool]], bool],
    **rest: Any,
) -> list[float]:
    """The first values of a setting, as long as the members that have them pass a test.

    Args:
        run: A run on recall.
        name: The setting, such as "eta" or "decay".
        values: Its values, in the order in which they are tried.
        test: Of what :func:`solved` says of the members with a value, such as ``all``.
        rest: What else these members have in common.

    Returns:
        The values before the first that does not pass.

    Raises:
        ValueError: On another task.

    >>> from collapse.training import Member, Plan, train
    >>> run = train(Plan("recall", 1, (Member(0.1, 0), Member(0.2, 0)), steps=1, batch=2))
    >>> leading(run, "eta", (0.1, 0.2), all), leading(run, "eta", (0.1, 0.2), lambda b: not any(b))
    ([], [0.1, 0.2])
    """
    return list(takewhile(lambda value: test(solved(run, **{name: value}, **rest)), values))
