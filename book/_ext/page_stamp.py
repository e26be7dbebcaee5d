"""A stamp under every page: the commit that was built, and how its notebook ran.

The repository's address is one setting, ``repository: url`` in ``_config.yml``; where it is empty
the stamp names the commits without linking to them, and the page has no repository button.
"""

from __future__ import annotations

import json
import shutil
from html import escape
from pathlib import Path
from posixpath import relpath
from typing import Any

from docutils import nodes
from executed_notebooks import executed_copy
from sphinx.application import Sphinx
from sphinx.config import Config

from collapse.stamp import commit


def _commit(reference: str, repository: str) -> str:
    """A commit as HTML: a link where the repository is known."""
    if not reference:
        return "files outside version control"
    plain = reference.removesuffix("+changes")
    text = f"commit <code>{escape(plain)}</code>"
    if repository:
        text = f'<a href="{escape(repository)}/tree/{escape(plain)}">{text}</a>'
    return text + (" with uncommitted changes" if plain != reference else "")


def _run_items(run: dict[str, Any], repository: str) -> list[str]:
    """What the stamp says of a notebook's run."""
    devices = ", ".join(run["devices"])
    used = ", ".join(f"{escape(name)} {escape(v)}" for name, v in run["versions"].items())
    return [
        f"Notebook run at {_commit(run['commit'], repository)}, {escape(run['date'])}, "
        f"in {run['seconds']:.0f} s" + (f" on {escape(devices)}" if devices else ""),
        used,
    ]


def _figure_data(app: Sphinx, docname: str) -> Path:
    """The folder into which a notebook page's run wrote its figure data."""
    return Path(app.srcdir) / "_build" / "figures" / Path(docname).name


def _data_links(app: Sphinx, pagename: str) -> str:
    """Links to the figure data of a notebook page, as they lie in the rendered book."""
    folder = _figure_data(app, pagename)
    links = [
        f'<a href="{relpath(f"figures/{folder.name}/{path.name}", Path(pagename).parent)}" '
        f"download>{escape(path.name)}</a>"
        for path in sorted(folder.glob("*.json"))
    ]
    return f"Figure data: {', '.join(links)}" if links else ""


def _add_stamp(
    app: Sphinx,
    pagename: str,
    template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    if doctree is None:  # the search page and the indices
        return
    repository = app.config.html_theme_options.get("repository_url", "")
    items = [f"Built from {_commit(app.config.page_stamp_commit, repository)}"]
    if copy := executed_copy(app, pagename):
        run = json.loads(copy.read_text("utf-8"))["metadata"]["run"]
        items += [*_run_items(run, repository), _data_links(app, pagename)]
    lines = "".join(f"<li>{item}</li>" for item in items if item)
    # sphinxcontrib-bibtex gives citations a role that ARIA 1.2 deprecates.
    body = context["body"].replace(' role="doc-biblioentry"', "")
    context["body"] = (
        f'{body}<ul class="page-stamp" aria-label="How this page was made">{lines}</ul>'
    )


def _configure(app: Sphinx, config: Config) -> None:
    config.page_stamp_commit = commit(Path(app.srcdir))
    if config.html_theme_options.get("repository_url"):
        config.html_theme_options |= {"use_repository_button": True, "use_issues_button": True}


def _copy_figure_data(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    target = Path(app.outdir) / "figures"
    shutil.rmtree(target, ignore_errors=True)
    for docname in app.env.found_docs:
        data = _figure_data(app, docname)
        if executed_copy(app, docname) and data.is_dir():
            shutil.copytree(data, target / data.name)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension; a new commit makes Sphinx write every page anew."""
    app.add_config_value("page_stamp_commit", "", "html", types=[str])
    app.connect("config-inited", _configure)
    app.connect("html-page-context", _add_stamp)
    app.connect("build-finished", _copy_figure_data)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
