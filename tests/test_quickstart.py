"""The quickstart page runs as printed."""

from __future__ import annotations

import doctest
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from collapse.inspection.minilm import folder

PAGE = Path(__file__).resolve().parent.parent / "book" / "quickstart.md"


def test_the_example_without_download_runs() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed, attempted = doctest.testfile(str(PAGE), module_relative=False)
    assert (failed, attempted > 5) == (0, True)


def test_the_five_lines_run(capsys: pytest.CaptureFixture[str]) -> None:
    block = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert block is not None
    code = block[1].replace("path/to/model", str(folder()))
    assert code.count(str(folder())) == 2
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) == 5
    names: dict[str, Any] = {}
    exec(code, names)
    assert "BertModel: 2 sequences" in capsys.readouterr().out


def test_every_number_that_the_page_lists_is_a_field() -> None:
    from dataclasses import fields

    from collapse.inspection import HeadReport, LayerReport, Report

    known = {f.name for kind in (HeadReport, LayerReport, Report) for f in fields(kind)}
    table = PAGE.read_text("utf-8").partition("| Number |")[2].partition("\n\n")[0]
    listed = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert len(listed) > 10 and listed <= known
