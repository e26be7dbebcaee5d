"""Rotations and softmax in plain loops, for the slow twins of attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def rotation(position: int, k: int, base: float) -> Any:
    """The matrix that turns a row by its position; pairs are (a, a + k/2)."""
    R = np.zeros((k, k))
    for a in range(k // 2):
        angle = float(np.float32(np.float32(position) / np.float32(base ** (2 * a / k))))
        R[a, a] = R[a + k // 2, a + k // 2] = math.cos(angle)
        R[a, a + k // 2], R[a + k // 2, a] = math.sin(angle), -math.sin(angle)
    return R


def masked_softmax(logits: Any, seen: Any) -> Any:
    P = np.zeros_like(logits)
    for i, row in enumerate(logits):
        top = max(a for a, s in zip(row, seen[i], strict=True) if s)
        weights = [math.exp(a - top) if s else 0.0 for a, s in zip(row, seen[i], strict=True)]
        P[i] = np.array(weights) / sum(weights)
    return P


def causal_softmax(logits: Any) -> Any:
    return masked_softmax(logits, np.tril(np.ones(logits.shape, bool)))
