"""Floor 6. What attention with small weights can and cannot do, as inequalities.

Upper bounds (``ladder``, ``contraction``) and lower bounds (``floors``) are functions of plain
numbers: floats, tensors with any batch, balls or symbols. ``certificates`` measures the numbers of
a given network and its tokens and puts them in.
"""

from collapse.bounds.certificates import collapse_bound, contraction_bound

__all__ = ["collapse_bound", "contraction_bound"]
