r"""The results of the book and what each rests on, drawn as a graph: a layout, and its SVG.

Each result stands below all that its proof or its discussion uses. An arrow that a longer chain of
arrows already implies is left out, so what a result rests on is everything from which it can be
reached.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import accumulate, pairwise
from random import Random
from statistics import mean

import networkx as nx

from collapse.ledger import Claim
from collapse.numeric import Verdict, require

Point = tuple[float, float]
Place = tuple[str, ...]  # a label, or a label and a row that arrows from it pass
Rows = list[list[Place]]

WIDTH, HEIGHT = 100.0, 36.0  # of a box
BEND = 8.0  # room for an arrow that passes a row
ACROSS, DOWN = 6.0, 30.0  # gaps between neighbours, between rows
MARGIN, LEGEND = 6.0, 40.0
KEY, LETTER = 38.0, 6.4  # of the legend: room of a key, and of each letter of its word

# Each verdict has a mark as well as a colour, drawn in a square of eight.
MARKS: Mapping[Verdict, str] = {
    Verdict.DEFINITION: "M-4-2H4M-4 2H4",
    Verdict.HOLDS: "M-4 0L-1.2 3.2L4-3.6",
    Verdict.REFUTED: "M-3.5-3.5L3.5 3.5M3.5-3.5L-3.5 3.5",
    Verdict.REPAIRED: "M0-4V4M-4 0H4",
    Verdict.SHARPENED: "M0 4V-4M-3.5-.5L0-4L3.5-.5",
    Verdict.MEASURED: "M-4 3V0M0 3V-4M4 3V-2",
    Verdict.CITED: "M-3 3.5L-1-3.5M1 3.5L3-3.5",
    Verdict.OPEN: "M3.6 0A3.6 3.6 0 1 1-3.6 0A3.6 3.6 0 1 1 3.6 0",
}


@dataclass(frozen=True)
class Picture:
    """Where everything stands: the centres of the boxes, the bends of the arrows, the size.

    Attributes:
        centres: Centre of each result's box, by label.
        arrows: For each drawn dependency (used, using) the points that the arrow passes.
        width: Width of the picture.
        height: Height of the picture, without the legend.
    """

    centres: dict[str, Point]
    arrows: dict[tuple[str, str], tuple[Point, ...]]
    width: float
    height: float


def dependencies(claims: Iterable[Claim]) -> nx.DiGraph:
    """The graph with an arrow from each result to those that use it.

    Args:
        claims: The results; what they depend on must be among them.

    Raises:
        ValueError: If a dependency is missing, or results depend on each other in a circle.

    >>> from collapse.ledger import claims
    >>> dependencies(claims()).has_edge("softmax-ratio", "softmax-tv")
    True
    """
    claims = list(claims)
    graph = nx.DiGraph()
    graph.add_nodes_from(claim.label for claim in claims)
    for claim in claims:
        missing = sorted(set(claim.depends) - set(graph))
        require(not missing, f"depends of {claim.label}", "labels among the claims", missing)
        graph.add_edges_from((used, claim.label) for used in claim.depends)
    circle = [] if nx.is_directed_acyclic_graph(graph) else nx.find_cycle(graph)
    require(not circle, "dependencies", "no circle", circle)
    return graph


def layout(claims: Iterable[Claim], columns: int = 5) -> Picture:
    """Place the results in rows, each below all that it rests on.

    Args:
        claims: The results to draw.
        columns: The most boxes in one row, ≥ 1.

    Raises:
        ValueError: As ``dependencies`` does, or if columns < 1.
    """
    require(columns >= 1, "columns", "an integer >= 1", columns)
    everything = dependencies(claims)
    needed = nx.transitive_reduction(everything)  # it forgets the order, on which the picture rests
    graph = nx.DiGraph(edge for edge in everything.edges if needed.has_edge(*edge))
    level = _levels(graph, columns)
    lonely = [label for label in everything if label not in graph]
    level |= {k: max(level.values(), default=-1) + 1 + i // columns for i, k in enumerate(lonely)}
    chains = {(used, using): _chain(used, using, level) for used, using in graph.edges}
    links = nx.Graph()
    for chain in chains.values():
        nx.add_path(links, chain)
    rows: Rows = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for label in everything:
        rows[level[label]].append((label,))
    for used, *row in links:
        if row:
            rows[int(row[0])].append((used, *row))
    rows = _untangled(rows, links)
    x = _spread(rows, links)
    points = {
        place: (x[place] + MARGIN, MARGIN + HEIGHT / 2 + k * (HEIGHT + DOWN))
        for k, row in enumerate(rows)
        for place in row
    }
    return Picture(
        {label: points[(label,)] for label in everything},
        {edge: tuple(points[place] for place in chain) for edge, chain in chains.items()},
        max((points[p][0] + _size(p) / 2 for p in points), default=0) + MARGIN,
        len(rows) * (HEIGHT + DOWN) - DOWN + 2 * MARGIN,
    )


def _levels(graph: nx.DiGraph, columns: int) -> dict[str, int]:
    """The row of each label: as low as those below it and the width of the picture allow."""
    generations = list(nx.topological_generations(graph))
    above: dict[str, int] = {}
    filled = [0] * (len(graph) + 1)
    for generation in reversed(generations):
        for label in generation:
            row = max((above[user] + 1 for user in graph.successors(label)), default=0)
            while filled[row] == columns:
                row += 1
            above[label] = row
            filled[row] += 1
    lowest = max(above.values(), default=0)
    return {label: lowest - row for label, row in above.items()}


def _chain(used: str, using: str, level: Mapping[str, int]) -> list[Place]:
    """An arrow's places, one a row; arrows from one result pass a row together."""
    between = range(level[used] + 1, level[using])
    return [(used,), *((used, str(row)) for row in between), (using,)]


def _size(place: Place) -> float:
    return WIDTH if len(place) == 1 else BEND


def crossings(rows: Rows, links: nx.Graph) -> int:
    """How often the links between neighbouring rows cross."""
    total = 0
    for upper, lower in pairwise(rows):
        at = {place: i for i, place in enumerate(lower)}
        ends = [sorted(at[q] for q in links[p] if q in at) if p in links else [] for p in upper]
        flat = [end for some in ends for end in some]
        total += sum(a > b for i, a in enumerate(flat) for b in flat[i + 1 :])
    return total


def _untangled(rows: Rows, links: nx.Graph, tries: int = 20, sweeps: int = 16) -> Rows:
    """The order with the fewest crossings that sweeps from several shuffled orders find."""
    found, random = [rows], Random(0)
    for _ in range(tries):
        for sweep in range(sweeps):
            rows = _swept(rows, links, 1 if sweep % 2 == 0 else -1)
            found.append(rows)
        rows = [random.sample(row, len(row)) for row in rows]
    return min(found, key=lambda rows: crossings(rows, links))


def _swept(rows: Rows, links: nx.Graph, step: int) -> Rows:
    """Each row, downwards or upwards, sorted by the mean place of its links in the one before."""
    order = rows[::step]
    done = order[:1]
    for row in order[1:]:
        at = {place: i for i, place in enumerate(done[-1])}
        wish: dict[Place, float] = {}
        for i, place in enumerate(row):
            linked = [at[q] for q in links[place] if q in at] if place in links else []
            wish[place] = mean(linked or [i])
        done.append(sorted(row, key=wish.__getitem__))
    return done[::step]


def _spread(rows: Rows, links: nx.Graph, rounds: int = 60) -> dict[Place, float]:
    """Horizontal places: near the mean of the links, in the given order, in the least width."""
    width = max((_offsets(row)[-1] + _size(row[-1]) / 2 for row in rows if row), default=0.0)
    x = {p: offset for row in rows for p, offset in zip(row, _offsets(row), strict=True)}
    for turn in range(rounds):
        for row in rows if turn % 2 == 0 else rows[::-1]:
            wish = [mean([x[q] for q in links[p]]) if p in links else x[p] for p in row]
            x |= zip(row, _apart(row, wish, width), strict=True)
    return x


def _offsets(row: list[Place]) -> list[float]:
    """The places of a row that is pushed together, from the picture's left edge."""
    halves = [_size(place) / 2 for place in row]
    return list(accumulate(a + b + ACROSS for a, b in pairwise([-ACROSS, *halves])))


def _apart(row: list[Place], wish: list[float], width: float) -> list[float]:
    """The places nearest to the wished ones, in squares, with room for every box, in the width.

    With the room subtracted this is a regression under an order: neighbours whose wishes collide
    merge into a block that stands at the mean of its wishes. Cutting at the edges keeps it best.
    """
    offsets = _offsets(row)
    blocks: list[tuple[float, int]] = []  # mean and number of places
    for place, offset in zip(wish, offsets, strict=True):
        blocks.append((place - offset, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (a, m), (b, n) = blocks[-2:]
            blocks[-2:] = [((a * m + b * n) / (m + n), m + n)]
    spare = width - offsets[-1] - _size(row[-1]) / 2
    means = [min(max(middle, 0), spare) for middle, number in blocks for _ in range(number)]
    return [middle + offset for middle, offset in zip(means, offsets, strict=True)]


# --- the drawing ---------------------------------------------------------------------------------


def svg(claims: Iterable[Claim], address: Callable[[str], str | None], columns: int = 5) -> str:
    """The graph as SVG; colours are left to the page's style sheet, by class.

    Args:
        claims: The results to draw.
        address: The link of a result's box, None for no link.
        columns: The most boxes in one row.

    Returns:
        An ``<svg>`` element with the classes ``dependencies``, ``node``, ``arrow``, ``verdict-…``.
    """
    claims = list(claims)
    picture = layout(claims, columns)
    shown = [v for v in Verdict if any(claim.shown_verdict is v for claim in claims)]
    drawn = "".join(dict.fromkeys(part for p in picture.arrows.values() for part in _arrow(p)))
    boxes = "".join(_box(c, picture.centres[c.label], address(c.label)) for c in claims)
    *starts, end = accumulate((KEY + LETTER * len(verdict) for verdict in shown), initial=MARGIN)
    keys = "".join(_key(v, x, MARGIN + 12) for v, x in zip(shown, starts, strict=True))
    width = max(picture.width, end)
    height = picture.height + LEGEND
    return (
        f'<svg class="dependencies" xmlns="http://www.w3.org/2000/svg" role="group"'
        f' aria-label="{escape(describe(claims))}" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}">'
        '<defs><marker id="arrow-head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        ' markerHeight="7" orient="auto"><path class="arrow-head" d="M0 .5L8 4L0 7.5Z"/></marker>'
        f'</defs>{keys}<g transform="translate(0 {LEGEND:.0f})">{drawn}{boxes}</g></svg>'
    )


def describe(claims: Iterable[Claim]) -> str:
    """The graph in a sentence, for those who do not see it."""
    claims = list(claims)
    graph = dependencies(claims)
    most = max(graph, key=graph.out_degree)
    number = {v: sum(claim.shown_verdict is v for claim in claims) for v in Verdict}
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in number.items() if n)
    return (
        f"Graph of {len(graph)} results with an arrow from each to those that use it: {verdicts}."
        f" {most} is used by most others, {graph.out_degree(most)}."
    )


def _lines(label: str) -> list[str]:
    """A label in one line or two, broken at the hyphen that makes the longer one shortest."""
    if len(label) <= 12:
        return [label]
    breaks = [i + 1 for i, letter in enumerate(label) if letter == "-"]
    at = min(breaks, key=lambda i: max(i, len(label) - i), default=len(label))
    return [label[:at], label[at:]]


def _arrow(points: tuple[Point, ...]) -> Iterator[str]:
    """The parts of an arrow: a curve from row to row, a straight line through each row it passes.

    Arrows that run together have parts in common, to be drawn once.
    """
    for k, ((x, above), (right, below)) in enumerate(pairwise(points)):
        top, bottom = above + HEIGHT / 2, below - HEIGHT / 2
        middle, last = (top + bottom) / 2, k == len(points) - 2
        path = f"M{x:.1f} {top:.1f}C{x:.1f} {middle:.1f} {right:.1f} {middle:.1f} {right:.1f}"
        end = ' marker-end="url(#arrow-head)"' if last else ""
        yield f'<path class="arrow" d="{path} {bottom:.1f}"{end}/>'
        if not last:
            yield f'<path class="arrow" d="M{right:.1f} {bottom:.1f}v{HEIGHT:.0f}"/>'


def _box(claim: Claim, centre: Point, address: str | None) -> str:
    verdict, lines = claim.shown_verdict, _lines(claim.label)
    text = "".join(
        f'<tspan x="7" y="{(i - (len(lines) - 1) / 2) * 12.5 + 4:.1f}">{escape(t)}</tspan>'
        for i, t in enumerate(lines)
    )
    body = (
        f"<title>{escape(claim.label)}, {verdict}: {escape(claim.title)}</title>"
        f'<rect x="{-WIDTH / 2}" y="{-HEIGHT / 2}" width="{WIDTH}" height="{HEIGHT}" rx="5"/>'
        f'<path class="mark" transform="translate({11 - WIDTH / 2} 0)" d="{MARKS[verdict]}"/>'
        f"<text>{text}</text>"
    )
    x, y = centre
    node = f'<g class="node verdict-{verdict}" transform="translate({x:.1f} {y:.1f})">{body}</g>'
    return f'<a href="{escape(address)}">{node}</a>' if address else node


def _key(verdict: Verdict, x: float, y: float) -> str:
    return (
        f'<g class="key verdict-{verdict}" transform="translate({x:.0f} {y:.0f})">'
        f'<rect x="0" y="-9" width="18" height="18" rx="4"/>'
        f'<path class="mark" transform="translate(9 0)" d="{MARKS[verdict]}"/>'
        f'<text x="24" y="4">{verdict}</text></g>'
    )
