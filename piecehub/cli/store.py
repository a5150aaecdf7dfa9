"""`piecehub store`: what a person does to a store. Lists on standard output, talk on standard error.

A store is a folder or a uri (`--store s3://bucket/prefix`); without one, it is the working folder's.
"""

import getpass
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from piecehub.cli.completion import versions
from piecehub.cli.options import store_option, store_workdir_option
from piecehub.errors import PiecehubError, RecipeError
from piecehub.facts.workdir import Workdir

if TYPE_CHECKING:
    from piecehub.facts.handle import Handle
    from piecehub.store.catalog import Store
    from piecehub.store.events import Event

_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
_GRACE = click.option(
    "--grace-hours",
    default=24.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Younger objects may be a publisher's work, and are left alone.",
)


class StoreCommand(click.Command):
    """A command with `--store` and `--workdir`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        store_workdir_option(store_option(self))


class _SpeakingCommand(StoreCommand):
    """A command that records who said something, and why."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += [
            click.Option(["--why"], required=True, help="One sentence; it is recorded, and shown."),
            click.Option(["--by"], default=getpass.getuser, show_default="your user name", help="Who says so."),
        ]


@click.group()
def store() -> None:
    """The store: make it, look at it, yank, promote, check and mend it."""


@store.command(cls=StoreCommand)
def init(place: str | None, workdir: Path) -> None:
    """Make the store if there is none, after asking its backend whether it can be trusted."""
    from piecehub.store.catalog import Store

    click.echo(f"store ready at {Store.create(_place(place, workdir)).uri}", err=True)


@store.command(cls=StoreCommand)
@_JSON
def probe(as_json: bool, place: str | None, workdir: Path) -> None:
    """Ask the backend whether it refuses to overwrite; exit 3 if it does not."""
    from dataclasses import asdict

    from piecehub.store import probe as probes
    from piecehub.store.place import open_backend

    backend = open_backend(_place(place, workdir))
    found = probes.ask(backend)
    if as_json:
        click.echo(json.dumps({"uri": backend.uri} | asdict(found), indent=2))
    probes.check(backend, found)
    click.echo(f"{backend.uri} keeps what it was told to create", err=True)


@store.command(cls=StoreCommand)
@_JSON
def ls(as_json: bool, place: str | None, workdir: Path) -> None:
    """List every version with its status, newest first; yanked and quarantined ones too."""
    from piecehub.ui.table import moment, print_list

    opened = open_store(place, workdir)
    rows = [
        {"name": str(m.handle), "status": str(status), "digest": m.digest, "published_at": m.published_at}
        for m, status in opened.listing()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    print_list(
        ("model", "status", "digest", "published (UTC)"),
        [(row["name"], row["status"], row["digest"], moment(row["published_at"])) for row in rows],
        [f"{row['name']}  {row['status']:<11}  {row['digest']}  {row['published_at']}" for row in rows],
    )
    if not rows:
        click.echo(f"No published models in '{opened.uri}'.", err=True)


@store.command(cls=StoreCommand)
@click.argument("name", shell_complete=versions)
@_JSON
def show(name: str, as_json: bool, place: str | None, workdir: Path) -> None:
    """Show NAME: a version (publisher/name/3 or publisher/name@alias), or a model with its aliases and its log."""
    from piecehub.ui.table import print_list

    opened = open_store(place, workdir)
    is_version = "@" in name or name.strip("/").rpartition("/")[2].isdigit()
    value = _version(opened, name) if is_version else _model(opened, name)
    if as_json:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
        return
    rows = [
        (key, item if isinstance(item, str) else json.dumps(item, ensure_ascii=False))
        for key, found in value.items()
        for item in (cast("list[Any]", found) if isinstance(found, list) else [found])
    ]
    print_list(("", ""), rows, [f"{key:<13} {text}" for key, text in rows])


def _speaking(verb: str, told: str) -> None:
    """Registers `store <verb> HANDLE --why …`; they differ in one word only."""
    meaning = f"{told} HANDLE (publisher/name/version or publisher/name@alias)."

    @store.command(name=verb, cls=_SpeakingCommand, help=meaning)
    @click.argument("handle", shell_complete=versions)
    def _(handle: str, why: str, by: str, place: str | None, workdir: Path) -> None:
        from piecehub.store import curate

        say: Callable[..., Event | None] = getattr(curate, verb)
        opened = open_store(place, workdir)
        version = named(opened, handle)
        _tell(say(opened, version, by=by, why=why), f"{version}: {verb}")


_speaking("yank", "Hide from lists and from the newest, but go on serving by number:")
_speaking("unyank", "Take back the yank of")
_speaking("quarantine", "Stop serving to anybody:")
_speaking("release", "Take back the quarantine of")


@store.command(cls=_SpeakingCommand)
@click.argument("alias_name", metavar="ALIAS")
@click.argument("handle", shell_complete=versions)
@click.option("--instead-of", type=click.IntRange(min=0), help="Only if ALIAS means this version still (0: none).")
@click.option("--drop", is_flag=True, help="Take ALIAS away; HANDLE is then publisher/name.")
def alias(
    alias_name: str,
    handle: str,
    instead_of: int | None,
    drop: bool,
    why: str,
    by: str,
    place: str | None,
    workdir: Path,
) -> None:
    """Let ALIAS, such as champion, mean HANDLE (publisher/name/version or publisher/name@another)."""
    from piecehub.store import curate

    opened = open_store(place, workdir)
    if drop:
        publisher, _, name = handle.strip("/").partition("/")
        event = curate.drop_alias(opened, publisher, name, alias_name, by=by, why=why)
        _tell(event, f"{handle}: '{alias_name}' means nothing")
        return
    event = curate.set_alias(opened, curate.named(opened, handle), alias_name, by=by, why=why, instead_of=instead_of)
    _tell(event, f"'{alias_name}' means {handle}")


@store.command(cls=StoreCommand)
@_GRACE
@_JSON
def fsck(grace_hours: float, as_json: bool, place: str | None, workdir: Path) -> None:
    """Read every byte, and name what is not as it was written; exit 1 if a reader could meet it."""
    from dataclasses import asdict

    from piecehub.store.fsck import check_store
    from piecehub.ui.table import print_list

    opened = _open_to_check(place, workdir)
    checked = check_store(opened, grace=timedelta(hours=grace_hours))
    if as_json:
        rows = [asdict(finding) | {"damage": finding.is_damage} for finding in checked.findings]
        click.echo(
            json.dumps({"objects": checked.objects, "size_bytes": checked.size_bytes, "findings": rows}, indent=2)
        )
    else:
        rows = [(found.kind, found.key, found.digest, found.sentence) for found in checked.findings]
        lines = [" ".join(filter(None, (f"{kind:<12}", *others))) for kind, *others in rows]
        print_list(("kind", "object", "digest", "what is wrong"), rows, lines)
    click.echo(f"read {checked.objects} objects, {checked.size_bytes} bytes in {opened.uri}", err=True)
    if checked.damage:
        raise PiecehubError(
            f"Expected a whole store. Received: {len(checked.damage)} damaged or missing objects in '{opened.uri}'; "
            "`piecehub store repair --from` mends them from a second copy."
        )


@store.command(cls=StoreCommand)
@_GRACE
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
def gc(grace_hours: float, dry_run: bool, place: str | None, workdir: Path) -> None:
    """Remove blobs that no version names; safe beside publishers."""
    from piecehub.store import gc as collector
    from piecehub.ui.table import print_list

    opened, grace = open_store(place, workdir), timedelta(hours=grace_hours)
    if dry_run:
        found = list(collector.unreferenced(opened, grace=grace))
        rows = [(entry.key, f"{entry.size_bytes:,}") for entry in found]
        print_list(("object", "bytes"), rows, [f"{entry.key}  {entry.size_bytes}" for entry in found])
        return
    collected = collector.collect(opened, grace=grace)
    for digest in collected.removed:
        click.echo(f"removed   {digest}")
    for digest in collected.restored:
        click.echo(f"restored  {digest}")
    for key in collected.leftovers:
        click.echo(f"leftover  {key}")
    click.echo(f"freed {collected.size_bytes} bytes in {opened.uri}", err=True)


@store.command(cls=StoreCommand)
@click.option("--from", "sources", multiple=True, metavar="SOURCE", help="A store, or a folder of files; repeatable.")
def repair(sources: tuple[str, ...], place: str | None, workdir: Path) -> None:
    """Mend what fsck finds from a second copy; exit 1 if something is lost."""
    from piecehub.store.repair import repair as mend

    opened = _open_to_check(place, workdir)
    repaired = mend(opened, sources)
    for finding in repaired.mended:
        click.echo(f"mended  {finding.key}")
    for finding in repaired.lost:
        click.echo(f"lost    {finding.key} {finding.digest} {finding.sentence}")
    if repaired.lost:
        raise PiecehubError(
            f"Expected a copy of everything. Received: none of {len(repaired.lost)} objects of '{opened.uri}'; "
            "give another copy with --from, or publish those models again."
        )


def _place(place: str | None, workdir: Path) -> Path | str:
    return Workdir(workdir).store if place is None else place


def open_store(place: str | None, workdir: Path) -> "Store":
    """The store that `--store` or `--workdir` names."""
    from piecehub.store.catalog import Store

    return Store.open(_place(place, workdir))


def _open_to_check(place: str | None, workdir: Path) -> "Store":
    """Without a look at store.json, which may be what is damaged."""
    from piecehub.store.catalog import Store
    from piecehub.store.place import open_backend

    return Store(open_backend(_place(place, workdir)))


def named(opened: "Store", name: str) -> "Handle":
    """The version that publisher/name/version or publisher/name@alias names."""
    from piecehub.store import curate

    return curate.named(opened, name)


def _tell(event: "Event | None", done: str) -> None:
    click.echo(f"{done} ({event.by}, {event.at}: {event.why})" if event else f"{done}: it was so before.", err=True)


def _version(opened: "Store", name: str) -> dict[str, Any]:
    handle = named(opened, name)
    manifest = opened.manifest(handle)
    state = opened.state(handle.publisher, handle.name)
    reason = state.reason(handle.version)
    return {
        "name": str(handle),
        "status": str(state.status(handle.version)),
        "why": f"{reason.why} ({reason.by}, {reason.at})" if reason else "",
        "aliases": list(state.aliases_of(handle.version)),
        "digest": manifest.digest,
        "published_at": manifest.published_at,
        "compression": manifest.compression,
        "blobs": [f"{blob.title} {blob.digest} {blob.size_bytes}" for blob in (manifest.archive, *manifest.blobs)],
        "files": [f"{file.path} {file.sha256} {file.size_bytes}" for file in manifest.files],
    }


def _model(opened: "Store", name: str) -> dict[str, Any]:
    publisher, _, model = name.strip("/").partition("/")
    if not model:
        raise RecipeError(
            f"Expected 'publisher/name', 'publisher/name/version' or 'publisher/name@alias'. Received: '{name}'."
        )
    state = opened.state(publisher, model)
    return {
        "name": name.strip("/"),
        "newest": state.newest,
        "versions": [f"{version} {state.status(version)}" for version in state.versions],
        "aliases": [f"{alias} {version}" for alias, version in state.aliases.items()],
        "log": [f"{e.number} {e.kind} {e.alias or '-'} {e.version} by {e.by} at {e.at}: {e.why}" for e in state.events],
    }
