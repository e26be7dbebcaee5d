"""Costs that the package promises: ratios, both sides measured in turn in one run."""

import time
from collections.abc import Callable

import pytest
import torch

from collapse import Network, dobrushin, query_key_norm


def fastest(*functions: Callable[[], object], rounds: int = 15) -> list[float]:
    """Seconds of each function's fastest run, the functions taking turns."""
    best = [float("inf")] * len(functions)
    for _ in range(rounds):
        for i, function in enumerate(functions):
            start = time.perf_counter()
            function()
            best[i] = min(best[i], time.perf_counter() - start)
    return best


@pytest.mark.parametrize(("batch", "n", "d", "heads"), [(1, 512, 768, 12), (8, 128, 512, 8)])
def test_a_wide_network_costs_at_most_half_more_than_torch_attention(batch, n, d, heads):
    module = torch.nn.MultiheadAttention(d, heads, bias=False, batch_first=True).eval()
    network = Network.from_torch(module, skip=0.0)
    X = torch.randn(batch, n, d, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = fastest(lambda: network(X), lambda: module(X, X, X, need_weights=False))
    assert ours <= 1.5 * theirs


def test_the_exact_norm_of_width_20_takes_about_a_second():
    M = torch.randn(20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (seconds,) = fastest(lambda: query_key_norm(M), rounds=3)
    assert seconds < 1


def test_dobrushin_keeps_no_cubic_tensor():
    # The 1500³ differences would take 27 GB; the blocks take 32 MiB at a time.
    P = torch.softmax(torch.randn(1500, 1500, generator=torch.Generator().manual_seed(0)), -1)
    assert 0 < dobrushin(P) < 1
