"""Buttons that open or download a page's notebook at the commit from which the page was built.

All of it follows one setting, ``repository: url`` in ``_config.yml``.  Where it is set, Binder
opens the notebook of that commit, and Colab the copy that publishing puts on the branch
``launch_branch``.  A copy differs from the notebook by its first cell, which installs the package
where it is missing; Binder needs no such cell, since it builds ``environment.yml``.  Where no
address is set there is nothing to launch from, and the first cell says how to install.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import nbformat
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

from collapse.stamp import commit

TAG = "install"
COLAB = "https://colab.research.google.com/github"

_INSTALL = """\
# Install the package behind this notebook, at the commit of the page, where it is missing.
import importlib
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("collapse") is None:
    package = {package}
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", package], check=True)
    importlib.invalidate_caches()
"""

_ASK = """\
# This notebook needs the package of the book.
import importlib.util

if importlib.util.find_spec("collapse") is None:
    raise ModuleNotFoundError({message})
"""


def install_cell(url: str, reference: str) -> nbformat.NotebookNode:
    """The first cell of a downloaded notebook.

    Args:
        url: Address of the repository, or "".
        reference: The commit to install; "" where it is unknown.

    Returns:
        A code cell that does nothing where ``collapse`` can be imported.
    """
    at = f"@{reference}" if reference else ""
    if url:
        package = f"collapse-companion[notebooks] @ git+{url}{at}"
        source = _INSTALL.format(package=json.dumps(package))
    else:
        where = f"commit {reference} of " if reference else ""
        message = (
            f"collapse is not installed: check out {where}the book's repository and run there: "
            "pip install --editable '.[notebooks]'"
        )
        source = _ASK.format(message=json.dumps(message))
    cell = nbformat.v4.new_code_cell(source.rstrip(), id=TAG)
    cell.metadata["tags"] = [TAG]
    return cell


def built_commit(reference: str) -> str:
    """The commit alone, without the mark of changed files."""
    return reference.removesuffix("+changes")


def _configure(app: Sphinx, config: Config) -> None:
    theme = config.html_theme_options
    config.notebook_commit = built_commit(commit(Path(app.srcdir)))
    if not theme.get("repository_url"):
        theme.pop("launch_buttons", None)
    elif config.notebook_commit:
        theme["repository_branch"] = config.notebook_commit


def colab_address(url: str, branch: str, reference: str, page: str) -> str:
    """Where Colab finds the published copy of a notebook; "" where it cannot."""
    parsed = urlparse(url)
    if parsed.netloc != "github.com" or not branch or not reference:
        return ""
    repository = parsed.path.strip("/").removesuffix(".git")
    return f"{COLAB}/{repository}/blob/{branch}/{reference}/{page}.ipynb"


def _add_colab(
    app: Sphinx,
    pagename: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    url = app.config.html_theme_options.get("repository_url", "")
    address = colab_address(url, app.config.launch_branch, app.config.notebook_commit, pagename)
    for group in context.get("header_buttons", ()):
        if address and group.get("label") == "launch-buttons":
            group["buttons"].append(
                {
                    "type": "link",
                    "text": "Colab",
                    "tooltip": "Launch on Colab",
                    "icon": "_static/images/logo_colab.png",
                    "url": address,
                }
            )


def _prepare_downloads(app: Sphinx, error: Exception | None) -> None:
    """Put the install cell in front of every notebook that a page offers."""
    if error is not None or app.builder.format != "html":
        return
    url = app.config.html_theme_options.get("repository_url", "")
    cell = install_cell(url, app.config.notebook_commit)
    for path in (Path(app.outdir) / "_sources").rglob("*.ipynb"):
        notebook = nbformat.read(path, as_version=4)
        if TAG not in notebook.cells[0].metadata.get("tags", []):
            notebook.cells.insert(0, cell)
            notebook.nbformat_minor = max(5, notebook.nbformat_minor)
            nbformat.write(notebook, path)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_config_value("notebook_commit", "", "html", types=[str])
    app.add_config_value("launch_branch", "", "html", types=[str])
    app.connect("config-inited", _configure)
    app.connect("html-page-context", _add_colab, priority=900)  # after the theme's own buttons
    app.connect("build-finished", _prepare_downloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
