"""Floor 8. Training ensembles of small attention networks, and measuring what they became.

``plan`` says what is trained, ``ensemble`` trains it by the products in ``forward``, ``run`` takes
one plan from start to end, ``sweeps`` many on any executor; ``measures`` looks at the result.
"""

from collapse.training.plan import Member, Plan
from collapse.training.run import Trained, train
from collapse.training.sweeps import sweep

__all__ = ["Member", "Plan", "Trained", "sweep", "train"]
