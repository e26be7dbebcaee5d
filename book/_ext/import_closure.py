"""Which modules of a package a piece of source really imports, read without running it.

A notebook has to run again when a module it imports changed, directly or through other modules,
and only then.  The package's ``__init__`` loads names lazily (PEP 562) from a literal table
``_EXPORTS = {name: module}``; ``from collapse import residual`` therefore means the one module
that the table names, not the whole package.  Where the source does not say what it takes (a star
import, the package passed around as a value, a computed ``import_module``) every possibility
counts: running a notebook once too often is cheap, keeping a stale number is not.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Closure:
    """What a source depends on: modules of the package, and top-level names from elsewhere."""

    modules: frozenset[str]
    external: frozenset[str]


@dataclass
class Package:
    """A package on disk whose imports are followed; ``root`` is its folder."""

    root: Path
    _direct: dict[str, Closure] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """The package's import name."""
        return self.root.name

    @cached_property
    def files(self) -> dict[str, Path]:
        """Dotted module name to file, for the package and all that lies below it."""
        found = {}
        for path in sorted(self.root.rglob("*.py")):
            parts = path.relative_to(self.root.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        return found

    def exports(self, module: str) -> dict[str, str]:
        """The lazy table of a package's ``__init__``: public name to full module name."""
        path = self.files[module]
        if path.name != "__init__.py":
            return {}
        for node in ast.parse(path.read_text("utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if isinstance(node, ast.AnnAssign):
                targets = [node.target]
            if any(isinstance(t, ast.Name) and t.id == "_EXPORTS" for t in targets):
                assert isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
                return {k: self._full(module, v) for k, v in ast.literal_eval(node.value).items()}
        return {}

    def closure(self, source: str, module: str | None = None) -> Closure:
        """All that ``source`` imports, followed to the end; ``module`` is its own name, if any."""
        first = self._scan(source, module)
        modules, external, todo = set(first.modules), set(first.external), list(first.modules)
        while todo:
            name = todo.pop()
            if name not in self._direct:
                self._direct[name] = self._scan(self.files[name].read_text("utf-8"), name)
            external |= self._direct[name].external
            new = self._direct[name].modules - modules
            modules |= new
            todo += new
        return Closure(frozenset(modules), frozenset(external - sys.stdlib_module_names))

    def files_of(self, closure: Closure) -> list[Path]:
        """The files of a closure's modules, sorted."""
        return sorted(self.files[name] for name in closure.modules)

    def _full(self, module: str, target: str) -> str:
        """Resolve an entry of the lazy table: absolute, relative with a dot, or a bare name."""
        full = target if target in self.files else f"{module}.{target.removeprefix('.')}"
        if full not in self.files:
            raise ValueError(f"{self.files[module]}: _EXPORTS names {target!r}, which is no module")
        return full

    def _scan(self, source: str, module: str | None) -> Closure:
        return _Scan(self, module).run(ast.parse(source))


class _Scan:
    """One pass over one source: what it imports itself, parents of each module included."""

    def __init__(self, package: Package, module: str | None) -> None:
        self.package, self.module = package, module
        self.modules: set[str] = set()
        self.external: set[str] = set()
        self.bound: dict[str, str] = {}  # local name -> module of the package it stands for

    def run(self, tree: ast.Module) -> Closure:
        nodes = list(_runtime_nodes(tree))
        for node in nodes:
            if isinstance(node, ast.Import):
                self._import(node)
            elif isinstance(node, ast.ImportFrom):
                self._import_from(node)
            elif isinstance(node, ast.Call):
                self._import_module(node)
        bases = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
        for node in nodes:
            if isinstance(node, ast.Attribute) and (base := self._stands_for(node.value)):
                self._member(base, node.attr)
            elif isinstance(node, ast.Name) and id(node) not in bases and node.id in self.bound:
                self._everything(self.bound[node.id])
        return Closure(frozenset(self.modules), frozenset(self.external))

    def _add(self, name: str) -> None:
        parts = name.split(".")
        prefixes = (".".join(parts[:k]) for k in range(1, len(parts) + 1))
        self.modules |= {prefix for prefix in prefixes if prefix in self.package.files}

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.split(".")[0]
            if top == self.package.name:
                self._add(alias.name)
                self.bound[alias.asname or top] = alias.name if alias.asname else top
            else:
                self.external.add(top)

    def _import_from(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            base = self._relative(node.level, base)
        if base.split(".")[0] != self.package.name:
            self.external.add(base.split(".")[0])
            return
        self._add(base)
        for alias in node.names:
            if alias.name == "*":
                self._everything(base)
            else:
                self._member(base, alias.name)
                if f"{base}.{alias.name}" in self.package.files:
                    self.bound[alias.asname or alias.name] = f"{base}.{alias.name}"

    def _relative(self, level: int, base: str) -> str:
        if self.module is None:
            raise ValueError("a relative import outside the package cannot be resolved")
        is_package = self.package.files[self.module].name == "__init__.py"
        parts = self.module.split(".")
        anchor = parts[: len(parts) - level + is_package]
        return ".".join([*anchor, base] if base else anchor)

    def _import_module(self, node: ast.Call) -> None:
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        called = node.func.id if isinstance(node.func, ast.Name) else called
        if called not in {"import_module", "__import__"} or not node.args:
            return
        target = node.args[0]
        if isinstance(target, ast.Constant) and isinstance(target.value, str):
            name = target.value
            if name.startswith(".") and self.module:
                name = f"{self.package.name}{name}"
            self._add(name)
        elif not (self.module and self.package.exports(self.module)):
            # Computed, and not the lazy table's own loader: it may load anything.
            self.modules |= set(self.package.files)

    def _member(self, base: str, name: str) -> None:
        """A name taken from a module: a submodule, a lazily loaded name, or its own."""
        if base not in self.package.files:
            return
        self._add(f"{base}.{name}")
        if target := self.package.exports(base).get(name):
            self._add(target)

    def _everything(self, base: str) -> None:
        for target in self.package.exports(base).values() if base in self.package.files else ():
            self._add(target)

    def _stands_for(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self.bound.get(node.id)
        if isinstance(node, ast.Attribute) and (base := self._stands_for(node.value)):
            full = f"{base}.{node.attr}"
            return full if full in self.package.files else None
        return None


def _runtime_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes but the bodies of ``if TYPE_CHECKING:``, which never run."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for kept in child.orelse:
                yield from _runtime_nodes(kept)
        else:
            yield from _runtime_nodes(child)


def notebook_source(path: Path) -> str:
    """The Python of a notebook's code cells; IPython's magics and shell lines become blank.

    Raises:
        ValueError: a cell is not Python, named by notebook and cell.
    """
    cells = []
    for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"]):
        if cell["cell_type"] != "code":
            continue
        lines = "".join(cell["source"]).splitlines()
        if lines and lines[0].startswith("%%"):
            continue
        code = "\n".join("" if line.lstrip()[:1] in {"%", "!"} else line for line in lines)
        try:
            ast.parse(code)
        except SyntaxError as error:
            raise ValueError(f"{path}: cell {number}: {error}") from error
        cells.append(code)
    return "\n".join(cells)
