"""Random inputs and the one way in which this suite compares floats: Hypothesis and batches."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import reference
import torch
from hypothesis import settings
from hypothesis import strategies as st

from collapse.numeric import rounding_allowance

settings.register_profile("collapse", deadline=None, max_examples=60)
settings.load_profile("collapse")

DTYPES = (torch.float64, torch.float32)
CASES = 150_000  # per inequality, of which the trivial ones (one token, zero) are the fewest


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """The same numbers in every dtype, up to rounding."""
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def rough(*shape: int, seed: int) -> torch.Tensor:
    """A batch of matrices of mixed kinds: Gaussian, heavy-tailed, signs, sparse, scales 1e±3."""
    source = generator(seed)
    X = torch.randn(shape, generator=source, dtype=torch.float64)
    kind = torch.randint(4, (shape[0],) + (1,) * (len(shape) - 1), generator=source)
    keep = torch.rand(shape, generator=source) < 0.3
    X = torch.where(kind == 1, X**3, X)
    X = torch.where(kind == 2, torch.sign(X), X)
    X = torch.where(kind == 3, X * keep, X)
    scale = 10 ** (6 * torch.rand(kind.shape, generator=source, dtype=torch.float64) - 3)
    return X * scale


def stochastic(*shape: int, seed: int) -> torch.Tensor:
    """Row-stochastic matrices from near uniform to near permutation."""
    P = torch.exp(rough(*shape, seed=seed).clamp(-30, 30))
    return P / P.sum(-1, keepdim=True)


def lists(tensor: torch.Tensor, number: Any = mpmath.mpf) -> Any:
    """Nested lists of exactly converted entries for the slow twins."""
    return reference.exactly(tensor.tolist(), number)


def assert_below(
    measured: torch.Tensor, bound: torch.Tensor | float, scale: Any, operations: int
) -> None:
    """``measured`` exceeds ``bound`` nowhere by more than rounding, by the package's formula."""
    excess = measured - bound - rounding_allowance(scale, operations, measured.dtype)
    assert measured.numel() == 0 or bool((excess <= 0).all()), f"exceeded by {excess.max()}"


def assert_agrees(measured: torch.Tensor | float, twin: Any, scale: Any, operations: int) -> None:
    """``measured`` is the twin's exact value up to rounding; both nested alike."""
    measured = torch.as_tensor(measured)
    assert not torch.isnan(measured).any()
    allowed = rounding_allowance(float(scale), operations, measured.dtype)
    for got, exact in zip(flatten(measured.tolist()), flatten(twin), strict=True):
        error = abs(mpmath.mpf(got) - reference._mpf(exact))
        assert error <= allowed, f"{got} against {mpmath.nstr(exact, 20)}: {error} > {allowed}"


def flatten(nested: Any) -> list[Any]:
    if isinstance(nested, list | tuple):
        return [entry for part in nested for entry in flatten(part)]
    return [nested]


def numbers(limit: float = 1e3) -> st.SearchStrategy[float]:
    """Floats up to a limit, none so small that a product underflows."""
    return st.floats(-limit, limit, allow_nan=False).map(lambda x: 0.0 if abs(x) < 1e-9 else x)


@st.composite
def matrices(
    draw: st.DrawFn, rows: Any = None, columns: Any = None, limit: float = 1e3
) -> torch.Tensor:
    """One matrix; each side a number or drawn from 1 to 5."""
    n = rows or draw(st.integers(1, 5))
    d = columns or draw(st.integers(1, 4))
    entries = draw(st.lists(numbers(limit), min_size=n * d, max_size=n * d))
    return torch.tensor(entries, dtype=torch.float64).reshape(n, d)


@st.composite
def pairs(draw: st.DrawFn, limit: float = 1e3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two matrices of one shape."""
    n, d = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    return draw(matrices(n, d, limit)), draw(matrices(n, d, limit))


def size(*tensors: torch.Tensor) -> float:
    """The largest absolute entry, the scale of rounding."""
    return max((float(t.abs().max()) for t in tensors if t.numel()), default=0.0)


def softmax_slack(A: torch.Tensor) -> int:
    """Roundings behind a softmax entry: the logit's own, exp, the running sum, the division.

    A logit a is only good to |a| u, and exp turns that into relative error, so each unit of logit
    size counts as one rounding.
    """
    return int(4 * size(A)) + 2 * A.shape[-1] + 16


BAD_MATRICES = {
    "vector": torch.zeros(3),
    "no tokens": torch.zeros(0, 2),
    "no features": torch.zeros(2, 0),
    "integers": torch.zeros(2, 2, dtype=torch.int64),
    "complex": torch.zeros(2, 2, dtype=torch.complex128),
    "nan": torch.tensor([[0.0, math.nan]]),
    "infinity": torch.tensor([[0.0], [math.inf]]),
    "list": [[0.0, 1.0], [1.0, 0.0]],
    "eight bits": torch.zeros(2, 2).to(torch.float8_e5m2),
    "sparse": torch.eye(2).to_sparse(),
    "without data": torch.zeros(2, 2, device="meta"),
    "text": np.array([["1", "2"]], dtype=object),
    "nothing": np.array([[None, None]], dtype=object),
    "complex objects": np.array([[1j, 0]], dtype=object),
}


def contains(ball: Any, truth: Any) -> bool:
    """Whether a ball covers an mpmath number (or Fraction), decided in exact rationals."""
    if not isinstance(truth, Fraction):
        sign, mantissa, exponent, _ = truth._mpf_
        truth = (-1) ** sign * Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    middle, radius = (Fraction(str(part.fmpq())) for part in (ball.mid(), ball.rad()))
    return abs(truth - middle) <= radius
