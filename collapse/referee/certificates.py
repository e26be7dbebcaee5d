"""Certificates on disk: one file holds many, and each can be decided again from its inputs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from collapse.numeric import require
from collapse.referee.balls import recheck
from collapse.referee.deciding import Certificate, from_fields
from collapse.referee.report import write_json

SCHEMA = "collapse-certificates/1"


def write_certificates(path: str | Path, certificates: Sequence[Certificate]) -> Path:
    """Write certificates to one JSON file.

    Args:
        path: Where to.
        certificates: What :func:`~collapse.referee.balls.certify` returned.

    Returns:
        The path.
    """
    contents = [json.loads(certificate.to_json()) for certificate in certificates]
    return write_json(path, {"schema": SCHEMA, "certificates": contents})


def recheck_file(path: str | Path) -> Iterator[Certificate]:
    """Decide every certificate of a file again, in its order.

    Args:
        path: What :func:`write_certificates` wrote, or the JSON of a single certificate.

    Yields:
        Each certificate as it was just computed.

    Raises:
        ValueError: If the file holds no certificates, or if one does not come out as it says; the
            message then names it.
    """
    try:
        data = json.loads(Path(path).read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"certificates: expected JSON, received {path}: {error}") from None
    require(isinstance(data, dict), "certificates", f"a file of schema {SCHEMA!r}", path)
    contents = data.get("certificates") if data.get("schema") == SCHEMA else [data]
    listed = isinstance(contents, list) and contents
    require(listed, "certificates", "a list of at least one", contents)
    for number, content in enumerate(contents, start=1):
        try:
            yield recheck(from_fields(content))
        except ValueError as error:
            if len(contents) == 1:
                raise
            label = content.get("label") if isinstance(content, dict) else None
            raise ValueError(f"certificate {number} ({label}): {error}") from None
