"""``collapse figure``: a figure of the book as a file, with its data."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from collapse.commands import Answer

HELP = "Write a figure of the book as SVG, PDF or PNG, with its data beside it"
FOLDER = Path("_build/figures")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="for example orders-ladder; without it, a list"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to: .svg, .pdf or .png (NAME.svg)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=FOLDER,
        metavar="FOLDER",
        help=f"where the build has put the figures' data ({FOLDER})",
    )


def run(arguments: Namespace) -> Answer:
    """Draw one figure, or list them all."""
    from difflib import get_close_matches

    from collapse.numeric import require

    a = arguments
    made = {path.stem: path for path in sorted(a.data.glob("**/*.json"))}
    where = "the data of the book's figures, which `make book` writes"
    require(len(made) > 0, "data", where, f"{a.data} without any")
    if a.name is None:
        names = list(made)
        return Answer({"figures": names}, lambda: ["\n".join(names)])
    if a.name not in made:
        near = get_close_matches(a.name, made, n=3, cutoff=0.4)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise ValueError(f"figure: expected a figure of {a.data}{hint}, received {a.name!r}")
    out = a.out or Path(f"{a.name}.svg")
    kinds = (".svg", ".pdf", ".png")
    require(out.suffix in kinds, "out", f"a file ending in {', '.join(kinds)}", out)
    require(out.parent.is_dir(), "out", "a file in a folder that exists", out)

    from collapse.figures.gallery import redraw

    data = redraw(made[a.name], out)
    copied = out.with_suffix(".json")
    if copied.resolve() != made[a.name].resolve():
        copied.write_bytes(made[a.name].read_bytes())
    written = [str(out), str(copied)]
    answer = {"figure": data.label, "written": written}
    return Answer(answer, lambda: [f"{data.label}: {', '.join(written)}"])
