"""Floor 9. The referee: every claim tried by search, in balls, and on random cases.

A claim is given to the engines as one or more trials, each an inequality over a domain that free
real numbers describe.

============  ====================================================================================
module        what is there
============  ====================================================================================
trial         Trial: free numbers, the objects that they build, both sides of the inequality
trials        the trials of every claim, by chapter; trials.domain: what they build and how
cases         evaluate: both sides at one case, in exact rationals, balls or floats
controls      the negative control of a trial: a statement on which a check must come out otherwise
climbing      random starts, gradient ascent, a polish without gradients
rounding      from floats to rationals that a person can copy
search        attack: the case in which a bound is tightest, or broken
deciding      Certificate: one exact case, decided
balls         certify and recheck: cases decided in balls, at rising precision
properties    hypothesis_check: random cases, shrunk to a minimal counterexample
outcome       Outcome: what an engine says about a trial and its control
proofs        the symbolic proofs as outcomes
run           examine: all checks of all claims
report        the report of a run
certificates  certificates on disk
============  ====================================================================================

The names below load on first use.

>>> from collapse.referee import attack
>>> attack("as25-lem-4.1").ratio
2.0
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_EXPORTS = {
    "Attack": "search",
    "Certificate": "deciding",
    "Measured": "cases",
    "Outcome": "outcome",
    "PropertyCheck": "properties",
    "Trial": "trial",
    "attack": "search",
    "certify": "balls",
    "evaluate": "cases",
    "hypothesis_check": "properties",
    "recheck": "balls",
}

if TYPE_CHECKING:
    from collapse.referee.balls import certify as certify
    from collapse.referee.balls import recheck as recheck
    from collapse.referee.cases import Measured as Measured
    from collapse.referee.cases import evaluate as evaluate
    from collapse.referee.deciding import Certificate as Certificate
    from collapse.referee.outcome import Outcome as Outcome
    from collapse.referee.properties import PropertyCheck as PropertyCheck
    from collapse.referee.properties import hypothesis_check as hypothesis_check
    from collapse.referee.search import Attack as Attack
    from collapse.referee.search import attack as attack
    from collapse.referee.trial import Trial as Trial


def __getattr__(name: str) -> Any:
    """Load a name from its module on first use."""
    if name not in _EXPORTS:
        raise AttributeError(f"module 'collapse.referee' has no attribute {name!r}")
    return getattr(import_module(f"collapse.referee.{_EXPORTS[name]}"), name)


def __dir__() -> list[str]:
    """The names above."""
    return sorted([*globals(), *_EXPORTS])
