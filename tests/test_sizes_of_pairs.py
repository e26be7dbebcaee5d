"""Norms of weights that are not square, and of several heads: which side and which head count."""

from __future__ import annotations

import math

import pytest
import torch
from strategies import normal

from collapse.bounds.contraction import dong_gamma
from collapse.norms import query_key_norm, query_key_upper


@pytest.mark.label("norm-choice")
@pytest.mark.parametrize("sides", [(2, 9), (9, 2), (1, 30), (24, 60)], ids=str)
def test_the_cheap_bound_holds_for_queries_and_keys_of_different_widths(
    sides: tuple[int, int],
) -> None:
    d, e = sides
    # A matrix of one sign attains the bound by the spectral norm: every entry is used in full.
    query, key = torch.ones(d, 1, dtype=torch.float64), torch.ones(e, 1, dtype=torch.float64)
    upper = query_key_upper(query, key)
    assert float(upper) == pytest.approx(d * e, rel=1e-12)
    assert float(query_key_norm(query @ key.T)) == d * e
    query, key = normal(200, d, 3, seed=d), normal(200, e, 3, seed=e)
    M = query @ key.mT
    upper, spectral = query_key_upper(query, key), torch.linalg.matrix_norm(M, 2)
    least = torch.minimum(M.abs().sum((-2, -1)), math.sqrt(d * e) * spectral)
    torch.testing.assert_close(upper, least, rtol=1e-12, atol=0)
    if d <= 9:
        assert bool((query_key_norm(M) <= upper * (1 + 1e-12)).all())


@pytest.mark.label("double-exponential")
def test_gamma_takes_each_factor_from_the_head_that_has_it_largest() -> None:
    wide, flat = torch.eye(4).double(), torch.ones(4, 4).double()
    for heads in ([wide, flat], [flat, wide], [flat, wide, flat]):
        # Σ_i max_j |E_ij| ÷ ‖E‖₁ is 4 for the identity, max|E| ÷ ‖E‖∞ is 1.
        assert float(dong_gamma(torch.stack(heads))) == pytest.approx(2)
    spread = torch.diag(torch.tensor([1.0, 0.5, 0.5, 0.5])).double()
    peaked = torch.zeros(4, 4).double()
    peaked[0, 0] = 3
    peaked[1, :] = 1
    # Their Σ max ÷ ‖E‖₁ are 2.5/1 and 4/4, their max ÷ ‖E‖∞ are 1/1 and 3/4.
    for E, square in ((spread, 2.5), (peaked, 0.75)):
        assert float(dong_gamma(E[None])) == pytest.approx(math.sqrt(square))
    # Over the heads the two factors may come from different ones.
    both = torch.stack((spread, peaked))
    assert float(dong_gamma(both)) == pytest.approx(math.sqrt(2.5))
