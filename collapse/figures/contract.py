"""The figure contract: the data of each figure against the committed expectation.

Data are compared, never pixels.  Every number has a tolerance, from the first rule of
``tests/expected/tolerances.toml`` that fits its place; words and the numbers of points must be
equal.  What says only where and by which program the data were made is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from collapse.figures.tolerances import Tolerance, Tolerances, Values
from collapse.numeric import require

MADE_BY = ("versions", "device", "drawn_by")
SCHEMA = "collapse-contract/1"
State = Literal["same", "different", "new", "missing"]
Leaf = Values | str


@dataclass(frozen=True)
class Difference:
    """One place where a figure is not what was expected; the worst point where many are."""

    place: str
    old: str
    new: str
    told: str

    def __str__(self) -> str:
        """One line for the report."""
        return f"{self.place}: expected {self.old}, found {self.new}; {self.told}"


@dataclass
class Comparison:
    """A figure of the run beside its expectation.

    Attributes:
        label: Name of the figure.
        state: "new" where there is no expectation, "missing" where the run has no data.
        differences: Where they differ.
        used: By class, how many numbers were compared and the largest share of a tolerance used.
    """

    label: str
    state: State
    differences: list[Difference] = field(default_factory=list)
    used: dict[str, tuple[int, float]] = field(default_factory=dict)


def leaves(tree: Any, place: str = "") -> Iterator[tuple[str, Leaf]]:
    """The places of a figure's data: arrays of numbers, and words.

    Entries of a list that have a name are found by it, so that a new series moves no other.

    >>> dict(leaves({"name": "line", "y": [1, 2]}))
    {'name': 'line', 'y': array([1., 2.])}
    """
    if (numbers := _numbers(tree)) is not None:
        yield place, numbers
    elif isinstance(tree, dict | list):
        for key, value in items(tree):
            yield from leaves(value, f"{place}/{key}" if place else key)
    else:
        yield place, tree if isinstance(tree, str) else json.dumps(tree)


def compare(label: str, old: Any, new: Any, tolerances: Tolerances) -> Comparison:
    """A figure's data beside the expectation, both as read from JSON.

    Args:
        label: Name of the figure; the rules speak of it.
        old: The expectation.
        new: What the run has written.
        tolerances: The rules.

    Returns:
        The comparison, with a difference for each place that is outside its tolerance.
    """
    before, now = dict(leaves(_told(old))), dict(leaves(_told(new)))
    result = Comparison(label, "same")
    for place in before | now:
        if place not in now or place not in before:
            kept, gone = ("a place", "none") if place in before else ("none", "a place")
            result.differences.append(Difference(place, kept, gone, "they must have the same"))
            continue
        if found := _differ(place, before[place], now[place], tolerances.of(label, place), result):
            result.differences.append(found)
    result.state = "different" if result.differences else "same"
    return result


def check(made: Mapping[str, Path], expected: Path, tolerances: Tolerances) -> list[Comparison]:
    """Compare every figure of a run, and every expectation.

    Args:
        made: The run's files by label, from :func:`figures_of`.
        expected: Folder of the expectations.
        tolerances: The rules.

    Returns:
        One comparison a figure, by label.
    """
    known = {path.stem: path for path in expected.glob("*.json")}
    found = []
    for label in sorted(made.keys() | known.keys()):
        if label not in known or label not in made:
            found.append(Comparison(label, "missing" if label in known else "new"))
        else:
            found.append(compare(label, load(known[label]), load(made[label]), tolerances))
    return found


def figures_of(folder: Path) -> dict[str, Path]:
    """The data of a run's figures, by label.

    Raises:
        ValueError: If there are none, or two of one name.
    """
    paths = sorted(folder.glob("*/*.json"))
    require(bool(paths), "figures", "data that `make book` writes", f"{folder} without any")
    found = {path.stem: path for path in paths}
    twice = sorted({path.stem for path in paths if found[path.stem] != path})
    require(not twice, "figures", "one figure of each name", twice)
    return found


def accept(label: str, made: Path | None, expected: Path, tolerances: Tolerances) -> None:
    """Take the run's data as the expectation; without data the expectation goes."""
    target = expected / f"{label}.json"
    if made is None:
        target.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)

    def short(place: str, numbers: Values) -> Any:
        return tolerances.of(label, place).rounded(numbers)

    target.write_text(_compact(_rounded(_told(load(made)), short)) + "\n", "utf-8")


def summary(found: list[Comparison]) -> dict[str, Any]:
    """A comparison of all figures as plain JSON values.

    >>> summary([Comparison("demo", "new")])["states"]
    {'demo': 'new'}
    """
    used: dict[str, tuple[int, float]] = {}
    for figure in found:
        for name, (count, share) in figure.used.items():
            counted, most = used.get(name, (0, 0.0))
            used[name] = counted + count, max(most, share)
    return {
        "schema": SCHEMA,
        "states": {figure.label: figure.state for figure in found},
        "differences": {f.label: [str(d) for d in f.differences] for f in found if f.differences},
        "classes": {name: {"numbers": n, "used": share} for name, (n, share) in used.items()},
    }


def load(path: Path) -> Any:
    """A figure's data as plain values.

    Raises:
        ValueError: If the file is no JSON object.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"figure: expected JSON in {path}, received {error}") from None
    require(isinstance(found, dict), "figure", f"an object in {path}", found)
    return found


def _differ(
    place: str, old: Leaf, new: Leaf, tolerance: Tolerance, result: Comparison
) -> Difference | None:
    if isinstance(old, str) or isinstance(new, str):
        alike = isinstance(old, str) and isinstance(new, str)
        if not alike or (tolerance.values and str(old) != str(new)):
            return Difference(place, _short(old), _short(new), "words must be equal")
        return None
    if old.shape != new.shape:
        points = (f"{old.size} points", f"{new.size} points")
        return Difference(place, *points, told="there must be as many")
    count, most = result.used.get(tolerance.name, (0, 0.0))
    result.used[tolerance.name] = count + old.size, most
    if not tolerance.values or not old.size:
        return None
    allowed, moved = tolerance.allowed(old), np.abs(new - old)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(moved == 0, 0.0, moved / allowed)
    worst = int(np.argmax(share))
    result.used[tolerance.name] = count + old.size, max(most, min(float(share.max()), 1.0))
    if share.flat[worst] <= 1:
        return None
    told = f"{int((share > 1).sum())} of {old.size} points beyond their tolerance, "
    told += f"here {allowed.flat[worst]:.2g} ({tolerance.name})"
    numbers = (repr(float(old.flat[worst])), repr(float(new.flat[worst])))
    return Difference(f"{place}[{worst}]" if old.ndim else place, *numbers, told=told)


def _told(tree: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tree.items() if key not in MADE_BY}


def _numbers(tree: Any) -> Values | None:
    """A number, or a list of numbers or of equally long such lists, as an array."""
    if isinstance(tree, bool) or not isinstance(tree, int | float | list):
        return None
    try:
        found = np.array(tree)
    except ValueError:  # lists of different lengths
        return None
    return found.astype(np.float64) if found.dtype.kind in "iuf" else None


def items(tree: dict[str, Any] | list[Any]) -> list[tuple[str, Any]]:
    """The parts of an object or a list with their keys: the name where each part has its own."""
    if isinstance(tree, dict):
        return [(str(key), value) for key, value in tree.items()]
    names = [item.get("name") if isinstance(item, dict) else None for item in tree]
    named = None not in names and len(set(names)) == len(names)
    return [(str(names[i] if named else i), item) for i, item in enumerate(tree)]


def _rounded(tree: Any, short: Callable[[str, Values], Any], place: str = "") -> Any:
    """The same tree, its numbers rounded as the rules of their places say."""
    if (numbers := _numbers(tree)) is not None:
        return short(place, numbers)
    if not isinstance(tree, dict | list):
        return tree
    parts = [
        _rounded(value, short, f"{place}/{key}" if place else key) for key, value in items(tree)
    ]
    return dict(zip(tree, parts, strict=True)) if isinstance(tree, dict) else parts


def _compact(tree: Any, indent: str = "") -> str:
    """JSON with a line for each entry, but a list of numbers or words on one line."""
    inner = indent + " "
    if isinstance(tree, dict):
        lines = [
            f"{json.dumps(key, ensure_ascii=False)}: {_compact(value, inner)}"
            for key, value in tree.items()
        ]
        ends = "{}"
    elif isinstance(tree, list) and any(isinstance(item, dict | list) for item in tree):
        lines, ends = [_compact(item, inner) for item in tree], "[]"
    else:
        return json.dumps(tree, allow_nan=False, ensure_ascii=False)
    joined = f",\n{inner}".join(lines)
    return f"{ends[0]}\n{inner}{joined}\n{indent}{ends[1]}" if lines else ends


def _short(leaf: Leaf) -> str:
    return json.dumps(leaf) if isinstance(leaf, str) else f"{leaf.size} numbers"
