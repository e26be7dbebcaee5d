"""What the pages tell a reader to type works: commands, installation, and the README's example."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from collapse.__main__ import parser

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    ROOT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "book/quickstart.md",
        "book/how-to-read.md",
        "book/claims.md",
    )
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def typed(program: str) -> list[list[str]]:
    """The words of every line of a page's shell blocks that calls the program."""
    blocks = [
        block
        for page in PAGES
        for block in re.findall(r"```(?:sh|bash)\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    ]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    words = [shlex.split(line, comments=True) for line in lines]
    return [line for line in words if line and Path(line[0]).name == program]


def unknown_targets(lines: list[list[str]]) -> list[str]:
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    return [line[1] for line in lines if line[1] not in known]


def wrong_installs(text: str) -> list[str]:
    """Extras that the package does not have, and pins of torch that are not ours."""
    pin = next(
        line
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if line.startswith("torch==")
    )
    extras = re.findall(r"'\.\[(\w+)\]'", text)
    pins = re.findall(r"torch==[\w.]+", text)
    extra_names = PROJECT["optional-dependencies"]
    return [x for x in extras if x not in extra_names] + [x for x in pins if x != pin]


def test_the_commands_of_the_pages_are_understood() -> None:
    lines = typed("collapse")
    assert len(lines) >= 12
    for words in lines:
        parser().parse_args(words[1:])
    with pytest.raises(SystemExit):
        parser().parse_args(["diagnose", "--demonstration"])


def test_the_targets_of_the_pages_exist() -> None:
    lines = typed("make")
    assert len(lines) >= 8 and unknown_targets(lines) == []
    assert unknown_targets([["make", "tests"]]) == ["tests"]


def test_the_installation_names_our_extras_and_our_torch() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert len(re.findall(r"--constraint constraints.txt\s+(?:\\\n\s*)?torch==", text)) >= 3
    assert wrong_installs(text) == []
    assert wrong_installs("torch==2.0.0 --editable '.[diagnosis]'") == ["diagnosis", "torch==2.0.0"]


def test_the_example_of_the_readme_says_what_it_computes() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "deep(" in block
    )
    names: dict[str, Any] = {}
    exec(code, names)
    told = {
        line.partition("#")[0].strip(): line.rpartition(": ")[2]
        for line in code.splitlines()
        if re.search(r"#.*: \d", line)
    }
    assert len(told) == 2
    for expression, number in told.items():
        assert f"{float(eval(expression, names)):.1e}" == number
