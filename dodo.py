"""The build, for doit: check the claims, execute changed notebooks, build the book from both.

The data of the figures are compared with the committed expectation on the way.

    make book               the way in
    .venv/bin/doit list     the tasks by name

doit compares contents.  A notebook runs again when it, its entry in notebooks/parameters.yml, a
module that it really imports, or the version of a library behind those modules changed.  The claims
are checked again when the referee, a module below it, or the set of stated results changed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from doit.exceptions import TaskFailed
from doit.tools import config_changed
from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "book" / "_ext"))

# Sphinx loads these from the same folder; they are found only once it is on the path (E402).
from archive import DOWNLOADS, offer, pack  # noqa: E402
from import_closure import Package, notebook_source  # noqa: E402
from run_notebook import NotebookError, execute  # noqa: E402

from collapse.stamp import commit, versions  # noqa: E402
from collapse.statements import page_source, stated  # noqa: E402

BUILD = ROOT / "_build"
EXECUTED, FIGURES, HTML = BUILD / "executed", BUILD / "figures", BUILD / "html"
INDEX = HTML / "index.html"
PDF, ARCHIVE = BUILD / "book.pdf", BUILD / "collapse-book.zip"
CLAIMS, CERTIFICATES = BUILD / "claims.json", BUILD / "certificates.json"
CONTRACT, EXPECTED = BUILD / "contract.json", ROOT / "tests" / "expected"
PAGES = list(parse_toc_yaml(ROOT / "_toc.yml"))
NOTEBOOKS = [ROOT / f"{page}.ipynb" for page in PAGES if page.startswith("notebooks/")]
PACKAGE = Package(ROOT / "collapse")
RUNS: dict[str, Any] = yaml.safe_load((ROOT / "notebooks/parameters.yml").read_text("utf-8")) or {}

BUILD.mkdir(exist_ok=True)
DOIT_CONFIG = {
    "dep_file": str(BUILD / ".doit.json"),
    "backend": "json",
    "default_tasks": ["book"],
    "verbosity": 2,
    "continue": True,
}


def _run(notebook: Path) -> dict[str, Any]:
    """The notebook's entry in notebooks/parameters.yml."""
    if notebook.stem not in RUNS:
        raise ValueError(f"notebooks/parameters.yml has no entry for {notebook.stem}")
    run: dict[str, Any] = RUNS[notebook.stem]
    return run


def _figure_files(notebook: Path) -> list[Path]:
    return [FIGURES / notebook.stem / f"{name}.json" for name in _run(notebook)["figures"]]


def _needed(notebook: Path) -> list[Path]:
    """Files of _build that the notebook reads, by ``needs`` in its entry."""
    known = {path.name: path for path in (CLAIMS, CERTIFICATES)}
    names = _run(notebook).get("needs", [])
    if unknown := sorted(set(names) - set(known)):
        raise ValueError(f"{notebook.stem}: needs: expected some of {list(known)}, not {unknown}")
    return [known[name] for name in names]


def check_claims() -> TaskFailed | None:
    """Let the referee examine every claim; the record is written even where a verdict falls."""
    command = [sys.executable, "-m", "collapse", "claims", "--out", str(CLAIMS)]
    print("checking the claims", flush=True)
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if run.returncode:
        return TaskFailed(f"{run.stdout}a claim does not stand; the reasons are above")
    return None


def task_claims() -> dict[str, Any]:
    """Check every claim of the book in all ways that apply, into _build/claims.json."""
    closure = PACKAGE.closure("import collapse.referee.run")
    found = {page: stated(page_source(ROOT, page)) for page in PAGES}
    return {
        "actions": [check_claims],
        "file_dep": PACKAGE.files_of(closure),
        "uptodate": [config_changed({"versions": versions(closure.external), "stated": found})],
        "targets": [CLAIMS, CERTIFICATES],
        "title": lambda task: task.name,
    }


def task_execute() -> Iterator[dict[str, Any]]:
    """Execute each changed notebook of the book with papermill into _build/executed/."""
    for notebook in NOTEBOOKS:
        run, executed = _run(notebook), EXECUTED / notebook.name
        closure = PACKAGE.closure(notebook_source(notebook))
        used = versions(closure.external)

        def action(
            notebook: Path = notebook,
            executed: Path = executed,
            run: dict[str, Any] = run,
            used: dict[str, str] = used,
        ) -> TaskFailed | None:
            try:
                execute(
                    notebook,
                    executed,
                    FIGURES / notebook.stem,
                    parameters=run["parameters"],
                    promised=run["figures"],
                    timeout=run["timeout"],
                    used=used,
                )
            except NotebookError as error:
                return TaskFailed(str(error))
            return None

        yield {
            "name": notebook.stem,
            "actions": [action],
            "file_dep": [notebook, *PACKAGE.files_of(closure), *_needed(notebook)],
            "uptodate": [config_changed({"run": run, "versions": used})],
            "targets": [executed, *_figure_files(notebook)],
            "title": lambda task: task.name,
        }


def compare_figures() -> TaskFailed | None:
    """Compare figures and expectations.  A difference stops `make test`, not the book."""
    command = [sys.executable, "-m", "collapse", "contract"]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    print((run.stdout.splitlines() or ["the figures were not compared"])[-1], flush=True)
    return TaskFailed("the figures could not be compared") if run.returncode > 1 else None


def task_contract() -> dict[str, Any]:
    """Compare the data of all figures with the expectations, into _build/contract.json."""
    closure = PACKAGE.closure("import collapse.commands.contract")
    expected = sorted(EXPECTED.rglob("*.*"))
    return {
        "actions": [compare_figures],
        "file_dep": [
            *PACKAGE.files_of(closure),
            *expected,
            *(path for notebook in NOTEBOOKS for path in _figure_files(notebook)),
        ],
        "uptodate": [config_changed({"expected": [path.name for path in expected]})],
        "targets": [CONTRACT],
        "title": lambda task: task.name,
    }


def _sources() -> list[Path]:
    """All that the rendered pages are made of, the executed notebooks apart."""
    folders = [ROOT / "book", ROOT / "collapse", ROOT / "benchmarks"]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if "__pycache__" not in path.parts]


def build_html(changed: list[str]) -> TaskFailed | None:
    """Build the book with warnings as errors.

    Sphinx warns about a page only when it reads it.  After a failure, and when the configuration
    or an extension changed, the next build therefore starts from nothing.
    """
    doctrees = BUILD / ".doctrees"
    of_all_pages = [ROOT / "_config.yml", ROOT / "_toc.yml", *(ROOT / "book" / "_ext").glob("*")]
    if {str(path) for path in of_all_pages} & set(changed):
        shutil.rmtree(doctrees, ignore_errors=True)
        shutil.rmtree(HTML, ignore_errors=True)
    # Every page is written anew.  sphinx-tippy names its files afresh each time, and viewcode
    # keeps a page of source that lacks the anchors of newly documented names.
    for stale in ("_static/tippy", "_modules", DOWNLOADS):
        shutil.rmtree(HTML / stale, ignore_errors=True)
    jupyter_book = str(Path(sys.executable).with_name("jupyter-book"))
    command = [jupyter_book, "build", str(ROOT), "-W", "-n", "--keep-going", "-q"]
    run = subprocess.run(command, cwd=ROOT, check=False)
    if run.returncode:
        shutil.rmtree(doctrees, ignore_errors=True)
        INDEX.unlink(missing_ok=True)
        return TaskFailed("the book was not built: the messages above name the pages")
    return None


def _made_from() -> list[Path]:
    """Every file from which the rendered pages are made."""
    figures = [path for notebook in NOTEBOOKS for path in _figure_files(notebook)]
    return [
        ROOT / "_config.yml",
        ROOT / "_toc.yml",
        *_sources(),
        *NOTEBOOKS,
        CLAIMS,
        CONTRACT,
        *(EXECUTED / notebook.name for notebook in NOTEBOOKS),
        *figures,
    ]


def task_book() -> dict[str, Any]:
    """Build the HTML book from the pages and the executed notebooks."""
    return {
        "actions": [build_html],
        "file_dep": _made_from(),
        "uptodate": [config_changed(commit(ROOT))],
        "targets": [INDEX],
        "title": lambda task: task.name,
    }


def print_pdf() -> None:
    """Print the book and link to it from the first page."""
    from pdf import print_book  # a browser is needed for nothing else here

    print("printing the book", flush=True)
    print_book(ROOT, HTML, PDF)
    offer(HTML, PAGES[0], PDF, "The book as PDF")


def task_pdf() -> dict[str, Any]:
    """Print the whole book to _build/book.pdf."""
    return {
        "actions": [print_pdf],
        "task_dep": ["book"],
        "file_dep": _made_from(),
        "uptodate": [config_changed(commit(ROOT)), (HTML / DOWNLOADS / PDF.name).is_file],
        "targets": [PDF],
        "title": lambda task: task.name,
    }


def pack_archive() -> None:
    """Pack the book and link to the archive from the first page."""
    pack(HTML, ARCHIVE)
    offer(HTML, PAGES[0], ARCHIVE, "The book for reading offline")


def task_archive() -> dict[str, Any]:
    """Pack the book into one zip for reading offline."""
    return {
        "actions": [pack_archive],
        "task_dep": ["book"],
        "file_dep": _made_from(),
        "uptodate": [config_changed(commit(ROOT)), (HTML / DOWNLOADS / ARCHIVE.name).is_file],
        "targets": [ARCHIVE],
        "title": lambda task: task.name,
    }
