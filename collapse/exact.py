"""Floor 4. The same network over balls, multiprecision floats, symbols and exact rationals.

Its forward pass is plain array algebra on numpy arrays of dtype object, with no torch kernel in it.
Softmax needs an exponential, so the numbers are ``flint.arb`` (rigorous), ``mpmath.mpf`` or
sympy's; Fractions serve networks whose logits are all zero.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch

from collapse.attention import Network
from collapse.checks import check_batches, check_finite
from collapse.numeric import Number, is_number, require

NumberType = Literal["fraction", "fmpq", "arb", "mpf", "sympy"]


class ExactNetwork(Network):
    r"""A Network whose weights are numpy arrays of exact numbers, and whose scales are scalars.

    Arguments, options and methods are those of :class:`~collapse.attention.Network`, but for
    ``to``, ``save`` and ``load``. The numbers of weights, scales and tokens must be of types that
    mix; :func:`lift` makes them so.

    Raises:
        ValueError: As for a Network.

    Source:
        contraction

    >>> from collapse.numeric import exact
    >>> zero, one = exact([[[[0]]]]), exact([[[[1]]]])
    >>> ExactNetwork(zero, zero, one)(exact([[1], [2]])).flatten()
    array([Fraction(5, 2), Fraction(7, 2)], dtype=object)
    """

    def _of(self, weights: Any, layer: int) -> Any:
        return weights[..., layer, :, :, :]

    def _project(self, tokens: Any, weights: Any) -> Any:
        return tokens[..., None, :, :] @ weights

    def _may_overflow(self, X: Any) -> bool:
        return False

    def _attend(self, X: Any, layer: int, watched: bool = False) -> Any:
        if self.heads == 0:
            return X * 0
        tokens = self._read(X)
        V = self.value_output[..., layer, :, :, :]
        return (self.attention_matrices(X, layer) @ self._project(tokens, V)).sum(-3)

    def _stack(self, steps: list[Any]) -> Any:
        return np.stack(np.broadcast_arrays(*steps), -3)

    def _check_weight(self, weight: Number, name: str) -> None:
        exact = isinstance(weight, np.ndarray) and weight.dtype == object
        require(exact, name, "a numpy array of exact numbers", type(weight))
        check_finite(weight, name)

    def _check_scale(self, scale: Number, name: str) -> None:
        require(is_number(scale), name, "an exact number", repr(scale))

    def _check(self) -> None:
        super()._check()
        for name in ("skip", "mixer_scale"):
            scale = getattr(self, name)
            if isinstance(scale, float):
                # A float would turn Fractions into floats; the default 1.0 is meant as 1.
                require(scale.is_integer(), name, "an exact number", scale)
                self.__dict__[name] = int(scale)

    def _broadcast(self, X: Any) -> Any:
        require(isinstance(X, np.ndarray), "X", "a numpy array of exact numbers", type(X))
        check_batches(X.shape[:-2], self.batch, "X")
        return X


def lift(x: Any, number: NumberType) -> Any:
    """Convert floats to another number type, each binary float exactly.

    Args:
        x: A Network, a floating-point tensor, an array of exact numbers, or a scalar.
        number: "fraction" (fractions.Fraction), "fmpq" or "arb" (python-flint), "mpf" (mpmath)
            or "sympy" (rationals). Balls and mpmath floats take the working precision of their
            library.

    Returns:
        An ExactNetwork, an array of exact numbers of the same shape, or a scalar.

    Raises:
        ValueError: On an unknown number type, what is no number, NaN or infinity.

    Source:
        contraction

    >>> lift(torch.tensor([[0.5]]), "fraction")
    array([[Fraction(1, 2)]], dtype=object)
    """
    known = isinstance(number, str) and number in _CONVERT
    require(known, "number", f"one of {', '.join(_CONVERT)}", number)
    if isinstance(x, Network):
        names = ("query", "key", "value", "output", "skip", "mixer_scale", "rope")
        parts = {name: getattr(x, name) for name in names}
        lifted = {
            name: None if part is None else lift(part, number) for name, part in parts.items()
        }
        return ExactNetwork(**lifted, mask=x.mask, norm=x.norm)
    if isinstance(x, torch.Tensor):
        x = np.array(x.detach().cpu().tolist(), dtype=object).reshape(x.shape)
        x = x[()] if x.ndim == 0 else x
    if isinstance(x, np.ndarray):
        return np.frompyfunc(lambda entry: lift(entry, number), 1, 1)(x) if x.size else x
    require(is_number(x), "x", "a Network, a tensor, an array or a real number", repr(x))
    check_finite(x, "x")
    x = x.item() if isinstance(x, np.generic) else x
    return _CONVERT[number](Fraction(x)) if isinstance(x, int | float | Fraction) else x


def _to_fmpq(x: Fraction) -> Any:
    import flint

    return flint.fmpq(x.numerator, x.denominator)


def _to_arb(x: Fraction) -> Any:
    import flint

    return flint.arb(_to_fmpq(x))


def _to_mpf(x: Fraction) -> Any:
    import mpmath

    return mpmath.mpf(x.numerator) / x.denominator


def _to_sympy(x: Fraction) -> Any:
    import sympy

    return sympy.Rational(x.numerator, x.denominator)


_CONVERT: dict[str, Callable[[Fraction], Any]] = {
    "fraction": lambda x: x,
    "fmpq": _to_fmpq,
    "arb": _to_arb,
    "mpf": _to_mpf,
    "sympy": _to_sympy,
}
