"""Files that a run leaves behind: written whole or not at all, and known by their plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from collapse.numeric import require
from collapse.training.plan import Plan

SCHEMA = "collapse-training/1"


def save(path: str | Path, plan: Plan, content: dict[str, Any]) -> None:
    """Write content to a file that :func:`load` reads; a crash leaves the old file as it was.

    Args:
        path: Where to write; missing folders are made.
        plan: The plan that the content belongs to.
        content: Tensors, numbers and strings in dicts and lists.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    torch.save({"schema": SCHEMA, "plan": plan.key, "content": content}, part)
    part.replace(path)


def load(path: str | Path, plan: Plan) -> dict[str, Any]:
    """Read what :func:`save` wrote, for the same plan only. The file is left as it is.

    Args:
        path: An existing file.
        plan: The plan that is asked for.

    Returns:
        The content.

    Raises:
        ValueError: If the file is no checkpoint, or one of another plan.
    """
    try:
        found = torch.load(path, weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # torch raises half a dozen kinds for a file that is not its own
        raise ValueError(f"checkpoint: expected a file of this package, received {path}") from error
    known = isinstance(found, dict) and found.get("schema") == SCHEMA
    require(known, "checkpoint", "a file of this package", path)
    require(found["plan"] == plan.key, "checkpoint", "one of the same plan", f"{path} of another")
    content: dict[str, Any] = found["content"]
    return content
