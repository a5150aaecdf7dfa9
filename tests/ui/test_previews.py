"""What a page shows of an artifact: whatever lies in it, and however damaged or hostile that is."""

import json
from pathlib import Path

import pytest

from piecehub.facts import provenance, runs
from piecehub.facts.conformance_report import Finding, report
from piecehub.facts.provenance import Input
from piecehub.facts.runs import Event
from piecehub.ui.previews.artifact import artifact
from piecehub.ui.previews.chart import chart
from piecehub.ui.previews.values import MOST_BYTES, MOST_ROWS

RUN = "20261124-014400-001"
AT = f"/runs/{RUN}/outputs/A/made"
XSS = "<script>alert('x')</script>\"'><img src=x onerror=alert(1)>"
BIDI = "safe\u202egnp.exe\u2066\u200f\u0007\x1b[31m"


@pytest.fixture
def folder(site):
    """The artifact of the only component of a run."""
    path = site.workdir.artifacts / "p" / "A" / "made" / "1"
    path.mkdir(parents=True)
    site.write_run(RUN, upstream={"A": [], "B": ["A"]})
    event = Event("2026-11-24T01:44:09+00:00", "A", "done", 1.0, "", {"made": str(path)})
    runs.append_event(site.workdir, RUN, event)
    return path


def write(folder, name, value):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())


def preview(kind, data, title="T"):
    return {"schema": 1, "kind": kind, "title": title, "data": data}


def titles(folder):
    return [one.title for one in artifact(folder).previews]


def notes(folder):
    return " ".join(one.note for one in artifact(folder).previews)


def test_the_run_leads_to_each_output_and_that_tells_who_made_it_and_what_follows(browser, folder):
    write(folder, "facts.json", {"epochs": 3, "optimizer": {"name": "Adam"}, "api_token": "hidden-value"})
    assert f'<a href="{AT}">made</a>' in browser.get(f"/runs/{RUN}").text
    text = browser.get(AT).text
    assert f'made by <a href="/runs/{RUN}#A">A</a> · then <a href="/runs/{RUN}#B">B</a>' in text
    assert "optimizer.name" in text and "Adam" in text and "hidden-value" not in text
    assert "facts.json</th><td><code>" in text
    value = browser.get(f"/api/v1{AT}").json()
    assert (value["component"], value["output"], value["read_by"]) == ("A", "made", ["B"])
    assert ["epochs", "3"] in value["previews"][0]["rows"]
    for other in (AT.replace("made", "none"), AT.replace("/A/", "/B/"), f"/runs/none{AT[len(RUN) + 6 :]}"):
        assert browser.get(other).status_code == browser.get(f"/api/v1{other}").status_code == 404


def test_learning_curves_are_drawn_and_stand_as_numbers_below(browser, folder):
    write(folder, "preview.json", preview("curves", {"x": "epoch", "series": {"loss": [0.9, 0.4, 0.25]}}, "Curves"))
    text = browser.get(AT).text
    assert '<svg class="chart"' in text and text.count("<polyline") == 2
    for cell in ('<th scope="row">3</th>', ">0.25</td>", '<th scope="col">epoch</th>', '<th scope="col">loss</th>'):
        assert cell in text
    write(folder, "learning.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    drawn = browser.get(AT).text
    assert '<svg class="chart"' not in drawn and f'src="/runs/{RUN}/plots/A/made/learning.svg"' in drawn


def test_curves_with_bounds_tell_these(folder):
    series = {"name": "Fine-tuning", "x": [5, 10], "y": [0.9, 0.95], "low": [0.8, 0.9], "high": [0.95, 0.99]}
    write(folder, "preview.json", preview("curves", {"x_label": "examples", "series": [series]}))
    [one] = artifact(folder).previews
    assert (one.x, one.series[0].low) == ("examples", (0.8, 0.9))
    found = chart(one)
    assert (
        found
        and found.lines[0].points == "64.0,234.0 628.0,10.0"
        and [text for _, text in found.across][::4] == ["5", "10"]
    )


@pytest.mark.parametrize(
    ("kind", "data", "seen"),
    [
        ("table", {"columns": ["a", "b"], "rows": [["one", 2.5]]}, "<td>2.5</td>"),
        ("checks", {"checks": [{"name": "D1", "passed": False, "sentence": "Too slow."}]}, "fell short</span>"),
        ("text", {"text": "first\nsecond"}, ">first\nsecond</pre>"),
    ],
)
def test_each_kind_of_preview_is_drawn(browser, folder, kind, data, seen):
    write(folder, "preview.json", preview(kind, data))
    assert seen in browser.get(AT).text


def test_the_examples_of_the_documentation_are_read(folder):
    text = (Path(__file__).parents[2] / "docs" / "workdir.md").read_text(encoding="utf-8")
    examples = [line for line in text.splitlines() if line.startswith('{"schema": 1, "kind"')]
    for example in examples:
        write(folder, "preview.json", example.encode())
        [one] = artifact(folder).previews
        assert one.kind == json.loads(example)["kind"] and not one.note
    assert len(examples) == 4


@pytest.mark.parametrize(
    "value",
    [
        b"{",
        b"[" * 100_000,
        b"\xff\xfe",
        [],
        {"kind": "curves"},
        preview("film", {}),
        preview("curves", {"series": [{"name": "a", "x": [1], "y": [1, 2]}]}),
        preview("curves", {"series": {"loss": ["much"]}}),
        preview("table", {"columns": 3, "rows": 4}),
        preview("checks", {"checks": [7]}),
    ],
)
def test_a_preview_of_another_form_is_a_sentence_and_the_rest_is_shown(browser, folder, value):
    write(folder, "preview.json", value)
    write(folder, "facts.json", {"epochs": 3})
    answer = browser.get(AT)
    assert answer.status_code == 200 and "facts.json" in answer.text
    assert "Expected" in notes(folder) and "look at the file" in notes(folder)


def test_numbers_that_are_none_break_no_drawing_and_no_json(browser, folder):
    write(folder, "preview.json", preview("curves", {"series": {"loss": [None, 1.0, float("nan"), 0.5]}}))
    assert "nan" in browser.get(AT).text
    assert browser.get(f"/api/v1{AT}").json()["previews"][0]["series"][0]["y"] == [None, 1.0, None, 0.5]


def test_whatever_an_artifact_says_is_text(browser, folder):
    hostile = XSS + BIDI
    write(folder, "preview.json", preview("table", {"columns": [hostile], "rows": [[hostile]]}, hostile))
    write(folder, "facts.json", {hostile: hostile})
    write(folder, "documentation.md", f"# Module x\n\n{hostile}\n\n<!-- task: {XSS} -->\n".encode())
    write(
        folder,
        "conformance.json",
        report("sha256:0", [Finding("S1", hostile, "fail", False, hostile)]).to_json().encode(),
    )
    write(folder, f"Split-{XSS.replace('/', '')}/SchemaDiff.pb", b"\xff\xff")
    text = browser.get(AT).text
    assert "&lt;script&gt;" in text and "fell short" in text
    assert "<script>" not in text and "<img src=x" not in text and "onerror=alert(1)>" not in text.replace("&gt;", "")


def test_a_link_is_not_followed_and_a_large_file_is_not_read(browser, folder, tmp_path):
    (tmp_path / "secret.json").write_text('{"secret": "of the host"}')
    (folder / "facts.json").symlink_to(tmp_path / "secret.json")
    (folder / "Split-a").symlink_to(tmp_path)
    (folder / "preview.json").write_bytes(b" " * (MOST_BYTES + 1))
    text = browser.get(AT).text
    assert "of the host" not in text and "<code>a link</code>" in text
    assert "Expected at most 4.0 MB" in text


def test_of_a_long_table_the_beginning_is_shown_and_told(folder):
    write(folder, "preview.json", preview("table", {"columns": ["n"], "rows": [[n] for n in range(5000)]}))
    [one] = artifact(folder).previews
    assert len(one.rows) == MOST_ROWS and "The first 200 of 5,000." in one.note


def test_checks_that_fell_short_stand_first(folder):
    findings = [Finding(f"S{n}", "t", "fail", n != 2, f"s{n}") for n in range(3)]
    write(folder, "conformance.json", report("sha256:0", findings).to_json().encode())
    [one] = artifact(folder).previews
    assert [row[:2] for row in one.rows] == [("fell short", "S2"), ("held", "S0"), ("held", "S1")]


def test_an_artifact_tells_what_it_was_made_from(folder):
    before = provenance.make("ReusableExporter", "reusable_model", "sha256:aa", {}, {}, "sha256:c0", "sha256:10")
    read = {"reusable_model": [Input("components.ReusableSavedModel", "sha256:aa", None, before)]}
    made = provenance.make("FineTuneEvaluator", "evidence", "sha256:bb", read, {"seeds": 5}, "sha256:c1", "sha256:10")
    provenance.write(folder, made)
    found = {one.title: one.rows for one in artifact(folder).previews}
    assert found["Made from"] == (("reusable_model", "components.ReusableSavedModel", "sha256:aa", "ReusableExporter"),)
    assert ("code_digest", "sha256:c1") in found["Made by"] and found["With these parameters"] == (("seeds", "5"),)


def test_what_stock_tfx_makes_is_read_by_its_protos(browser, folder):
    pytest.importorskip("tensorflow_metadata")
    from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

    write(
        folder,
        "schema.pbtxt",
        b'feature { name: "image" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 8 } } }',
    )
    stats = statistics_pb2.DatasetFeatureStatisticsList()
    one = stats.datasets.add(num_examples=1448)
    image = one.features.add(name="image", type=statistics_pb2.FeatureNameStatistics.FLOAT)
    image.num_stats.common_stats.num_non_missing = 1448
    image.num_stats.mean, image.num_stats.max, image.num_stats.num_zeros = 4.875, 16, 45960
    for count in (10, 5, 0):
        image.num_stats.histograms.add().buckets.add(sample_count=count)
    del image.num_stats.histograms[1:]
    for count in (5, 0):
        image.num_stats.histograms[0].buckets.add(sample_count=count)
    word = one.features.add(name="word", type=statistics_pb2.FeatureNameStatistics.STRING)
    word.string_stats.unique = 7
    word.string_stats.top_values.add(value=XSS, frequency=3)
    write(folder, "Split-train/FeatureStats.pb", stats.SerializeToString())
    odd = anomalies_pb2.Anomalies()
    odd.anomaly_info["label"].description = "Examples hold 41."
    write(folder, "Split-train/SchemaDiff.pb", odd.SerializeToString())
    write(folder, "Split-eval/SchemaDiff.pb", anomalies_pb2.Anomalies().SerializeToString())
    assert titles(folder) == ["Schema", "Statistics of train", "Anomalies of eval", "Anomalies of train"]
    schema, statistics, fine, found = artifact(folder).previews
    assert schema.rows == (("image", "float", "always", "(8)", ""),)
    assert statistics.note == "1,448 examples, 2 features." and statistics.bars == ((1.0, 0.5, 0.0), ())
    assert statistics.rows[0] == ("image", "float", "1,448", "0", "4.875", "0", "0", "0", "16", "45,960", "")
    assert fine.note == "The examples follow the schema."
    assert found.rows == (("fell short", "label", "", "Examples hold 41."),)
    text = browser.get(AT).text
    assert "7 different: &lt;script&gt;" in text and '<svg class="bars"' in text and "<script>alert" not in text
    write(folder, "Split-train/FeatureStats.pb", b"\xff\xff\xff")
    assert "Expected what TFX writes in 'FeatureStats.pb'." in notes(folder)
