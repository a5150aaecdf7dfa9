"""`piecehub kubeflow upload`, `run`, `schedule` and so on: a package on a Kubeflow Pipelines server.

What they do lies in `pipelines/operating`; the exit code of every failure in `pipelines/operating/refusals.py`.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from piecehub.cli import kubeflow_options as options
from piecehub.cli.doctor import tell
from piecehub.errors import PiecehubError

if TYPE_CHECKING:
    from pipelines.operating.connection import Server
    from pipelines.operating.schedules import Standing

_NOT_PUBLISHED = 4


def _connect(where: Any) -> "Server":
    from pipelines.operating.connection import connect

    return connect(where)


@click.command()
@options.package
@options.on_server
def upload(where: Any, file: Path) -> None:
    """Upload PACKAGE as a version of its pipeline; what the server has is not uploaded again."""
    from pipelines.operating.package import read_package
    from pipelines.operating.uploads import upload

    version = upload(_connect(where), read_package(file))
    done = "uploaded" if version.is_new else "the server has it"
    click.echo(f"{version.name}  {version.version_id}  {done}")


@click.command()
@options.package
@options.parameters
@options.root
@options.experiment
@click.option("--name", default="", help="Of the run.  [default: the pipeline's name and the time]")
@click.option("--wait", "waits", is_flag=True, help="Wait for its end, and exit as `piecehub run` does.")
@click.option(
    "--at-most",
    "at_most_s",
    default=86400.0,
    show_default=True,
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="How long --wait waits; the run goes on after it.",
)
@options.on_server
def run(
    where: Any,
    file: Path,
    settings: tuple[str, ...],
    root: str,
    experiment: str,
    name: str,
    waits: bool,
    at_most_s: float,
) -> None:
    """Run PACKAGE once.

    With --wait it exits 0 if the piece is published, 4 if the run finished but nothing may be published, 1 if it
    failed, and 3 if the server is not reached, or cannot show what was published.
    """
    from pipelines.operating import runs
    from pipelines.operating.package import read_package

    package = read_package(file)
    given = package.arguments(settings)
    server = _connect(where)
    name = name or f"{package.name} {datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    run_id = runs.submit(server, package, given, name=name, root=root, experiment=experiment)
    click.echo(f"{run_id}  {package.version}  {where.host.rstrip('/')}/#/runs/details/{run_id}")
    if waits:
        _wait(server, run_id, at_most_s)


def _wait(server: "Server", run_id: str, at_most_s: float) -> None:
    from piecehub.facts.progress import phase
    from piecehub.ui.shown import form_of, shown
    from pipelines.operating import runs

    with shown(form_of(quiet=False)), phase(f"waiting for the run {run_id}"):
        ended = runs.wait(server, run_id, at_most_s)
        told = runs.outcome(server, ended)
    if told.pushed:
        click.echo(f"Published {told.handle}.{f' {told.why}' if told.why else ''}")
        return
    click.echo(f"Nothing was published: {told.why}")
    sys.exit(_NOT_PUBLISHED)


@click.command()
@options.package
@click.option(
    "--cron",
    required=True,
    metavar="EXPRESSION",
    help="When: six fields, seconds first, as '0 0 3 * * *'. Of five, as elsewhere, the second is 0.",
)
@click.option(
    "--time-zone",
    default="UTC",
    show_default=True,
    metavar="ZONE",
    help="That of the server's clock, which no call tells; it changes nothing but what is told.",
)
@click.option("--name", default="", help="Of the schedule.  [default: the pipeline's name]")
@options.parameters
@options.root
@options.experiment
@click.option("--catch-up", "catches_up", is_flag=True, help="Make up for firings that were missed.")
@click.option(
    "--at-once", default=1, show_default=True, type=click.IntRange(1, 10), help="Runs of it that go on at a time."
)
@options.on_server
def schedule(
    where: Any,
    file: Path,
    cron: str,
    time_zone: str,
    name: str,
    settings: tuple[str, ...],
    root: str,
    experiment: str,
    catches_up: bool,
    at_once: int,
) -> None:
    """Run PACKAGE again and again; the same call twice changes nothing.

    If the package or an option changed, the new schedule is made before the older of its name is removed: there is none
    to no time. Should the second call fail, both stand and it exits 3; the next call removes the older. One that is
    paused stays so.
    """
    from pipelines.operating import schedules
    from pipelines.operating.cron import read_cron, zone_of
    from pipelines.operating.package import read_package

    package, read = read_package(file), read_cron(cron)
    zone_of(time_zone)
    given = package.arguments(settings)
    if read.had_five:
        click.echo(f"Five fields begin with the minute here; the server gets '{read.text}', with second 0.", err=True)
    wanted = schedules.Wanted(name or package.name, read.text, time_zone, given, root, catches_up, at_once, experiment)
    done = schedules.schedule(_connect(where), package, wanted)
    click.echo(f"{done.standing.id}  {wanted.name}  {package.version}  {'made' if done.is_new else 'unchanged'}")
    for one in done.removed:
        click.echo(f"{one}  {wanted.name}  removed, the older")
    _tell_next(done.standing, time_zone)


def _tell_next(standing: "Standing", time_zone: str) -> None:
    firing = standing.next_firing(datetime.now(UTC))
    when = f"fires next at {firing:%Y-%m-%d %H:%M:%S} UTC" if firing else "is paused"
    clock = "UTC, unless the server sets CRON_SCHEDULE_TIMEZONE" if time_zone == "UTC" else f"{time_zone}, as you say"
    click.echo(f"The schedule {when}; the server's clock is {clock}.", err=True)


@click.command()
@click.argument("name")
@options.on_server
def pause(where: Any, name: str) -> None:
    """Let the schedule NAME (or its id) fire no more, until `resume`."""
    from pipelines.operating import schedules

    _each(where, name, schedules.pause, "paused")


@click.command()
@click.argument("name")
@options.on_server
def resume(where: Any, name: str) -> None:
    """Let the paused schedule NAME (or its id) fire again; what it missed is not made up for."""
    from pipelines.operating import schedules

    _each(where, name, schedules.resume, "resumed")


@click.command()
@click.argument("name")
@options.on_server
def delete(where: Any, name: str) -> None:
    """Remove the schedule NAME (or its id); its runs and versions stay."""
    from pipelines.operating import schedules

    _each(where, name, lambda server, one: schedules.delete(server, one.id), "removed")


def _each(where: Any, name: str, act: "Callable[[Server, Standing], None]", done: str) -> None:
    from pipelines.operating import schedules

    server = _connect(where)
    for one in schedules.named(server, name):
        act(server, one)
        click.echo(f"{one.id}  {one.name}  {done}")


@click.command("list")
@click.option("--runs", "shown_runs", default=10, show_default=True, type=click.IntRange(0), help="Newest runs shown.")
@options.as_json
@options.on_server
def list_all(where: Any, shown_runs: int, as_json: bool) -> None:
    """List the schedules, each with its last run and next firing, and the newest runs."""
    from piecehub.ui.table import print_list
    from pipelines.operating import listing

    server = _connect(where)
    runs = listing.list_runs(server)
    schedules = listing.list_schedules(server, runs)
    if as_json:
        told = {"schedules": [row.to_json() for row in schedules], "runs": [asdict(row) for row in runs[:shown_runs]]}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    titles = ("schedule", "id", "cron", "state", "next (UTC)", "last run")
    cells = [
        (
            row.name,
            row.id,
            row.cron or "at intervals",
            row.state,
            row.next_firing,
            row.last_run.state if row.last_run else "none",
        )
        for row in schedules
    ]
    print_list(titles, cells, ["  ".join(filter(None, row)) for row in cells])
    for row in schedules:
        if row.older_than:
            click.echo(f"{row.id} is older than {row.older_than}, and both stand: call `schedule` again.", err=True)
    lines = [(row.id, row.state, row.created_at, row.name) for row in runs[:shown_runs]]
    print_list(("run", "state", "created (UTC)", "name"), lines, ["  ".join(line) for line in lines])
    if not schedules and not runs:
        click.echo(f"No schedules and no runs on '{where.host}'; `piecehub kubeflow run` starts one.", err=True)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("task", required=False)
@options.on_server
def logs(where: Any, run_id: str, task: str | None) -> None:
    """Print what the pod of TASK wrote in RUN, or list the tasks of RUN.

    The server of Kubeflow's page has it, so --host is its address.
    """
    from pipelines.operating import pod_logs

    server = _connect(where)
    found = server.ask("get_run", run_id=run_id)
    if task is None:
        for name in pod_logs.tasks_of(found):
            click.echo(name)
        return
    text = pod_logs.logs_of_task(server, found, task)
    click.echo(text, nl=not text.endswith("\n"))


@click.command()
@click.argument("file", metavar="[PACKAGE]", required=False, type=options.FILE)
@options.root
@click.option("--kubectl", "asks_kubectl", is_flag=True, help="Ask `kubectl` for the package's secrets, and for pods.")
@options.as_json
@options.on_server
def doctor(where: Any, file: Path | None, root: str, asks_kubectl: bool, as_json: bool) -> None:
    """Tell whether the server, its schedules and PACKAGE are as a nightly run needs them.

    It changes nothing. Started in the image, it holds the image's code to the package too. Exits 3 if something is
    missing, which the line says what to do about.
    """
    from piecehub.cli.machine import Row
    from pipelines.operating.package import read_package

    package = read_package(file) if file else None
    try:
        server = _connect(where)
    except PiecehubError as error:
        tell([Row("server", "missing", where.host, error.sentence)], as_json, "server")
        return
    from pipelines.operating.checkup import look

    tell(look(server, package, root, asks_kubectl=asks_kubectl), as_json, "server and package")


COMMANDS = (upload, run, schedule, pause, resume, list_all, logs, delete, doctor)
