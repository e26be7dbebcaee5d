"""Costs that the package promises: ratios, both sides measured in turn in one run."""

import time
from collections.abc import Callable

import pytest
import torch

from collapse import Network, dobrushin, query_key_norm


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def ratio(ours: Callable[[], object], theirs: Callable[[], object], enough: float) -> float:
    """Fastest run of ours over fastest run of theirs, taking turns.

    A busy machine only adds time, so the fastest of many runs approaches the cost; we stop as
    soon as the ratio is low enough, or after 200 turns.
    """
    best = [float("inf"), float("inf")]
    for turn in range(200):
        best = [min(b, seconds(f)) for b, f in zip(best, (ours, theirs), strict=True)]
        if turn >= 10 and best[0] <= enough * best[1]:
            break
    return best[0] / best[1]


@pytest.mark.parametrize(("batch", "n", "d", "heads"), [(1, 512, 768, 12), (8, 128, 512, 8)])
def test_a_wide_network_costs_at_most_half_more_than_torch_attention(batch, n, d, heads):
    module = torch.nn.MultiheadAttention(d, heads, bias=False, batch_first=True).eval()
    network = Network.from_torch(module, skip=0.0)
    X = torch.randn(batch, n, d, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        cost = ratio(lambda: network(X), lambda: module(X, X, X, need_weights=False), enough=1.5)
    assert cost <= 1.5


def test_the_exact_norm_of_width_20_takes_about_a_second():
    M = torch.randn(20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert min(seconds(lambda: query_key_norm(M)) for _ in range(5)) < 1.5


def test_dobrushin_keeps_no_cubic_tensor():
    # The 1500³ differences would take 27 GB; the blocks take 32 MiB at a time.
    P = torch.softmax(torch.randn(1500, 1500, generator=torch.Generator().manual_seed(0)), -1)
    assert 0 < dobrushin(P) < 1
