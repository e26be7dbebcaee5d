"""Execute one notebook with papermill, and refuse a copy that is not whole.

The copy is written beside its final place as ``.part.ipynb`` and renamed at the end, since
papermill writes its output even when a cell raised.  The figure data that
``notebooks/parameters.yml`` promises for the notebook must exist afterwards.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collapse.stamp import commit


class NotebookError(Exception):
    """A notebook did not run to its end, or did not write what it promised."""


def execute(
    notebook: Path,
    executed: Path,
    figures: Path,
    *,
    parameters: Mapping[str, Any],
    promised: Iterable[str],
    timeout: int,
    used: Mapping[str, str],
) -> None:
    """Run ``notebook`` into ``executed``; its figure data goes to the folder ``figures``.

    Args:
        notebook: the clean notebook; the kernel works in its folder.
        executed: where the executed copy goes.
        figures: emptied first, then handed to the notebook as the parameter ``figures``.
        parameters: the other papermill parameters.
        promised: names of the JSON files, without suffix, that must be there afterwards.
        timeout: seconds that one cell may take.
        used: versions to record in the copy.

    Raises:
        NotebookError: naming the notebook, with the cell and the error, or the missing figures.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    root = notebook.parent.parent
    page = notebook.relative_to(root)
    part = executed.with_suffix(".part.ipynb")
    shutil.rmtree(figures, ignore_errors=True)
    figures.mkdir(parents=True)
    executed.parent.mkdir(parents=True, exist_ok=True)
    print(f"executing {page}", flush=True)
    start = time.monotonic()
    try:
        papermill.execute_notebook(
            notebook,
            part,
            parameters={**parameters, "figures": f"../{figures.relative_to(root).as_posix()}"},
            kernel_name="python3",
            language="python",
            cwd=notebook.parent,
            progress_bar={"desc": notebook.stem},
            start_timeout=120,
            execution_timeout=timeout,
            extra_arguments=["--Application.log_level=ERROR"],
        )
    except PapermillExecutionError as error:
        where = f"{page}: cell {error.cell_index}"
        raise NotebookError(f"{where} raised {error.ename}: {error.evalue}") from error
    except Exception as error:  # a time-out, a dead kernel: the page must be named all the same
        raise NotebookError(f"{page}: {type(error).__name__}: {error}") from error
    if missing := [name for name in promised if not (figures / f"{name}.json").is_file()]:
        raise NotebookError(f"{page}: figure data missing after the run: {', '.join(missing)}")
    copy = json.loads(part.read_text("utf-8"))
    copy["metadata"]["run"] = {
        "commit": commit(root),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "seconds": round(time.monotonic() - start, 1),
        "devices": _devices(figures),
        "versions": dict(used),
    }
    part.write_text(json.dumps(copy, indent=1), "utf-8")
    part.replace(executed)


def _devices(figures: Path) -> list[str]:
    """The devices that the run's figure data name; every figure records its own."""
    found = {json.loads(path.read_text("utf-8")).get("device") for path in figures.glob("*.json")}
    return sorted(str(device) for device in found if device)
