"""What `piecehub kubeflow doctor` finds: whether all is as a nightly run needs it."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from piecehub.cli.machine import Row
from piecehub.containers.door import refuse_other_code
from piecehub.errors import OtherCode, PiecehubError
from pipelines.kubeflow_mend import executor_path
from pipelines.operating.connection import Server
from pipelines.operating.cron import as_the_server_reads, zone_of
from pipelines.operating.images import image_rows
from pipelines.operating.listing import ScheduleRow, list_runs, list_schedules
from pipelines.operating.package import Package
from pipelines.operating.schedules import of_pipeline
from pipelines.operating.uploads import pipeline_id_of, version_of

_TESTED = "2.16"
_READS = ("pipelines", "experiments", "runs", "recurring_runs")
_ROOTS = ("s3://", "gs://", "minio://")
_KUBECTL_S = 20
_EXECUTOR = "_Executor"


def look(server: Server, package: Package | None = None, root: str = "", *, asks_kubectl: bool = False) -> list[Row]:
    """All that is looked at.

    Args:
        server: that answered.
        package: held against the server, and against the code at hand; None looks at the server alone.
        root: the pipeline root that is meant; that of the package's schedules if empty.
        asks_kubectl: whether `kubectl` may be asked for secrets and pods; its context is then the cluster that is
            meant.
    """
    rows = [Row("server", "ok", f"{server.where.host}, {'several namespaces' if server.is_multi_user else 'one team'}")]
    rows.append(_version(server))
    allowed = [_may_read(server, what) for what in _READS]
    rows += allowed
    if any(row.state == "missing" for row in allowed):
        return rows
    rows += _schedules(server, package)
    rows += _root(server, package, root)
    if package is not None:
        rows += [
            _uploaded(server, package),
            *_secrets(server, package, asks_kubectl),
            *image_rows(server, package, asks_kubectl=asks_kubectl),
            _code(package),
        ]
    return rows


def _version(server: Server) -> Row:
    if not server.version:
        return Row("version", "note", "not told", "the server's page shows it")
    if server.version.lstrip("v").startswith(_TESTED):
        return Row("version", "ok", server.version)
    return Row("version", "note", server.version, f"packages are held to {_TESTED}")


def _may_read(server: Server, what: str) -> Row:
    try:
        server.ask(f"list_{what}", page_size=1, namespace=server.namespace)
    except PiecehubError as error:
        return Row("permission", "missing", f"may not read {what.replace('_', ' ')}", error.sentence)
    return Row("permission", "ok", f"may read {what.replace('_', ' ')}")


def _schedules(server: Server, package: Package | None) -> Iterator[Row]:
    ours = {one.id for one in of_pipeline(server, package.name)} if package else None
    rows = [row for row in list_schedules(server, list_runs(server)) if ours is None or row.id in ours]
    if not rows:
        yield Row("schedule", "note", "none", "`piecehub kubeflow schedule` makes one")
    for row in rows:
        yield _schedule(row)
        yield from _clock(row)


def _schedule(row: ScheduleRow) -> Row:
    told = f"{row.name} ({row.id}), {row.cron or 'at intervals'}, {row.state}"
    if row.older_than:
        return Row(
            "schedule", "missing", f"{told}: older than {row.older_than}, and both stand", "call `schedule` again"
        )
    if row.state != "enabled":
        return Row("schedule", "note", told, f"`piecehub kubeflow resume {row.name}` lets it fire")
    last = f", last run {row.last_run.state}" if row.last_run else ""
    return Row("schedule", "ok", f"{told}, next {row.next_firing or 'not told'}{last}")


def _clock(row: ScheduleRow) -> Iterator[Row]:
    """The server's time zone, of which only the last run can tell."""
    cron = as_the_server_reads(row.cron)
    if row.last_run is None or not row.last_run.scheduled_at or cron is None:
        return
    at = datetime.fromisoformat(row.last_run.scheduled_at)
    if cron.fires_at(at.astimezone(zone_of(row.time_zone))):
        yield Row("time zone", "ok", f"{row.name} ran at {row.last_run.scheduled_at}, as in {row.time_zone}")
        return
    halves = [timedelta(minutes=30 * count) for count in range(-24, 29)]
    suit = [timezone(offset).tzname(None) for offset in halves if cron.fires_at(at.astimezone(timezone(offset)))]
    meant = f", but as in {suit[0]}" if len(suit) == 1 else ""
    yield Row(
        "time zone",
        "missing",
        f"{row.name} ran at {row.last_run.scheduled_at}, which is no firing of '{row.cron}' in {row.time_zone}{meant}",
        "call `schedule` with the --time-zone that the server has (CRON_SCHEDULE_TIMEZONE)",
    )


def _root(server: Server, package: Package | None, root: str) -> Iterator[Row]:
    told = {one.root for one in of_pipeline(server, package.name)} if package and not root else {root}
    for given in sorted(told or {""}):
        if not given:
            yield Row("root", "note", "the server's own", "--pipeline-root gives another")
        elif given.startswith(_ROOTS):
            yield Row("root", "ok", f"{given}, which the launcher knows; whether pods may write there, a run tells")
        else:
            yield Row("root", "missing", given, f"give one that begins with {', '.join(_ROOTS)}")


def _uploaded(server: Server, package: Package) -> Row:
    pipeline_id = pipeline_id_of(server, package.name)
    version = version_of(server, pipeline_id, package) if pipeline_id else None
    if version is None:
        return Row("package", "note", f"{package.version} is not on the server", "`schedule` and `run` upload it")
    standing = of_pipeline(server, package.name)
    if standing and all(one.version_id != version.version_id for one in standing):
        return Row("package", "note", f"{package.version}, which no schedule runs", "`schedule` puts it in place")
    return Row("package", "ok", f"{package.version} is on the server{', scheduled' if standing else ''}")


def _secrets(server: Server, package: Package, asks_kubectl: bool) -> Iterator[Row]:
    for name in package.secrets:
        command = ["kubectl", "get", "secret", name, "--namespace", server.pod_namespace, "--output", "name"]
        if not asks_kubectl:
            yield Row(
                "secret", "note", f"{name}: Kubeflow has no call that tells", f"--kubectl asks `{' '.join(command)}`"
            )
        else:
            yield _secret(name, command)


def _secret(name: str, command: list[str]) -> Row:
    if shutil.which(command[0]) is None:
        return Row("secret", "missing", f"{name}: there is no kubectl here", "install it, or leave --kubectl out")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_KUBECTL_S)
    except subprocess.TimeoutExpired:
        return Row("secret", "missing", f"{name}: kubectl did not answer in {_KUBECTL_S} s", "see to its context")
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["not found"])[-1]
        return Row("secret", "missing", f"{name}: {said}", f"make it, as `kubectl create secret generic {name} …`")
    return Row("secret", "ok", f"{name} is in the cluster")


def _code(package: Package) -> Row:
    """Started in the image, this holds the image to the package, before a pod does."""
    other: list[str] = []
    for task, body in package.spec["root"]["dag"]["tasks"].items():
        given = body.get("inputs", {}).get("parameters", {})
        values = {key: told["runtimeValue"]["constant"] for key, told in given.items() if "runtimeValue" in told}
        label = package.spec["components"][body["componentRef"]["name"]]["executorLabel"]
        path = executor_path(package.spec["deploymentSpec"]["executors"][label].get("container", {}))
        module, _, component = path.removesuffix(_EXECUTOR).rpartition(".")
        if "code_digest" in values and path.endswith(_EXECUTOR):
            try:
                refuse_other_code(component, module, values)
            except OtherCode:
                other.append(task)
            except PiecehubError as error:  # its recipe's folder lies elsewhere
                return Row("code", "note", error.sentence, "start this in the image to hold the image to the package")
    if other:
        return Row(
            "code",
            "note",
            f"that of {', '.join(other)} here is not the package's",
            "in the image this is a fault: compile in it again, or use the image that the package was compiled in",
        )
    return Row("code", "ok", "as the package was compiled with")
