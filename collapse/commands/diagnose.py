"""``collapse diagnose``: how close a transformer on disk is to collapse."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from collapse.commands import Answer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from collapse.inspection import Report

HELP = "Measure a transformer: logits, contraction, and what replacing its attention changes"


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "model", type=Path, nargs="?", metavar="FOLDER", help="a model of transformers, as saved"
    )
    parser.add_argument(
        "text", type=Path, nargs="?", metavar="FILE", help="texts in UTF-8, one a line"
    )
    parser.add_argument(
        "--demo", action="store_true", help="MiniLM and twelve sentences; no network, no arguments"
    )
    parser.add_argument("--whole", action="store_true", help="the file is one text, cut in chunks")
    parser.add_argument("--chunk", type=int, metavar="N", help="longest piece in tokens")
    parser.add_argument(
        "--tolerance", type=float, default=0.01, help="change that the margins allow (0.01)"
    )
    parser.add_argument("--no-margin", action="store_true", help="leave the margins out: faster")
    parser.add_argument("--heads", action="store_true", help="a row for each head, too")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw it: .svg, .pdf or .png")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")


def run(arguments: Namespace) -> Answer:
    """Measure, and draw the figure if one is wanted."""
    from collapse.inspection import diagnose
    from collapse.inspection.minilm import load_pretrained, minilm
    from collapse.inspection.sentences import SENTENCES
    from collapse.numeric import require

    a = arguments
    if a.figure:
        kinds = (".svg", ".pdf", ".png")
        require(
            a.figure.suffix in kinds, "figure", f"a file ending in {', '.join(kinds)}", a.figure
        )
        require(a.figure.parent.is_dir(), "figure", "a file in a folder that exists", a.figure)
    if a.demo:
        extra = a.model is not None
        require(not extra, "diagnose", "either --demo or FOLDER and FILE", a.model)
        import torch

        # Products of this size gain nothing from threads, and lose much on a busy machine.
        torch.set_num_threads(1)
        (model, tokenizer), texts = minilm(), list(SENTENCES)
    else:
        given = a.model is not None and a.text is not None
        require(given, "diagnose", "FOLDER and FILE, or --demo", a.model or "nothing")
        texts = _texts(a.text, a.whole)
        model, tokenizer = load_pretrained(a.model)
    report = diagnose(
        model,
        texts,
        tokenizer=tokenizer,
        chunk=a.chunk,
        tolerance=a.tolerance,
        margin=not a.no_margin,
        progress=not a.quiet,
    )
    if a.figure:
        report.figure(a.figure)
    return Answer(report.to_json(), lambda: _shown(report, a.heads))


def _texts(path: Path, whole: bool) -> list[str]:
    from collapse.numeric import require

    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"text: expected UTF-8 in {path}, received {error.reason}") from None
    texts = [text.strip()] if whole else [line.strip() for line in text.splitlines()]
    texts = [each for each in texts if each]
    require(len(texts) > 0, "text", f"a text in {path}", "an empty file")
    return texts


def _shown(report: Report, heads: bool) -> list[RenderableType]:
    from collapse.inspection.rendering import table

    return [table(report, heads)]
