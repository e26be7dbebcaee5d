"""Floor 8. What networks are asked to do: retrieve, sort, continue a text."""

from __future__ import annotations

from typing import Any

from collapse.numeric import require
from collapse.tasks.recall import Recall
from collapse.tasks.sorting import Sorting
from collapse.tasks.task import Batch, Task
from collapse.tasks.text import Text

TASKS: dict[str, Any] = {"recall": Recall, "sorting": Sorting, "text": Text}


def make_task(name: str, **options: Any) -> Task:
    """The task of a name.

    Args:
        name: "recall", "sorting" or "text".
        **options: Its sizes; see the classes.

    Returns:
        A Task.

    Raises:
        ValueError: If there is no task of that name, or a size is outside its range.

    >>> make_task("sorting", length=5).tokens
    5
    """
    require(name in TASKS, "task", f"one of {sorted(TASKS)}", repr(name))
    task: Task = TASKS[name](**options)
    return task


__all__ = ["TASKS", "Batch", "Recall", "Sorting", "Task", "Text", "make_task"]
