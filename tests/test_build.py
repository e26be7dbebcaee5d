"""The build itself, on a small book: what runs again, and what stops it with the page's name."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from built_book import ROOT

# A package with one claim; its referee finds whatever its module ``found`` says.
PACKAGE = {
    "__init__": "",
    "base": "VERDICT = 'holds'\n",
    "left": "VALUE = 1.5\n",
    "right": "",
    "found": "MARK, FAILURES = 'passed', []\n",
    "ledger/__init__": """
from collapse.base import VERDICT
from collapse.ledger.record import read_json

class Claim:
    label, title, provenance, chapter = "one", "One is $1$", "ours", 1
    page, shown_verdict, released, evidence = "notebooks/a", VERDICT, True, {}
    inapplicable: dict[str, str] = {}

def claims(record=None):
    Claim.evidence = read_json(record)["claims"]["one"]["marks"] if record else {}
    return (Claim(),)
""",
    "ledger/record": """
import json
from pathlib import Path

def read_json(path):
    return json.loads(Path(path).read_text())

def shown_ratio(ratio):
    return str(ratio)
""",
    "commands/__init__": "",
    "commands/contract": "",
    "referee/__init__": "",
    "referee/run": "from collapse import base, found\n",
    "__main__": """
import json
import sys
from pathlib import Path
from collapse.found import FAILURES, MARK

if sys.argv[1] == "contract":
    Path("_build/contract.json").write_text('{"states": {}, "classes": {}}')
    print("the figures are as expected")
    sys.exit(Path("odd").is_file() + 2 * Path("broken").is_file())
entry = {"marks": {"symbolic": MARK}, "ratio": 0.5}
run = {"commit": "abc", "date": "today", "seconds": 1, "device": "cpu", "seed": 0}
out = Path(sys.argv[-1])
out.write_text(json.dumps({**run, "claims": {"one": entry}}))
out.with_name("certificates.json").write_text("{}")
print("the ledger", *FAILURES)
sys.exit(bool(FAILURES))
""",
}
PAGES = {
    "intro": "# Start\n\nGlued: {glue:text}`../notebooks/a.ipynb::value:.1f`. {verdict}`one`\n",
    "claims": "# Claims\n\n```{claims-table}\n```\n",
}
TOC = {
    "format": "jb-book",
    "root": "book/intro",
    "chapters": [{"file": f} for f in ("notebooks/a", "notebooks/b", "book/claims")],
}


def write_notebook(path: Path, text: str, code: str) -> None:
    cells = [
        nbformat.v4.new_markdown_cell(text),
        nbformat.v4.new_code_cell("figures = None", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = str(number)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


WRITE_FIGURE = "from pathlib import Path\nPath(figures, 'curve.json').write_text('{}')"
CODE = {
    "a": f"from collapse.left import VALUE\nfrom myst_nb import glue\nglue('value', VALUE)\n"
    f"{WRITE_FIGURE}",
    "b": f"import collapse.right\n{WRITE_FIGURE}",
}
TEXT = {"a": "# A\n\n```{prf:theorem} One\n:label: one\n\n$x$\n```", "b": "# B"}


class SmallBook:
    """A book of four pages that is built by the real dodo.py, configuration and extensions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("dodo.py", "_config.yml", "book/_ext", "book/_static"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, root / name)
        # The errata need the real referee.
        config = self.path("_config.yml").read_text("utf-8")
        self.write("_config.yml", config.replace("      - errata\n", ""))
        self.write("_toc.yml", yaml.safe_dump(TOC))
        self.write("book/references.bib", "")
        for name, source in PACKAGE.items():
            self.write(f"collapse/{name}.py", source)
        for name in ("stamp", "statements"):
            shutil.copy(ROOT / f"collapse/{name}.py", root / f"collapse/{name}.py")
        for name, page in PAGES.items():
            self.write(f"book/{name}.md", page)
        for name, code in CODE.items():
            write_notebook(self.path(f"notebooks/{name}.ipynb"), TEXT[name], code)
        run = {"parameters": {}, "figures": ["curve"], "timeout": 60}
        self.runs({name: run for name in CODE})

    def path(self, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, name: str, text: str) -> None:
        self.path(name).write_text(text, "utf-8")

    def runs(self, runs: dict[str, Any]) -> None:
        self.write("notebooks/parameters.yml", yaml.safe_dump(runs))

    def html(self, page: str) -> str:
        return self.path(f"_build/html/{page}.html").read_text("utf-8")

    def text(self, page: str) -> str:
        return BeautifulSoup(self.html(page), "html.parser").get_text()

    def doit(self, *arguments: str) -> tuple[int, str]:
        """Run doit; return its exit status and what it printed."""
        run = subprocess.run(
            [sys.executable, "-m", "doit", *arguments],
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
        )
        return run.returncode, run.stdout + run.stderr


def executed(output: str) -> set[str]:
    """The notebooks that a run executed."""
    return set(re.findall(r"executing notebooks/(\w+)\.ipynb", output))


CHECKING = "checking the claims"


@pytest.fixture
def book(tmp_path: Path) -> SmallBook:
    return SmallBook(tmp_path)


def test_a_change_runs_what_depends_on_it_and_nothing_else(book: SmallBook) -> None:
    status, output = book.doit("--process", "2")
    assert (status, executed(output)) == (0, {"a", "b"}), output
    assert "Glued: 1.5" in book.text("book/intro")
    assert "verdict-holds" in book.html("book/intro")
    assert CHECKING in output
    for page in ("book/intro", "book/claims"):
        assert 'aria-label="symbolic passed"' in book.html(page)
    assert "Checked at commit abc on today" in book.text("book/claims")
    assert book.path("_build/html/claims.json").is_file()

    start = time.monotonic()
    status, output = book.doit()
    assert (status, executed(output)) == (0, set())
    assert "Jupyter-Book" not in output and CHECKING not in output
    assert time.monotonic() - start < 15

    book.write("collapse/left.py", "VALUE = 2.5\n")
    status, output = book.doit()
    assert (status, executed(output)) == (0, {"a"}), output
    assert CHECKING not in output, "no check depends on that module"
    assert "Glued: 2.5" in book.text("book/intro"), "a number glued on another page is stale"

    book.write("collapse/base.py", "VERDICT = 'refuted'\n")
    status, output = book.doit()
    assert (status, executed(output)) == (0, set()), output
    assert "verdict-refuted" in book.html("book/intro")
    assert "verdict-refuted" in book.html("book/claims")
    assert 'href="claims.html#claim-one"' in book.html("book/intro"), "a badge leads to its row"
    assert CHECKING in output

    book.write("collapse/found.py", "MARK, FAILURES = 'undecided', []\n")
    status, output = book.doit()
    assert (status, executed(output)) == (0, set()), output
    for page in ("book/intro", "book/claims"):
        assert 'aria-label="symbolic undecided"' in book.html(page), "a mark is stale"


def test_the_claims_are_checked_again_when_the_statements_change(book: SmallBook) -> None:
    assert book.doit("claims")[0] == 0
    assert CHECKING not in book.doit("claims")[1]
    book.write("book/intro.md", PAGES["intro"] + "More words.\n")
    assert CHECKING not in book.doit("claims")[1]
    write_notebook(book.path("notebooks/a.ipynb"), "# A", CODE["a"])
    assert CHECKING in book.doit("claims")[1]


def test_a_claim_that_does_not_stand_stops_the_build(book: SmallBook) -> None:
    book.write("collapse/found.py", "MARK, FAILURES = 'failed', ['one: broken']\n")
    status, output = book.doit()
    assert status != 0
    assert "the ledger one: broken" in output and "a claim does not stand" in output
    assert not book.path("_build/html/index.html").exists()
    assert book.doit("claims")[0] != 0, "a failed run must not pass for good the second time"


def test_figures_that_differ_do_not_stop_the_book_but_a_failed_comparison_does(
    book: SmallBook,
) -> None:
    book.write("odd", "")
    status, output = book.doit("contract")
    assert status == 0 and "the figures are as expected" in output
    assert "the figures are as expected" not in book.doit("contract")[1], "nothing has changed"
    book.write("tests/expected/figures/curve.json", "{}")
    assert "the figures are as expected" in book.doit("contract")[1]
    book.write("broken", "")
    book.path("tests/expected/figures/curve.json").unlink()
    status, output = book.doit("contract")
    assert status != 0 and "the figures could not be compared" in output


def test_a_notebook_that_reads_the_record_runs_after_it(book: SmallBook) -> None:
    run = {"parameters": {}, "figures": ["curve"], "timeout": 60}
    book.runs({"a": run, "b": {**run, "needs": ["claims.json"]}})
    read = f"print(open('../_build/claims.json').read())\n{CODE['b']}"
    write_notebook(book.path("notebooks/b.ipynb"), TEXT["b"], read)
    assert executed(book.doit("--process", "2", "execute")[1]) == {"a", "b"}
    book.write("collapse/found.py", "MARK, FAILURES = 'undecided', []\n")
    assert executed(book.doit("execute")[1]) == {"b"}
    book.runs({"a": run, "b": {**run, "needs": ["wishes.json"]}})
    status, output = book.doit("execute")
    assert status != 0 and "needs: expected some of ['claims.json'" in output


def test_every_fault_of_a_page_stops_the_build_and_names_the_page(book: SmallBook) -> None:
    for name in CODE:
        path = book.path(f"notebooks/{name}.ipynb")
        write_notebook(path, f"{TEXT[name]}\n\n{{prf:ref}}`nowhere`\n", CODE[name])
    faults = {
        "dangling": "{ref}`nowhere`",
        "missing": "![a picture](gone.png)",
        "unknown": "{verdict}`no-such-claim`",
        "unglued": "{glue:text}`../notebooks/a.ipynb::nothing`",
        "uncited": "{cite}`nobody`",
        "malformed": "```{no-such-directive}\n```",
    }
    for name, fault in faults.items():
        book.write(f"book/{name}.md", f"# {name}\n\n{fault}\n")
    pages = [*TOC["chapters"], *({"file": f"book/{name}"} for name in faults)]
    book.write("_toc.yml", yaml.safe_dump({**TOC, "chapters": pages}))
    status, output = book.doit()
    assert status != 0
    warnings = [line for line in output.splitlines() if "WARNING" in line or "ERROR" in line]
    for page in [*(f"book/{name}.md" for name in faults), "notebooks/a.ip", "notebooks/b.ip"]:
        assert any(page in line or page.removesuffix(".md") in line for line in warnings), page
    assert not book.path("_build/html/index.html").exists()

    status, _ = book.doit()
    assert status != 0, "a failed build must not pass for good the second time"


def test_a_claim_that_no_page_states_stops_the_build(book: SmallBook) -> None:
    write_notebook(book.path("notebooks/a.ipynb"), "# A", CODE["a"])
    status, output = book.doit()
    assert status != 0
    assert re.search(r"book/claims.*'one'", output)


@pytest.mark.parametrize(
    ("code", "timeout", "message"),
    [
        ("1 / 0", 60, r"notebooks/b\.ipynb: cell \d raised ZeroDivisionError"),
        ("x = 1", 60, r"notebooks/b\.ipynb: figure data missing after the run: curve"),
        ("import time\ntime.sleep(60)", 3, r"notebooks/b\.ipynb: CellTimeoutError"),
    ],
    ids=["raises", "figure missing", "too slow"],
)
def test_a_notebook_that_fails_stops_the_build_and_is_named(
    book: SmallBook, code: str, timeout: int, message: str
) -> None:
    runs = yaml.safe_load(book.path("notebooks/parameters.yml").read_text("utf-8"))
    runs["b"]["timeout"] = timeout
    book.runs(runs)
    write_notebook(book.path("notebooks/b.ipynb"), TEXT["b"], code)
    status, output = book.doit("--process", "2")
    assert status != 0
    assert re.search(message, output), output
    assert not book.path("_build/executed/b.ipynb").exists()
    assert not book.path("_build/html/index.html").exists()


def test_a_notebook_without_an_entry_in_the_parameters_is_named(book: SmallBook) -> None:
    write_notebook(book.path("notebooks/c.ipynb"), "# C", "x = 1")
    chapters = [*TOC["chapters"], {"file": "notebooks/c"}]
    book.write("_toc.yml", yaml.safe_dump({**TOC, "chapters": chapters}))
    status, output = book.doit()
    assert status != 0
    assert "notebooks/parameters.yml has no entry for c" in output


def test_a_stale_figure_does_not_pass_for_a_new_one(book: SmallBook) -> None:
    assert book.doit("execute")[0] == 0
    write_notebook(book.path("notebooks/b.ipynb"), TEXT["b"], "x = 1")
    status, output = book.doit("execute")
    assert status != 0
    assert "notebooks/b.ipynb: figure data missing" in output


def test_conda_and_venv_share_their_pins() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    pip = next(item["pip"] for item in environment["dependencies"] if isinstance(item, dict))
    pins = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert pip[0] == "--constraint constraints.txt"
    assert [line for line in pip if "==" in line] == [p for p in pins if p.startswith("torch==")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins if not pin.startswith("#"))
