"""A stamp under every page: what was built and when, how its notebook ran, where its data are.

The repository's address is one setting, ``repository: url`` in ``_config.yml``; where it is empty
the stamp names the commits without linking to them, and the page has no repository button.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from executed_notebooks import executed_copy
from figure_data import data_links
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
    built = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    items = [f"Built from {_commit(app.config.page_stamp_commit, repository)}, {built}"]
    if copy := executed_copy(app, pagename):
        run = json.loads(copy.read_text("utf-8"))["metadata"]["run"]
        items += [*_run_items(run, repository), data_links(app, pagename)]
    lines = "".join(f"<li>{item}</li>" for item in items if item)
    context["body"] += f'<ul class="page-stamp" aria-label="How this page was made">{lines}</ul>'


def _configure(app: Sphinx, config: Config) -> None:
    config.page_stamp_commit = commit(Path(app.srcdir))
    if config.html_theme_options.get("repository_url"):
        config.html_theme_options |= {"use_repository_button": True, "use_issues_button": True}


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension; a new commit makes Sphinx write every page anew."""
    app.add_config_value("page_stamp_commit", "", "html", types=[str])
    app.connect("config-inited", _configure)
    app.connect("html-page-context", _add_stamp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
