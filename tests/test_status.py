"""The status page, the links to the figures' data, and the record of a run on a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import status
import yaml
from bs4 import BeautifulSoup
from built_book import NOTEBOOKS, ROOT
from figure_data import title_of

from benchmarks import gpu, times

RECORD = {
    "device": {"name": "Some GPU"},
    "date": "2026-01-02 03:04 UTC",
    "commit": "abc",
    "tests": {"passed": 3, "failed": 0},
    "agreement": [
        {"quantity": "forward", "dtype": "float32", "difference": 0, "allowed": 2e-5, "largest": 1}
    ],
}


class Environment:
    """As much of Sphinx's environment as the tables need."""

    def __init__(self, root: Path) -> None:
        self.srcdir, self.noted = str(root), set[str]()
        self.found_docs: set[str] = set()

    def note_dependency(self, path: str) -> None:
        self.noted.add(str(Path(path).relative_to(self.srcdir)))

    def write(self, name: str, content: Any) -> None:
        path = Path(self.srcdir, status.FILES[name])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    def text(self, table: str) -> str:
        found = status.TABLES[table](self)
        return "\n".join(node.astext() for node in found)


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


@pytest.mark.parametrize("table", ["claims", "contract", "gpu", "times"])
def test_a_record_that_is_not_there_is_said_to_be_missing(
    environment: Environment, table: str
) -> None:
    said = environment.text(table)
    assert said.startswith("No ") or " not " in said or said == "Never verified on a GPU."
    assert status.FILES[table] in environment.noted, "a record that comes later must be read"


def test_the_gpu_is_named_once_it_has_run(environment: Environment) -> None:
    environment.write("gpu", RECORD)
    said = environment.text("gpu")
    assert "Last verified on Some GPU, 2026-01-02 03:04 UTC at commit abc: 3 tests passed." in said
    assert "forward" in said and "2.0e-05" in said
    failed = {**RECORD, "tests": {"passed": 2, "failed": 1}}
    assert status.verified(failed).endswith("2 tests passed, 1 failed")


def test_figures_that_differ_are_named(environment: Environment) -> None:
    environment.write("tolerances", '[class.fine]\nrelative = 1e-9\nreason = "why it is so"\n')
    record = {
        "states": {"a": "same", "b": "different", "c": "new"},
        "classes": {"fine": {"numbers": 1234, "used": 0.5}},
    }
    environment.write("contract", record)
    said = environment.text("contract")
    assert "3 figures: 1 as expected, 1 different, 1 without expectation." in said
    assert "b: different." in said and "a: as expected" not in said
    for word in ("1.0e-09", "1,234", "50 %", "why it is so"):
        assert word in said


def test_each_kind_of_check_is_counted(environment: Environment) -> None:
    entries = {
        "one": {"marks": {"symbolic": "passed", "attacked": "failed"}, "inapplicable": {}},
        "two": {"marks": {}, "inapplicable": {"symbolic": "why"}},
    }
    run = {"commit": "", "date": "today", "seconds": 61, "device": "cpu", "failures": ["one"]}
    environment.write("claims", {"claims": entries, **run})
    rows = status.claims(environment)[0].astext().split()
    head = ["Kind", "of", "check", "passed", "failed", "pending", "not", "applicable"]
    assert rows == [*head, "symbolic", "1", "0", "0", "1", "attacked", "0", "1", "1", "0"]
    said = environment.text("claims")
    assert "2 claims, checked in 1 min 1 s on cpu, today; failures: 1." in said


def test_times_are_added_up(environment: Environment) -> None:
    environment.write("times", times.record({"lint": 30, "book": 600}))
    said = environment.text("times").split("\n")
    assert "10 min 30 s" in [line for line in said if line]


# --- how long a check may take -------------------------------------------------------------------


@pytest.mark.parametrize("words", [["lint"], ["lint="], ["=3"], ["lint=x"], ["lint=-1"]])
def test_a_time_that_is_none_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match="STEP=SECONDS"):
        times.read(words)


def test_a_check_that_takes_too_long_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(times, "RECORD", tmp_path / "times.json")
    assert times.main(["set-up=200", "claims=400", "book=600", "tests=1200"]) == 0
    assert times.main(["set-up=200", "claims=401", "book=600", "tests=10"]) == 1
    assert "cold `make book` took 1201 s" in capsys.readouterr().err
    assert times.main(["book=1200", "tests=1201"]) == 1
    assert "`.ci/run` took 2401 s" in capsys.readouterr().err
    assert json.loads((tmp_path / "times.json").read_text())["steps"]["tests"] == 1201


# --- the run on a GPU -----------------------------------------------------------------------------

TESTS = """
import pytest

@pytest.mark.parametrize("difference", [0.5, 2.0])
def test_one(difference, record_property):
    record_property("quantity", "forward")
    record_property("dtype", "float32")
    record_property("difference", difference)
    record_property("allowed", 1.0)
    record_property("largest", 3.0)
    assert difference <= 1

def test_two():
    pytest.skip("not now")

def test_three():
    pass
"""


def pytest_report(folder: Path) -> str:
    """What pytest itself writes about a run with one failure and one skipped test."""
    (folder / "test_some.py").write_text(TESTS)
    report = folder / "report.xml"
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    subprocess.run([*line, str(folder)], cwd=folder, capture_output=True, check=False)
    return report.read_text("utf-8")


def test_the_outcome_is_read_from_the_report_of_pytest(tmp_path: Path) -> None:
    found = gpu.outcome(pytest_report(tmp_path))
    assert found["tests"] == {"passed": 2, "failed": 1}
    assert [row["difference"] for row in found["agreement"]] == [0.5, 2.0]
    assert found["agreement"][0]["quantity"] == "forward"


def test_without_a_gpu_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    assert gpu.main() == 1
    assert capsys.readouterr().err == "error: no GPU here: torch finds none\n"


@pytest.mark.parametrize(("compared", "benchmarks"), [(True, 0), (True, 1), (False, 0)])
def test_a_run_is_kept_only_if_something_was_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compared: bool, benchmarks: int
) -> None:
    report = pytest_report(tmp_path) if compared else "<testsuites/>"
    commands: list[list[str]] = []

    def run(command: list[str], **_: Any) -> SimpleNamespace:
        commands.append(command)
        if "pytest" in command:
            Path(command[-1].partition("=")[2]).write_text(report)
        return SimpleNamespace(returncode=benchmarks if "benchmarks" in command else 0)

    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "RECORD", tmp_path / "gpu.json")
    monkeypatch.setattr(gpu, "ON_CUDA", tmp_path / "results.json")
    monkeypatch.setattr(gpu, "commit", lambda root: "abc")
    monkeypatch.setattr(gpu, "device", lambda: {"name": "Some GPU"})
    monkeypatch.setattr(gpu.subprocess, "run", run)
    assert gpu.main() == (benchmarks if compared else 1)
    assert (tmp_path / "gpu.json").is_file() == compared
    if compared:
        written = json.loads((tmp_path / "gpu.json").read_text())
        assert written["device"] == {"name": "Some GPU"} and len(written["agreement"]) == 2
        assert status.verified(written).startswith("last verified on Some GPU")
        assert commands[1][-4:] == ["--device", "cuda", "--out", str(tmp_path / "results.json")]


# --- the built book -------------------------------------------------------------------------------


def page(html: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((html / f"{name}.html").read_text("utf-8"), "html.parser")


@pytest.mark.book
def test_the_page_shows_what_the_runs_have_written(html: Path) -> None:
    soup = page(html, "book/status")
    text = " ".join(soup.select_one("article").get_text(" ").split())
    for notebook in NOTEBOOKS:
        copy = html.parent / "executed" / notebook.name
        run = json.loads(copy.read_text("utf-8"))["metadata"]["run"]
        link = f"../notebooks/{notebook.stem}.html"
        (row,) = (tr for tr in soup.select("table tr") if tr.find("a", href=link))
        cells = [cell.get_text().strip() for cell in row.find_all("td")]
        assert cells[1:4] == [
            status.minutes(run["seconds"]),
            run["date"],
            run["commit"] or "unknown",
        ]
    record = json.loads((html.parent / "contract.json").read_text("utf-8"))
    assert f"{len(record['states'])} figures: " in text
    file = ROOT / status.FILES["gpu"]
    said = status.verified(json.loads(file.read_text("utf-8")) if file.is_file() else None)
    assert said[1:] in text


@pytest.mark.book
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_data_of_each_figure_are_one_click_away(html: Path, notebook: Path) -> None:
    soup = page(html, f"notebooks/{notebook.stem}")
    runs = yaml.safe_load((ROOT / "notebooks/parameters.yml").read_text("utf-8"))
    links = [a["href"] for a in soup.select("figure p.figure-data a")]
    shown = {Path(str(link)).stem for link in links}
    assert shown == set(runs[notebook.stem]["figures"])
    for link in links:
        target = (html / "notebooks" / str(link)).resolve()
        assert json.loads(target.read_text("utf-8"))["label"] == target.stem
    stamp = soup.select_one(".page-stamp")
    assert stamp is not None
    archive = [a["href"] for a in stamp.find_all("a") if str(a["href"]).endswith(".zip")]
    assert len(archive) == 1 and (html / "notebooks" / str(archive[0])).is_file()


def test_a_picture_without_title_has_no_data(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg><dc:title>a &amp; b</dc:title></svg>")
    (tmp_path / "b.svg").write_text("<svg></svg>")
    (tmp_path / "a.png").write_text("<dc:title>a</dc:title>")
    names = ("a.svg", "b.svg", "a.png", "none.svg")
    assert [title_of(tmp_path / name) for name in names] == ["a & b", "", "", ""]
