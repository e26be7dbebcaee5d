"""To which limit the second of two normalised tokens goes, by following both for a long time.

Near w = 1 a token may dip below slope 0 and still turn back: the shear is weak, and the first
token moves on.
"""

from __future__ import annotations

import math

import pytest
import torch

from collapse.layernorm import SECOND, TOP, two_token_limits


def followed(w: float, first: float, second: float, layers: int = 4000) -> tuple[int, bool]:
    """The limit, told by the sign of the height after many layers; and whether it turned back."""
    a, b = (math.cos(first), math.sin(first)), (math.cos(second), math.sin(second))
    dipped = False
    for _ in range(layers):
        x, y = a[0] + b[0], a[1] + b[1]
        a, b = (a[0], a[1] + w * a[0]), (x, y + w * x)
        (a, b) = ((p / math.hypot(p, q), q / math.hypot(p, q)) for p, q in (a, b))
        dipped = dipped or (b[0] < 0 and b[1] <= 0 and a[0] * b[1] > a[1] * b[0] and a[1] > 0)
    return (TOP if b[1] > 0 else SECOND), dipped and b[1] > 0


@pytest.mark.label("ln-two-token")
@pytest.mark.parametrize(("w", "first"), [(1.05, 0.77), (1.05, 0.9), (1.2, 0.71), (1.5, 0.6)])
def test_limits_are_those_of_a_long_run(w: float, first: float) -> None:
    angles = [-2.9 + 0.02 * i for i in range(40)]
    runs = [followed(w, first, angle) for angle in angles]
    found = two_token_limits(
        torch.tensor(w, dtype=torch.float64),
        torch.tensor(first, dtype=torch.float64),
        torch.tensor(angles, dtype=torch.float64),
        400,
    )
    assert found.tolist() == [limit for limit, _ in runs]
    assert {TOP, SECOND} <= set(found.tolist()) or w < 1.5
    if w < 1.5:  # where the angle alone, or the slope alone, would tell the wrong limit
        assert any(turned for _, turned in runs)
