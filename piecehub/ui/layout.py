"""Places the boxes and edges of a DAG; equal DAGs are placed equally.

The order within layers comes from igraph's `layout_sugiyama` (C; 500 components take some 50 ms). Layers are ours, and
so are the waypoints of long edges: igraph 1.0 returns bends in another order than the edges. Edges that others imply
are left out: a component that reads A and B, where B reads A, hangs below B only, so the picture stays calm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

BOX_WIDTH, BOX_HEIGHT = 214, 46
# What a desktop shows beside the list of components, in pixels; it decides the direction.
_PANEL_WIDTH, _PANEL_HEIGHT = 660, 900
_MARGIN = 8
_SIDE_GAP, _LAYER_GAP = 22, 38

Point = tuple[float, float]
# A layer, and the component that stands there or the edge that passes.
_Waypoint = tuple[int, str | tuple[str, str]]


@dataclass(frozen=True)
class Box:
    """One component; x and y are its upper left corner, in pixels."""

    id: str
    x: float
    y: float


@dataclass(frozen=True)
class Edge:
    """What one component hands to another; `path` is the `d` of an SVG path."""

    source: str
    target: str
    path: str


@dataclass(frozen=True)
class Layout:
    """A placed DAG; width and height in pixels."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]


def get_ready() -> None:
    """Imports what draws, half a second, before somebody waits for it."""
    _untyped_graph(0, ())


def place(upstream: Mapping[str, Sequence[str]]) -> Layout:
    """The layout of a DAG, flowing down or to the right, whichever is shown larger.

    Args:
        upstream: for each component the ids that it follows; unknown ids are passed over, and so is what closes a
            circle, which only a damaged description has.
    """
    ids = list(upstream)
    if not ids:
        return Layout(0, 0, (), ())
    known = {key: list(dict.fromkeys(u for u in upstream[key] if u in upstream and u != key)) for key in ids}
    edges = _reduced(_without_circles(known))
    down = _draw(ids, edges, is_down=True)
    right = _draw(ids, edges, is_down=False)
    return max(down, right, key=_scale)


def _without_circles(upstream: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The same without what closes a circle; at one igraph would end the process."""
    placed: dict[str, list[str]] = {}
    left = list(upstream)
    while left:
        ready = [key for key in left if all(source in placed for source in upstream[key])] or left[:1]
        for key in ready:
            placed[key] = [source for source in upstream[key] if source in placed]
        left = [key for key in left if key not in placed]
    return {key: placed[key] for key in upstream}


def _scale(layout: Layout) -> float:
    return min(_PANEL_WIDTH / layout.width, _PANEL_HEIGHT / layout.height, 1.0)


def _reduced(upstream: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """The edges without those that a longer way implies: the transitive reduction."""
    ids = list(upstream)
    ancestors: dict[str, int] = {}
    bit = {key: 1 << index for index, key in enumerate(ids)}
    edges = [(source, key) for key in ids for source in upstream[key]]
    for key in _in_order(ids, edges):
        ancestors[key] = 0
        for source in upstream[key]:
            ancestors[key] |= bit[source] | ancestors[source]
    return [
        (source, key)
        for key in ids
        for source in upstream[key]
        if not any(ancestors[other] & bit[source] for other in upstream[key])
    ]


def _in_order(ids: list[str], edges: Sequence[tuple[str, str]]) -> list[str]:
    return [ids[index] for index in _graph(ids, edges).topological_sorting()]


def _graph(ids: Sequence[str], edges: Sequence[tuple[str, str]]) -> Any:
    index = {key: number for number, key in enumerate(ids)}
    return _untyped_graph(len(ids), [(index[s], index[t]) for s, t in edges])


def _untyped_graph(size: int, edges: Sequence[tuple[int, int]]) -> Any:
    import igraph  # type: ignore[reportMissingTypeStubs]  # half a second, and most of a server's start

    return igraph.Graph(n=size, edges=edges, directed=True)


def _layers(ids: list[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Each component below all that it follows; one that feeds more than it reads stands close to its readers."""
    before: dict[str, list[str]] = {key: [] for key in ids}
    after: dict[str, list[str]] = {key: [] for key in ids}
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    order = _in_order(ids, edges)
    layers: dict[str, int] = {}
    for key in order:
        layers[key] = max((layers[source] + 1 for source in before[key]), default=0)
    for key in reversed(order):
        if len(after[key]) >= max(len(before[key]), 1):
            layers[key] = min(layers[target] for target in after[key]) - 1
    return layers


def _draw(ids: list[str], edges: Sequence[tuple[str, str]], *, is_down: bool) -> Layout:
    length, breadth = (BOX_HEIGHT, BOX_WIDTH) if is_down else (BOX_WIDTH, BOX_HEIGHT)
    ways = _ways(_layers(ids, edges), edges)
    across = _across(_layers(ids, edges), ways, breadth + _SIDE_GAP)
    lowest = max(along for along, _ in across)
    width, height = (
        max(across.values()) + breadth + 2 * _MARGIN,
        lowest * (length + _LAYER_GAP) + length + 2 * _MARGIN,
    )

    def centre(point: _Waypoint) -> Point:
        x = across[point] + breadth / 2 + _MARGIN
        y = point[0] * (length + _LAYER_GAP) + length / 2 + _MARGIN
        return (x, y) if is_down else (y, x)

    boxes = [Box(name, *centre((layer, name))) for layer, name in across if isinstance(name, str)]
    corners = {b.id: Box(b.id, b.x - BOX_WIDTH / 2, b.y - BOX_HEIGHT / 2) for b in boxes}
    drawn = tuple(
        Edge(s, t, _path([centre(point) for point in way], length / 2, is_down=is_down)) for (s, t), way in ways.items()
    )
    if not is_down:
        width, height = height, width
    return Layout(width, height, tuple(corners[key] for key in ids), drawn)


def _ways(layers: Mapping[str, int], edges: Sequence[tuple[str, str]]) -> dict[tuple[str, str], list[_Waypoint]]:
    """For each edge its ends, and a waypoint in every layer between."""
    return {
        (s, t): [
            (layers[s], s),
            *((layer, (s, t)) for layer in range(layers[s] + 1, layers[t])),
            (layers[t], t),
        ]
        for s, t in edges
    }


def _across(
    layers: Mapping[str, int], ways: Mapping[tuple[str, str], list[_Waypoint]], gap: float
) -> dict[_Waypoint, float]:
    """Where each component and waypoint stands across the flow: its near side, from 0 up."""
    points: dict[_Waypoint, int] = {(layer, key): 0 for key, layer in layers.items()}
    points |= {point: 0 for way in ways.values() for point in way}
    index = {point: number for number, point in enumerate(points)}
    steps = [(index[a], index[b]) for way in ways.values() for a, b in pairwise(way)]
    graph = _untyped_graph(len(points), steps)
    found = graph.layout_sugiyama(layers=[layer for layer, _ in points], hgap=gap, vgap=1)
    places = {point: float(x) for point, (x, _) in zip(points, found, strict=True)}
    return _apart(places, gap)


def _apart(places: Mapping[_Waypoint, float], gap: float) -> dict[_Waypoint, float]:
    """Pushes apart what igraph, in rare cases, leaves too close within a layer."""
    ends: dict[int, float] = {}
    least = min(places.values())
    apart: dict[_Waypoint, float] = {}
    for point in sorted(places, key=lambda p: (places[p], str(p))):
        apart[point] = max(places[point] - least, ends.get(point[0], 0.0))
        ends[point[0]] = apart[point] + gap
    return apart


def _path(points: Sequence[Point], half: float, *, is_down: bool) -> str:
    """A line from box to box: straight through the layers that it passes, curved between layers."""
    parts: list[str] = []
    for (x1, y1), (x2, y2) in pairwise(points):
        if is_down:
            (x1, y1), (x2, y2) = (x1, y1 + half), (x2, y2 - half)
            middle = (y1 + y2) / 2
            bend = f"{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f}"
        else:
            (x1, y1), (x2, y2) = (x1 + half, y1), (x2 - half, y2)
            middle = (x1 + x2) / 2
            bend = f"{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f}"
        parts.append(f"{'L' if parts else 'M'}{x1:.1f} {y1:.1f}C{bend} {x2:.1f} {y2:.1f}")
    return "".join(parts)
