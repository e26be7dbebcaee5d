r"""What becomes of a model's outputs when its attention is replaced by something simpler.

===========  ==========================================================================
substitute   what every attention layer, or some, do instead
===========  ==========================================================================
"removed"    nothing: values count as zero, only biases of the output projection remain
"first"      read the input of the first block in the place of the stream (rung 1)
"average"    give every visible token the same weight (rung 2)
===========  ==========================================================================

Inside a model with MLPs and normalisation these are no networks of one layer; they replace
attention where it stands, and everything else runs as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from collapse.inspection.families import Subject
from collapse.inspection.hooks import replaced
from collapse.numeric import require

Substitute = Literal["removed", "first", "average"]
SUBSTITUTES: tuple[Substitute, ...] = ("removed", "first", "average")
Batches = Sequence[Tensor]
OCTAVES = 7  # the search for the margin starts at s = 2^−7


def outputs(
    subject: Subject,
    batches: Batches,
    substitute: Substitute | None = None,
    scale: float = 1.0,
    layers: Sequence[int] | None = None,
) -> list[Tensor]:
    """The model's outputs, batch by batch, in float64 on the CPU.

    Args:
        subject: The model.
        batches: Token ids (batch, n) or embeddings (batch, n, d).
        substitute: What attention does instead, None for what it does.
        scale: Factor s on all query, key and value projections, biases included.
        layers: The layers that are replaced; all by default.

    Raises:
        ValueError: If the model overflows, or has NaN among its weights.
    """
    chosen = range(len(subject.sites)) if layers is None else layers
    some = {name: chosen if name == substitute else () for name in SUBSTITUTES}
    with replaced(subject.sites, scale, some["average"], some["first"], some["removed"]):
        return [_output(subject, batch, substitute) for batch in batches]


def _output(subject: Subject, batch: Tensor, substitute: Substitute | None) -> Tensor:
    out: object = subject.run(batch)  # what somebody else wrote may return anything
    if not isinstance(out, Tensor):
        raise ValueError(f"what run returns: expected a tensor, received {type(out).__name__}")
    what = "outputs" if substitute is None else f"outputs under the substitute {substitute!r}"
    require(torch.isfinite(out), what, "finite entries", f"NaN or infinity in {subject.dtype}")
    return out.double().cpu()


def relative_change(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    r"""Distance of two lists of outputs in the Frobenius norm, relative to the first.

    .. math:: \Bigl(\sum_i \lVert S_i - S'_i \rVert_F^2 \Big/ \sum_i \lVert S_i \rVert_F^2
        \Bigr)^{1/2}

    Args:
        ours: Outputs S of the model.
        theirs: Outputs S′ of the changed model.

    >>> import torch
    >>> relative_change([torch.tensor([[3.0, 4.0]])], [torch.tensor([[0.0, 4.0]])])
    0.6
    """
    moved = sum(float((a - b).square().sum()) for a, b in zip(ours, theirs, strict=True))
    size = sum(float(a.square().sum()) for a in ours)
    return math.sqrt(moved / size) if size else 0.0


def change(
    subject: Subject,
    batches: Batches,
    substitute: Substitute,
    scale: float = 1.0,
    layers: Sequence[int] | None = None,
    reference: Sequence[Tensor] | None = None,
) -> float:
    """Relative change of the outputs by a substitute, at a scale of the projections.

    Args:
        subject: The model.
        batches: What it is shown.
        substitute: What attention does instead.
        scale: Factor s on the projections, in the model and in its changed copy.
        layers: The layers that are replaced; all by default.
        reference: Outputs of the model at this scale, where they are known.
    """
    base = outputs(subject, batches, scale=scale) if reference is None else reference
    return relative_change(base, outputs(subject, batches, substitute, scale, layers))


def margin(error: Callable[[float], float], tolerance: float, digits: int = 2) -> float:
    """The largest s up to which an error stays within a tolerance, by bisection in log s.

    The search climbs from s = 2⁻⁷ by factors of two until the error is too large, and bisects
    the last step. An error that falls again at larger s is not followed.

    Args:
        error: The error at s, for 0 < s ≤ 1.
        tolerance: What is allowed, > 0.
        digits: The result is exact to a factor 1 + 10^−digits, from below.

    Returns:
        s in [0, 1]: 1 if the error is within the tolerance all the way, 0 if already at 2⁻⁷ it is
        not.

    Raises:
        ValueError: If the tolerance is not positive.

    >>> round(margin(lambda s: s**3, 1e-3), 2)
    0.1
    """
    require(tolerance > 0, "tolerance", "a number > 0", tolerance)
    low, high = 0.0, 0.0
    for octave in range(-OCTAVES, 1):
        if error(2.0**octave) > tolerance:
            high = 2.0**octave
            break
        low = 2.0**octave
    if high == 0 or low == 0:
        return low
    while high / low > 1 + 10.0**-digits:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if error(middle) <= tolerance else (low, middle)
    return low


def margins(
    subject: Subject, batches: Batches, tolerance: float, step: Callable[[], object] = lambda: None
) -> dict[Substitute, float]:
    """The margin of both rungs.

    Args:
        subject: The model.
        batches: What it is shown.
        tolerance: Relative change that is allowed.
        step: Called after each evaluation, to show progress.
    """

    def error(substitute: Substitute) -> Callable[[float], float]:
        def at(s: float) -> float:
            step()
            return change(subject, batches, substitute, s)

        return at

    rungs: tuple[Substitute, ...] = ("first", "average")
    return {name: margin(error(name), tolerance) for name in rungs}
