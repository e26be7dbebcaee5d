"""Floor 8. Masks as graphs: which collapse, and how fast.

``graphs`` makes them, ``reach`` finds their centres, ``decay`` bounds the diameters of a network.
"""

from collapse.masks.decay import averaging, edge_floors, limit_rate, mask_factors, masked_diameters
from collapse.masks.graphs import (
    causal,
    complete,
    disconnected,
    one_sided_window,
    random_sparse,
    reversed_star,
    sliding_window,
    star,
)
from collapse.masks.reach import (
    centres,
    choices,
    closed_classes,
    eccentricities,
    longest_path,
    mask_graph,
    radius,
)

__all__ = [
    "averaging",
    "causal",
    "centres",
    "choices",
    "closed_classes",
    "complete",
    "disconnected",
    "eccentricities",
    "edge_floors",
    "limit_rate",
    "longest_path",
    "mask_factors",
    "mask_graph",
    "masked_diameters",
    "one_sided_window",
    "radius",
    "random_sparse",
    "reversed_star",
    "sliding_window",
    "star",
]
