"""CPU and GPU agree on every quantity, within the allowance for rounding alone.

`make gpu` runs the tests marked ``gpu`` on the GPU at hand and keeps what they record.  The same
comparison runs here between dtypes on the CPU, with a control that must be noticed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from agreement import QUANTITIES, measure

CASES = [(name, dtype) for name, quantity in QUANTITIES.items() for dtype in quantity.dtypes]
IDS = [f"{name}, {str(dtype).removeprefix('torch.')}" for name, dtype in CASES]


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=IDS)
def test_the_cpu_agrees_with_itself_and_a_false_factor_is_noticed(
    name: str, dtype: torch.dtype
) -> None:
    found = measure(name, "cpu", dtype)
    assert found.difference <= found.allowed < found.largest
    spoiled = measure(name, "cpu", dtype, spoiled=True)
    assert spoiled.difference > spoiled.allowed, "one per cent more goes unnoticed"


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "dtype"), CASES, ids=IDS)
def test_the_gpu_agrees_with_the_cpu(
    name: str, dtype: torch.dtype, record_property: Callable[[str, object], None]
) -> None:
    found = measure(name, "cuda", dtype)
    record_property("quantity", name)
    record_property("dtype", str(dtype).removeprefix("torch."))
    record_property("difference", found.difference)
    record_property("allowed", found.allowed)
    record_property("largest", found.largest)
    assert found.difference <= found.allowed
