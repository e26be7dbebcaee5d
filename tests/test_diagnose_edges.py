"""Reports of models that overflow, that merge their tokens, or that run in another number type."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from collapse import Network, diagnose
from collapse.inspection.rendering import layer_rows, short

D = 8


def network(dtype: torch.dtype = torch.float64, **options: Any) -> Network:
    g = torch.Generator().manual_seed(0)
    return Network.random(2, 2, D, 4, 0.5, g, dtype=dtype).replace(**options)


def tokens(n: int = 6) -> torch.Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def encoder() -> Any:
    torch.manual_seed(2)
    layer = nn.TransformerEncoderLayer(D, 2, 12, batch_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)


# --- number types -------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("norm", [None, "pre", "row"])
def test_a_network_of_lower_precision_is_measured(dtype: torch.dtype, norm: str | None) -> None:
    low = diagnose(network(dtype, norm=norm), tokens(), margin=False)
    exact = diagnose(network(dtype, norm=norm).to(torch.float64), tokens(), margin=False)
    unit = torch.finfo(dtype).eps
    assert low.settings["dtype"] == str(dtype).removeprefix("torch.")
    for ours, theirs in zip(low.heads, exact.heads, strict=True):
        assert ours.query_key == theirs.query_key  # weights are read in float64
        assert ours.dobrushin == pytest.approx(theirs.dobrushin, rel=64 * unit)
    assert low.averaged == pytest.approx(exact.averaged, rel=64 * unit)


# --- what is not finite -------------------------------------------------------------------------


def poisoned(where: str, value: float) -> nn.Module:
    model = encoder()
    with torch.no_grad():
        model.get_parameter(where).view(-1)[0] = value
    return model


BROKEN = {
    "an MLP": ("layers.1.linear1.weight", math.nan, "tokens that layers.2.self_attn reads: .*"
               "received NaN or infinity in torch.float32"),
    "an attention layer": ("layers.1.self_attn.in_proj_weight", math.nan,
                           "weights of layers.1.self_attn: expected finite entries"),
    "behind all attention": ("layers.2.norm2.weight", math.inf, "outputs: expected finite"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_weights_that_are_not_finite_are_named(name: str) -> None:
    where, value, message = BROKEN[name]
    with pytest.raises(ValueError, match=message):
        diagnose(poisoned(where, value), tokens())
    diagnose(poisoned(where, 0.5), tokens(), margin=False)


def test_a_model_that_overflows_in_float16_is_told_so() -> None:
    model = encoder()
    with torch.no_grad():
        model.layers[0].linear1.weight.mul_(100)
        model.layers[0].linear2.weight.mul_(1e5)
    diagnose(model, tokens(), margin=False)
    with pytest.raises(ValueError, match="NaN or infinity in torch.float16"):
        diagnose(model.half(), tokens())


def test_a_stream_of_zeros_has_no_share(tmp_path: Path) -> None:
    report = diagnose(encoder(), torch.zeros(5, D), margin=False)
    assert report.layers[0].share == 0
    read = json.loads(report.write(tmp_path / "report.json").read_text("utf-8"))
    assert read["layers"][0]["share"] == 0


# --- arguments ----------------------------------------------------------------------------------

SQUARE = torch.ones(1, 6, 6, dtype=torch.bool)
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "tolerance": ({"tolerance": "1%"}, "tolerance: expected a number > 0, received 1%"),
    "no tolerance": ({"tolerance": None}, "tolerance: expected a number > 0, received None"),
    "memory": ({"memory": "1 GB"}, "memory: expected a number of bytes, received 1 GB"),
    "a name for a mask": ({"mask": "causal"}, r"mask: expected booleans of .* received str"),
    "a mask with a batch": ({"mask": SQUARE}, r"expected shape \(6, 6\), received \(1, 6, 6\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_arguments_of_another_kind_are_refused(name: str) -> None:
    change, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        diagnose(encoder(), tokens(), **change)


def test_a_tokenizer_without_vocabulary_is_refused() -> None:
    from transformers import BertConfig, BertModel

    sizes: Any = {"vocab_size": 32, "hidden_size": 8, "intermediate_size": 8}
    model = BertModel(BertConfig(num_hidden_layers=1, num_attention_heads=2, **sizes))

    def tokenizer(texts: list[str], **options: Any) -> Any:
        return {"input_ids": [[] for _ in texts]}

    with pytest.raises(ValueError, match="tokenizer: .* received function, which makes no tokens"):
        diagnose(model, "two words", tokenizer=tokenizer)


# --- rank collapse ------------------------------------------------------------------------------


def test_merged_tokens_are_called_rank_collapse() -> None:
    alone = network(skip=0.0, value=0.3 * network().value, query=0.1 * network().query)
    merged = diagnose(alone, tokens(), margin=False)
    ends = merged.final["diameter_2"] / merged.final["size"]
    assert 0 < ends < merged.tolerance
    assert merged.verdict.startswith("The tokens have merged, which is rank collapse")
    assert f"apart than {100 * ends:.2g} % of the longest one's length" in merged.verdict
    before = merged.layers[0].diameter[2] / merged.layers[0].size
    assert f"before the first layer it was {100 * before:.0f} %." in merged.verdict
    # The control: with skips the same weights keep the tokens apart.
    apart = diagnose(alone.replace(skip=1.0), tokens(), margin=False)
    assert apart.final["diameter_2"] / apart.final["size"] > apart.tolerance
    assert "merged" not in apart.verdict
    assert "merged" not in diagnose(alone, tokens(), tolerance=ends / 2, margin=False).verdict


def deep() -> Any:
    weights = Network.random(6, 2, D, 4, 0.3, torch.Generator().manual_seed(0))
    return diagnose(weights.replace(skip=0.0), tokens(), margin=False)


def test_the_table_of_a_collapsed_network_keeps_its_columns() -> None:
    report = deep()
    assert any(0 < layer.contraction[2] < 1e-6 for layer in report.layers)
    shown = [line.split() for line in str(report).splitlines()]
    for row in layer_rows(report):
        assert " ".join(row).split() in shown  # nothing was cut
    assert [short(x) for x in (0.0, 3.21e-7, 0.1234, 12.34, 1234.5)] == [
        "0", "3e-07", "0.123", "12.3", "1.2e+03"
    ]  # fmt: skip


def test_the_figure_of_a_collapsed_network_shows_every_decade() -> None:
    report = deep()
    diameters = [layer.diameter[2] for layer in report.layers]
    assert max(diameters) > 1e6 * min(x for x in diameters if x > 0)
    figure = report.figure()
    stream = figure.axes[2]
    assert stream.get_yscale() == "log"
    low, high = stream.get_ylim()
    assert all(low < x < high for x in diameters if x > 0)
    assert ("below the axis" in stream.get_ylabel()) == (0 in diameters + [*report.final.values()])


@pytest.mark.parametrize("depth", [1, 3])
def test_the_figure_counts_layers_in_whole_numbers(depth: int) -> None:
    model = encoder()
    model.layers = model.layers[:depth]
    figure = diagnose(model, tokens(), margin=False).figure()
    figure.canvas.draw()
    for ax, last in zip(figure.axes, (depth, depth, depth + 1, depth), strict=True):
        low, high = ax.get_xlim()
        assert [x for x in ax.get_xticks() if low <= x <= high] == list(range(last))
        assert ax.get_yscale() in ("log", "linear")
