"""``{concordance}`` and ``{dependency-graph}``: where each result stands, and what it rests on.

Both are generated: the results and their dependencies from the ledger, the code from the
``Source:`` sections of the package and its register of symbolic proofs, the pages from the
statements that the book holds.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, cast

from docutils import nodes
from import_closure import Package
from ledger import ledger, ledger_link
from sphinx.application import Sphinx
from sphinx.domains.python import PythonDomain
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

from collapse.ledger import Claim

Documented = ast.Module | ast.ClassDef | ast.FunctionDef
COLUMNS = {"In AS25": 16, "Result": 34, "Code": 34, "Stated": 16}


def cited(source: str, module: str) -> Iterator[tuple[str, str]]:
    """Labels in the ``Source:`` sections of a module, each with the public name that cites it."""
    yield from _cited(ast.parse(source), module)


def _cited(
    node: ast.Module | ast.ClassDef | ast.FunctionDef, name: str
) -> Iterator[tuple[str, str]]:
    text = ast.get_docstring(node) or ""
    for section in re.findall(r"^Source:\n((?:[ \t]+\S.*\n?)+)", text, re.MULTILINE):
        labels = (label.strip() for label in section.replace("\n", ",").split(","))
        yield from ((label, name) for label in labels if label)
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef) and not child.name.startswith("_"):
            yield from _cited(child, f"{name}.{child.name}")


def code_of(package: Package) -> dict[str, list[str]]:
    """Full names of the objects that name each label as their source, and of its proofs.

    What only draws a figure is left out; the chapter is one click away.
    """
    from collapse.symbolic import PROOFS

    found: dict[str, list[str]] = defaultdict(list)
    for module, path in package.files.items():
        if module.startswith("collapse.figures"):
            continue
        for label, name in cited(path.read_text("utf-8"), module):
            found[label].append(name)
    for label, proofs in PROOFS.items():
        found[label] += [f"{prove.__module__}.{prove.__name__}" for prove in proofs]
    return found


def paper_numbers(claims: Mapping[str, Claim]) -> dict[str, str]:
    """For each claim its number in the paper, or those of the paper's claims that it serves."""
    numbers = {
        label: claim.source.removeprefix("AS25, ").partition(" (also")[0]
        for label, claim in claims.items()
        if claim.source.startswith("AS25, ")
    }
    served: dict[str, list[str]] = defaultdict(list)
    for label, number in numbers.items():
        for used in dict.fromkeys((*claims[label].repaired_by, *claims[label].depends)):
            served[used].append(number)
    found = {}
    for label in claims:
        others = "for " + ", ".join(served[label]) if served[label] else ""
        text = numbers.get(label, others)
        found[label] = text[:1].upper() + text[1:]
    return found


class code_link(nodes.General, nodes.Element):
    """A name of the package, linked to its place in the reference once every page is read."""


class dependency_graph(nodes.General, nodes.Element):
    """Where the graph stands, until the addresses of the statements are known."""


class Concordance(SphinxDirective):
    """``{concordance}``: every claim with its number in the paper, its code and its page."""

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        claims = ledger(self.env)
        package = Package(Path(self.env.srcdir) / "collapse")
        for path in package.files.values():
            self.env.note_dependency(str(path))
        code, numbers = code_of(package), paper_numbers(claims)
        group = nodes.tgroup(cols=len(COLUMNS))
        group += [nodes.colspec(colwidth=width) for width in COLUMNS.values()]
        head = nodes.row("", *(_entry([nodes.Text(name)]) for name in COLUMNS))
        body = nodes.tbody()
        for label, claim in claims.items():
            name = ledger_link("", nodes.literal("", label), label=label, target="row")
            body += nodes.row(
                "",
                _entry([nodes.Text(numbers[label] or "\N{EM DASH}")]),
                _entry([name]),
                _entry(self._code(code[label])),
                _entry(self._statement(claim)),
            )
        group += [nodes.thead("", head), body]
        return [nodes.table("", group, classes=["concordance", "stacked"])]

    def _code(self, names: list[str]) -> list[nodes.Node]:
        links: list[nodes.Node] = []
        for name in names:
            links += [nodes.Text(", ")] if links else []
            links.append(code_link("", name=name))
        return links or [nodes.Text("\N{EM DASH}")]

    def _statement(self, claim: Claim) -> list[nodes.Node]:
        if not claim.released:
            return [nodes.Text(f"chapter {claim.chapter}, to come")]
        found, _ = self.state.inline_text(f"{{prf:ref}}`{claim.label}`", self.lineno)
        return [*found, nodes.Text(f", chapter {claim.chapter}")]


class DependencyGraph(SphinxDirective):
    """``{dependency-graph}``: the results and what each rests on, as a picture."""

    def run(self) -> list[nodes.Node]:
        """Leave a mark that is replaced when the addresses are known."""
        ledger(self.env)  # the page depends on it
        drawing = Path(self.env.srcdir) / "collapse" / "figures" / "dependencies.py"
        self.env.note_dependency(str(drawing))
        return [dependency_graph()]


def _entry(content: list[nodes.Node]) -> nodes.entry:
    return nodes.entry("", nodes.paragraph("", "", *content))


def reference(env: BuildEnvironment) -> Mapping[str, Any]:
    """The Python objects that the reference documents, by full name."""
    return cast(PythonDomain, env.get_domain("py")).objects


def documented(name: str, objects: Mapping[str, Any]) -> str | None:
    """The name under which the reference lists an object: its own, or that of a package above.

    >>> documented("a.b.f", {"a.f": 1})
    'a.f'
    """
    *module, last = name.split(".")
    names = (".".join([*module[:k], last]) for k in range(len(module), 0, -1))
    return next((full for full in names if full in objects), None)


def _resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    objects = reference(app.env)
    for link in list(doctree.findall(code_link)):
        *_, parent, last = link["name"].split(".")
        name: nodes.Node = nodes.literal("", f"{parent}.{last}" if parent[0].isupper() else last)
        if full := documented(link["name"], objects):
            page, anchor, *_ = objects[full]
            name = make_refnode(app.builder, docname, page, anchor, name, full)
        link.replace_self(name)
    for place in list(doctree.findall(dependency_graph)):
        place.replace_self(_graph(app, docname))


def _graph(app: Sphinx, docname: str) -> nodes.Node:
    from collapse.figures.dependencies import describe, svg
    from collapse.ledger import claims

    statements: dict[str, Any] = getattr(app.env, "proof_list", {})
    if app.builder.format != "html":
        return nodes.paragraph("", describe(claims()))

    def address(label: str) -> str | None:
        page = statements.get(label, {}).get("docname")
        return f"{app.builder.get_relative_uri(docname, page)}#{label}" if page else None

    picture = svg(claims(), address)
    # A region that scrolls must be reachable by keyboard and have a name.
    frame = '<div class="dependency-graph" role="region" tabindex="0" aria-label="{}">{}</div>'
    name = escape("Dependencies of the results; scrolls sideways")
    return nodes.raw("", frame.format(name, picture), format="html")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_node(code_link)
    app.add_node(dependency_graph)
    app.add_directive("concordance", Concordance)
    app.add_directive("dependency-graph", DependencyGraph)
    app.connect("doctree-resolved", _resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
