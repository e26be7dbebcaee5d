"""Prove: the symbolic proofs of a claim, each with its control, as one outcome."""

from __future__ import annotations

import time

from collapse.numeric import Evidence
from collapse.referee.outcome import Outcome
from collapse.symbolic import PROOFS
from collapse.symbolic.proof import RESTS_ON, notices


def symbolic_outcome(label: str) -> Outcome | None:
    """Carry out every symbolic proof of a claim, then again with each constant off by 1 %.

    Args:
        label: The claim's label.

    Returns:
        PASSED if sympy confirms every step. The control is noticed if each function that a proof
        takes its constants from breaks that proof once its values are 1 % lower, and there is at
        least one such function. None if the claim has no symbolic proof.

    Source:
        softmax-tv

    >>> symbolic_outcome("softmax-tv").noticed
    True
    """
    if not (proofs := PROOFS.get(label)):
        return None
    begin = time.perf_counter()
    steps, refused = 0, []
    for prove in proofs:
        try:
            steps += len(prove().steps)
        except AssertionError as error:
            refused.append(str(error))
        except Exception as error:  # sympy may raise anything; the other claims go on
            refused.append(f"the proof broke down: {type(error).__name__}: {error}")
    controls = [(prove, name) for prove in proofs for name in RESTS_ON[prove]]
    # A proof that is refused anyway tells nothing of its control.
    blind = [name for prove, name in controls if refused or not notices(prove, name)]
    names = ", ".join(dict.fromkeys(name for _, name in controls)) or "nothing"
    return Outcome(
        kind="symbolic",
        label=label,
        trial=", ".join(prove.__name__.replace("_", " ") for prove in proofs),
        evidence=Evidence.FAILED if refused else Evidence.PASSED,
        noticed=bool(controls) and not blind,
        control=f"1 % off: {', '.join(dict.fromkeys(blind)) if blind else names}",
        ratio=None,
        detail="; ".join(refused) or f"{steps} steps confirmed in {len(proofs)} proofs",
        seconds=time.perf_counter() - begin,
    )
