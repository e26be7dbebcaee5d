"""What is to be trained: the members of an ensemble and the settings they share."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from collapse.numeric import require
from collapse.tasks import Task, make_task
from collapse.training.init import INITS


@dataclass(frozen=True)
class Member:
    """One network of an ensemble: what may differ within one batched Network.

    Attributes:
        eta: Bound η > 0 on the entries of W_Q, W_K and V; ``math.inf`` for none.
        seed: Seed of its first weights and of its sequences.
        skip: λ, 1 with skip connections and 0 without.
        init: How its first weights are drawn: "bounded", "kaiming" or "xavier".
        decay: Strength ≥ 0 of decoupled weight decay on W_Q, W_K and V.

    Raises:
        ValueError: On values outside their ranges.

    >>> Member(eta=0.1, seed=0).skip
    1.0
    """

    eta: float
    seed: int
    skip: float = 1.0
    init: str = "bounded"
    decay: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        require(self.eta > 0, "eta", "eta > 0", self.eta)
        whole = isinstance(self.seed, int) and self.seed >= 0
        require(whole, "seed", "an integer >= 0", self.seed)
        require(math.isfinite(self.skip), "skip", "a finite number", self.skip)
        require(self.init in INITS, "init", f"one of {sorted(INITS)}", repr(self.init))
        require(0 <= self.decay < math.inf, "decay", "finite and >= 0", self.decay)


@dataclass(frozen=True)
class Plan:
    r"""One run: networks of equal sizes, trained together on one task.

    Embeddings and positions are bounded by φ₀/2 each, so that tokens are bounded by φ₀; the
    entries of the readout are bounded too, or small differences could be blown up behind the
    last layer.

    Attributes:
        task: Name of the task.
        depth: L ≥ 1.
        members: The networks, at least one.
        options: Sizes of the task, as keywords.
        width: d ≥ 1.
        key_width: k ≥ 1.
        heads: H ≥ 1.
        phi: φ₀ > 0, the bound on the tokens that enter the stack.
        readout: Bound > 0 on the entries of the readout.
        steps: Number of steps, ≥ 1.
        batch: Sequences a step, ≥ 1.
        rate: Learning rate of Adam, > 0; the weights of a member move by at most η/10 a step.
        done: A member stops once its held-out loss is below.
        check: Steps between two looks at the held-out loss.
        held_out: Held-out sequences, ≥ 1.
        keep: Steps after which all weights are kept.
        trained_skip: Whether every layer has a skip weight of its own that is trained, from the
            member's λ on and without a bound; it must not be 0 then.

    Raises:
        ValueError: On values outside their ranges.

    >>> plan = Plan("recall", 2, (Member(0.1, 0), Member(0.2, 0)), steps=10)
    >>> len(plan.key)
    64
    """

    task: str
    depth: int
    members: tuple[Member, ...]
    options: dict[str, Any] = field(default_factory=dict)
    width: int = 16
    key_width: int = 8
    heads: int = 2
    phi: float = 4.0
    readout: float = 1.0
    steps: int = 1000
    batch: int = 32
    rate: float = 0.005
    done: float = 0.0
    check: int = 50
    held_out: int = 200
    keep: tuple[int, ...] = ()
    trained_skip: bool = False

    def __post_init__(self) -> None:
        """Check the values."""
        counts = ("depth", "width", "key_width", "heads", "steps", "batch", "check", "held_out")
        for name in counts:
            value = getattr(self, name)
            require(isinstance(value, int) and value >= 1, name, "an integer >= 1", value)
        for name in ("phi", "readout", "rate"):
            value = getattr(self, name)
            require(0 < value < math.inf, name, "finite and > 0", value)
        require(len(self.members) > 0, "members", "at least one", self.members)
        require(self.done >= 0, "done", "a loss >= 0", self.done)
        started = not self.trained_skip or all(member.skip != 0 for member in self.members)
        require(started, "skip", "a number other than 0 where skips are trained", 0)
        require(
            all(0 <= step <= self.steps for step in self.keep),
            "keep",
            f"steps in 0, ..., {self.steps}",
            self.keep,
        )
        make_task(self.task, **self.options)

    @property
    def source(self) -> Task:
        """The task itself."""
        return make_task(self.task, **self.options)

    @property
    def key(self) -> str:
        """A fingerprint of all settings, by which a checkpoint is known."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
