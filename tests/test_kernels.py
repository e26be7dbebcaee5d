"""What large and small numbers do to the first steps: finite or not, and scaling rows to 1."""

from __future__ import annotations

import pytest
import torch
from strategies import normal

from collapse.attention import Network
from collapse.kernels import unit_rows
from collapse.numeric import is_finite


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16], ids=str)
def test_finite_numbers_stay_finite_where_their_sum_overflows(dtype: torch.dtype) -> None:
    X = torch.full((4, 5), torch.finfo(dtype).max, dtype=dtype)
    assert is_finite(X) and is_finite(-X)
    for bad in (torch.inf, -torch.inf, torch.nan):
        X[3, 4] = bad
        assert not is_finite(X)


@pytest.mark.parametrize("power", [-400, -40, -12, 0, 40, 400])
def test_the_length_of_a_row_does_not_matter(power: int) -> None:
    X = normal(5, 3, seed=1)
    X[2] = 0
    rows = unit_rows(X)
    assert torch.equal(rows[2], torch.zeros(3, dtype=torch.float64))
    lengths = rows.square().sum(-1)[[0, 1, 3, 4]]
    torch.testing.assert_close(lengths, torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-15)
    torch.testing.assert_close(unit_rows(2.0**power * X), rows, rtol=0, atol=1e-15)


@pytest.mark.parametrize("norm", ["pre", "row"])
def test_short_tokens_are_normalised_as_long_ones(norm: str) -> None:
    network = Network.random(1, 2, 3, 2, 0.5, torch.Generator().manual_seed(2))
    network = network.replace(norm=norm, skip=0.0, query=0 * network.query)
    X = normal(4, 3, seed=3)
    torch.testing.assert_close(network(X * 1e-6), network(X), rtol=1e-12, atol=1e-12)
