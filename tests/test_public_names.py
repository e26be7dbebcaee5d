"""Every public name: importable from its module and, where exported, from the top; documented."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType

import pytest

import collapse
from collapse import attention, centred, exact, norms, softmax

SECTIONS = ("Args:\n", "Returns:\n", "Raises:\n", "Source:\n", ">>> ")
TOP_LEVEL = [
    "Bound",
    "Network",
    "centred_trace",
    "default_device",
    "diameter",
    "dobrushin",
    "query_key_norm",
    "query_key_upper",
    "residual",
    "residual_norm",
    "retrieval_threshold",
    "tv_bound",
    "value_norm",
]


def public_functions(module: ModuleType) -> dict[str, Callable[..., object]]:
    """Functions that a module offers: those of __all__, else those that it defines itself."""
    names = getattr(module, "__all__", None) or [
        name
        for name, member in vars(module).items()
        if not name.startswith("_") and getattr(member, "__module__", None) == module.__name__
    ]
    members = {f"{module.__name__}.{name}": getattr(module, name) for name in names}
    return {name: member for name, member in members.items() if inspect.isfunction(member)}


FUNCTIONS = {
    name: function
    for module in (norms, softmax, exact, centred)
    for name, function in public_functions(module).items()
}
METHODS = {
    f"{owner.__name__}.{name}": member
    for owner in (attention.Network, exact.ExactNetwork)
    for name, member in inspect.getmembers(owner)
    if not name.startswith("_") and (callable(member) or isinstance(member, property))
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_states_formula_shapes_errors_source_and_example(name: str) -> None:
    text = inspect.cleandoc(FUNCTIONS[name].__doc__ or "")
    assert text.partition("\n")[0].endswith((".", ":"))
    missing = [section for section in SECTIONS if section not in text]
    assert not missing


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_documented(name: str) -> None:
    assert (inspect.getdoc(METHODS[name]) or "").partition("\n")[0].endswith((".", "Tensor.to``."))


def test_classes_are_documented() -> None:
    for owner in (attention.Network, exact.ExactNetwork, centred.CentredTrace):
        assert ">>> " in owner.__doc__ or "Attributes:" in owner.__doc__


@pytest.mark.parametrize("name", TOP_LEVEL)
def test_public_names_are_exported_from_the_top(name: str) -> None:
    assert name in dir(collapse)
    assert getattr(collapse, name).__name__ == name


def test_a_star_brings_the_public_names_and_nothing_else() -> None:
    names: dict[str, object] = {}
    exec("from collapse import *", names)
    del names["__builtins__"]
    assert set(TOP_LEVEL) < set(names) == set(collapse.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'collapse' has no attribute 'collapsee'"):
        _ = collapse.collapsee


def test_importing_the_package_is_light() -> None:
    """Torch takes seconds; a tool that only reads the package's version should not wait for it."""
    code = "import collapse, sys; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
