"""The commands about models and figures: answers, files, and one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import pytest
import torch
import yaml

from collapse import Network, collapse_bound
from collapse.__main__ import main
from collapse.figures import skips
from collapse.figures.data import FigureData
from collapse.figures.gallery import read, redraw
from collapse.figures.style import show

ROOT = Path(__file__).resolve().parent.parent
SIZES = ("--layers", "3", "--heads", "2", "--width", "2", "--key-width", "2", "--tokens", "5")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    try:
        status = main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    status, out, _ = run(capsys, *arguments, "--json")
    assert status == 0
    return json.loads(out)


# --- bound --------------------------------------------------------------------------------------


def test_the_bounds_are_those_of_the_largest_weights(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "bound", "--eta", "0.2", *SIZES, "--phi", "1.5")
    g = torch.Generator().manual_seed(0)
    network = Network.random(3, 2, 2, 2, 0.2, g)
    ones = {name: 0.2 * torch.ones_like(getattr(network, name)) for name in ("query", "key")}
    network = network.replace(**ones, value=0.2 * torch.ones_like(network.value))
    X = torch.full((5, 2), 1.5, dtype=torch.float64)
    X[0] = -1.5  # the diameter is as large as the entries allow
    for rung in range(4):
        exact = float(collapse_bound(network, X, rung).value)
        assert found["bounds"][f"rung {rung}"] == pytest.approx(exact, rel=1e-12)
        assert found["floors"]["no head"] == pytest.approx(1.5 * (1.8**3 - 1))
    assert 0 < found["floors"]["any heads"] <= found["floors"]["one head"]
    assert found["floors"]["any heads"] <= found["bounds"]["rung 3"]
    assert found["floors"]["one head"] <= found["bounds"]["rung 2"]


@pytest.mark.parametrize("error", ["1e-25", "1e-8", "1e-3", "10", "1e20"])
def test_the_largest_eta_is_where_the_bound_meets_the_error(
    capsys: pytest.CaptureFixture[str], error: str
) -> None:
    found = answer(capsys, "bound", "--error", error, *SIZES)["largest_eta"]
    for name, eta in found.items():
        inside = answer(capsys, "bound", "--eta", str(eta), *SIZES)["bounds"][name]
        above = answer(capsys, "bound", "--eta", str(1.001 * eta), *SIZES)["bounds"][name]
        assert inside <= float(error) < above
    if float(error) < 1:  # small weights; for large ones no order is claimed
        assert list(found.values()) == sorted(found.values())


def test_a_single_layer_is_itself_for_any_weights(capsys: pytest.CaptureFixture[str]) -> None:
    found = answer(capsys, "bound", "--eta", "9", "--error", "1e-9", "--layers", "1", *SIZES[2:])
    for rung in range(4):
        free = found["largest_eta"][f"rung {rung}"] is None
        assert free == (found["bounds"][f"rung {rung}"] == 0) == (rung in (1, 3))


def test_a_bound_beyond_float64_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ("--layers", "200", *SIZES[2:])
    found = answer(capsys, "bound", "--eta", "99", "--error", "1", *sizes)
    assert set(found["bounds"].values()) == {None} and 0 < found["floors"]["no head"]
    assert all(0 < eta < 1 for eta in found["largest_eta"].values())
    assert "beyond float64" in run(capsys, "bound", "--eta", "99", *sizes)[1]


def test_a_single_token_needs_no_attention(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [*SIZES[:-1], "1"]
    found = answer(capsys, "bound", "--eta", "0.1", "--error", "0.1", *sizes)
    assert found["bounds"]["rung 2"] == found["bounds"]["rung 3"] == 0
    assert found["largest_eta"]["rung 2"] is None and "lookup_eta" not in found
    out = run(capsys, "bound", "--eta", "0.1", "--error", "0.1", *sizes)[1]
    assert "any" in out and "no floor known" in out


MISTAKES = [
    ("bound",),
    ("bound", *SIZES),
    ("bound", "--eta", "-1", *SIZES),
    ("bound", "--eta", "nan", *SIZES),
    ("bound", "--eta", "1e300", *SIZES),
    ("bound", "--eta", "1", *SIZES, "--phi", "0"),
    ("bound", "--eta", "1", *SIZES[:-1], "0"),
    ("bound", "--eta", "1", *SIZES[:-1], "9" * 50),
    ("bound", "--error", "inf", *SIZES),
    ("diagnose",),
    ("diagnose", "no-such-folder"),
    ("diagnose", "no-such-folder", "pyproject.toml"),
    ("diagnose", "tests", "pyproject.toml"),
    ("diagnose", "tests", "no-such-file"),
    ("diagnose", "tests", "pyproject.toml", "--demo"),
    ("diagnose", "--demo", "--figure", "figure.bmp"),
    ("diagnose", "--demo", "--figure", "no-such-folder/figure.svg"),
    ("figure", "no-such", "--data", "no-such-folder"),
]


@pytest.mark.parametrize("arguments", MISTAKES, ids=" ".join)
def test_a_mistake_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    status, out, error = run(capsys, *arguments)
    assert status == 2 and out == ""
    assert error.startswith("error: ") and error.count("\n") == 1


# --- diagnose -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with a tokenizer of ten words, as transformers saves them."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog", "cat", "saw", "a"]
    (folder / "vocab.txt").write_text("\n".join(words), "utf-8")
    BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(vocab_size=10, hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=8, max_position_embeddings=12)  # fmt: skip
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    (folder / "texts.txt").write_text("the dog saw a cat\n\na cat saw the dog\n", "utf-8")
    return folder


def test_diagnose_reads_a_folder_and_a_file(
    capsys: pytest.CaptureFixture[str], saved: Path, tmp_path: Path
) -> None:
    arguments = ("diagnose", str(saved), str(saved / "texts.txt"))
    found = answer(capsys, *arguments, "--figure", str(tmp_path / "report.svg"))
    assert (found["sequences"], found["tokens"]) == (2, 14)
    assert (tmp_path / "report.svg").stat().st_size > 1000
    one = answer(capsys, *arguments, "--whole", "--chunk", "6", "--no-margin", "--quiet")
    assert one["margins"] is None and one["lengths"][1] == 6
    status, out, error = run(capsys, *arguments, "--heads", "--quiet")
    assert status == 0 and error == ""
    assert "BertModel: 2 sequences, 7 tokens each" in out and "1.1" in out


def test_a_damaged_folder_or_text_is_one_line(
    capsys: pytest.CaptureFixture[str], saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    (tmp_path / "empty.txt").write_text(" \n", "utf-8")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    for folder, text, message in (
        (tmp_path, saved / "texts.txt", "expected weights and tokenizer"),
        (saved, tmp_path / "empty.txt", "received an empty file"),
        (saved, tmp_path / "binary.txt", "expected UTF-8"),
    ):
        status, _, error = run(capsys, "diagnose", str(folder), str(text))
        assert status == 2 and message in error and error.count("\n") == 1


# --- figure -------------------------------------------------------------------------------------


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, FigureData]:
    data = skips.missing_width([1, 2, 3], "1/10", 10)
    show(data, skips.draw_missing_width, tmp_path / "figures" / "05-skips", height=2.0)
    return tmp_path / "figures", data


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_a_figure_is_drawn_again_with_its_data(
    capsys: pytest.CaptureFixture[str], made: tuple[Path, FigureData], tmp_path: Path, ending: str
) -> None:
    folder, data = made
    out = tmp_path / f"out.{ending}"
    arguments = ("figure", "skips-width", "--data", str(folder), "--out", str(out))
    assert answer(capsys, *arguments)["written"] == [str(out), str(tmp_path / "out.json")]
    first = out.read_bytes()
    assert len(first) > 1000
    again, by = read(tmp_path / "out.json")
    assert again == data and by["height"] == 2.0
    run(capsys, *arguments)
    assert ending == "pdf" or out.read_bytes() == first  # a PDF carries its date


def test_figures_are_listed_and_a_near_name_is_offered(
    capsys: pytest.CaptureFixture[str], made: tuple[Path, FigureData]
) -> None:
    folder = str(made[0])
    assert answer(capsys, "figure", "--data", folder) == {"figures": ["skips-width"]}
    assert "near it: skips-width" in run(capsys, "figure", "skip-width", "--data", folder)[2]


def test_only_functions_of_the_package_draw(made: tuple[Path, FigureData], tmp_path: Path) -> None:
    path = made[0] / "05-skips" / "skips-width.json"
    found = json.loads(path.read_text("utf-8"))
    strange = {"module": "os", "function": "system"}, {"module": "collapse.figures.skips"}
    for by in strange:
        path.write_text(
            json.dumps(found | {"drawn_by": found["drawn_by"] | {"function": "x"} | by})
        )
        with pytest.raises(ValueError, match="drawn by a function of collapse.figures"):
            redraw(path, tmp_path / "out.svg")
    for part in ("panels", "label", "drawn_by"):
        path.write_text(json.dumps({key: found[key] for key in found if key != part}))
        with pytest.raises(ValueError, match="figure: expected"):
            redraw(path, tmp_path / "out.svg")
    path.write_text("{}")
    with pytest.raises(ValueError, match="schema"):
        redraw(path, tmp_path / "out.svg")


@pytest.mark.book
def test_every_figure_of_the_book_can_be_drawn_again(html: Path, tmp_path: Path) -> None:
    runs = yaml.safe_load((ROOT / "notebooks" / "parameters.yml").read_text("utf-8"))
    for notebook, entry in runs.items():
        for name in entry["figures"]:
            path = html.parent / "figures" / notebook / f"{name}.json"
            assert redraw(path, tmp_path / f"{name}.svg").label == name
