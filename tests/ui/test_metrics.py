"""`/metrics`: days since a model's newest version, and the last run of each schedule of a Kubeflow server."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from starlette.testclient import TestClient

from piecehub.errors import ServerUnreached
from piecehub.facts.scheduled import ScheduledRun
from piecehub.store.tokens import Tokens
from piecehub.ui.app import create_app
from pipelines.operating import schedules
from pipelines.operating.connection import Where, connect
from pipelines.operating.package import read_package
from pipelines.operating.schedules import Wanted
from pipelines.operating.watching import watched
from tests.command_line import ROOT
from tests.kubeflow.api import Kfp
from tests.kubeflow.packages import write_package
from tests.kubeflow.server import Served, serving

_SAMPLE = re.compile(r'(?P<name>[a-z_]+)(?:\{(?P<labels>(?:\w+="(?:[^"\\]|\\.)*",?)*)\})? (?P<value>[-+0-9.e]+)')


def _samples(site, **options) -> dict[str, float]:
    client = TestClient(create_app(site.workdir, **options), base_url="http://127.0.0.1:8470")
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = {}
    for line in answer.text.splitlines():
        if not line.startswith(("# HELP ", "# TYPE ")):
            read = _SAMPLE.fullmatch(line)
            assert read, line
            found[line.rpartition(" ")[0]] = float(read["value"])
    return found


def test_days_since_the_newest_version_of_each_model(site):
    site.publish("digits")
    site.publish("digits", content=b"another graph")
    site.publish("shapes")
    found = _samples(site)
    assert found.keys() == {
        'piecehub_days_since_published{model="piecehub/digits"}',
        'piecehub_days_since_published{model="piecehub/shapes"}',
    }
    assert all(0 <= days < 0.01 for days in found.values())


def test_they_are_there_without_the_pages_and_private_publishers_are_left_out(site):
    site.publish("digits")
    assert len(_samples(site, hub_only=True)) == 1
    assert _samples(site, tokens=Tokens({"piecehub": ("0" * 64,)})) == {}


def test_an_empty_folder_has_none(site):
    assert _samples(site) == {}


def test_states_and_ages_of_scheduled_runs_and_names_are_escaped(site):
    told = [
        ScheduledRun("nightly", False, "FAILED", 3600.0),
        ScheduledRun('odd "name"\\\n', True, "", None),
    ]
    assert _samples(site, scheduled=lambda: told) == {
        "piecehub_kubeflow_up": 1,
        'piecehub_schedule_paused{schedule="nightly"}': 0,
        'piecehub_schedule_paused{schedule="odd \\"name\\"\\\\\\n"}': 1,
        'piecehub_scheduled_run_age_seconds{schedule="nightly"}': 3600,
        'piecehub_scheduled_run_state{schedule="nightly",state="FAILED"}': 1,
    }


def test_a_server_that_does_not_answer_is_told_and_models_still_are(site):
    def ask():
        raise ServerUnreached("Expected an answer.")

    site.publish("digits")
    found = _samples(site, scheduled=ask)
    assert found.pop("piecehub_kubeflow_up") == 0
    assert len(found) == 1


def test_a_kubeflow_server_is_asked_once_in_a_while_and_of_a_pair_the_newer_counts(site, tmp_path):
    package = read_package(write_package(tmp_path / "digits.yaml"))
    with serving(Served(Kfp())) as served:
        where = Where(served.url, timeout_s=5)
        first = schedules.schedule(connect(where), package, Wanted("nightly", "0 0 3 * * *")).standing
        run = served.state.fire(first.id, datetime.now(UTC) - timedelta(hours=2))
        served.state.end(run["run_id"], "FAILED")
        ask = watched(where)
        found = _samples(site, scheduled=ask)
        assert found['piecehub_scheduled_run_state{schedule="nightly",state="FAILED"}'] == 1
        assert abs(found['piecehub_scheduled_run_age_seconds{schedule="nightly"}'] - 7200) < 60
        asked = len(served.asked)
        assert _samples(site, scheduled=ask).keys() == found.keys()
        assert len(served.asked) == asked
        served.state.recurring["later"] = {
            **served.state.recurring[first.id],
            "recurring_run_id": "later",
            "created_at": "2026-12-01T00:00:00+00:00",
        }
        assert "piecehub_scheduled_run_state" not in " ".join(_samples(site, scheduled=watched(where)))
    assert _samples(site, scheduled=watched(where)) == {"piecehub_kubeflow_up": 0}


def test_the_alerts_of_the_docs_ask_for_what_is_told(site):
    page = (Path(ROOT) / "docs" / "kubeflow.md").read_text(encoding="utf-8")
    [text] = re.findall(r"^```yaml\n(groups:.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    asked = {name for rule in rules for name in re.findall(r"piecehub_\w+", rule["expr"])}
    site.publish("digits")
    told = {
        key.partition("{")[0] for key in _samples(site, scheduled=lambda: [ScheduledRun("n", False, "FAILED", 1.0)])
    }
    assert asked == told
