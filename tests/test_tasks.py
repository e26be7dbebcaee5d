"""Tasks: what sequences look like, that answers are right, that baselines are what they claim."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from strategies import generator

from collapse.tasks import TASKS, Batch, Recall, Sorting, Text, make_task
from collapse.tasks.text import ALPHABET, excerpt

EVERY = [Recall(), Recall(2, 3, 4), Recall(causal=True), Sorting(), Sorting(3, 5), Text(), Text(5)]


@pytest.mark.parametrize("task", EVERY, ids=repr)
def test_shapes_and_ranges(task: Recall | Sorting | Text) -> None:
    for draw in (task.sample, task.held_out):
        tokens, targets = draw(60, generator(1))
        assert tokens.shape == (60, task.tokens)
        assert targets.shape == (60, len(task.positions))
        assert 0 <= tokens.min() and tokens.max() < task.vocabulary
        assert 0 <= targets.min() and targets.max() < task.vocabulary
        again = draw(60, generator(1))
        assert torch.equal(tokens, again.tokens) and torch.equal(targets, again.targets)
        assert not torch.equal(tokens, draw(60, generator(2)).tokens)


def recalled(row: list[int]) -> int:
    """The slow twin: walk through the pairs until the key is the query."""
    *pairs, query = row
    for place in range(0, len(pairs), 2):
        if pairs[place] == query:
            return pairs[place + 1]
    raise AssertionError(f"no pair for {query}")


def test_recall_answers_with_the_value_behind_the_key() -> None:
    task = Recall(pairs=4, keys=7, values=5)
    batch = task.sample(500, generator(0))
    for row, (answer,) in zip(batch.tokens.tolist(), batch.targets.tolist(), strict=True):
        keys, values = row[0:-1:2], row[1::2]
        assert len(set(keys)) == len(set(values)) == 4
        assert max(keys) < 7 <= min(values)
        assert recalled(row) == answer
    asked = Counter((batch.tokens[:, 0:-1:2] == batch.tokens[:, -1:]).int().argmax(-1).tolist())
    assert all(90 < asked[place] < 160 for place in range(4))


def test_turns_differ_in_order_alone_and_ask_for_each_value_once() -> None:
    task = Recall(pairs=3, keys=4, values=6)
    batch = task.sample(20, generator(3))
    turned = task.turned(batch)
    for i in range(20):
        rows, answers = turned.tokens[i::20].tolist(), turned.targets[i::20, 0].tolist()
        assert rows[0] == batch.tokens[i].tolist() and answers[0] == batch.targets[i, 0]
        assert len({tuple(sorted(row)) for row in rows}) == 1
        assert len({row[-1] for row in rows}) == 1
        assert sorted(answers) == sorted(rows[0][1::2])
        assert [recalled(row) for row in rows] == answers


def test_no_guess_beats_log_m_on_turned_sequences_and_a_look_at_the_order_does() -> None:
    task = Recall(pairs=3, keys=3, values=4)
    tokens, targets = task.held_out(90, generator(4))
    # A guess: scores from the query and the multiset alone, here random but fixed for each.
    score: dict[tuple[int, ...], list[float]] = {}
    source = generator(5)
    losses = []
    for row, (answer,) in zip(tokens.tolist(), targets.tolist(), strict=True):
        logits = score.setdefault(
            (row[-1], *sorted(row[:-1])), torch.randn(7, generator=source).tolist()
        )
        losses.append(math.log(sum(map(math.exp, logits))) - logits[answer])
    assert sum(losses) / len(losses) >= task.guess
    # The control: who looks at the order is right every time.
    assert [recalled(row) for row in tokens.tolist()] == targets.flatten().tolist()


def test_sorting_is_sorting() -> None:
    tokens, targets = Sorting(6, 4).sample(100, generator(0))
    assert targets.tolist() == [sorted(row) for row in tokens.tolist()]
    assert targets.tolist() != tokens.tolist()


def test_the_excerpt_is_small_plain_and_of_the_book_it_names() -> None:
    text = excerpt()
    assert set(text) == set(ALPHABET)
    assert 80_000 < len(text) < 100_000 and "  " not in text
    assert text.startswith("in the beginning god created the heaven and the earth ")
    assert text.endswith("which were a grief of mind unto isaac and to rebekah ")


def test_text_continues_itself_and_keeps_its_end_aside() -> None:
    task, text = Text(9), excerpt()
    cut = int(len(text) * 0.9)
    for draw, part in ((task.sample, text[:cut]), (task.held_out, text[cut:])):
        tokens, targets = draw(400, generator(0))
        for row, answers in zip(tokens.tolist(), targets.tolist(), strict=True):
            assert answers[:-1] == row[1:]
            assert "".join(ALPHABET[i] for i in [row[0], *answers]) in part
    # The two parts differ: what is held out does not all occur in what is trained on.
    windows = ["".join(ALPHABET[i] for i in row) for row in task.held_out(50, generator(0)).tokens]
    assert not all(window in text[:cut] for window in windows)


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("copying", {}, "task"),
        ("recall", {"pairs": 0}, "pairs"),
        ("recall", {"pairs": 7}, "keys"),
        ("recall", {"pairs": 5, "keys": 5, "values": 4}, "values"),
        ("sorting", {"length": 1}, "length"),
        ("sorting", {"symbols": 0}, "symbols"),
        ("text", {"window": 1}, "window"),
        ("text", {"window": 10**6}, "window"),
    ],
)
def test_bad_sizes_are_named(name: str, options: dict[str, int], word: str) -> None:
    with pytest.raises(ValueError, match=f"^{word}: expected"):
        make_task(name, **options)


@pytest.mark.parametrize("name", TASKS)
def test_no_sequences_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="^count: expected"):
        make_task(name).sample(0, generator(0))


def test_a_batch_unpacks_into_tokens_and_targets() -> None:
    tokens, targets = Batch(torch.zeros(1, 2), torch.ones(1, 1))
    assert tokens.shape == (1, 2) and targets.shape == (1, 1)
