"""The public way in: measure a model and what replacing its attention would do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from collapse.attention import Network
from collapse.checks import check_mask
from collapse.inspection.families import Subject, network_subject, refuse_unknown, torch_subject
from collapse.inspection.hooks import check_attention, still, watched
from collapse.inspection.inputs import batches, sequences
from collapse.inspection.measure import ARRAYS, NORMS, ROWS, LayerSamples, Meter, thresholds
from collapse.inspection.pretrained import pretrained_subject
from collapse.inspection.report import HeadReport, LayerReport, Report
from collapse.inspection.substitution import SUBSTITUTES, Substitute, change, margins, outputs
from collapse.numeric import require

TOGETHER = 1024  # tokens that the model is shown at once
MEMORY = 1 << 30


def diagnose(
    model: nn.Module | Network | Subject,
    inputs: Any,
    *,
    tokenizer: Any = None,
    mask: Tensor | None = None,
    chunk: int | None = None,
    tolerance: float = 0.01,
    margin: bool = True,
    memory: int = MEMORY,
    progress: bool = False,
) -> Report:
    r"""Measure how close a transformer is to collapse, inside the running model.

    Hooks read what every attention layer is given, and replace what it does. The tokens of a layer
    are those behind its normalisation, before gain and shift, which are folded into the weights;
    so are :math:`1/\sqrt{d_k}` and the output projection. For each head it reports

    .. math:: \beta_p(M),\quad \nu_p(V),\quad \theta = \mathrm{osc}(A_i),\quad
        \mathrm{TV}(P_i, \mathbf 1/m) \le \tanh(\theta/4),\quad \tau(P),\quad
        \nu_p\tanh(\beta_p\,\mathrm{diam}_p^2/4),

    and for the model how much its outputs change when attention averages, or reads the first
    layer's input, and how far the projections must shrink for that not to matter. All reductions
    are in float64. The model comes back as it was: no parameter is touched, every hook is removed.

    Time: about 6 + L passes of the model, some 60 more for the margins, and O(n³) for each head and
    sequence. Memory: 64 n² bytes a head and sequence for n×n arrays, of as many heads and sequences
    at a time as fit, 32 bytes for each row of each head, both within ``memory``; beside that the
    model's own runs, its outputs, one attention layer in float64, and blocks of up to 100 MiB.

    Args:
        model: A ``torch.nn.MultiheadAttention``, ``TransformerEncoderLayer`` or
            ``TransformerEncoder``; a BERT-, GPT-2- or Llama-style model of transformers, with or
            without a head on top; a :class:`~collapse.attention.Network`; or a
            :class:`~collapse.inspection.families.Subject` that describes another model.
        inputs: A text or several, with ``tokenizer``; token ids or embeddings (n, d), in one
            tensor with a batch dimension in front (whatever ``batch_first`` says) or without, or
            in a list; or what a tokenizer returns.
        tokenizer: The model's tokenizer, for text.
        mask: Booleans (n, n), True where a token is seen (the opposite of torch's ``attn_mask``),
            for the modules of torch.nn alone; the other models bring their own.
        chunk: Longest piece into which longer inputs are cut, ≥ 2; by default what the model
            takes, at most 512.
        tolerance: Relative change of the outputs that the margins allow, > 0.
        margin: Whether to search for the margins, most of the time for a small model.
        memory: Bytes that n×n arrays and rows may take.
        progress: Whether to show a progress bar.

    Returns:
        A Report: ``print(report)``, ``report.to_json()``, ``report.figure()``.

    Raises:
        ValueError: On a model or module that is not supported, naming it; on inputs that do not
            fit; if an attention module does something that its weights, mask and positions do not
            explain; if the model's numbers are not finite; or if the arrays do not fit into
            ``memory``.

    Source:
        contraction, uniform-tv, retrieval, rung-1, rung-2

    >>> layer = torch.nn.MultiheadAttention(4, 2, batch_first=True)
    >>> diagnose(layer, torch.randn(5, 4)).layers[0].name
    'attention'
    """
    subject = _subject(model, mask)
    positive = isinstance(tolerance, Real) and tolerance > 0
    require(positive, "tolerance", "a number > 0", tolerance)
    require(isinstance(memory, int), "memory", "a number of bytes", memory)
    pieces = sequences(subject, inputs, tokenizer, chunk)
    left = _memory_left(subject, pieces, memory)
    shown = batches(pieces, TOGETHER, left // (8 * ARRAYS))
    with _progress(progress) as tick, still(subject.model):
        check_attention(subject.sites, lambda: subject.run(shown[0][1][:1]))
        given = [batch for _, batch in shown]
        base = outputs(subject, given)
        meter = Meter(subject.sites, left)
        with watched(subject.sites, meter.watch, meter.finish):
            for batch in given:
                subject.run(batch)
                tick("measuring")

        def changed(substitute: Substitute, layers: Sequence[int] | None = None) -> float:
            tick("substituting")
            return change(subject, given, substitute, layers=layers, reference=base)

        averaged = [changed("average", (i,)) for i in range(len(subject.sites))]
        whole = {name: changed(name) for name in SUBSTITUTES}
        found = None
        if margin:
            found = margins(subject, given, tolerance, lambda: tick("margins"))
    layers = tuple(
        _layer(i, site.name, samples, averaged[i])
        for i, (site, samples) in enumerate(zip(subject.sites, meter.layers, strict=True))
        if samples is not None
    )
    lengths = [len(piece) for piece in pieces]
    stream = _medians(torch.cat(meter.final["stream"]))
    return Report(
        model=type(model.model if isinstance(model, Subject) else model).__name__,
        words=subject.words,
        sequences=len(pieces),
        tokens=sum(lengths),
        lengths=(min(lengths), max(lengths)),
        layers=layers,
        final=dict(zip(("diameter_1", "diameter_2", "residual_norm", "size"), stream, strict=True)),
        removed=whole["removed"],
        first_input=whole["first"],
        averaged=whole["average"],
        tolerance=tolerance,
        margins=None if found is None else {str(name): s for name, s in found.items()},
        memory=memory,
        settings={
            "device": str(subject.device),
            "dtype": str(subject.dtype).removeprefix("torch."),
            "width": subject.width,
            "torch": torch.__version__,
        },
    )


def _subject(model: Any, mask: Tensor | None) -> Subject:
    if isinstance(model, Network):
        require(mask is None, "mask", "None: a Network has its own", mask)
        return network_subject(model)
    if isinstance(model, Subject):
        require(mask is None, "mask", "None: the sites of a Subject have theirs", mask)
        refuse_unknown(model.model, model.sites)
        return model
    if not isinstance(model, nn.Module):
        refuse_unknown(model, ())
    if mask is not None:
        kind = isinstance(mask, Tensor | np.ndarray | list)
        require(kind, "mask", "booleans of shape (n, n)", type(mask).__name__)
        mask = torch.as_tensor(mask)
        mask = check_mask(mask, (mask.shape[-1] if mask.ndim else 0,) * 2)
    subject = torch_subject(model, mask)
    if subject is not None:
        return subject
    require(mask is None, "mask", "None: the model has its own", mask)
    subject = pretrained_subject(model)
    if subject is None:
        refuse_unknown(model, ())
    assert subject is not None
    return subject


def _memory_left(subject: Subject, pieces: list[Tensor], memory: int) -> int:
    """Bytes for n×n arrays, once the rows have theirs."""
    longest = max(len(piece) for piece in pieces)
    heads = sum(site.heads for site in subject.sites)
    rows = 8 * len(ROWS) * heads * sum(len(piece) for piece in pieces)
    needed = 8 * ARRAYS * longest**2 + rows
    require(
        needed <= memory,
        "memory",
        f"at least {needed} bytes for sequences of {longest} tokens (chunk makes them shorter, "
        "and fewer inputs do the rest)",
        memory,
    )
    return memory - rows


def _layer(index: int, name: str, samples: LayerSamples, averaged: float) -> LayerReport:
    rows = {row: samples.row(row).numpy() for row in ROWS}
    need = thresholds(torch.cat(samples.visible))
    asked = ~np.isnan(need)
    inputs = {key: torch.cat(value) for key, value in samples.inputs.items()}

    def head(h: int) -> HeadReport:
        theta = rows["oscillation"][h]
        low, middle, high = (float(q) for q in np.quantile(theta, (0.05, 0.5, 0.95)))
        return HeadReport(
            layer=index,
            head=h,
            query_key=_sizes(samples.sizes.query_key, h),
            value=_sizes(samples.sizes.value, h),
            oscillation=(low, middle, high),
            largest_oscillation=float(theta.max()),
            tv=float(np.median(rows["tv"][h])),
            tv_bound=float(np.median(rows["tv_bound"][h])),
            threshold=float(np.median(need[asked])) if asked.any() else None,
            above=float((theta[asked] > need[asked]).mean()) if asked.any() else None,
            focused=float((rows["peak"][h][asked] >= 0.5).mean()) if asked.any() else None,
            dobrushin=_median(inputs["dobrushin"][:, h]),
            contraction={p: _median(inputs[f"bound {p}"][:, h]) for p in NORMS},
            by_dobrushin={p: _median(inputs[f"tau {p}"][:, h]) for p in NORMS},
            measured={p: _median(inputs[f"measured {p}"][:, h]) for p in NORMS},
        )

    stream = _medians(inputs["stream"])
    return LayerReport(
        name=name,
        heads=tuple(head(h) for h in range(len(rows["tv"]))),
        diameter={1: stream[0], 2: stream[1]},
        residual_norm=stream[2],
        size=stream[3],
        share=_median(inputs["share"]),
        kind=samples.kind,
        contraction={p: _median(inputs[f"bound {p}"].sum(1)) for p in NORMS},
        measured={p: _median(inputs[f"layer {p}"]) for p in NORMS},
        averaged=averaged,
    )


def _sizes(sizes: Mapping[int, Tensor], head: int) -> dict[int, float]:
    return {p: float(each[head]) for p, each in sizes.items()}


def _median(values: Tensor) -> float:
    return float(np.median(values.numpy()))


def _medians(values: Tensor) -> list[float]:
    return [_median(column) for column in values.T]


@contextmanager
def _progress(show: bool) -> Iterator[Callable[[str], None]]:
    """A function that counts a run of the model, naming the stage."""
    if not show:
        yield lambda stage: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}, run {task.completed}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda stage: bar.update(task, advance=1, description=stage)
