"""The code of the benchmarks: turns, targets, the file, and the tables of the book."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import speed_table

from benchmarks import __main__, compile, record, tokens
from benchmarks.cases import GROUPS
from benchmarks.record import Case, Figure, Ratio, figure, load, measure, met_by, ratio, save
from benchmarks.timing import FEWEST, RESOLUTION, Times, compare, threads

ALL = ("ratios", "figures")


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.alone
def test_two_equal_sides_seem_equal_and_unequal_ones_do_not() -> None:
    equal = compare(lambda: spin(2e-4), {"same": lambda: spin(2e-4)}, 0.05)
    assert abs(equal.ours / equal.theirs - 1) <= RESOLUTION
    half = compare(lambda: spin(2e-4), {"half": lambda: spin(1e-4)}, 0.05)
    assert 1.9 < half.ours / half.theirs < 2.1
    assert half.quartiles[0] <= half.quartiles[1] < 1


@pytest.mark.alone
def test_the_fastest_rival_counts_and_a_far_slower_one_drops_out() -> None:
    calls = {"slow": 0}

    def slow() -> None:
        calls["slow"] += 1
        spin(1e-2)

    times = compare(lambda: spin(1e-4), {"slow": slow, "fast": lambda: spin(2e-4)}, 0.05)
    assert times.rival == "fast"
    assert times.turns >= FEWEST > calls["slow"]


@pytest.mark.parametrize(
    ("value", "relation", "target", "met"),
    [
        (1.3, "<=", 1.3, True),
        (1.301, "<=", 1.3, False),
        (1.0 + RESOLUTION, "<=", 1.0, True),
        (1.01 + RESOLUTION, "<=", 1.0, False),
        (3.0, ">=", 3.0, True),
        (2.99, ">=", 3.0, False),
        (7.0, "<=", None, None),
    ],
)
def test_targets(value: float, relation: record.Relation, target: float, met: bool) -> None:
    assert met_by(value, relation, target) is met


def test_a_gain_is_theirs_over_ours_and_a_cost_the_inverse() -> None:
    times = Times(1.0, 4.0, "them", (3.0, 5.0), 9)
    gain, cost = (ratio("g", "c", "we", times, relation) for relation in (">=", "<="))
    assert (gain.ratio, gain.spread) == (4.0, (3.0, 5.0))
    assert (cost.ratio, cost.spread) == (0.25, (1 / 5, 1 / 3))


def toy(device: str) -> Iterator[Case]:
    yield lambda: figure("toy", "a", "size", 2.0, "MiB", "<=", 1.0)
    yield lambda: ratio("toy", "b", "we", Times(1e-3, 2e-3, "they", (1.9, 2.1), 9), "<=", 1.0)


def test_the_file_comes_back_and_another_schema_is_refused(tmp_path: Path) -> None:
    results = measure({"toy": toy}, "cpu")
    save(results, tmp_path / "x.json")
    back = load(tmp_path / "x.json")
    assert back == json.loads(json.dumps(results))
    assert (len(back["ratios"]), len(back["figures"])) == (1, 1)
    assert back["figures"][0]["met"] is False
    save(results | {"schema": 0}, tmp_path / "x.json")
    with pytest.raises(ValueError, match="schema"):
        load(tmp_path / "x.json")


def test_some_groups_write_no_file_unless_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(__main__, "GROUPS", {"toy": toy, "other": toy})
    monkeypatch.setattr(__main__, "RESULTS", tmp_path / "results.json")
    assert __main__.main(["--only", "toy"]) == 0
    assert not list(tmp_path.iterdir())
    assert __main__.main(["--only", "toy", "--out", str(tmp_path / "toy.json")]) == 0
    assert __main__.main([]) == 0
    assert len(load(tmp_path / "results.json")["ratios"]) == 2
    assert len(load(tmp_path / "toy.json")["ratios"]) == 1


def test_what_the_book_says_of_few_tokens_was_measured() -> None:
    """With as few calls as possible, and no check, torch does not meet the target either."""
    lines = [line for line in load(record.RESULTS)["ratios"] if line["ours"] == "its calls alone"]
    assert lines and all(line["ratio"] > tokens.TORCH_LIMIT for line in lines)


def test_every_group_has_cases_on_each_device() -> None:
    for name, cases in GROUPS.items():
        for device in ("cpu", "cuda"):
            assert name == "training" or list(cases(device))


def test_a_small_case_of_two_kinds_runs_from_end_to_end() -> None:
    with threads(1):
        line = tokens.against_torch(20, 20, tokens.DTYPES[0], 1, "cpu", True)
        exact = tokens.enumeration(8, "cpu")
    assert isinstance(line, Ratio) and line.target is None and line.turns >= FEWEST
    assert isinstance(exact, Figure) and 0 < exact.value < 1


def lines(value: float) -> dict[str, list[dict[str, object]]]:
    found = measure({"toy": toy}, "cpu")
    found["figures"][0]["value"] = value
    return found


def test_the_table_shows_both_devices_side_by_side() -> None:
    head, first, second = speed_table.rows_of({"CPU": lines(2.0), "GPU": lines(3.0)}, "toy")
    assert head[-2:] == ["On the GPU", "Target"]
    assert first == ["a", "", "size", "", "2 MiB", "", "3 MiB", "≤ 1: missed"]
    assert second[2:5] == ["we, 1 ms", "they, 2 ms", "0.5"]
    assert "On the GPU" not in speed_table.rows_of({"CPU": lines(2.0)}, "toy")[0]


def test_without_a_compiler_nothing_is_compiled_and_the_table_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(device: str) -> None:
        raise AssertionError("something was compiled")

    monkeypatch.setattr(compile, "_in_a_process", fails)
    monkeypatch.setattr(compile, "CXX", "no-such-compiler")
    (told,) = (case() for case in compile.compiled("cpu"))
    assert isinstance(told, Figure) and (told.quantity, told.value) == ("C++ compilers found", 0)
    # The control: any program will do for the name of a compiler.
    monkeypatch.setattr(compile, "CXX", "sh")
    assert len(list(compile.compiled("cpu"))) == 1 + 2 * len(compile.CALLS)


@pytest.mark.parametrize("name", compile.CALLS)
def test_each_call_compiles_one_function_and_runs(name: str) -> None:
    made: list[object] = []

    def wrap(function: Callable[..., object]) -> Callable[..., object]:
        made.append(function)
        return function

    found = compile.CALLS[name][0]("cpu", wrap)()
    assert len(made) == 1 and found is not None


def test_what_the_book_says_of_compiling_is_what_was_measured() -> None:
    results = load(record.RESULTS)
    lines = {part: [x for x in results[part] if x["group"] == "compile"] for part in ALL}
    found, *first = [line["value"] for line in lines["figures"]]
    assert found == 1 and len(first) == len(lines["ratios"]) == len(compile.CALLS)
    for seconds, line in zip(first, lines["ratios"], strict=True):
        assert line["ratio"] < 1.5 and seconds > 100 * line["theirs_seconds"]


def test_the_committed_results_are_complete() -> None:
    results = load(record.RESULTS)
    groups = {line["group"] for part in ALL for line in results[part]}
    assert groups == set(GROUPS)
    assert results["commit"] and results["machine"]["name"] and results["versions"]["torch"]
