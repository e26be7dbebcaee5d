"""Which notebooks run again when a module changes: the import closure, on a small package."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from built_book import NOTEBOOKS, ROOT
from import_closure import Package, notebook_source

MODULES = {
    "__init__": """
        from importlib import import_module
        from typing import TYPE_CHECKING

        if TYPE_CHECKING:
            from pack.softmax import softmax as softmax

        _EXPORTS = {
            "residual": "pack.norms",
            "softmax": "pack.softmax",
            "Network": "pack.attention",
        }

        def __getattr__(name):
            return getattr(import_module(_EXPORTS[name]), name)
    """,
    "numeric": "import math",
    "norms": "from pack import numeric\nimport torch",
    "softmax": "from .numeric import exp",
    "attention": "from pack.norms import residual\nimport pack.softmax as s",
    "late": "def f():\n    from pack.attention import Network",
    "anything": "import importlib\ndef f(name):\n    return importlib.import_module(name)",
    "figures/__init__": '_EXPORTS = {"draw": "style"}',
    "figures/style": "import matplotlib.pyplot",
    "figures/res": "from ..norms import residual\nfrom . import style",
}
NORMS = {"numeric", "norms"}
ATTENTION = {*NORMS, "softmax", "attention"}
FIGURES = {*NORMS, "figures", "figures.style", "figures.res"}
ALL = {"numeric", "norms", "softmax", "attention", "late", "anything", *FIGURES}


@pytest.fixture
def package(tmp_path: Path) -> Package:
    for name, source in MODULES.items():
        path = tmp_path / "pack" / f"{name}.py"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(textwrap.dedent(source))
    return Package(tmp_path / "pack")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import math, numpy", None),
        ("import pack", set()),
        ("from pack.norms import residual", NORMS),
        ("import pack.norms", NORMS),
        ("from pack import residual", NORMS),
        ("from pack import norms", NORMS),
        ("import pack\npack.residual(1)", NORMS),
        ("import pack as p\np.norms.residual(1)", NORMS),
        ("import pack\nprint(pack.__version__)", set()),
        ("from pack.softmax import softmax", {"numeric", "softmax"}),
        ("from pack import Network", ATTENTION),
        ("from pack.late import f", {*ATTENTION, "late"}),
        ("def g():\n    import pack.norms", NORMS),
        ("import pack.figures.res", FIGURES),
        ("from pack import figures\nfigures.draw()", {"figures", "figures.style"}),
        ("from pack.figures import draw", {"figures", "figures.style"}),
        ("from pack import figures", {"figures"}),
        ("import importlib\nimportlib.import_module('pack.norms')", NORMS),
        # What is taken cannot be read off, so every possibility counts.
        ("from pack import *", ATTENTION),
        ("import pack\ngetattr(pack, name)", ATTENTION),
        ("import pack.anything", ALL),
    ],
)
def test_closure(package: Package, source: str, expected: set[str] | None) -> None:
    modules = package.closure(source).modules
    named = {"pack"} | {f"pack.{name}" for name in expected} if expected is not None else set()
    assert modules == named


def test_external_names_are_those_behind_the_closure(package: Package) -> None:
    assert package.closure("from pack import residual").external == {"torch"}
    assert package.closure("import pack.figures.res").external == {"torch", "matplotlib"}
    assert package.closure("import numpy.linalg, os").external == {"numpy"}


def test_a_lazy_name_without_a_module_is_an_error(package: Package) -> None:
    init = package.files["pack"]
    init.write_text(init.read_text().replace("pack.norms", "pack.nroms"))
    with pytest.raises(ValueError, match="nroms"):
        Package(package.root).closure("from pack import residual")


def _notebook(path: Path, *cells: str) -> Path:
    code = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    text = {"cell_type": "markdown", "source": ["import pack.norms"]}
    path.write_text(json.dumps({"cells": [text, *code]}))
    return path


def test_a_changed_module_concerns_exactly_the_notebooks_that_import_it(
    package: Package, tmp_path: Path
) -> None:
    notebooks = {
        "res": _notebook(tmp_path / "a.ipynb", "%matplotlib inline\nfrom pack import residual"),
        "soft": _notebook(tmp_path / "b.ipynb", "x = 1", "from pack.softmax import softmax"),
        "net": _notebook(tmp_path / "c.ipynb", "!ls\nfrom pack.attention import Network"),
        "none": _notebook(tmp_path / "d.ipynb", "%%bash\nimport pack.norms"),
    }

    def concerned(module: str) -> set[str]:
        return {
            name
            for name, path in notebooks.items()
            if f"pack.{module}" in package.closure(notebook_source(path)).modules
        }

    assert concerned("numeric") == {"res", "soft", "net"}
    assert concerned("norms") == {"res", "net"}
    assert concerned("softmax") == {"soft", "net"}
    assert concerned("attention") == {"net"}
    assert concerned("late") == set()


def test_a_cell_that_is_not_python_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"bad\.ipynb: cell 1"):
        notebook_source(_notebook(tmp_path / "bad.ipynb", "x = ("))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_closure_agrees_with_what_python_loads(notebook: Path) -> None:
    """Static reading may only err on the safe side: all that really loads is in the closure."""
    source = notebook_source(notebook)
    nodes = ast.walk(ast.parse(source))
    imports = [ast.unparse(n) for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    program = "\n".join([*imports, "import sys", "print(*sys.modules)"])
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    loaded = {name for name in run.stdout.split() if name.split(".")[0] == "collapse"}
    assert loaded <= Package(ROOT / "collapse").closure(source).modules
