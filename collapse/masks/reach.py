"""What decides whether a mask collapses: which tokens all others reach, and in how many steps."""

from __future__ import annotations

import networkx
from torch import Tensor

from collapse.checks import check_mask
from collapse.numeric import require


def mask_graph(mask: Tensor) -> networkx.DiGraph:
    """The mask as a directed graph, an edge from i to j where token i may attend to token j.

    Args:
        mask: Booleans of shape (n, n), with all self-loops.

    Returns:
        A graph on the nodes 0, …, n − 1.

    Raises:
        ValueError: On a wrong shape or dtype, or a missing self-loop.

    Source:
        masked-collapse

    >>> from collapse.masks.graphs import star
    >>> sorted(mask_graph(star(3)).successors(1))
    [0, 1]
    """
    mask = check_mask(mask)
    require(mask.diagonal().all(), "mask", "a self-loop at every token", mask.diagonal().tolist())
    graph = networkx.DiGraph()
    graph.add_nodes_from(range(len(mask)))
    graph.add_edges_from(mask.nonzero().tolist())
    return graph


def closed_classes(mask: Tensor) -> list[set[int]]:
    """The sets of tokens that see each other by some path and nothing outside.

    The mask collapses all inputs exactly if there is one; its tokens are then the centres.

    Args:
        mask: Booleans of shape (n, n), with all self-loops.

    Returns:
        Disjoint sets of tokens, at least one.

    Raises:
        ValueError: As for :func:`mask_graph`.

    Source:
        masked-collapse

    >>> from collapse.masks.graphs import reversed_star
    >>> closed_classes(reversed_star(3))
    [{1}, {2}]
    """
    found = networkx.attracting_components(mask_graph(mask))
    return sorted((set(part) for part in found), key=min)


def eccentricities(mask: Tensor) -> dict[int, int]:
    """For every centre of the mask, the number of steps in which all tokens reach it.

    Args:
        mask: Booleans of shape (n, n), with all self-loops.

    Returns:
        Steps by centre; empty if no token is reached by all others.

    Raises:
        ValueError: As for :func:`mask_graph`.

    Source:
        masked-collapse

    >>> from collapse.masks.graphs import sliding_window
    >>> eccentricities(sliding_window(5, 1))
    {0: 4, 1: 3, 2: 2, 3: 3, 4: 4}
    """
    backwards = mask_graph(mask).reverse()
    found = {}
    for node in backwards:
        steps = networkx.single_source_shortest_path_length(backwards, node)
        if len(steps) == len(backwards):
            found[node] = max(steps.values())
    return found


def centres(mask: Tensor) -> set[int]:
    """The tokens that every token reaches by some attention path.

    Args:
        mask: Booleans of shape (n, n), with all self-loops.

    Returns:
        The centres, perhaps none.

    Raises:
        ValueError: As for :func:`mask_graph`.

    Source:
        masked-collapse

    >>> from collapse.masks.graphs import causal
    >>> centres(causal(3))
    {0}
    """
    return set(eccentricities(mask))


def radius(mask: Tensor) -> int | None:
    """The number of steps in which every token reaches every centre; at least 1.

    Args:
        mask: Booleans of shape (n, n), with all self-loops.

    Returns:
        The radius, or None if there is no centre.

    Raises:
        ValueError: As for :func:`mask_graph`.

    Source:
        masked-collapse

    >>> from collapse.masks.graphs import one_sided_window
    >>> radius(one_sided_window(9, 2))
    4
    """
    return max((max(1, steps) for steps in eccentricities(mask).values()), default=None)


def choices(mask: Tensor) -> list[tuple[int, int]]:
    """Steps r and numbers of centres among which the bound may choose.

    Args:
        mask: Booleans of shape (n, n), with all self-loops.

    Returns:
        For every r that adds a centre, r and the number of centres within r steps of all tokens.

    Raises:
        ValueError: As for :func:`mask_graph`.

    Source:
        masked-collapse

    >>> from collapse.masks.graphs import sliding_window
    >>> choices(sliding_window(5, 1))
    [(2, 1), (3, 3), (4, 5)]
    """
    steps = sorted(max(1, r) for r in eccentricities(mask).values())
    return [(r, steps.index(r) + steps.count(r)) for r in sorted(set(steps))]


def longest_path(mask: Tensor) -> int | None:
    """The number of edges of a longest path, where self-loops are the only cycles.

    Args:
        mask: Booleans of shape (n, n), with all self-loops.

    Returns:
        The length, or None if there are other cycles.

    Raises:
        ValueError: As for :func:`mask_graph`.

    Source:
        masked-walk

    >>> from collapse.masks.graphs import causal, sliding_window
    >>> longest_path(causal(4)), longest_path(sliding_window(4, 1))
    (3, None)
    """
    graph = mask_graph(mask)
    graph.remove_edges_from(list(networkx.selfloop_edges(graph)))
    if not networkx.is_directed_acyclic_graph(graph):
        return None
    return int(networkx.dag_longest_path_length(graph))
