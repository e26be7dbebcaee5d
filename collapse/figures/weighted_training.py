"""Chapter 9. Skips of weight 1 against skips whose weight is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from matplotlib.axes import Axes
from torch import Tensor

from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.style import COLOURS, INK
from collapse.norms import residual_norm, token_norm
from collapse.training.run import Trained, held_out

ETA = Axis("bound η on the weights", scale="log")
KINDS = ("λ = 1", "λ trained")


def accuracy(run: Trained) -> Tensor:
    """The share of right answers of every member on the held-out sequences, shape (E,)."""
    batch, model = held_out(run.plan), run.model()
    answers = model.logits(model.network(model.inputs(batch.tokens))).argmax(-1)
    return (answers == batch.targets).double().flatten(1).mean(1)


def differences_kept(run: Trained) -> Tensor:
    """ρ over the size of the tokens, after the stack against before it, shape (E,)."""
    model = run.model()
    X = model.inputs(held_out(run.plan).tokens)
    before, after = (residual_norm(Z) / token_norm(Z) for Z in (X, model.network(X)))
    return (after / before).mean(1)


def trained_skips(fixed: Trained, trained: Trained) -> FigureData:
    """What weights of skips are learnt, how well, and what becomes of the residual.

    Args:
        fixed: A run with skips of weight 1.
        trained: The same plan with weights that are trained.

    Returns:
        Three panels over η, all seeds: the weights by layer; the accuracy and the differences
        kept, for both runs.

    Source:
        lambda-rescaling
    """
    etas = [member.eta for member in trained.plan.members]
    weights = trained.kept[max(trained.kept)]["skip"].double()
    learnt = tuple(
        series(f"layer {layer + 1}", etas, weights[:, layer]) for layer in range(weights.shape[1])
    )
    pairs = tuple(zip(KINDS, (fixed, trained), strict=True))
    settings = asdict(trained.plan)
    del settings["members"], settings["trained_skip"], settings["keep"]
    panels = (
        Panel("weights that were learnt", ETA, Axis("λ"), learnt),
        Panel("", ETA, Axis("accuracy"), tuple(series(n, etas, accuracy(r)) for n, r in pairs)),
        Panel(
            "",
            ETA,
            Axis("differences kept"),
            tuple(series(n, etas, differences_kept(r)) for n, r in pairs),
        ),
    )
    seeds = sorted({member.seed for member in trained.plan.members})
    return FigureData("lambda-trained", panels, {**settings, "seeds": seeds}, dtype="float32")


def draw_trained_skips(axes: Sequence[Axes], data: FigureData) -> None:
    """Dots for all seeds, set apart a little."""
    learnt, *others = data.panels
    colours = [COLOURS[name] for name in ("blue", "orange", "green", "red")]
    for i, (curve, colour) in enumerate(zip(learnt.series, colours, strict=False)):
        _dots(axes[0], curve.x, curve.y, i, colour, curve.name)
    axes[0].axhline(1, color=INK, lw=0.8, ls=":")
    axes[0].legend(loc="upper left", ncols=2)
    for ax, panel in zip(axes[1:], others, strict=True):
        for i, (curve, colour) in enumerate(zip(panel.series, (INK, COLOURS["red"]), strict=True)):
            _dots(ax, curve.x, curve.y, i, colour, curve.name)
        ax.set_ylim(0, 1.05)
    axes[1].legend(loc="lower right")
    for ax in axes:
        etas = sorted(set(learnt.series[0].x))
        ax.set_xticks(etas, [f"{eta:g}" for eta in etas])
        ax.minorticks_off()


def _dots(ax: Axes, x: Sequence[float], y: Sequence[float], i: int, colour: str, name: str) -> None:
    ax.plot([eta * (1 + 0.06 * (i - 0.5)) for eta in x], y, "o", ms=5, mfc="none",
            color=colour, label=name)  # fmt: skip
