"""The figure contract: what it must notice, what it must let pass, and what is committed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_book import ROOT

from collapse.__main__ import main
from collapse.figures import contract
from collapse.figures.contract import Comparison, compare, leaves, load
from collapse.figures.data import Axis, FigureData, Panel, series
from collapse.figures.tolerances import Tolerance, Tolerances

EXPECTED, RULES = ROOT / "tests/expected/figures", ROOT / "tests/expected/tolerances.toml"
COMMITTED = {path.stem: path for path in sorted(EXPECTED.glob("*.json"))}
CLASSES = {
    "fine": Tolerance("fine", "a reason", relative=1e-9),
    "floor": Tolerance("floor", "a reason", relative=1e-9, absolute=1e-6),
    "zero": Tolerance("zero", "a reason", relative=1e-9, floor=1e-13),
    "timed": Tolerance("timed", "a reason", values=False),
}
SOME = Tolerances(CLASSES, (("*/timed/y", "timed"), ("*/floor/*", "floor"), ("*", "fine")))
TOML = """
[class.fine]
relative = 1e-9
reason = "a reason"
[class.floor]
relative = 1e-9
absolute = 1e-6
reason = "a reason"
[class.timed]
values = false
reason = "a reason"
[[rule]]
where = "*/timed/y"
class = "timed"
[[rule]]
where = "*/floor/*"
class = "floor"
[[rule]]
where = "*"
class = "fine"
"""


def figure(label: str = "demo") -> FigureData:
    curves = (
        series("curve", [1, 2, 3], [0.1, 1e-18, 30.0]),
        series("floor", [1, 2], [1.0, 1e-9]),
        series("timed", [1, 2], [0.5, 0.25]),
        series("grid", [1, 2], [3, 4], [[1.0, 2.0], [3.0, 4.0]]),
    )
    panel = Panel("a title", Axis("x", scale="log"), Axis("y", unit="s"), curves)
    return FigureData(label, (panel,), {"points": 3, "made": "yes", "flag": True}, seed=1)


def data(label: str = "demo") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(figure(label).to_json()))
    return found


def lines(tree: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tree["panels"][0]["series"]
    return found


def changed(change: Callable[[dict[str, Any]], Any]) -> Comparison:
    new = copy.deepcopy(data())
    change(new)
    return compare("demo", data(), new, SOME)


# --- what it must notice, and what it must let pass ----------------------------------------------


def scale(name: str, point: int, factor: float, axis: str = "y") -> Callable[[Any], None]:
    def change(tree: Any) -> None:
        line = next(line for line in lines(tree) if line["name"] == name)
        line[axis][point] *= factor

    return change


NOTICED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "one per cent": (scale("curve", 0, 1.01), "panels/0/series/curve/y[0]"),
    "a tiny number": (scale("curve", 1, 1.01), "panels/0/series/curve/y[1]"),
    "just beyond": (scale("curve", 2, 1 + 1.001e-9), "panels/0/series/curve/y[2]"),
    "above the floor": (scale("floor", 0, 1 + 2e-6), "panels/0/series/floor/y[0]"),
    "across": (scale("timed", 0, 1.01, axis="x"), "panels/0/series/timed/x[0]"),
    "a value of a grid": (lambda t: lines(t)[3]["z"][1].reverse(), "panels/0/series/grid/z[2]"),
    "a column for a row": (
        lambda t: lines(t)[3].update(z=[[1.0], [2.0], [3.0], [4.0]]),
        "panels/0/series/grid/z",
    ),
    "a point": (lambda t: lines(t)[0]["y"].pop(), "panels/0/series/curve/y"),
    "a timed point": (lambda t: lines(t)[2]["y"].pop(), "panels/0/series/timed/y"),
    "a series": (lambda t: lines(t).pop(0), "panels/0/series/curve/y"),
    "a new name": (lambda t: lines(t)[0].update(name="line"), "panels/0/series/line/name"),
    "one more": (lambda t: lines(t).append({**lines(t)[0], "name": "b"}), "panels/0/series/b/y"),
    "a panel": (lambda t: t["panels"].pop(), "panels/0/title"),
    "a label": (lambda t: t["panels"][0]["x"].update(name="X"), "panels/0/x/name"),
    "a unit": (lambda t: t["panels"][0]["y"].update(unit="ms"), "panels/0/y/unit"),
    "a scale": (lambda t: t["panels"][0]["x"].update(scale="linear"), "panels/0/x/scale"),
    "a parameter": (lambda t: t["parameters"].update(points=4), "parameters/points"),
    "a word": (lambda t: t["parameters"].update(made="no"), "parameters/made"),
    "a flag": (lambda t: t["parameters"].update(flag=False), "parameters/flag"),
    "a number for a word": (lambda t: t["parameters"].update(made=1), "parameters/made"),
    "the seed": (lambda t: t.update(seed=2), "seed"),
}
PASSED: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda t: None,
    "rounding": scale("curve", 2, 1 + 0.999e-9),
    "below the floor": scale("floor", 1, 2.0),
    "a time": scale("timed", 0, 3.0),
    "where and by what": lambda t: t.update(versions={}, device="cuda", drawn_by={"height": 2}),
}


@pytest.mark.parametrize("name", NOTICED)
def test_a_change_is_noticed_and_its_place_named(name: str) -> None:
    change, place = NOTICED[name]
    found = changed(change)
    assert found.state == "different"
    assert place in [difference.place for difference in found.differences]


@pytest.mark.parametrize("name", PASSED)
def test_what_is_no_change_passes(name: str) -> None:
    found = changed(PASSED[name])
    assert (found.state, found.differences) == ("same", [])


def test_a_curve_of_zeros_has_the_floor_of_its_axis() -> None:
    rules = Tolerances({"zero": CLASSES["zero"]}, (("*", "zero"),))
    for moved, state in ((9e-14, "same"), (2e-13, "different")):
        assert compare("demo", {"y": [0.0, 1e-16]}, {"y": [moved, 0.0]}, rules).state == state
    assert compare("demo", {"y": [1.0]}, {"y": [1 + 2e-9]}, rules).state == "different"


def test_the_share_of_the_tolerance_that_was_used_is_told() -> None:
    used = changed(scale("curve", 2, 1 + 0.5e-9)).used
    assert used["fine"][1] == pytest.approx(0.5, rel=1e-3)
    assert used["timed"] == (2, 0.0) and used["fine"][0] > 10


def test_a_difference_says_old_new_and_tolerance() -> None:
    (found,) = changed(scale("curve", 0, 1.01)).differences
    assert str(found) == (
        "panels/0/series/curve/y[0]: expected 0.1, found 0.101; "
        "1 of 3 points beyond their tolerance, here 1e-10 (fine)"
    )


# --- tolerances ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "class = 3",
        TOML.replace('class = "timed"', 'class = "no-such"'),
        TOML.replace('where = "*"', 'where = "demo*"'),
        TOML.replace('reason = "a reason"', 'reason = " "', 1),
        TOML.replace('reason = "a reason"', "", 1),
        TOML.replace("relative = 1e-9", "relative = 1.0", 1),
        TOML.replace("relative = 1e-9", "relative = -1e-9", 1),
        TOML.replace("relative = 1e-9", "near = 1e-9", 1),
        TOML.replace("[[rule]]", "[[rules]]"),
    ],
)
def test_a_faulty_file_of_tolerances_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(ValueError, match="expected"):
        Tolerances.read(tmp_path / "t.toml")


def test_a_file_of_tolerances_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"expected classes and rules in .*t\.toml"):
        Tolerances.read(tmp_path / "t.toml")


@pytest.mark.parametrize("tolerance", CLASSES.values(), ids=lambda t: t.name)
def test_what_is_committed_is_rounded_by_a_tenth_of_the_tolerance(tolerance: Tolerance) -> None:
    values = np.array([np.pi * 10.0**k for k in range(-300, 300, 7)] + [0.0, 1.0, -2.5, 1 / 3])
    for part in (values, values[:40], values[42:44]):
        off = np.abs(np.array(tolerance.rounded(part)) - part)
        assert (off <= 0.11 * tolerance.allowed(part)).all()
    assert json.dumps(tolerance.rounded(np.array([[1.0, 2.0]]))) == "[[1, 2]]"


# --- the command ---------------------------------------------------------------------------------


class Checkout:
    """A folder with figures, tolerances, and the command at work in it."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        (root / "tolerances.toml").write_text(TOML)

    def make(self, tree: dict[str, Any], notebook: str = "01-a") -> Path:
        path = self.root / "figures" / notebook / f"{tree['label']}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(tree))
        return path

    def run(self, *arguments: str) -> tuple[int, str]:
        folders = [f"--{n}={self.root / p}" for n, p in FOLDERS.items()]
        status = main(["contract", *folders, *arguments])
        captured = self.capsys.readouterr()
        return status, captured.out.replace("\n", " ") + captured.err

    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "contract.json").read_text())
        return found


FOLDERS = {
    "data": "figures",
    "expected": "expected",
    "out": "contract",
    "tolerances": "tolerances.toml",
}


@pytest.fixture
def checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Checkout:
    return Checkout(tmp_path, capsys)


def test_a_figure_without_expectation_asks_for_one(checkout: Checkout) -> None:
    checkout.make(data())
    status, out = checkout.run()
    assert status == 1 and "demo: no expectation yet: `make accept` takes the run's data" in out
    assert checkout.summary()["states"] == {"demo": "new"}
    status, out = checkout.run("--accept")
    assert status == 0 and "no expectation yet" in out and "1 expectations taken" in out
    assert checkout.summary()["states"] == {"demo": "same"}
    assert checkout.run() == (0, "all 1 figures are as expected ")


def test_a_figure_that_is_gone_is_noticed_until_that_is_accepted(checkout: Checkout) -> None:
    checkout.make(data("other"))
    gone = checkout.make(data())
    checkout.run("--accept")
    gone.unlink()
    status, out = checkout.run()
    assert status == 1 and "demo: expected, but the run has no such figure" in out
    assert checkout.run("--accept")[0] == 0
    assert not (checkout.root / "expected/demo.json").exists()
    assert checkout.run()[0] == 0


def test_a_difference_is_told_and_drawn_and_accepted_by_name_only(checkout: Checkout) -> None:
    for label in ("demo", "second"):
        checkout.make(data(label))
    checkout.run("--accept")
    for label in ("demo", "second"):
        new = data(label)
        scale("curve", 2, 1.01)(new)
        checkout.make(new)
    status, out = checkout.run()
    assert status == 1 and "2 of 2 figures are not as expected" in out
    report = (checkout.root / "contract/report.txt").read_text()
    assert "panels/0/series/curve/y[2]: expected 30.0, found 30.3; 1 of 3 points" in report
    picture = checkout.root / "contract/demo.png"
    assert picture.read_bytes()[:4] == b"\x89PNG" and picture.stat().st_size > 5000
    status, out = checkout.run("--accept", "demo")
    assert status == 0 and "expected 30.0, found 30.3" in out and "second" not in out
    assert checkout.summary()["states"] == {"demo": "same", "second": "different"}
    assert checkout.run("demo")[0] == 0 and checkout.run()[0] == 1


def test_what_else_lies_in_the_folder_stays(checkout: Checkout) -> None:
    checkout.make(data())
    checkout.run("--accept")
    folder = checkout.root / "contract"
    for name in ("notes.txt", "holiday.png", "within/notes.txt", "demo.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    assert checkout.run()[0] == 0
    kept = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert kept == {"notes.txt", "holiday.png", "within/notes.txt", "report.txt"}


def test_a_label_that_changed_needs_no_picture(checkout: Checkout) -> None:
    checkout.make(data())
    checkout.run("--accept")
    new = data()
    new["panels"][0]["x"]["name"] = "X"
    checkout.make(new)
    status, out = checkout.run("--json")
    answer = json.loads(out)
    assert status == 1 and answer["states"] == {"demo": "different"}
    assert answer["differences"]["demo"] == [
        'panels/0/x/name: expected "x", found "X"; words must be equal'
    ]
    assert [Path(name).name for name in answer["written"]] == ["report.txt"]


def test_mistakes_are_one_line(checkout: Checkout) -> None:
    assert "expected data that `make book` writes" in checkout.run()[1]
    checkout.make(data())
    status, out = checkout.run("--out=.")
    assert status == 2 and "out: expected a folder with a name" in out
    status, out = checkout.run("no-such")
    assert status == 2 and "names of figures in the run or expected" in out
    checkout.make(data(), notebook="02-b")
    status, out = checkout.run()
    assert status == 2 and "one figure of each name" in out
    (checkout.root / "figures/02-b/demo.json").write_text("[]")
    (checkout.root / "figures/01-a/demo.json").unlink()
    (checkout.root / "expected").mkdir()
    (checkout.root / "expected/demo.json").write_text("{}")
    status, out = checkout.run()
    assert status == 2 and "expected an object in" in out


# --- the committed expectations -------------------------------------------------------------------


@pytest.fixture(scope="module")
def rules() -> Tolerances:
    return Tolerances.read(RULES)


@pytest.mark.parametrize("label", COMMITTED)
def test_one_per_cent_is_noticed_at_every_place_of_a_committed_figure(
    label: str, rules: Tolerances
) -> None:
    old = load(COMMITTED[label])
    before = dict(leaves(old))
    coarse = {place for place in before if rules.of(label, place).relative >= 0.01}
    values = {place for place in before if rules.of(label, place).values}

    def spoil(tree: Any, place: str = "") -> Any:
        numbers = before.get(place)
        if isinstance(numbers, np.ndarray) and place in values and numbers.any():
            tolerance = rules.of(label, place)
            off = np.zeros_like(numbers)
            worst = int(np.argmax(np.abs(numbers)))
            more = 2 * tolerance.allowed(numbers) if place in coarse else 0.01 * np.abs(numbers)
            off.flat[worst] = more.flat[worst]
            spoiled.add(place)
            return (numbers + off).tolist()
        if isinstance(tree, dict | list):
            parts = [
                spoil(value, f"{place}/{key}" if place else key)
                for key, value in contract.items(tree)
            ]
            return dict(zip(tree, parts, strict=True)) if isinstance(tree, dict) else parts
        return tree

    spoiled: set[str] = set()
    found = compare(label, old, spoil(old), rules)
    assert {d.place.partition("[")[0] for d in found.differences} == spoiled
    assert compare(label, old, old, rules).state == "same"


@pytest.mark.parametrize("label", ["cost-learned", "explorer-training"])
def test_a_network_that_learns_in_the_place_of_one_that_does_not_is_noticed(
    label: str, rules: Tolerances
) -> None:
    old = load(COMMITTED[label])
    curves = [line for panel in old["panels"] for line in panel["series"] if len(line["x"]) > 2]
    learnt = [line for line in curves if line["y"][-1] < 0.1]
    others = [line for line in curves if line["y"][-1] > 1]
    assert learnt and others and len(learnt) + len(others) == len(curves)
    for line, other in ((learnt[0], others[0]), (others[0], learnt[0])):
        kept, line["y"] = line["y"], other["y"]
        assert compare(label, load(COMMITTED[label]), old, rules).state == "different"
        line["y"] = kept


def test_every_rule_is_used(rules: Tolerances) -> None:
    used = {
        rules.rule(label, place)
        for label, path in COMMITTED.items()
        for place, _ in leaves(load(path))
    }
    assert [rule for i, rule in enumerate(rules.rules) if i not in used] == []
    assert {name for _, name in rules.rules} == set(rules.classes)


def test_the_expectations_are_small_and_say_nothing_of_the_machine() -> None:
    assert COMMITTED and sum(path.stat().st_size for path in COMMITTED.values()) < 3e6
    for path in COMMITTED.values():
        assert not set(contract.MADE_BY) & set(load(path)), path.name


@pytest.mark.book
def test_the_figures_of_the_book_are_as_expected(html: Path) -> None:
    record = json.loads((html.parent / "contract.json").read_text("utf-8"))
    odd = {label: state for label, state in record["states"].items() if state != "same"}
    told = "; ".join(f"{label}: {record['differences'].get(label, '')}" for label in odd)
    assert not odd, f"{odd}: `make contract` says why, `make accept` takes the run's data; {told}"
