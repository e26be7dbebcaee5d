"""Every place of a page has an id of its own, so that a link to a statement leads to the statement.

sphinx-proof writes the same id on the contents of every statement, and does not tell docutils which
id a statement has: a heading that reads like a label gets that label as its id as well, and the
browser leads links to whichever comes first.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

PREFIX = "section-"


def is_statement(node: nodes.Node | None) -> bool:
    """Whether a node is a statement of sphinx-proof, numbered or not."""
    return isinstance(node, nodes.Element) and "realtype" in node


class UniqueIds(SphinxTransform):
    """Rename the ids of headings, and of the contents of statements, that another place has too."""

    default_priority = 840  # before the domains and the table of contents note them down

    def apply(self, **_: Any) -> None:
        """Rename them in the document."""
        elements = self.document.findall(nodes.Element)
        taken = {label for node in elements if is_statement(node) for label in node["ids"]}
        for section in self.document.findall(nodes.section):
            if is_statement(section.parent):
                section["ids"] = [f"{section.parent['ids'][0]}-content"]
            else:
                section["ids"] = [self._renamed(name, taken) for name in section["ids"]]

    def _renamed(self, old: str, taken: set[str]) -> str:
        if old not in taken:
            return old
        new = f"{PREFIX}{old}"
        self.document.ids[new] = self.document.ids.pop(old)
        for name, found in self.document.nameids.items():
            if found == old:
                self.document.nameids[name] = new
        return new


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.add_transform(UniqueIds)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
