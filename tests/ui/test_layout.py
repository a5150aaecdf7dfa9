import random
import re
from itertools import combinations

import pytest

from piecehub.ui.layout import BOX_HEIGHT, BOX_WIDTH, place


def random_dag(size, seed=0):
    chance = random.Random(seed)
    return {f"n{n}": [f"n{chance.randrange(max(0, n - 30), n)}" for _ in range(2)] if n else [] for n in range(size)}


def overlapping(layout):
    return [
        (one.id, other.id)
        for one, other in combinations(layout.boxes, 2)
        if abs(one.x - other.x) < BOX_WIDTH and abs(one.y - other.y) < BOX_HEIGHT
    ]


def test_no_boxes_of_the_shipped_recipe_overlap(upstream):
    check_boxes(upstream)


@pytest.mark.parametrize("dag", [random_dag(60), random_dag(500), {f"n{n}": [] for n in range(40)}])
def test_no_boxes_of_larger_dags_overlap(dag):
    check_boxes(dag)


def check_boxes(dag):
    layout = place(dag)
    assert [box.id for box in layout.boxes] == list(dag)
    assert overlapping(layout) == []
    assert all(0 <= b.x <= layout.width - BOX_WIDTH and 0 <= b.y <= layout.height - BOX_HEIGHT for b in layout.boxes)


def test_equal_dags_are_placed_equally():
    assert place(random_dag(80)) == place(random_dag(80))


def test_the_data_flows_one_way(upstream):
    boxes = {box.id: box for box in place(upstream).boxes}
    assert all(boxes[source].y < boxes[key].y for key, sources in upstream.items() for source in sources)


def test_a_short_wide_dag_flows_down_and_a_long_chain_within_the_panel():
    wide = {"a": [], **{f"n{n}": ["a"] for n in range(2)}}
    boxes = {box.id: box for box in place(wide).boxes}
    assert boxes["a"].y < boxes["n0"].y
    row = {f"n{n}": [f"n{n - 1}"] if n else [] for n in range(2)}
    assert place(row).height < 200


def test_many_parallel_chains_flow_to_the_right():
    chains = {f"{row}-{n}": [f"{row}-{n - 1}"] if n else [] for row in range(12) for n in range(2)}
    boxes = {box.id: box for box in place(chains).boxes}
    assert boxes["3-0"].x < boxes["3-1"].x


def test_edges_that_others_imply_are_left_out():
    edges = {(e.source, e.target) for e in place({"a": [], "b": ["a"], "c": ["a", "b", "b"]}).edges}
    assert edges == {("a", "b"), ("b", "c")}


def test_edges_begin_and_end_at_their_boxes(upstream):
    layout = place(upstream)
    boxes = {box.id: box for box in layout.boxes}
    for edge in layout.edges:
        numbers = [float(n) for n in re.findall(r"-?[\d.]+", edge.path)]
        source, target = boxes[edge.source], boxes[edge.target]
        assert numbers[:2] == pytest.approx([source.x + BOX_WIDTH / 2, source.y + BOX_HEIGHT], abs=0.1)
        assert numbers[-2:] == pytest.approx([target.x + BOX_WIDTH / 2, target.y], abs=0.1)


def test_unknown_and_missing_components_do_no_harm():
    assert place({}).boxes == ()
    assert [box.id for box in place({"a": ["gone"]}).boxes] == ["a"]
