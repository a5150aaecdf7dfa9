"""The server of these tests refuses what Kubeflow's own was seen to refuse, and answers in the SDK's models only."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from piecehub.errors import EnvironmentProblem, RecipeError, ServerUnreached, TakenOnServer
from pipelines.operating.connection import Server, Where, connect
from pipelines.operating.package import read_package
from pipelines.operating.runs import experiment_id
from pipelines.operating.uploads import upload
from tests.kubeflow.api import Json, Kfp
from tests.kubeflow.packages import write_package
from tests.kubeflow.server import Served, as_the_sdk_knows_it, serving

NIGHTLY = {"job_name": "nightly", "cron_expression": "0 0 3 * * *"}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Served(Kfp())) as served:
        yield connect(Where(served.url, timeout_s=5))


@pytest.fixture
def what(server: Server, tmp_path: Path) -> Json:
    """What a run or a schedule names, with all that it needs."""
    version = upload(server, read_package(write_package(tmp_path / "digits.yaml")))
    ids = {"pipeline_id": version.pipeline_id, "version_id": version.version_id}
    return {"experiment_id": experiment_id(server, "digits"), **ids}


def test_a_pipelines_name_is_taken_once_and_a_versions_once_a_pipeline(server, what, tmp_path):
    package = str(tmp_path / "digits.yaml")
    with pytest.raises(TakenOnServer, match="already exist"):
        server.ask("upload_pipeline", pipeline_package_path=package, pipeline_name="digits")
    again = {"pipeline_package_path": package, "pipeline_id": what["pipeline_id"], "pipeline_version_name": "second"}
    server.ask("upload_pipeline_version", **again)
    with pytest.raises(TakenOnServer, match="already exist"):
        server.ask("upload_pipeline_version", **again)


def test_a_package_of_another_schema_is_refused(server, tmp_path):
    old = write_package(tmp_path / "old.yaml")
    old.write_text(old.read_text().replace("2.1.0", "2.0.0"))
    with pytest.raises(RecipeError, match="unknown template format"):
        upload(server, read_package(old))


@pytest.mark.parametrize(
    ("given", "words"),
    [({"epoch": 3}, "no parameter epoch"), ({"epochs": "3"}, "epochs is no"), ({"epochs": 2.5}, "epochs is no")],
)
def test_unknown_parameters_and_values_of_another_type_are_refused(server, what, given, words):
    with pytest.raises(RecipeError, match=words):
        server.ask("run_pipeline", job_name="x", params=given, **what)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cron_expression": "0 3 * *"}, "not a supported format"),
        ({"max_concurrency": 11}, "out of range"),
        ({"max_concurrency": 0}, "out of range"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(server, what, asked, words):
    with pytest.raises(RecipeError, match=words):
        server.ask("create_recurring_run", **{**NIGHTLY, **what, **asked})


def test_a_schedule_without_a_version_kills_the_server_which_is_told(server, what):
    with pytest.raises(ServerUnreached, match="no connection"):
        server.ask("create_recurring_run", **{**NIGHTLY, **what, "version_id": ""})


def test_two_schedules_may_have_one_name_and_an_empty_page_has_no_list(server, what):
    assert server.ask("list_recurring_runs").recurring_runs is None
    for _ in range(2):
        server.ask("create_recurring_run", **NIGHTLY, **what)
    assert len(server.ask("list_recurring_runs").recurring_runs) == 2


def test_an_answer_that_the_sdk_does_not_know_is_seen():
    as_the_sdk_knows_it("V2beta1Run", {"run_id": "a", "state": "FAILED"})
    for wrong in ({"run_id": "a", "phase": "Failed"}, {"run_id": "a", "max": 1}):
        with pytest.raises(AssertionError, match="does not hold"):
            as_the_sdk_knows_it("V2beta1Run", wrong)


def test_what_belongs_to_another_namespace_is_refused():
    with serving(Served(Kfp(namespaces=("ours",)))) as served:
        assert connect(Where(served.url, "ours")).is_multi_user
        with pytest.raises(EnvironmentProblem, match="no access to namespace theirs"):
            connect(Where(served.url, "theirs")).ask("list_pipelines", namespace="theirs")
