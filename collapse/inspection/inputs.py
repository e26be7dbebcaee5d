"""What a model is shown: text, token ids or embeddings, cut into pieces of equal length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from collapse.inspection.families import Subject
from collapse.numeric import require

READ = ("input_ids", "attention_mask", "token_type_ids")
# What a tokenizer says about the text, which no model reads.
REMARKS = (
    "special_tokens_mask",
    "offset_mapping",
    "overflow_to_sample_mapping",
    "length",
    "overflowing_tokens",
    "num_truncated_tokens",
)
EXPECTED = "text with a tokenizer, token ids, embeddings of shape (n, d), or a list of these"


def sequences(subject: Subject, inputs: Any, tokenizer: Any, chunk: int | None) -> list[Tensor]:
    """Token ids (n,) or embeddings (n, d) of each sequence, none longer than a chunk.

    Padding is taken off, so each sequence is measured by itself. Longer sequences are cut; text is
    cut by the tokenizer, which gives every piece its special tokens. A last piece of one token is
    dropped, since one token attends only to itself.

    Args:
        subject: The model.
        inputs: A text or several; ids or embeddings, in one tensor with a batch dimension or
            without, or in a list; or what a tokenizer returns.
        tokenizer: The model's, for text.
        chunk: Largest number of tokens of a piece; by default what the model takes, 512 at most.

    Raises:
        ValueError: If the inputs are of another kind, or hold no sequence of two tokens.

    >>> from collapse import Network
    >>> network = Network.random(1, 1, 2, 2, 0.1, torch.Generator().manual_seed(0))
    >>> from collapse.inspection.families import network_subject
    >>> [len(x) for x in sequences(network_subject(network), torch.zeros(5, 2), None, 3)]
    [3, 2]
    """
    limit = chunk if chunk is not None else min(subject.longest or 512, 512)
    allowed = f"an integer from 2 to {subject.longest or 'any size'}"
    fits = isinstance(limit, int) and 2 <= limit <= (subject.longest or limit)
    require(fits, "chunk", allowed, limit)
    if _is_text(inputs):
        pieces = _tokenized(subject, inputs, tokenizer, limit)
    else:
        pieces = [x[i : i + limit] for x in _listed(inputs) for i in range(0, len(x), limit)]
    pieces = [_checked(subject, piece) for piece in pieces if len(piece) > 1]
    require(len(pieces) > 0, "inputs", "at least one sequence of two tokens", _shown(inputs))
    require(len({x.ndim for x in pieces}) == 1, "inputs", "ids or embeddings, not both", "both")
    return pieces


def batches(
    pieces: Sequence[Tensor], tokens: int, entries: int = 1 << 22
) -> list[tuple[list[int], Tensor]]:
    """Pieces of equal length stacked, longest first.

    Args:
        pieces: Ids or embeddings.
        tokens: Most tokens of a batch of several pieces.
        entries: Most entries of its attention patterns, a head.

    Returns:
        Pairs of the pieces' numbers and their batch.

    >>> [(i, tuple(b.shape)) for i, b in batches([torch.zeros(n, 1) for n in (2, 3, 2)], 4)]
    [([1], (1, 3, 1)), ([0, 2], (2, 2, 1))]
    """
    by_length: dict[int, list[int]] = {}
    for number, piece in enumerate(pieces):
        by_length.setdefault(len(piece), []).append(number)
    out = []
    for length in sorted(by_length, reverse=True):
        numbers = by_length[length]
        size = max(1, min(tokens // length, entries // length**2))
        for start in range(0, len(numbers), size):
            some = numbers[start : start + size]
            out.append((some, torch.stack([pieces[i] for i in some])))
    return out


def _is_text(inputs: Any) -> bool:
    if isinstance(inputs, str):
        return True
    listed = isinstance(inputs, Sequence) and len(inputs) > 0
    return listed and all(isinstance(text, str) for text in inputs)


def _tokenized(subject: Subject, inputs: Any, tokenizer: Any, limit: int) -> list[Tensor]:
    require(tokenizer is not None, "tokenizer", "the model's tokenizer, for text", None)
    require(subject.vocabulary, "inputs", "embeddings: the model has no vocabulary", "text")
    texts = [inputs] if isinstance(inputs, str) else list(inputs)
    require(all(text.strip() for text in texts), "inputs", "texts that are not empty", texts[:3])
    cut: dict[str, Any] = {"truncation": True, "max_length": limit}
    if getattr(tokenizer, "is_fast", False):
        cut["return_overflowing_tokens"] = True
    else:  # those written in Python would drop what is beyond the cut
        cut = {"truncation": False}
    rows = tokenizer(texts, padding=False, **cut)["input_ids"]
    longest = max(len(row) for row in rows)
    made = f"{type(tokenizer).__name__}, which makes no tokens"
    require(longest > 0, "tokenizer", "that of the model, with a vocabulary", made)
    allowed = f"texts of at most {limit} tokens, which this tokenizer cannot cut"
    require(longest <= limit, "inputs", allowed, longest)
    return [torch.tensor(row) for row in rows]


def _listed(inputs: Any) -> list[Tensor]:
    """The sequences, padding removed."""
    if isinstance(inputs, Mapping):
        return _unpadded(inputs)
    if isinstance(inputs, np.ndarray):
        inputs = torch.as_tensor(inputs)
    if isinstance(inputs, Tensor):
        require(inputs.ndim > 0, "inputs", EXPECTED, _shown(inputs))
        batched = inputs.ndim == (3 if inputs.dtype.is_floating_point else 2)
        return list(inputs) if batched else [inputs]
    require(isinstance(inputs, Sequence) and len(inputs) > 0, "inputs", EXPECTED, _shown(inputs))
    if all(isinstance(entry, int) for entry in inputs):
        return [torch.tensor(inputs)]
    rows = _tensors(inputs)
    require(all(row.ndim > 0 for row in rows), "inputs", EXPECTED, _shown(inputs))
    return rows


def _tensors(entries: Any) -> list[Tensor]:
    try:
        return [torch.as_tensor(entry) for entry in entries]
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"inputs: expected {EXPECTED}, received {_shown(entries)}") from None


def _unpadded(inputs: Mapping[str, Any]) -> list[Tensor]:
    """The rows of what a tokenizer returns, without padding; what would be lost is refused."""
    require("input_ids" in inputs, "inputs", "input_ids among the keys", list(inputs))
    strange = [key for key in inputs if key not in (*READ, *REMARKS)]
    require(not strange, "inputs", f"the keys {', '.join(READ)} alone", ", ".join(strange))
    rows = _tensors(inputs["input_ids"])
    if all(row.ndim == 0 for row in rows):
        return _unpadded({key: [inputs[key]] for key in READ if key in inputs})
    given = {key: _tensors(inputs.get(key, [torch.ones_like(row) for row in rows])) for key in READ}
    out = []
    for index, row in enumerate(rows):
        shapes = [tuple(each[index].shape) if index < len(each) else () for each in given.values()]
        same = row.ndim == 1 and all(shape == shapes[0] for shape in shapes)
        require(same, "inputs", f"one entry a token in {', '.join(READ)}", shapes)
        seen = given["attention_mask"][index].bool()
        inside = seen.nonzero().flatten()
        whole = len(inside) == 0 or int(inside[-1] - inside[0]) + 1 == len(inside)
        require(whole, "attention_mask", "padding at the ends alone", seen.int().tolist()[:16])
        if "token_type_ids" in inputs:
            first = bool((given["token_type_ids"][index][seen] == 0).all())
            require(first, "token_type_ids", "zeros: one text a sequence", "a pair of texts")
        out.append(row[seen])
    return out


def _checked(subject: Subject, piece: Tensor) -> Tensor:
    piece = piece.detach().to(subject.device)
    if piece.dtype.is_floating_point:
        shape = f"embeddings of shape (n, {subject.width})"
        right = piece.ndim == 2 and piece.shape[1] == subject.width
        require(right, "inputs", shape, tuple(piece.shape))
        require(bool(torch.isfinite(piece).all()), "inputs", "finite entries", "NaN or infinity")
        return piece.to(subject.dtype)
    whole = piece.ndim == 1 and not piece.dtype.is_complex and piece.dtype != torch.bool
    require(whole, "inputs", EXPECTED, f"{piece.dtype} of shape {tuple(piece.shape)}")
    rows = subject.vocabulary or 0
    require(rows, "inputs", "embeddings: the model has no vocabulary", "token ids")
    inside = (piece >= 0) & (piece < rows)
    require(inside, "inputs", f"token ids from 0 to {rows - 1}", piece.tolist()[:8])
    return piece.long()


def _shown(inputs: Any) -> str:
    shape = getattr(inputs, "shape", None)
    return type(inputs).__name__ + ("" if shape is None else f" of shape {tuple(shape)}")
