"""``{explorer}``: an interactive figure that needs no kernel and no network.

    ```{explorer} explorer-res
    :figure: fig-explorer-res

    Drag a handle up or down.
    ```

The argument is the label of figure data that the page's notebook has written; the data goes into
the page.  ``figure`` is the name of the static figure of the same data.  A script of the argument's
name in ``_static/explorers`` draws into that figure.  In print, and where scripts are off, the
static figure is what one sees, and the body, which says how to use the other, is hidden.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

FOLDER = "explorers"
BEFORE_OTHERS = 400  # the shared script comes before those that use it


class explorer(nodes.General, nodes.Element):
    """The place of an interactive figure, with its data; its children say how to use it."""


class Explorer(SphinxDirective):
    """``{explorer} label``: an interactive figure in place of the static one."""

    has_content = True
    required_arguments = 1
    option_spec = {"figure": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Read the data, and parse the body."""
        (label,) = self.arguments
        if "figure" not in self.options:
            raise self.error(f"explorer {label}: expected the option figure")
        page, root = Path(self.env.docname), Path(self.env.srcdir)
        data = root / "_build" / "figures" / page.name / f"{label}.json"
        script = root / "book" / "_static" / FOLDER / f"{label}.js"
        for path in (data, script):
            if not path.is_file():
                where = path.relative_to(root)
                raise ExtensionError(f"{self.env.docname}: explorer {label} lacks {where}")
            self.env.note_dependency(str(path))
        found = json.loads(data.read_text("utf-8"))
        node = explorer(
            "",
            ids=[nodes.make_id(label)],
            figure=nodes.make_id(self.options["figure"]),
            data=json.dumps({key: found[key] for key in ("label", "panels", "parameters")},
                            separators=(",", ":"), ensure_ascii=False),
        )  # fmt: skip
        self.state.nested_parse(self.content, self.content_offset, node)
        self.env.metadata[self.env.docname].setdefault(FOLDER, []).append(label)
        return [node]


def _visit(translator: HTML5Translator, node: explorer) -> None:
    start = f'<div class="explorer" id="{node["ids"][0]}" data-figure="{escape(node["figure"])}"'
    # A script element ends at its first "</", wherever that stands.
    data = node["data"].replace("<", "\\u003c")
    translator.body.append(f'{start} hidden>\n<script type="application/json">{data}</script>\n')


def _depart(translator: HTML5Translator, node: explorer) -> None:
    translator.body.append("</div>\n")


def _skip(translator: Any, node: explorer) -> None:
    raise nodes.SkipNode


def _check_figures(app: Sphinx, doctree: nodes.document) -> None:
    """Refuse an explorer whose static figure is not on its page."""
    for node in doctree.findall(explorer):
        if not any(node["figure"] in found["ids"] for found in doctree.findall(nodes.figure)):
            label = node["ids"][0]
            raise ExtensionError(f"{app.env.docname}: explorer {label} names no figure of its page")


def _add_scripts(
    app: Sphinx,
    pagename: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    labels = app.env.metadata.get(pagename, {}).get(FOLDER, [])
    if not labels:
        return
    app.add_css_file("explorers.css")
    app.add_js_file("explorers.js", priority=BEFORE_OTHERS, loading_method="defer")
    for label in labels:
        app.add_js_file(f"{FOLDER}/{label}.js", loading_method="defer")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_node(explorer, html=(_visit, _depart), latex=(_skip, None), text=(_skip, None))
    app.add_directive("explorer", Explorer)
    app.connect("doctree-read", _check_figures)
    app.connect("html-page-context", _add_scripts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
