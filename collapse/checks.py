"""Floor 1. Checks of input: each failure is a ValueError naming quantity, range and value."""

from __future__ import annotations

import math

import numpy as np
import torch

from collapse.numeric import Number, is_finite, require


def check_p(p: float) -> None:
    """Refuse a token norm other than p = 1, 2 and ∞."""
    require(p in (1, 2, math.inf), "p", "1, 2 or inf", p)


def check_finite(X: Number, name: str) -> None:
    """Refuse NaN and infinity."""
    require(is_finite(X), name, "finite entries", "NaN or infinity")


def check_matrix(X: Number, name: str, expected: str) -> None:
    """Refuse what is no batch of non-empty matrices of floats or exact numbers."""
    shape: tuple[int, ...] = X.shape if isinstance(X, torch.Tensor | np.ndarray) else ()
    # The sentences are put together only where one is needed: this runs before every norm.
    if isinstance(X, torch.Tensor):
        if not X.dtype.is_floating_point:
            require(False, name, f"{expected}, a floating-point dtype", X.dtype)
    elif not isinstance(X, np.ndarray) or X.dtype != object:
        require(False, name, f"{expected}, a tensor or an array of exact numbers", type(X))
    if len(shape) < 2 or shape[-2] < 1 or shape[-1] < 1:
        require(False, name, f"{expected}, none empty", tuple(shape))


def check_tensor(X: torch.Tensor, name: str) -> None:
    """Refuse what is no batch of finite, non-empty floating-point matrices."""
    require(isinstance(X, torch.Tensor), name, "a torch tensor", type(X))
    check_matrix(X, name, "matrices of shape (*batch, n, d)")
    check_finite(X, name)


def check_mask(mask: Number, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the mask as a boolean tensor, or say what is wrong with it."""
    visible = torch.as_tensor(mask)
    require(visible.dtype == torch.bool, "mask", "booleans", visible.dtype)
    require(tuple(visible.shape) == shape, "mask", f"shape {shape}", tuple(visible.shape))
    blind = (~visible.any(-1)).nonzero().flatten().tolist()
    require(not blind, "mask", "a visible token in every row", f"none in rows {blind}")
    return visible
