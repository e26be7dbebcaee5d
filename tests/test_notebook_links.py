"""Downloads install what they need; launch buttons lead to the commit that was built."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from built_book import NOTEBOOKS, ROOT
from nbclient import NotebookClient
from notebook_links import built_commit, colab_address, install_cell
from sphinx.cmd.build import build_main

URL = "https://github.com/someone/some-book"


def run_bare(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code with all libraries of this environment but without what is installed editable."""
    libraries = os.pathsep.join([str(folder / "installed"), sysconfig.get_path("purelib")])
    return subprocess.run(
        [sys.executable, "-S", "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": libraries} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits of a package of our name, of which the first says 1."""
    path = tmp_path / "repository"
    path.mkdir()
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(path)]
    subprocess.run([*git, "init", "--quiet"], check=True)
    (path / "pyproject.toml").write_text(
        '[project]\nname = "collapse-companion"\nversion = "1"\n'
        "[project.optional-dependencies]\nnotebooks = []\n"
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        '[tool.setuptools]\npy-modules = ["collapse"]\n'
    )
    for number in (1, 2):
        (path / "collapse.py").write_text(f"NUMBER = {number}\n")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "--quiet", "--message", str(number)], check=True)
    return path


def test_the_cell_installs_the_commit_of_the_page(repository: Path, tmp_path: Path) -> None:
    git = ["git", "-C", str(repository), "rev-parse", "HEAD~1"]
    first = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    cell = install_cell(f"file://localhost{repository}", first)
    code = f"{cell.source}\nimport collapse\nprint(collapse.NUMBER)"
    pip = {
        "PIP_TARGET": str(tmp_path / "installed"),
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it as the value of what it negates
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    run = run_bare(code, tmp_path, **pip)
    assert run.stdout.split() == ["1"], run.stderr
    again = run_bare(code, tmp_path, PIP_INDEX_URL="nowhere")
    assert again.stdout.split() == ["1"], "an installed package is not installed again"


def test_without_an_address_the_cell_says_how_to_install(tmp_path: Path) -> None:
    run = run_bare(install_cell("", "abc").source, tmp_path)
    assert run.returncode != 0
    assert "check out commit abc" in run.stderr and "pip install --editable" in run.stderr


@pytest.mark.book
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_cells_of_a_download_run(html: Path, tmp_path: Path, notebook: Path) -> None:
    copy = nbformat.read(html / "_sources/notebooks" / notebook.name, as_version=4)
    code = [cell for cell in copy.cells if cell.cell_type == "code"][:3]
    copy.cells = code
    NotebookClient(
        copy, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    assert [cell.execution_count for cell in code] == [1, 2, 3]


@pytest.mark.parametrize(
    ("url", "branch", "reference", "address"),
    [
        (
            URL,
            "notebooks",
            "abc",
            "https://colab.research.google.com/github/someone/some-book/blob/notebooks/abc/n/x.ipynb",
        ),
        (f"{URL}.git", "b", "abc", None),
        ("https://gitlab.com/someone/some-book", "notebooks", "abc", ""),
        (URL, "", "abc", ""),
        (URL, "notebooks", "", ""),
    ],
)
def test_colab_opens_the_published_copy(
    url: str, branch: str, reference: str, address: str | None
) -> None:
    found = colab_address(url, branch, reference, "n/x")
    assert found == address if address is not None else "/some-book/blob/b/" in found


def test_a_commit_with_changes_is_launched_as_committed() -> None:
    assert built_commit("abc+changes") == built_commit("abc") == "abc"


def built_page(folder: Path, url: str) -> BeautifulSoup:
    """The page of a notebook, built with the theme and our extension, from a git checkout."""
    folder.mkdir()
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", "-C", str(folder)]
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# X")]),
                   folder / "x.ipynb")  # fmt: skip
    launch = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["launch_buttons"]
    options = {"repository_url": url, "repository_branch": "main", "launch_buttons": launch}
    (folder / "conf.py").write_text(
        "extensions = ['myst_nb', 'sphinx_book_theme', 'notebook_links']\n"
        "html_theme = 'sphinx_book_theme'\nroot_doc = 'x'\nnb_execution_mode = 'off'\n"
        f"launch_branch = 'notebooks'\nhtml_theme_options = {options!r}\n"
    )
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "x"]):
        subprocess.run([*git, *command], check=True)
    assert build_main(["-q", "-b", "html", str(folder), str(folder / "_build")]) == 0
    return BeautifulSoup((folder / "_build/x.html").read_text("utf-8"), "html.parser")


def test_buttons_open_the_notebook_at_the_commit_built(tmp_path: Path) -> None:
    page = built_page(tmp_path / "with", URL)
    git = ["git", "-C", str(tmp_path / "with"), "rev-parse", "--short=12", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    links = {str(a["href"]) for a in page.select("a[href]")}
    assert (
        f"https://mybinder.org/v2/gh/someone/some-book/{commit}?urlpath=lab/tree/x.ipynb" in links
    )
    assert colab_address(URL, "notebooks", commit, "x") in links
    copy = nbformat.read(tmp_path / "with/_build/_sources/x.ipynb", as_version=4)
    assert f"git+{URL}@{commit}" in copy.cells[0].source


def test_without_an_address_there_is_nothing_to_launch(tmp_path: Path) -> None:
    page = built_page(tmp_path / "without", "")
    links = [str(a["href"]) for a in page.select("a[href]")]
    assert not [link for link in links if "binder" in link or "colab" in link]
    assert any(link.endswith("_sources/x.ipynb") for link in links)
