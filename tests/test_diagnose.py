"""diagnose leaves no trace, refuses by name what it cannot read, and takes all kinds of input."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inspected
import pytest
import torch
from torch import Tensor, nn

from collapse import Network, diagnose
from collapse.inspection.substitution import margin

MODULES = [name for name in inspected.CASES if not name.startswith("network")]


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """Everything that a caller could find changed: values by their bits, modes, hooks, settings."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
    return {
        "bits": {name: value.numpy(force=True).tobytes() for name, value in values(model)},
        "gradients": {name: p.requires_grad for name, p in model.named_parameters()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "hooks": {
            name: [len(getattr(module, hook)) for hook in hooks]
            for name, module in model.named_modules()
        },
        "attributes": {name: sorted(vars(module)) for name, module in model.named_modules()},
        "config": str(getattr(model, "config", "")),
        "attention": getattr(getattr(model, "config", None), "_attn_implementation", ""),
    }


def values(model: nn.Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


@pytest.mark.parametrize("name", MODULES)
def test_the_model_comes_back_bit_identical(name: str) -> None:
    case = inspected.CASES[name]()
    case.model.train()
    next(case.model.modules()).training = False  # modes may differ from module to module
    before = fingerprint(case.model)
    diagnose(case.model, case.inputs, **case.options)
    assert fingerprint(case.model) == before


@pytest.mark.parametrize("name", ["Bert", "Llama", "encoder"])
def test_an_error_in_the_middle_leaves_no_trace(name: str) -> None:
    case = inspected.CASES[name]()
    last = case.blocks(case.model)[-1]
    calls = []

    def fail(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of luck")

    own = last.register_forward_pre_hook(fail)
    before = fingerprint(case.model)
    with pytest.raises(RuntimeError, match="out of luck"):
        diagnose(case.model, case.inputs, **case.options)
    assert fingerprint(case.model) == before
    own.remove()
    assert fingerprint(case.model) != before  # the fingerprint sees one hook


# --- what is refused ----------------------------------------------------------------------------


def tiny(name: str, **options: Any) -> nn.Module:
    import transformers

    config = getattr(transformers, name.removesuffix("Model") + "Config")(**options)
    return getattr(transformers, name)(config).eval()


SMALL = {"vocab_size": 32, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
         "intermediate_size": 8}  # fmt: skip


class Scaled(nn.Linear):
    """A linear layer that does something else with its weight."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


def with_adapter() -> nn.Module:
    model: Any = tiny("BertModel", **SMALL)
    model.encoder.layer[0].attention.self.query = Scaled(8, 8)
    return model


UNSUPPORTED: dict[str, tuple[Callable[[], Any], str]] = {
    "a number": (lambda: 3, "received int"),
    "no attention": (lambda: nn.Linear(2, 2), "received Linear with no attention modules"),
    "T5": (
        lambda: tiny("T5Model", vocab_size=32, d_model=8, d_kv=4, d_ff=8, num_layers=1,
                     num_heads=2),
        r"received T5Model with the attention modules .*\(T5LayerSelfAttention\)",
    ),
    "own attention": (
        lambda: nn.ModuleDict({"mine": type("MyAttention", (nn.Module,), {})()}),
        r"the attention modules mine \(MyAttention\)",
    ),
    "Qwen3": (
        lambda: tiny("Qwen3Model", **SMALL, num_key_value_heads=1, head_dim=4),
        r"self_attn \(Qwen3Attention\)",
    ),
    "cross-attention": (
        lambda: tiny("BertModel", **SMALL, is_decoder=True, add_cross_attention=True),
        "encoder.layer.0: expected no cross-attention",
    ),
    "nn.Transformer": (
        lambda: nn.Transformer(8, 2, 1, 1, 8, batch_first=True),
        r"encoder.layers.0.self_attn \(MultiheadAttention\)",
    ),
    "bias_k": (lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True), "no bias_k"),
    "zero attention": (lambda: nn.MultiheadAttention(8, 2, add_zero_attn=True), "no zero att"),
    "other widths": (lambda: nn.MultiheadAttention(8, 2, kdim=4, vdim=4), "one width"),
    "other attention beside": (
        lambda: type("Pooled", (nn.TransformerEncoder,), {
            "pool": None, "__init__": lambda self: (
                nn.TransformerEncoder.__init__(
                    self, nn.TransformerEncoderLayer(8, 2, 8), 1, enable_nested_tensor=False),
                setattr(self, "pool", nn.MultiheadAttention(8, 2)), None)[-1]})(),
        r"received pool \(MultiheadAttention\)",
    ),
    "fused kernels": (
        lambda: tiny("LlamaModel", **SMALL, attn_implementation="flex_attention"),
        "attn_implementation: expected eager or sdpa, received flex_attention",
    ),
    "an adapter": (with_adapter, "attention.self: expected plain torch.nn.Linear .* Scaled"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_an_unsupported_model_is_refused_by_name(name: str) -> None:
    make, message = UNSUPPORTED[name]
    with pytest.raises(ValueError, match=message):
        diagnose(make(), torch.zeros(3, 8))


def test_a_module_that_does_more_than_its_weights_say_is_refused() -> None:
    model: Any = tiny("BertModel", **SMALL)
    ids = torch.tensor([3, 4, 5])
    diagnose(model, ids, margin=False)
    own = model.encoder.layer[0].attention.self
    own.register_forward_hook(lambda *call: (1.0001 * call[2][0], None))
    with pytest.raises(ValueError, match=r"encoder.layer.0.attention.self \(BertSelfAttention\)"):
        diagnose(model, ids)


def test_the_check_stays_sharp_for_a_wide_model() -> None:
    sizes = SMALL | {"hidden_size": 512, "num_attention_heads": 8}
    model: Any = tiny("LlamaModel", **sizes, num_key_value_heads=2)
    ids = torch.arange(3, 30)
    diagnose(model, ids, margin=False)
    own = model.layers[0].self_attn
    own.register_forward_hook(lambda *call: ((1 + 1e-6) * call[2][0], *call[2][1:]))
    with pytest.raises(ValueError, match=r"layers.0.self_attn \(LlamaAttention\)"):
        diagnose(model, ids, margin=False)


def test_an_additive_position_bias_is_refused() -> None:
    model: Any = tiny("BertModel", **SMALL)
    own = model.encoder.layer[0].attention.self
    bias = torch.zeros(1, 1, 3, 3)
    bias[..., 0] = -0.5

    def biased(_: nn.Module, args: Any, kwargs: Any) -> Any:
        return args, kwargs | {"attention_mask": bias}

    own.register_forward_pre_hook(biased, with_kwargs=True)
    with pytest.raises(ValueError, match="mask of encoder.layer.0.*an additive bias"):
        diagnose(model, torch.tensor([3, 4, 5]))


def test_a_norm_of_another_kind_is_refused() -> None:
    model: Any = tiny("BertModel", **SMALL)
    model.embeddings.LayerNorm.register_forward_hook(lambda *call: 1.01 * call[2])
    with pytest.raises(ValueError, match=r"norm of encoder.layer.0.*LayerNorm"):
        diagnose(model, torch.tensor([3, 4, 5]))


def network() -> Network:
    return Network.random(2, 2, 4, 2, 0.5, torch.Generator().manual_seed(0))


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "text": ({"inputs": "two words"}, "tokenizer: expected the model's tokenizer"),
    "ids": ({"inputs": torch.tensor([1, 2])}, "no vocabulary"),
    "width": ({"inputs": torch.zeros(3, 5)}, r"shape \(n, 4\), received \(3, 5\)"),
    "one token": ({"inputs": torch.zeros(1, 4)}, "at least one sequence of two tokens"),
    "a number": ({"inputs": torch.tensor(1.0)}, "inputs: expected text with a tokenizer"),
    "numbers": ({"inputs": [1.0, 2.0]}, "inputs: expected text with a tokenizer"),
    "none": ({"inputs": []}, "inputs: expected text with a tokenizer"),
    "nonsense": ({"inputs": {"a", "b"}}, "received set"),
    "keys": ({"inputs": {"tokens": [1]}}, "input_ids among the keys"),
    "nan": ({"inputs": torch.full((3, 4), math.nan)}, "NaN"),
    "tolerance": ({"tolerance": 0.0}, "tolerance: expected a number > 0, received 0.0"),
    "chunk": ({"chunk": 1}, "chunk: expected an integer from 2"),
    "memory": ({"memory": 100}, "memory: expected at least .* bytes for sequences of 3 tokens"),
    "mask": ({"mask": torch.ones(3, 3, dtype=torch.bool)}, "a Network has its own"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name: str) -> None:
    change, message = BAD[name]
    arguments = {"inputs": torch.randn(3, 4), **change}
    with pytest.raises(ValueError, match=message):
        diagnose(network(), **arguments)


@pytest.mark.parametrize("model", [nn.MultiheadAttention(4, 2), nn.TransformerEncoderLayer(4, 2)])
def test_a_mask_of_another_size_is_refused(model: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"mask: expected shape \(3, 3\).*received \(2, 2\)"):
        diagnose(model, torch.randn(3, 4), mask=torch.ones(2, 2, dtype=torch.bool))
    own = network().replace(mask=torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="mask: expected shape"):
        diagnose(own, torch.randn(3, 4))


def test_ids_outside_the_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="token ids from 0 to 31, received"):
        diagnose(tiny("BertModel", **SMALL), torch.tensor([3, 32]))


# --- inputs -------------------------------------------------------------------------------------


def numbers(report: Any) -> dict[str, Any]:
    return {key: value for key, value in report.to_json().items() if key != "settings"}


def test_padding_is_taken_off_and_order_does_not_matter() -> None:
    model = tiny("BertModel", **SMALL)
    ids = [[3, 4, 5, 6], [7, 8], [9, 4, 3]]
    plain = diagnose(model, ids)
    padded = {
        "input_ids": torch.tensor([[0, 0, 7, 8], [9, 4, 3, 0], [3, 4, 5, 6]]),
        "attention_mask": torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0], [1, 1, 1, 1]]),
    }
    other = diagnose(model, padded)
    assert plain.tokens == other.tokens == 9 and plain.lengths == (2, 4)
    for ours, theirs in zip(plain.heads, other.heads, strict=True):
        assert ours.oscillation == pytest.approx(theirs.oscillation, rel=1e-12)
    assert plain.averaged == pytest.approx(other.averaged, rel=1e-5)


IDS = torch.tensor([[3, 4, 5, 6]])
LOST: dict[str, tuple[dict[str, Any], str]] = {
    "pairs of texts": (
        {"input_ids": IDS, "token_type_ids": torch.tensor([[0, 0, 1, 1]])},
        "token_type_ids: expected zeros",
    ),
    "positions": ({"input_ids": IDS, "position_ids": IDS}, "received position_ids"),
    "holes": (
        {"input_ids": IDS, "attention_mask": torch.tensor([[1, 0, 1, 1]])},
        "attention_mask: expected padding at the ends",
    ),
    "a mask of patterns": (
        {"input_ids": IDS, "attention_mask": torch.ones(1, 4, 4)},
        "one entry a token",
    ),
    "a row too few": ({"input_ids": IDS, "attention_mask": IDS[:0]}, "one entry a token"),
}


@pytest.mark.parametrize("name", LOST)
def test_what_would_be_lost_of_a_tokenizers_answer_is_refused(name: str) -> None:
    inputs, message = LOST[name]
    with pytest.raises(ValueError, match=message):
        diagnose(tiny("BertModel", **SMALL), inputs)


def test_a_tokenizers_answer_without_batch_and_arrays_are_read() -> None:
    model = tiny("BertModel", **SMALL)
    plain = diagnose(model, IDS, margin=False)
    zeros = {"token_type_ids": [0, 0, 0, 0], "attention_mask": [1, 1, 1, 1]}
    answer = {"input_ids": [3, 4, 5, 6], **zeros, "special_tokens_mask": [1, 0, 0, 1]}
    assert numbers(diagnose(model, answer, margin=False)) == numbers(plain)
    assert numbers(diagnose(model, IDS.numpy(), margin=False)) == numbers(plain)


class SlowTokenizer:
    """A tokenizer in Python, which cannot return what is beyond a cut."""

    is_fast = False

    def __call__(self, texts: list[str], truncation: bool, padding: bool) -> Any:
        return {"input_ids": [[3 + len(word) for word in text.split()] for text in texts]}


def test_a_tokenizer_that_would_drop_text_is_refused() -> None:
    model = tiny("BertModel", **SMALL)
    short = diagnose(model, "one more word", tokenizer=SlowTokenizer(), margin=False)
    assert short.tokens == 3
    with pytest.raises(ValueError, match="at most 2 tokens, which this tokenizer cannot cut"):
        diagnose(model, "one more word", tokenizer=SlowTokenizer(), chunk=2, margin=False)


def test_heads_a_few_at_a_time_give_the_same_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    case = inspected.CASES["Llama"]()
    whole = diagnose(case.model, case.inputs, margin=False)
    monkeypatch.setattr("collapse.inspection.site._ENTRIES", 1)
    few = diagnose(case.model, case.inputs, margin=False)
    for name in ("averaged", "first_input", "removed"):
        assert getattr(few, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_long_inputs_are_cut_into_chunks() -> None:
    X = torch.randn(7, 4, generator=torch.Generator().manual_seed(1)).double()
    report = diagnose(network(), X, chunk=3)
    assert (report.sequences, report.tokens, report.lengths) == (2, 6, (3, 3))  # the last is single
    pieces = diagnose(network(), [X[:3], X[3:6]])
    assert numbers(pieces) == numbers(report)
    assert ": 2 sequences, 3 tokens each" in str(report)
    assert ": 1 sequence, 7 tokens\n" in str(diagnose(network(), X, margin=False))


def test_batches_and_less_memory_give_the_same_numbers() -> None:
    model = tiny("GPT2Model", vocab_size=32, n_embd=8, n_layer=2, n_head=4, n_positions=16)
    ids = torch.randint(32, (5, 9), generator=torch.Generator().manual_seed(2))
    report = diagnose(model, ids, margin=False)
    least = 8 * 8 * 81 + 8 * 4 * 8 * 45  # one head of one sequence, and the rows of all
    tight = diagnose(model, list(ids), margin=False, memory=least)
    for ours, theirs in zip(report.heads, tight.heads, strict=True):
        assert ours.dobrushin == pytest.approx(theirs.dobrushin, rel=1e-12)
        assert ours.measured == pytest.approx(theirs.measured, rel=1e-12)
    with pytest.raises(ValueError, match="memory"):
        diagnose(model, list(ids), margin=False, memory=least - 1)


def test_a_sliding_window_is_seen() -> None:
    model = tiny("MistralModel", **SMALL, num_key_value_heads=1, sliding_window=3)
    report = diagnose(model, torch.arange(3, 12), margin=False)
    assert report.layers[0].kind == "mask"
    assert report.heads[0].threshold == pytest.approx(math.log(2))  # a row sees three tokens


def test_embeddings_stand_in_for_ids() -> None:
    model: Any = tiny("GPT2Model", vocab_size=32, n_embd=8, n_layer=1, n_head=2)
    ids = torch.tensor([3, 9, 4, 4])
    by_ids, by_embedding = diagnose(model, ids), diagnose(model, model.wte(ids))
    assert numbers(by_ids) == numbers(by_embedding)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_models_of_lower_precision_are_measured_as_they_run(dtype: torch.dtype) -> None:
    full: Any = tiny("BertModel", **SMALL).to(dtype)
    ids = torch.tensor([3, 9, 4, 4, 7])
    report = diagnose(full, ids, margin=False)
    exact = diagnose(full.double(), ids, margin=False)
    unit = torch.finfo(dtype).eps
    assert report.settings["dtype"] == str(dtype).removeprefix("torch.")
    for ours, theirs in zip(report.heads, exact.heads, strict=True):
        assert ours.query_key == theirs.query_key  # weights are read in float64
        assert ours.dobrushin == pytest.approx(theirs.dobrushin, rel=64 * unit)


# --- the report ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def report() -> Any:
    case = inspected.CASES["Bert"]()
    return diagnose(case.model, case.inputs)


def test_the_json_is_complete_and_finite(report: Any, tmp_path: Path) -> None:
    written = json.loads(report.write(tmp_path / "report.json").read_text("utf-8"))
    assert written == report.to_json()
    assert written["schema"] == "collapse-report/1"
    assert written["verdict"] == report.verdict
    assert set(written["layers"][0]["heads"][0]["contraction"]) == {"1", "2"}


def test_the_table_names_every_layer_and_the_verdict(report: Any) -> None:
    shown = " ".join(str(report).split())
    assert " ".join(report.verdict.split()[:6]) in shown
    html = report._repr_html_()
    assert html.count("<tr>") == 2 + len(report.layers) + len(report.heads)
    assert html.count("<table>") == html.count("</table>") == 2


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_figure_is_written(report: Any, tmp_path: Path, ending: str) -> None:
    figure = report.figure(tmp_path / f"report.{ending}")
    assert (tmp_path / f"report.{ending}").stat().st_size > 1000
    assert len(figure.axes) == 4
    for ax in figure.axes:
        assert ax.get_title(loc="left") and ax.lines


def test_the_verdict_follows_the_numbers() -> None:
    network, g = inspected.CASES["network"]().model, torch.Generator().manual_seed(5)
    X = torch.randn(5, 8, generator=g, dtype=torch.float64)
    assert diagnose(network, X).verdict.startswith("Attention has not collapsed")
    small = network.replace(query=0.1 * network.query, key=0.1 * network.key)
    said = diagnose(small, X).verdict
    assert said.startswith("Attention has collapsed to averages")
    assert "For a change within 1 %" in said
    silent = network.replace(value=1e-3 * network.value)
    assert diagnose(silent, X).verdict.startswith("Attention hardly matters here")


def test_a_single_attention_layer_reads_its_own_input() -> None:
    module = nn.MultiheadAttention(8, 2).double()
    X = torch.randn(5, 8, generator=torch.Generator().manual_seed(3)).double()
    report = diagnose(module, X)
    assert report.first_input < 1e-14 and report.margins and report.margins["first"] == 1


# --- the margin ---------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [1, 3])
@pytest.mark.parametrize("tolerance", [1e-4, 1e-2, 0.3])
def test_the_margin_of_a_power(power: int, tolerance: float) -> None:
    exact = tolerance ** (1 / power)
    found = margin(lambda s: s**power, tolerance)
    if exact < 2**-7:
        assert found == 0
    else:
        assert exact / 1.01 <= found <= exact


def test_the_margin_is_one_where_nothing_changes_and_takes_the_first_crossing() -> None:
    assert margin(lambda s: 0.0, 0.1) == 1
    assert margin(lambda s: 1.0, 0.1) == 0
    hump = margin(lambda s: 1.0 if 0.2 < s < 0.3 else 0.0, 0.1)
    assert hump <= 0.2
