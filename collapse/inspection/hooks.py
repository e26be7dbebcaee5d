"""Reading and replacing what attention does inside a running model, and leaving no trace."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from collapse.inspection.site import Call, Site, attend, project
from collapse.numeric import require, rounding_allowance

Watch = Callable[[int, Call, Tensor, Tensor | None], None]
Finish = Callable[[Tensor], None]
_HIDDEN = -1e4  # additive masks write at most this where a token is hidden
_OVERSIGHT = 1e-9  # of what attention can write: far above rounding, far below any feature


@contextmanager
def still(model: nn.Module) -> Iterator[None]:
    """The model without dropout and gradients; its mode is put back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.no_grad():
            model.eval()
            yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def watched(sites: Sequence[Site], watch: Watch, finish: Finish) -> Iterator[None]:
    """Show what each layer is given while the model runs.

    Args:
        sites: The attention layers, in the order in which they run.
        watch: Takes the index of a layer, its Call, the input of its block, and the input of its
            normalisation or None.
        finish: Takes the output of the last block.
    """
    streams: dict[int, Tensor] = {}
    before: dict[int, Tensor] = {}
    with _hooks() as add:
        for index, site in enumerate(sites):

            def enter(
                _: nn.Module, args: Any, kwargs: Any, index: int = index, site: Site = site
            ) -> None:
                streams[index] = arranged(site, first(args, kwargs))

            def norm(
                _: nn.Module, args: Any, __: Any, index: int = index, site: Site = site
            ) -> None:
                before[index] = arranged(site, args[0])

            def leave(
                _: nn.Module, args: Any, kwargs: Any, __: Any, index: int = index, site: Site = site
            ) -> None:
                call = read_call(site, args, kwargs)
                around = type(site.layer).__name__
                require(index in streams, f"layer of {site.name}", "a module around it", around)
                watch(index, call, streams[index], before.get(index))

            add(site.layer.register_forward_pre_hook(enter, with_kwargs=True))
            if site.norm is not None:
                add(site.norm.register_forward_hook(norm))
            add(site.attention.register_forward_hook(leave, with_kwargs=True))

        def last(_: nn.Module, __: Any, out: Any) -> None:
            out = out[0] if isinstance(out, tuple) else out
            finish(arranged(sites[-1], out))

        add(sites[-1].layer.register_forward_hook(last))
        yield


@contextmanager
def replaced(
    sites: Sequence[Site],
    scale: float = 1.0,
    even: Sequence[int] = (),
    first_input: Sequence[int] = (),
    silent: Sequence[int] = (),
) -> Iterator[None]:
    """Let attention layers compute something else; the parameters stay as they are.

    Args:
        sites: The attention layers.
        scale: Factor on the query, key and value projections of every layer, biases included.
        even: Layers whose patterns are replaced by plain averages of what each token sees.
        first_input: Layers that read the input of the first block in the place of the stream.
        silent: Layers whose value projections count as zero.
    """
    start: list[Tensor] = []
    with _hooks() as add:

        def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
            start[:] = [first(args, kwargs)]

        add(sites[0].layer.register_forward_pre_hook(enter, with_kwargs=True))
        for index, site in enumerate(sites):
            touched = index in even or index in first_input or index in silent
            if scale == 1 and not touched:
                continue

            def swap(
                _: nn.Module,
                args: Any,
                kwargs: Any,
                out: Any,
                index: int = index,
                site: Site = site,
            ) -> Any:
                call = read_call(site, args, kwargs)
                if index in first_input:
                    norm = site.norm if site.pre else None
                    tokens = arranged(site, start[0])
                    call = Call(tokens if norm is None else norm(tokens), call.visible, call.angles)
                weights = site.projections(call.tokens.dtype)
                factor = 0.0 if index in silent else scale
                new = attend(site, weights, call, factor, index in even)
                new = arranged(site, new)
                return (new, *out[1:]) if isinstance(out, tuple) else new

            add(site.attention.register_forward_hook(swap, with_kwargs=True))
        yield


def first(args: Any, kwargs: Any) -> Tensor:
    """The tokens among the arguments of a module."""
    if args:
        return args[0]
    return next(kwargs[name] for name in ("hidden_states", "src", "query") if name in kwargs)


def arranged(site: Site, tokens: Tensor) -> Tensor:
    """Tokens as (batch, n, d), from and to modules that want (n, batch, d)."""
    turned = isinstance(site.attention, nn.MultiheadAttention) and not site.attention.batch_first
    return tokens.transpose(0, 1) if turned else tokens


def read_call(site: Site, args: Any, kwargs: Any) -> Call:
    """What an attention module was given; anything that cannot be honoured is refused by name."""
    tokens = arranged(site, first(args, kwargs))
    n, mask = tokens.shape[-2], kwargs.get("attn_mask", kwargs.get("attention_mask"))
    if mask is not None:
        visible = _visible(site, mask)
    elif site.mask is not None:
        require(n == len(site.mask), "tokens", f"n = {len(site.mask)} of the mask", n)
        visible = site.mask.to(tokens.device)
    else:
        visible = torch.ones(n, n, dtype=torch.bool, device=tokens.device)
        visible = visible.tril() if site.causal else visible
    angles = kwargs.get("position_embeddings")
    if angles is not None:
        angles = tuple(angle[0] for angle in angles)
    elif site.angles is not None:
        angles = site.angles(n)
    return Call(tokens, None if bool(visible.all()) else visible, angles)


def check_attention(sites: Sequence[Site], run: Callable[[], object]) -> None:
    """Compare each attention module, in float64, with what its weights give in our notation.

    The modules run once more as copies, on the tokens that they received. Positions, masks or
    factors that were overlooked show here.

    Args:
        sites: The attention layers.
        run: Runs the model on some input.

    Raises:
        ValueError: If they differ by more than rounding, or read NaN or infinity; the message
            names the module.
    """
    for site in sites:
        places = sum(other.attention is site.attention for other in sites)
        require(places == 1, site.name, "one module a layer", f"a module of {places} layers")
    calls: list[tuple[Site, Any, Any]] = []
    with _hooks() as add:
        for site in sites:

            def keep(_: nn.Module, args: Any, kwargs: Any, site: Site = site) -> None:
                calls.append((site, args, kwargs))

            add(site.attention.register_forward_pre_hook(keep, with_kwargs=True))
        run()
    require(len(calls) == len(sites), "model", f"{len(sites)} attention calls", len(calls))
    ran = [site.name for site, _, _ in calls]
    listed = [site.name for site in sites]
    require(ran == listed, "sites", f"the order in which they run, {', '.join(ran)}", listed)
    for site, args, kwargs in calls:
        tokens = first(args, kwargs)
        bad = f"NaN or infinity in {tokens.dtype}"
        require(torch.isfinite(tokens), f"tokens that {site.name} reads", "finite entries", bad)
        _check(site, _double(args), _double(kwargs))


def _check(site: Site, args: Any, kwargs: Any) -> None:
    twin = copy.deepcopy(site.attention).double().eval()
    config: Any = getattr(twin, "config", None)
    if config is not None:
        config._attn_implementation = "sdpa"  # the eager path rounds to float32 in between
    call = read_call(site, args, kwargs)
    out = twin(*args, **kwargs)
    actual = arranged(site, out[0] if isinstance(out, tuple) else out)
    weights = site.projections(torch.float64)
    require(weights.heads == site.heads, f"heads of {site.name}", f"{weights.heads}", site.heads)
    q, _, v = weights.apply(call.tokens)
    heads = weights.output.shape[0] * weights.output.shape[1]
    ours = attend(site, weights, call)
    # Worst case: sums of products of absolute values, and a logit's error in the exponent.
    size = [float((call.tokens.abs() @ abs(w).flatten(1)).amax()) + 1 for w in weights.inward]
    logit = size[0] * size[1] * q.shape[-1]
    outward = 1.0 if site.outside else 1 + float(abs(weights.output).sum((0, 1)).amax())
    operations = 4 * call.tokens.shape[-1] + q.shape[-1] + 4 * v.shape[-2] + heads
    allowed = rounding_allowance((1 + logit) * size[2] * outward, operations)
    # The worst case grows faster than what a wide layer writes; an oversight must still show.
    bias = weights.biases[3]
    largest = float(abs(v).amax()) * outward + (0.0 if bias is None else float(abs(bias).amax()))
    allowed = min(allowed, _OVERSIGHT * largest)
    sound = torch.isfinite(ours)
    require(sound, f"weights of {site.name}", "finite entries", "NaN or infinity")
    error = float((ours - actual).abs().amax())
    require(
        error <= allowed,
        f"attention module {site.name} ({type(site.attention).__name__})",
        "the output that its weights, mask and positions give",
        f"a difference of {error:.3g}",
    )


def written(site: Site, weights: Any, call: Call) -> Tensor:
    """What the layer's attention adds to the stream."""
    out = attend(site, weights, call)
    return project(weights, out) if site.outside else out


def _visible(site: Site, mask: Tensor) -> Tensor:
    """The mask as booleans (n, n), True where a token is seen."""
    if mask.dtype == torch.bool:
        # torch.nn hides where True, transformers where False.
        visible = ~mask if isinstance(site.attention, nn.MultiheadAttention) else mask
    else:
        visible = mask == 0
        known = visible | (mask <= _HIDDEN)
        require(known, f"mask of {site.name}", "entries 0 or -infinity", "an additive bias")
    flat = visible.reshape(-1, *visible.shape[-2:])
    same = (flat == flat[:1]).all()
    require(same, f"mask of {site.name}", "one mask for all heads and sequences", "several")
    return flat[0]


def _double(part: Any) -> Any:
    if isinstance(part, Tensor):
        return part.double() if part.dtype.is_floating_point else part
    if isinstance(part, tuple | list):
        return type(part)(_double(each) for each in part)
    return {name: _double(each) for name, each in part.items()} if isinstance(part, dict) else part


@contextmanager
def _hooks() -> Iterator[Callable[[Any], None]]:
    handles: list[Any] = []
    try:
        yield handles.append
    finally:
        for handle in handles:
            handle.remove()
