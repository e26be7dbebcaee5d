"""How far each number of a figure may be from its expectation, by rules that state a reason."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from collapse.numeric import require

Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Tolerance:
    """How far a number may be from its expectation, and why.

    Attributes:
        name: Name of the class.
        reason: Why this much, in a sentence.
        relative: Share of the number itself.
        absolute: Share of the largest number in the same list: below it, a number is rounding.
        floor: In the units of the axis: where a curve is zero up to rounding, it has no scale.
        values: Whether values are compared at all, or only how many there are.
    """

    name: str
    reason: str
    relative: float = 0.0
    absolute: float = 0.0
    floor: float = 0.0
    values: bool = True

    def __post_init__(self) -> None:
        """Refuse a tolerance that would let everything pass."""
        for what in ("relative", "absolute", "floor"):
            share = getattr(self, what)
            require(0 <= share < 1, f"{self.name}: {what}", "a share in [0, 1)", share)
        require(bool(self.reason.strip()), f"{self.name}: reason", "a sentence", self.reason)

    def allowed(self, old: Values) -> Values:
        """How far each number may move.

        >>> Tolerance("demo", "a demonstration", 0.1, 0.01).allowed(np.array([1.0, 100.0]))
        array([ 1., 10.])
        """
        scale = np.max(np.abs(old), initial=0.0)
        return np.maximum(self.relative * np.abs(old), self.absolute * scale + self.floor)

    def rounded(self, values: Values) -> Any:
        """The numbers as they are committed: rounded by at most a tenth of the tolerance.

        >>> Tolerance("demo", "a demonstration", relative=1e-3).rounded(np.array([math.pi, 2]))
        [3.1416, 2]
        """
        finest = self.relative or self.absolute
        digits = 2 - math.floor(math.log10(finest)) if finest else 17
        step = 0.1 * (self.absolute * np.max(np.abs(values), initial=0.0) + self.floor)
        places = -math.floor(math.log10(step)) if step else 400

        def short(value: float) -> float | int:
            kept = round(float(f"{value:.{digits - 1}e}"), min(places, 400))
            return int(kept) if kept.is_integer() and abs(kept) < 1e15 else kept

        def nested(value: Any) -> Any:
            return [nested(item) for item in value] if isinstance(value, list) else short(value)

        return nested(values.tolist())


@dataclass(frozen=True)
class Tolerances:
    """Rules from places to classes of tolerance; the first that fits counts."""

    classes: Mapping[str, Tolerance]
    rules: tuple[tuple[str, str], ...]

    @classmethod
    def read(cls, path: str | Path) -> Tolerances:
        """Read the file of tolerances.

        Raises:
            ValueError: If it is not TOML, names a class that it does not have, or has no rule
                for every place.
        """
        try:
            found = tomllib.loads(Path(path).read_text("utf-8"))
            classes = {name: Tolerance(name, **entry) for name, entry in found["class"].items()}
            rules = tuple((rule["where"], rule["class"]) for rule in found["rule"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"tolerances: expected classes and rules in {path}: {error}") from None
        unknown = sorted({name for _, name in rules} - set(classes))
        require(not unknown, "tolerances", f"rules that name one of {list(classes)}", unknown)
        require(bool(rules) and rules[-1][0] == "*", "tolerances", "a last rule for '*'", rules)
        return cls(classes, rules)

    def rule(self, label: str, place: str) -> int:
        """The first rule that fits a place of a figure, ``panels/0/series/found/y`` for example."""
        where = f"{label}/{place}"
        return next(i for i, (rule, _) in enumerate(self.rules) if fnmatchcase(where, rule))

    def of(self, label: str, place: str) -> Tolerance:
        """The tolerance at a place of a figure."""
        return self.classes[self.rules[self.rule(label, place)][1]]
