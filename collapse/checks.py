"""Floor 1. Checks of input: each failure is a ValueError naming quantity, range and value."""

from __future__ import annotations

import math
import numbers

import numpy as np
import torch

from collapse.numeric import Number, is_finite, is_number, require

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def check_p(p: float) -> None:
    """Refuse a token norm other than p = 1, 2 and ∞."""
    require(isinstance(p, numbers.Real) and p in (1, 2, math.inf), "p", "1, 2 or inf", p)


def check_finite(X: Number, name: str) -> None:
    """Refuse NaN and infinity."""
    require(is_finite(X), name, "finite entries", "NaN or infinity")


def is_whole(x: object) -> bool:
    """Whether x is an integer of Python or numpy; True and False are none."""
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def check_whole(x: int, name: str, least: int) -> int:
    """Return a size as an integer of Python, or say what is wrong with it."""
    require(is_whole(x) and x >= least, name, f"an integer >= {least}", x)
    return int(x)


def check_number(x: Number, name: str, expected: str) -> None:
    """Refuse what is neither a real number nor a floating-point tensor nor an array of numbers."""
    if isinstance(x, torch.Tensor):
        check_floats(x, name, expected)
    elif not isinstance(x, np.ndarray) or not all(map(is_number, x.flat)):
        require(is_number(x), name, f"{expected}, a real number", repr(x))


def check_floats(X: torch.Tensor, name: str, expected: str) -> None:
    """Refuse a tensor that is no dense one, with data, of a dtype that torch computes with."""
    # The sentences are put together only where one is needed: this runs before every norm.
    if X.dtype not in _FLOATS:
        require(False, name, f"{expected}, a floating-point dtype of 16 to 64 bits", X.dtype)
    if X.layout != torch.strided or X.is_meta:
        require(False, name, f"{expected}, a dense tensor", f"{X.layout} on {X.device}")


def check_matrix(X: Number, name: str, expected: str) -> None:
    """Refuse what is no batch of non-empty matrices of floats or exact numbers."""
    shape: tuple[int, ...] = X.shape if isinstance(X, torch.Tensor | np.ndarray) else ()
    if isinstance(X, torch.Tensor):
        check_floats(X, name, expected)
    elif not isinstance(X, np.ndarray) or X.dtype != object:
        require(False, name, f"{expected}, a tensor or an array of exact numbers", type(X))
    else:
        for entry in X.flat:
            if not is_number(entry):
                require(False, name, f"{expected}, real numbers", repr(entry))
    if len(shape) < 2 or shape[-2] < 1 or shape[-1] < 1:
        require(False, name, f"{expected}, none empty", tuple(shape))


def check_tensor(X: torch.Tensor, name: str) -> None:
    """Refuse what is no batch of finite, non-empty floating-point matrices."""
    require(isinstance(X, torch.Tensor), name, "a torch tensor", type(X))
    check_matrix(X, name, "matrices of shape (*batch, n, d)")
    check_finite(X, name)


def check_alike(X: Number, like: Number, name: str, other: str) -> None:
    """Refuse what does not mix with another: a tensor with an array, other dtypes or devices."""
    tensors = isinstance(X, torch.Tensor), isinstance(like, torch.Tensor)
    if tensors[0] != tensors[1]:
        require(False, name, f"a {type(like).__name__}, as {other}", type(X))
    if all(tensors) and (X.dtype, X.device) != (like.dtype, like.device):
        want = f"{like.dtype} on {like.device}, as {other}"
        require(False, name, want, f"{X.dtype} on {X.device}")


def check_batches(shape: tuple[int, ...], other: tuple[int, ...], name: str) -> tuple[int, ...]:
    """Return the batch dimensions that two batches broadcast to, or say that they do not."""
    try:
        # Not by torch, whose function of that name loads sympy first.
        return np.broadcast_shapes(tuple(shape), tuple(other))
    except ValueError:
        raise ValueError(
            f"batch of {name}: expected one that broadcasts with {tuple(other)},"
            f" received {tuple(shape)}"
        ) from None


def check_mask(mask: Number, shape: tuple[int, ...] | None = None) -> torch.Tensor:
    """Return the mask, square unless a shape is given, as booleans, or say what is wrong."""
    try:
        visible = torch.as_tensor(mask)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"mask: expected booleans, received {mask!r}") from None
    require(visible.dtype == torch.bool, "mask", "booleans", visible.dtype)
    if shape is None:
        shape = (visible.shape[0] if visible.ndim else 0,) * 2
    require(tuple(visible.shape) == shape, "mask", f"shape {shape}", tuple(visible.shape))
    blind = (~visible.any(-1)).nonzero().flatten().tolist()
    require(not blind, "mask", "a visible token in every row", f"none in rows {blind}")
    return visible
