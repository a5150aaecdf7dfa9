"""Places the boxes and edges of a DAG; equal DAGs are placed equally.

Layers and their order come from igraph's `layout_sugiyama` (C; 500 components take some 50 ms). Edges that others imply
are left out: a component that reads A and B, where B reads A, hangs below B only, so the picture stays calm.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import igraph

BOX_WIDTH, BOX_HEIGHT = 214, 46
# What a desktop shows beside the list of components, in pixels; it decides the direction.
_PANEL_WIDTH, _PANEL_HEIGHT = 660, 900
_MARGIN = 8
_SIDE_GAP, _LAYER_GAP = 22, 38

Point = tuple[float, float]


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


@dataclass(frozen=True)
class _Placed:
    """Centres along and across the flow: of the nodes, and of the bends of each edge."""

    nodes: list[Point]
    bends: list[list[Point]]


def place(upstream: Mapping[str, Sequence[str]]) -> Layout:
    """The layout of a DAG, flowing down or to the right, whichever is shown larger.

    Args:
        upstream: for each component the ids that it follows; unknown ids are passed over.
    """
    ids = list(upstream)
    if not ids:
        return Layout(0, 0, (), ())
    edges = _reduced({key: [u for u in upstream[key] if u in upstream] for key in ids})
    down = _draw(ids, edges, is_down=True)
    right = _draw(ids, edges, is_down=False)
    return max(down, right, key=_scale)


def _scale(layout: Layout) -> float:
    return min(_PANEL_WIDTH / layout.width, _PANEL_HEIGHT / layout.height, 1.0)


def _reduced(upstream: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """The edges without those that a longer way implies: the transitive reduction."""
    ancestors: dict[str, int] = {}
    bit = {key: 1 << index for index, key in enumerate(upstream)}
    for key in _in_order(upstream):
        ancestors[key] = 0
        for source in upstream[key]:
            ancestors[key] |= bit[source] | ancestors[source]
    return [
        (source, key)
        for key in upstream
        for source in dict.fromkeys(upstream[key])
        if not any(ancestors[other] & bit[source] for other in upstream[key])
    ]


def _in_order(upstream: Mapping[str, Sequence[str]]) -> list[str]:
    graph = _graph(list(upstream), [(s, key) for key in upstream for s in upstream[key]])
    names = list(upstream)
    return [names[index] for index in graph.topological_sorting()]


def _graph(ids: Sequence[str], edges: Sequence[tuple[str, str]]) -> igraph.Graph:
    index = {key: number for number, key in enumerate(ids)}
    return igraph.Graph(n=len(ids), edges=[(index[s], index[t]) for s, t in edges], directed=True)


def _draw(ids: Sequence[str], edges: Sequence[tuple[str, str]], *, is_down: bool) -> Layout:
    length, breadth = (BOX_HEIGHT, BOX_WIDTH) if is_down else (BOX_WIDTH, BOX_HEIGHT)
    placed = _sugiyama(_graph(ids, edges), breadth + _SIDE_GAP, length + _LAYER_GAP)
    every = [*placed.nodes, *(bend for bends in placed.bends for bend in bends)]
    left = min(across for across, _ in every) - breadth / 2 - _MARGIN
    top = min(along for _, along in every) - length / 2 - _MARGIN
    size = (
        max(across for across, _ in every) + breadth / 2 + _MARGIN - left,
        max(along for _, along in every) + length / 2 + _MARGIN - top,
    )

    def turned(point: Point) -> Point:
        across, along = point[0] - left, point[1] - top
        return (across, along) if is_down else (along, across)

    centres = {key: turned(point) for key, point in zip(ids, placed.nodes, strict=True)}
    boxes = tuple(Box(key, x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2) for key, (x, y) in centres.items())
    drawn = tuple(
        Edge(s, t, _path([centres[s], *map(turned, bends), centres[t]], length / 2, is_down=is_down))
        for (s, t), bends in zip(edges, placed.bends, strict=True)
    )
    width, height = size if is_down else (size[1], size[0])
    return Layout(width, height, boxes, drawn)


def _sugiyama(graph: igraph.Graph, gap: float, layer_gap: float) -> _Placed:
    layout = graph.layout_sugiyama(hgap=gap, vgap=layer_gap)
    nodes = [(float(x), float(y)) for x, y in layout]
    bends = [[(float(x), float(y)) for x, y in routing] for routing in layout.edge_routing]
    return _Placed(nodes, bends)


def _path(points: Sequence[Point], half: float, *, is_down: bool) -> str:
    """A line from box to box: straight through the layers that it passes, curved between layers."""
    parts: list[str] = []
    for (x1, y1), (x2, y2) in zip(points, points[1:], strict=False):
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
