"""One case of a trial in floats, exact rationals or balls, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from collapse.exact import lift
from collapse.numeric import Number, exact, require, rounding_allowance
from collapse.referee.trial import Case, Sides, Trial
from collapse.referee.trials import trials

Arithmetic = Literal["exact", "balls", "float64"]
Witness = Mapping[str, Any]  # nested lists of "p/q" by the name of the free array

# Chains of rounded operations in the sides of a trial are shorter than this.
_OPERATIONS = 1000


@dataclass(frozen=True)
class Measured:
    """Both sides of a trial at one case.

    Attributes:
        observed: Left side: a Fraction, a ball or a float.
        bound: Right side.
        arithmetic: "exact", "balls" or "float64".
        precision: Bits of the balls, None otherwise.
    """

    observed: Number
    bound: Number
    arithmetic: Arithmetic
    precision: int | None = None

    @property
    def proved(self) -> bool:
        """Whether observed ≤ bound for certain; in floats, up to rounding."""
        return bool(self.observed <= self._raised)

    @property
    def refuted(self) -> bool:
        """Whether observed > bound for certain; in floats, by more than rounding."""
        return bool(self.observed > self._raised)

    @property
    def ratio(self) -> Number:
        """Observed ÷ bound in the same arithmetic; 0 where both vanish, infinite if one does."""
        if self.bound == 0:
            return 0.0 if self.observed == 0 else float("inf")
        return self.observed / self.bound

    @property
    def least(self) -> float:
        """The ratio as a float; for balls their lower end, so that no rounding lifts it."""
        ratio = self.ratio
        if self.arithmetic == "balls" and not isinstance(ratio, float):
            ratio = ratio.lower() if ratio.is_finite() else 0.0
        return float(ratio)

    @property
    def _raised(self) -> Number:
        """The bound; in floats, with the allowance for rounding added."""
        if self.arithmetic != "float64":
            return self.bound  # adding even zero would round a ball to the precision in force
        size = max(1.0, abs(self.observed), abs(self.bound))
        return self.bound + rounding_allowance(size, _OPERATIONS)

    def __str__(self) -> str:
        """Both sides, as a reader would write them."""
        sides = (self.observed, self.bound)
        observed, bound = (_text(side, 20) for side in sides)
        if observed == bound and self.precision:  # the digits in which they differ come later
            observed, bound = (_text(side, self.precision // 3) for side in sides)
        return f"observed {observed}, bound {bound}"


def read(trial: Trial, witness: Witness) -> dict[str, np.ndarray]:
    """The free numbers of a case as arrays of Fractions, checked against the trial.

    Raises:
        ValueError: On other names or shapes than the trial's, or entries that are no numbers.

    >>> read(trials("as25-lem-4.1")[0], {"A": [["1/2"], [0], [1]], "B": [[0]] * 3})["A"][0, 0]
    Fraction(1, 2)
    """
    require(set(witness) == set(trial.free), "free", f"the arrays {set(trial.free)}", set(witness))
    arrays = {}
    for name, shape in trial.free.items():
        try:
            arrays[name] = np.asarray(exact(_without_powers(witness[name])))
        except (ValueError, ArithmeticError) as error:
            raise ValueError(
                f"{name}: expected rationals such as '1/3', received {error}"
            ) from None
        entries = all(isinstance(entry, Fraction) for entry in arrays[name].flat)
        require(entries, name, "rationals such as '1/3'", witness[name])
        require(arrays[name].shape == shape, f"shape of {name}", str(shape), arrays[name].shape)
    return arrays


def _without_powers(entries: Any) -> np.ndarray:
    """Refuse what is short to write and too long to compute with, such as "1e999999999"."""
    array = np.array(entries, dtype=object)
    for entry in array.flat:
        written = not isinstance(entry, str) or "e" not in entry.lower()
        require(written, "entry", "no power of ten", entry)
    return array


def write(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays of Fractions as nested lists of "p/q", the inverse of :func:`read`."""
    return {name: np.vectorize(str, otypes=[object])(x).tolist() for name, x in arrays.items()}


def measure(
    trial: Trial,
    free: Mapping[str, np.ndarray],
    precision: int = 128,
    sides: Sides | None = None,
) -> Measured:
    """Both sides at rational free numbers: exactly if they are rational, else in balls or floats.

    Args:
        trial: The trial.
        free: Arrays of Fractions.
        precision: Bits of the balls.
        sides: Other sides than the trial's, for its negative control.

    Returns:
        The sides; in float64 if balls cannot evaluate the trial.

    Raises:
        ValueError: If a side becomes a binary float although all inputs are exact.
        TooWide: If balls are too wide at this precision for a function to accept them.

    >>> lemma = trials("as25-lem-4.1")[0]
    >>> measure(lemma, read(lemma, {"A": [[2], [0], [-2]], "B": [[1], [1], [-3]]})).ratio
    Fraction(2, 1)
    """
    sides = sides or trial.sides
    if "certified" not in trial.kinds:
        return in_floats(trial, free, sides)
    try:
        observed, bound = (_scalar(x) for x in sides(**trial.build(**free)))
        return Measured(Fraction(observed), Fraction(bound), "exact")
    except _NotRational:
        raise
    except ValueError:
        pass  # an exponential or a root: rationals do not suffice
    import flint

    with flint.ctx.workprec(precision):
        lifted = {name: lift(x, "arb") for name, x in free.items()}
        try:
            observed, bound = (_ball(x) for x in sides(**trial.build(**lifted)))
        except _NotRational:
            raise
        except ValueError as error:
            raise TooWide(f"{trial.label}, {trial.name}, at {precision} bits: {error}") from None
    return Measured(observed, bound, "balls", precision)


def in_floats(trial: Trial, free: Mapping[str, np.ndarray], sides: Sides | None = None) -> Measured:
    """Both sides at rational free numbers in float64, for trials that balls cannot evaluate."""
    tensors = {name: torch.tensor(x.astype(float), dtype=torch.float64) for name, x in free.items()}
    observed, bound = (float(x) for x in (sides or trial.sides)(**trial.build(**tensors)))
    return Measured(observed, bound, "float64")


def settle(
    trial: Trial,
    free: Mapping[str, np.ndarray],
    precision: int = 128,
    max_precision: int = 1024,
    sides: Sides | None = None,
) -> tuple[Measured | None, int]:
    """Both sides at a case, the precision of the balls doubled until they no longer overlap.

    Args:
        trial: The trial.
        free: Arrays of Fractions.
        precision: Bits to begin with.
        max_precision: Bits to end with.
        sides: Other sides than the trial's, for its negative control.

    Returns:
        The sides, None if balls stayed too wide to be evaluated, and the last precision.
    """
    while True:
        try:
            measured = measure(trial, free, precision, sides)
        except TooWide:
            measured = None
        balls = measured is None or measured.arithmetic == "balls"
        settled = measured is not None and (measured.proved or measured.refuted)
        if not balls or settled or precision >= max_precision:
            return measured, precision
        precision = min(2 * precision, max_precision)


def judge(
    trial: Trial,
    free: Mapping[str, np.ndarray],
    max_precision: int = 1024,
    sides: Sides | None = None,
) -> Measured:
    """Like :func:`settle`, in float64 where even the last balls are too wide to be evaluated."""
    measured, _ = settle(trial, free, min(128, max_precision), max_precision, sides)
    return in_floats(trial, free, sides) if measured is None else measured


class TooWide(ValueError):
    """Balls straddle the edge of a function's domain at this precision."""


class _NotRational(ValueError):
    """A binary float among exact numbers would make a proof of something else."""


def _ball(side: Number) -> Number:
    import flint

    value = _scalar(side)
    return value if isinstance(value, flint.arb) else lift(Fraction(value), "arb")


def _scalar(side: Number) -> Number:
    value = side.item() if isinstance(side, np.ndarray) else side
    if isinstance(value, float):
        raise _NotRational(f"sides: expected exact numbers, received the binary float {value!r}")
    return value


def _text(side: Number, digits: int) -> str:
    return side.str(digits) if hasattr(side, "str") else str(side)


def objects(label: str, trial: str, free: Witness) -> Case:
    """The objects of the domain at one case, over exact rationals.

    Args:
        label: The claim's label.
        trial: Name of the trial.
        free: Its free numbers, nested lists of ints, Fractions or "p/q".

    Returns:
        What the trial builds, by name.

    Raises:
        ValueError: On an unknown label or trial, or other names or shapes.

    >>> case = objects("as25-lem-4.1", "three tokens", {"A": [[1], [2], [3]], "B": [[0]] * 3})
    >>> case["A"].shape
    (3, 1)
    """
    (chosen,) = trials(label, trial)
    return chosen.build(**read(chosen, free))


def evaluate(label: str, trial: str, free: Witness, max_precision: int = 1024) -> Measured:
    """Both sides of a claim at one case.

    Args:
        label: The claim's label.
        trial: Name of the trial.
        free: Its free numbers, nested lists of ints, Fractions or "p/q".
        max_precision: Bits up to which balls, where the sides are not rational, are narrowed from
            128 bits on until they part.

    Returns:
        Observed, bound and the arithmetic in which they were found; float64 if balls cannot
        evaluate the trial.

    Raises:
        ValueError: On an unknown label or trial, or other names or shapes.

    >>> case = {"A": [[2], [0], [-2]], "B": [[1], [1], [-3]]}
    >>> print(evaluate("as25-lem-4.1", "three tokens", case))
    observed 2, bound 1
    """
    (chosen,) = trials(label, trial)
    return judge(chosen, read(chosen, free), max_precision)


def code(trial: Trial, free: Witness, violated: bool) -> str:
    """Python that evaluates the case again, and asserts the violation if it is one."""
    lines = [
        "from collapse.referee import evaluate",
        "",
        "free = {",
        *(f"    {name!r}: {free[name]!r}," for name in trial.free),
        "}",
        f"case = evaluate({trial.label!r}, {trial.name!r}, free)",
        "print(case)",
    ]
    return "\n".join([*lines, "assert case.refuted"] if violated else lines)


def split(trial: Trial, point: Tensor) -> dict[str, Tensor]:
    r"""Free numbers laid end to end, shape (\*batch, numbers), as the trial's arrays."""
    arrays, start = {}, 0
    for name, shape in trial.free.items():
        size = int(np.prod(shape, dtype=int))
        arrays[name] = point[..., start : start + size].unflatten(-1, shape)
        start += size
    return arrays


def join(trial: Trial, entries: Sequence[Fraction]) -> dict[str, np.ndarray]:
    """The same for Fractions laid end to end."""
    arrays, start = {}, 0
    for name, shape in trial.free.items():
        size = int(np.prod(shape, dtype=int))
        part = np.array(entries[start : start + size], dtype=object)
        arrays[name] = part.reshape(shape)
        start += size
    return arrays


def numbers(trial: Trial) -> int:
    """How many free numbers a case of the trial has."""
    return sum(int(np.prod(shape, dtype=int)) for shape in trial.free.values())
