"""Floor 7. Constants and identities proved by sympy, from the package's own formulas.

Each proof is a function that builds the claim symbolically, checks every step, and returns a
:class:`~collapse.symbolic.proof.Proof` for people to read; a step that does not go through raises.
``PROOFS`` maps the label of a result to its proofs; asking for it loads all of them, while a
chapter that imports its own module of proofs depends on no other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {"PROOFS": "collapse.symbolic.library", "Proof": "collapse.symbolic.proof"}

if TYPE_CHECKING:
    from collapse.symbolic.library import PROOFS as PROOFS
    from collapse.symbolic.proof import Proof as Proof


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'collapse.symbolic' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)
