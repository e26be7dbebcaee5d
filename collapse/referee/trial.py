"""A claim in a form that machines can try: one inequality over all cases of a domain.

Search, ball arithmetic and random testing all work on the same object. A case is described by free
real numbers, from which ``build`` makes the objects of the domain by rational functions. So
gradients flow from the ratio to the free numbers, a search can leave the domain nowhere, and
rational free numbers give rational objects, on which balls decide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from collapse.ledger import Kind
from collapse.numeric import Number, require

Free = Mapping[str, Number]
Case = Mapping[str, Any]
Sides = Callable[..., tuple[Number, Number]]


@dataclass(frozen=True)
class Trial:
    """One inequality, observed ≤ bound, that a claim implies for every case.

    Attributes:
        label: The claim's label.
        name: Short words that tell the trials of one label apart, for example "three tokens".
        free: Names and shapes of the arrays of free real numbers, one dimension or more each.
        build: Maps the free arrays, with any leading batch dimensions, to the objects of the
            domain by rational functions in any number type; keys are the arguments of ``sides``.
        sides: Maps the objects to (observed, bound), both of the batch's shape, bound ≥ 0, in any
            number type that the checks named in ``kinds`` use.
        sharp: Whether the supremum of observed ÷ bound is 1, so that a search must come within
            0.1 % of it.
        holds: False for a claim that is refuted: then every check must find a violation.
        control: The sides of the negative control. Where the claim holds, a statement that is
            false and must be noticed; None lowers the bound by 1 % (by half for random testing),
            which only a sharp claim can notice. Where the claim is refuted, a statement that is
            true, in which no check may see a violation; None multiplies the bound by ``limit``.
        dropped: What the negative control drops, in words.
        limit: For a refuted claim, the supremum of the ratio where it is known, as an integer or
            Fraction.
        spread: Standard deviation of the free numbers at the start of a search.
        kinds: The checks that can try it.
    """

    label: str
    name: str
    free: Mapping[str, tuple[int, ...]]
    build: Callable[..., Case]
    sides: Sides
    sharp: bool = False
    holds: bool = True
    control: Sides | None = None
    dropped: str = "the bound is lowered by 1 %"
    limit: Number | None = None
    spread: float = 1.0
    kinds: frozenset[Kind] = field(
        default_factory=lambda: frozenset[Kind]({"certified", "attacked", "property"})
    )

    def __post_init__(self) -> None:
        """Refuse a trial that no check could settle."""
        shaped = all(shape and min(shape) >= 1 for shape in self.free.values())
        require(self.free and shaped, "free", "shapes of at least one entry", dict(self.free))
        require(self.spread > 0, "spread", "a number > 0", self.spread)
        settled = self.holds or self.control is not None or self.limit is not None
        require(settled, "control", "a control or a limit for a refuted claim", None)
        require(self.holds or not self.sharp, "sharp", "False for a refuted claim", self.sharp)
