"""Schedules on a server: the state that it holds after each call, and after each that fails."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from piecehub.errors import EnvironmentProblem, NotOnServer, RecipeError, ServerUnreached
from pipelines.operating import connection, schedules
from pipelines.operating.connection import Server, Where, connect
from pipelines.operating.listing import list_runs, list_schedules
from pipelines.operating.package import Package, read_package
from pipelines.operating.schedules import Wanted, schedule
from tests.kubeflow.api import Kfp
from tests.kubeflow.packages import write_package
from tests.kubeflow.server import Served, serving

NIGHTLY = "0 0 3 * * *"


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(Served(Kfp())) as running:
        yield running


@pytest.fixture
def server(served: Served) -> Server:
    return connect(Where(served.url, timeout_s=5))


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return read_package(write_package(tmp_path / "one.yaml"))


@pytest.fixture
def changed(tmp_path: Path) -> Package:
    return read_package(write_package(tmp_path / "two.yaml", image="registry.example/piecehub:0.1.0-2"))


def _state(served: Served) -> list[tuple[str, str, str]]:
    """Each schedule of the server: its name, cron, and the version that it runs."""
    return [
        (
            one["display_name"],
            one["trigger"]["cron_schedule"]["cron"],
            served.state.versions[one["pipeline_version_reference"]["pipeline_version_id"]]["display_name"],
        )
        for one in served.state.recurring.values()
    ]


def test_a_second_call_changes_nothing(served, server, package):
    first = schedule(server, package, Wanted("nightly", NIGHTLY))
    state, moments = _state(served), len(served.state.moments)
    again = schedule(server, package, Wanted("nightly", NIGHTLY))
    assert state == _state(served) == [("nightly", NIGHTLY, package.version)]
    assert (first.is_new, again.is_new, again.removed) == (True, False, ())
    assert again.standing.id == first.standing.id
    assert len(served.state.moments) == moments
    # The pipeline's first version is the server's doing.
    assert [v["display_name"] for v in served.state.versions.values()] == [package.name, package.version]


def test_what_is_made_catches_nothing_up_and_runs_one_at_a_time(served, server, package):
    schedule(server, package, Wanted("nightly", NIGHTLY, root="minio://mlpipeline/runs"))
    (made,) = served.state.recurring.values()
    assert (made["no_catchup"], made["max_concurrency"], made["status"]) == (True, "1", "ENABLED")
    assert made["runtime_config"]["pipeline_root"] == "minio://mlpipeline/runs"


def test_a_changed_recipe_is_uploaded_and_takes_the_place_of_the_older(served, server, package, changed):
    first = schedule(server, package, Wanted("nightly", NIGHTLY))
    then = schedule(server, changed, Wanted("nightly", NIGHTLY))
    assert _state(served) == [("nightly", NIGHTLY, changed.version)]
    assert then.removed == (first.standing.id,)
    assert [len(moment) for moment in served.state.moments] == [1, 2, 1], "never a moment without one"


@pytest.mark.parametrize("again", [Wanted("nightly", "0 0 4 * * *"), Wanted("nightly", NIGHTLY, at_once=2)])
def test_a_changed_word_does_so_too_without_another_version(served, server, package, again):
    schedule(server, package, Wanted("nightly", NIGHTLY))
    assert schedule(server, package, again).is_new
    assert _state(served) == [("nightly", again.cron, package.version)]
    assert [len(moment) for moment in served.state.moments] == [1, 2, 1]
    assert len(served.state.versions) == 2


def test_if_the_second_call_fails_both_stand_and_the_next_removes_the_older(served, server, package, changed):
    first = schedule(server, package, Wanted("nightly", NIGHTLY))
    served.broken = {("DELETE", "/apis/v2beta1/recurringruns"): 500}
    with pytest.raises(EnvironmentProblem, match=r"^Expected one schedule 'nightly'\. Received: 2, ") as told:
        schedule(server, changed, Wanted("nightly", NIGHTLY))
    assert _state(served) == [("nightly", NIGHTLY, package.version), ("nightly", NIGHTLY, changed.version)]
    new = list(served.state.recurring)[1]
    assert told.value.exit_code == 3
    assert first.standing.id in str(told.value)
    assert new in str(told.value)
    assert "03:00:00 UTC" in str(told.value)
    rows = list_schedules(server, list_runs(server))
    assert [(row.id, row.older_than) for row in rows] == [(first.standing.id, new), (new, "")]
    served.broken = {}
    then = schedule(server, changed, Wanted("nightly", NIGHTLY))
    assert (then.is_new, then.removed) == (False, (first.standing.id,))
    assert _state(served) == [("nightly", NIGHTLY, changed.version)]
    assert [len(moment) for moment in served.state.moments] == [1, 2, 1]


@pytest.mark.parametrize("how", [500, "cut", 403])
def test_if_the_first_call_fails_the_older_stands_alone(served, server, package, changed, how):
    schedule(server, package, Wanted("nightly", NIGHTLY))
    served.broken = {("POST", "/apis/v2beta1/recurringruns"): how}
    with pytest.raises(EnvironmentProblem):
        schedule(server, changed, Wanted("nightly", NIGHTLY))
    assert _state(served) == [("nightly", NIGHTLY, package.version)]
    served.broken = {}
    schedule(server, changed, Wanted("nightly", NIGHTLY))
    assert _state(served) == [("nightly", NIGHTLY, changed.version)]


def test_one_that_is_gone_meanwhile_is_no_fault(served, server, package, changed):
    schedule(server, package, Wanted("nightly", NIGHTLY))
    served.broken = {("DELETE", "/apis/v2beta1/recurringruns"): 404}
    schedule(server, changed, Wanted("nightly", NIGHTLY))


def test_a_paused_schedule_stays_paused_when_its_recipe_changes(served, server, package, changed):
    schedules.pause(server, schedule(server, package, Wanted("nightly", NIGHTLY)).standing)
    then = schedule(server, changed, Wanted("nightly", NIGHTLY))
    assert not then.standing.is_enabled
    assert [one["status"] for one in served.state.recurring.values()] == ["DISABLED"]
    schedules.resume(server, then.standing)
    assert [one["status"] for one in served.state.recurring.values()] == ["ENABLED"]


def test_schedules_of_other_names_and_pipelines_are_left_alone(served, server, package, tmp_path):
    other = read_package(write_package(tmp_path / "other.yaml", name="other"))
    for one, name in ((other, "nightly"), (package, "weekly"), (package, "nightly"), (package, "nightly")):
        schedule(server, one, Wanted(name, NIGHTLY))
    assert len(served.state.recurring) == 3


def test_more_schedules_than_a_page_has_are_all_seen(server, package, monkeypatch):
    monkeypatch.setattr(connection, "_PAGE", 2)
    for number in range(3):
        schedule(server, package, Wanted(f"nightly-{number}", NIGHTLY))
    assert len(schedules.standing_schedules(server)) == 3
    assert not schedule(server, package, Wanted("nightly-0", NIGHTLY)).is_new


def test_a_name_that_no_schedule_has_is_refused(server):
    with pytest.raises(NotOnServer, match=r"Expected the name or id of a schedule\. Received: 'nightly'"):
        schedules.named(server, "nightly")


def test_where_a_server_has_several_namespaces_one_is_asked_for_and_others_are_unseen(package):
    with serving(Served(Kfp(namespaces=("ours", "theirs")))) as served:
        with pytest.raises(RecipeError, match="Expected --namespace"):
            connect(Where(served.url))
        for namespace in ("ours", "theirs"):
            schedule(connect(Where(served.url, namespace)), package, Wanted("nightly", NIGHTLY))
        assert len(served.state.recurring) == 2
        assert len(schedules.standing_schedules(connect(Where(served.url, "ours")))) == 1
        with pytest.raises(EnvironmentProblem, match="403"):
            schedules.standing_schedules(connect(Where(served.url, "nobodys")))


def test_a_server_that_never_answers_ends_the_call_in_the_stated_time(served, package):
    served.broken = {("GET", "/apis/v2beta1/healthz"): "silent"}
    with pytest.raises(ServerUnreached, match=r"within 0\.3 s\. Received: none"):
        connect(Where(served.url, timeout_s=0.3))
