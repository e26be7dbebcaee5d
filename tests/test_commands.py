"""The command line: answers, JSON, and one line for each mistake of a user."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from collapse.__main__ import main, parser
from collapse.commands import NAMES, command
from collapse.commands import claims as claims_command

LEMMA = "as25-lem-4.1"
MISTAKES = [
    (),
    ("no-such-command",),
    ("claims", "--label", "no-such"),
    ("claims", "--deep", "0", "--label", LEMMA),
    ("claims", "--deep", "nan", "--label", LEMMA),
    ("claims", "--deep", "long"),
    ("claims", "--seed", "-1", "--label", LEMMA),
    ("claims", "--seed", str(2**64), "--label", LEMMA),
    ("claims", "--workers", "0", "--label", LEMMA),
    ("claims", "--record", "no-such-file.json"),
    ("claims", "--record", "pyproject.toml"),
    ("attack",),
    ("attack", "no-such"),
    ("attack", "as25-lem-4.2"),  # a claim, but nothing can be searched
    ("attack", LEMMA, "--trial", "no-such"),
    ("attack", LEMMA, "--seconds", "0"),
    ("attack", LEMMA, "--seconds", "-1"),
    ("attack", LEMMA, "--starts", "0"),
    ("attack", LEMMA, "--steps", "0"),
    ("attack", LEMMA, "--seed", "-1"),
    ("attack", LEMMA, "--seed", str(2**64)),
    ("attack", LEMMA, "--device", "abacus"),
    ("attack", LEMMA, "--device", "meta"),
    ("certify",),
    ("certify", "no-such"),
    ("certify", LEMMA, "--precision", "1"),
    ("certify", LEMMA, "--precision", "0"),
    ("certify", LEMMA, "--precision", "many"),
    ("certify", LEMMA, "--precision", "100", "--max-precision", "53"),
    ("certify", LEMMA, "--cases", "-1"),
    ("certify", LEMMA, "--recheck", "x.json"),
    ("certify", "--recheck", "no-such-file.json"),
    ("certify", "--recheck", "."),
    ("certify", "--recheck", "pyproject.toml"),
]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    try:
        status = main(arguments)
    except SystemExit as end:  # argparse leaves this way
        status = int(end.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    status, out, error = run(capsys, *arguments)
    assert status == 2 and out == ""
    assert error.startswith("error: ") and error.count("\n") == 1


def test_a_mistake_names_what_was_expected(capsys: pytest.CaptureFixture[str]) -> None:
    assert "near it: as25-lem-4.1" in run(capsys, "attack", "as25-lem-41")[2]
    assert "'res-lipshitz'" in run(capsys, "claims", "--label", "res-lipshitz")[2]
    error = run(capsys, "certify", LEMMA, "--precision", "1")[2]
    assert error.startswith("error: precision: expected an integer") and "received 1" in error


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], name: str) -> None:
    help_line = command(name).HELP
    assert help_line and not help_line.endswith(".")
    status, out, _ = run(capsys, name, "--help")
    assert status == 0 and "--json" in out
    assert help_line.split()[0] in run(capsys, "--help")[1]


def test_help_needs_no_heavy_library() -> None:
    code = (
        "import sys; from collapse.__main__ import parser; parser().format_help();"
        "sys.exit(bool({'torch', 'rich', 'sympy', 'flint', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_module_runs_as_a_program() -> None:
    line = [sys.executable, "-m", "collapse", "certify"]
    ran = subprocess.run(line, capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and ran.stdout == ""
    assert ran.stderr == "error: certify: expected either LABEL or --recheck FILE\n"


# --- answers -------------------------------------------------------------------------------------


@pytest.mark.label("as25-lem-4.1")
def test_attack_finds_the_lemma_false(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "attack", LEMMA, "--json")
    found = json.loads(out)
    assert status == 0 and found["ratio"] == 2.0
    assert found["violated"] and found["expected"] and found["verdict"] == "refuted"
    exec(found["code"], {"print": lambda *_: None})
    assert "observed ÷ bound = 2" in run(capsys, "attack", LEMMA)[1]


def test_an_infinite_ratio_is_valid_json(capsys: pytest.CaptureFixture[str]) -> None:
    case = ("attack", "as25-eq-1", "--trial", "with skips")
    status, out, _ = run(capsys, *case, "--json")
    found = json.loads(out)
    assert status == 0 and found["ratio"] is None and found["violated"]
    assert found["measured"].endswith("bound 0")
    assert "observed ÷ bound = inf" in run(capsys, *case)[1]


def test_certify_writes_what_recheck_decides_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "certificates.json"
    status, out, _ = run(
        capsys, "certify", "softmax-tv", "--cases", "1", "--out", str(path), "--json"
    )
    made = json.loads(out)
    assert status == 0 and set(made["outcomes"]) == {"proved"}
    status, out, _ = run(capsys, "certify", "--recheck", str(path))
    assert status == 0 and "come out as they say" in out
    status, out, error = run(capsys, "certify", "softmax-tv", "--recheck", str(path))
    assert status == 2 and out == "" and "either LABEL or --recheck" in error
    path.write_text(path.read_text("utf-8").replace('"proved"', '"refuted"'))
    status, out, error = run(capsys, "certify", "--recheck", str(path))
    assert status == 2 and out == "" and "expected proved" in error


@pytest.mark.parametrize("command", ["claims", "certify"])
def test_where_no_file_can_be_written_is_said_before_the_work(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
) -> None:
    def worked(*_: Any, **__: Any) -> None:
        raise AssertionError("the work has begun")

    monkeypatch.setattr("collapse.referee.run.examine", worked)
    monkeypatch.setattr("collapse.referee.certify", worked)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "beside/certificates.json").mkdir(parents=True)
    places = ["", str(tmp_path / "folder"), str(tmp_path / "file/below/x.json")]
    if command == "claims":  # which writes two files
        places += [str(tmp_path / "certificates.json"), str(tmp_path / "beside/claims.json")]
    before = sorted(tmp_path.rglob("*"))
    for place in places:
        chosen = [LEMMA] if command == "certify" else ["--label", LEMMA]
        status, out, error = run(capsys, command, *chosen, "--out", place)
        assert (status, out) == (2, "") and error.count("\n") == 1
        assert error.startswith("error: out: expected") and "received" in error
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_beside_the_answer_stays(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "answer.part").write_text("mine")
    place = tmp_path / "answer.json"
    assert run(capsys, "certify", LEMMA, "--cases", "1", "--out", str(place))[0] == 0
    assert (tmp_path / "answer.part").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answer.json", "answer.part"]


def test_claims_prints_and_records(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    label = "res-norm-lipschitz"
    status, out, _ = run(capsys, "claims", "--label", label, "--json", "--out", str(path))
    data = json.loads(out)
    assert status == 0 and list(data["claims"]) == [label] and data["stale"] == ""
    assert {**json.loads(path.read_text("utf-8")), "stale": ""} == data
    assert (tmp_path / "certificates.json").is_file()
    status, out, _ = run(capsys, "claims", "--record", str(path))
    assert status == 0 and "Every verdict stands." in out
    rows = [line.split()[:6] for line in out.splitlines() if label in line]
    assert rows == [[label, "holds", *["passed"] * 4]]
    assert run(capsys, "claims", "--record", str(path), "--label", "rung-2")[0] == 2
    status, _, error = run(capsys, "claims", "--record", str(path), "--deep", "9")
    assert (status, error) == (2, "error: record: expected no --kind, --deep or --out beside it\n")


def test_each_kind_of_check_is_usable_on_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in ("symbolic", "certified", "attacked", "property"):
        status, out, _ = run(capsys, "claims", "--label", LEMMA, "--kind", kind, "--json")
        data = json.loads(out)
        assert status == 0 and data["claims"][LEMMA]["marks"] == {kind: "passed"}
    out = run(capsys, "claims", "--label", LEMMA, "--kind", "property")[1]
    code = out[out.index("from collapse.referee") : out.index("assert case.refuted")]
    exec(code + "assert case.refuted", {"print": lambda *_: None})
    status, _, error = run(capsys, "claims", "--label", LEMMA, "--kind", "guessed")
    assert status == 2 and error.startswith("error: kinds: expected some of symbolic, certified")


def test_a_kind_that_does_not_apply_does_not_pass(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "claims", "--label", "loss-floor", "--kind", "symbolic", "--json")
    assert json.loads(out)["claims"]["loss-floor"]["marks"] == {}
    assert status == 0  # nothing was asked for that could fail, and nothing is marked as passed


def altered(path: Path, **changed: Any) -> Path:
    """A record with one claim, changed."""
    entry = {
        "verdict": "holds",
        "marks": {"symbolic": "passed", "property": "failed"},
        "inapplicable": {"certified": "as a test"},
        "ratio": 0.5,
        "failures": ["property, one: broken"],
    }
    data = {
        "schema": "collapse-claims/1",
        "commit": "abc",
        "date": "today",
        "device": "cpu",
        "seed": 0,
        "seconds": 1.0,
        "failures": ["softmax-tv: property, one: broken"],
        "claims": {"softmax-tv": entry},
        "sources": {},
    }
    path.write_text(json.dumps({**data, **changed}))
    return path


def test_a_failure_is_printed_and_is_the_exit_status(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = altered(tmp_path / "claims.json")
    status, out, error = run(capsys, "claims", "--record", str(path))
    assert status == 1 and error == ""
    assert out.splitlines()[1].split() == [
        *("softmax-tv", "holds", "passed", "n/a", "pending", "failed", "0.5")
    ]
    assert "failed: softmax-tv: property, one: broken" in out


def test_a_stale_record_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = altered(tmp_path / "claims.json", failures=[], sources={"numeric.py": "0" * 16})
    status, out, _ = run(capsys, "claims", "--record", str(path))
    assert status == 1 and "is stale: numeric.py changed since" in out


# --- what is not the user's mistake --------------------------------------------------------------


def test_an_interruption_is_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Namespace) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(claims_command, "run", interrupted)
    assert run(capsys, "claims") == (130, "", "interrupted\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Namespace) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(claims_command, "run", broken)
    with pytest.raises(TypeError, match="a bug"):
        main(["claims"])


def test_a_missing_package_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "rich.table", None)
    path = altered(tmp_path / "claims.json")
    status, out, error = run(capsys, "claims", "--record", str(path))
    assert status == 2 and out == ""
    assert error.startswith("error: claims needs the package rich") and error.count("\n") == 1
    assert "pip install 'collapse-companion[commands]'" in error


def test_every_command_takes_json() -> None:
    choices = parser()._subparsers._group_actions[0].choices
    assert set(choices) == set(NAMES)
