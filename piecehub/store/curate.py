"""What people say about published versions, written into the model's log (events.py).

Each function looks, decides, and creates the next entry of the log; if somebody else spoke meanwhile it looks again.
Saying what holds already writes nothing.
"""

from datetime import UTC, datetime

from piecehub.errors import RecipeError, StoreError
from piecehub.facts.handle import Handle, check_name, check_publisher
from piecehub.facts.manifest import Manifest
from piecehub.store import index, layout
from piecehub.store.catalog import Store
from piecehub.store.events import Event, Kind, ModelState, Status, check_alias
from piecehub.store.publish import MAX_RACES


def yank(store: Store, handle: Handle, *, by: str, why: str) -> Event | None:
    """Hides a version from `newest` and lists; who names it still gets it.

    Args:
        store: where it was published.
        handle: the version.
        by: who says so.
        why: one sentence for those who meet the version.

    Returns:
        What was written, or None if it was yanked before.

    Raises:
        RecipeError: if `by` or `why` is empty.
        StoreError: if the version was not published, or the log is damaged.
        EnvironmentProblem: if the store cannot be written.
    """
    return _say(store, handle, Kind.YANK, by, why)


def unyank(store: Store, handle: Handle, *, by: str, why: str) -> Event | None:
    """Takes a yank back; arguments and errors as `yank` has them."""
    return _say(store, handle, Kind.UNYANK, by, why)


def quarantine(store: Store, handle: Handle, *, by: str, why: str) -> Event | None:
    """Stops serving a version to anybody, and publishing its content; arguments and errors as `yank` has them."""
    return _say(store, handle, Kind.QUARANTINE, by, why)


def release(store: Store, handle: Handle, *, by: str, why: str) -> Event | None:
    """Takes a quarantine back; arguments and errors as `yank` has them."""
    return _say(store, handle, Kind.RELEASE, by, why)


def set_alias(
    store: Store, handle: Handle, alias: str, *, by: str, why: str, instead_of: int | None = None
) -> Event | None:
    """Lets `alias` mean a version: the promotion of a candidate, say, by a person.

    Args:
        store: where it was published.
        handle: the version that the alias is to mean; it is neither yanked nor quarantined.
        alias: such as `candidate` or `champion`.
        by: who says so.
        why: one sentence.
        instead_of: the version that the alias means as far as the person knows (0: none); None if that is all the same.

    Returns:
        What was written, or None if the alias means that version already.

    Raises:
        RecipeError: if the alias is not allowed, or `by` or `why` is empty.
        StoreError: if the version may not have the alias, or the alias means another one than `instead_of` by now.
        EnvironmentProblem: if the store cannot be written.
    """
    return _say(store, handle, Kind.ALIAS, by, why, check_alias(alias), instead_of)


def drop_alias(store: Store, publisher: str, name: str, alias: str, *, by: str, why: str) -> Event | None:
    """Takes an alias away; None if there is none. Errors as `set_alias` has them."""
    meant = store.state(publisher, name).aliases.get(check_alias(alias))
    if meant is None:
        return None
    return _append(store, Handle(publisher, name, meant), Kind.ALIAS, by, why, alias, 0)


def of_alias(store: Store, name: str) -> Manifest:
    """The version that `publisher/name@alias` means; raises RecipeError if it is none such, and as `find_alias`."""
    model, _, alias = name.strip("/").rpartition("@")
    publisher, _, rest = model.partition("/")
    if not rest:
        raise RecipeError(f"Expected 'publisher/name@alias'. Received: '{name}'.")
    return find_alias(store, check_publisher(publisher), check_name(rest), alias)


def named(store: Store, name: str) -> Handle:
    """The version that `publisher/name/version` or `publisher/name@alias` names, as commands and callers take it.

    Whether there is a version of that number is for who reads it. Raises RecipeError if it is neither, and as
    `find_alias`.
    """
    return of_alias(store, name).handle if "@" in name else Handle.parse(name)


def find_alias(store: Store, publisher: str, name: str, alias: str) -> Manifest:
    """The version that an alias means; raises StoreError if it means none, or a quarantined one."""
    state = store.state(publisher, name)
    version = state.aliases.get(check_alias(alias), 0)
    if not version or state.status(version) is Status.QUARANTINED:
        raise StoreError(
            f"Expected an alias of '{publisher}/{name}'. Received: '{alias}', which means "
            f"{f'the quarantined version {version}' if version else 'nothing'}; it has {state.aliases or 'none'}."
        )
    return store.manifest(Handle(publisher, name, version))


def _say(
    store: Store, handle: Handle, kind: Kind, by: str, why: str, alias: str = "", instead_of: int | None = None
) -> Event | None:
    return _append(store, handle, kind, by, why, alias, handle.version, instead_of)


def _append(
    store: Store,
    handle: Handle,
    kind: Kind,
    by: str,
    why: str,
    alias: str,
    version: int,
    instead_of: int | None = None,
) -> Event | None:
    if not by.strip() or not why.strip():
        raise RecipeError(f"Expected who says so and why. Received: by '{by}', why '{why}'; give both.")
    for _ in range(MAX_RACES):
        state = store.state(handle.publisher, handle.name)
        _check(state, handle, kind, alias, version, instead_of)
        if not state.changes(kind, version, alias):
            return None
        number = max((event.number for event in state.events), default=0) + 1
        event = Event(state.model, number, kind, version, by.strip(), _now(), " ".join(why.split()), alias)
        if store.backend.create(layout.event_key(state.model, number), event.to_json().encode()):
            index.note(store, handle.publisher, handle.name)
            return event
    raise StoreError(
        f"Expected to win one of {MAX_RACES} races for the log of '{handle}'. Received: none; something that is no "
        "event may stand there, run `piecehub store fsck`."
    )


def _check(state: ModelState, handle: Handle, kind: Kind, alias: str, version: int, instead_of: int | None) -> None:
    if handle.version not in state.versions:
        raise StoreError(f"Expected a published version. Received: '{handle}'; `piecehub store ls` lists them.")
    if kind is Kind.ALIAS and version and state.status(version) is not Status.PUBLISHED:
        raise StoreError(
            f"Expected a version that is neither yanked nor quarantined. Received: '{handle}', which is "
            f"{state.status(version)}; choose another for '{alias}'."
        )
    meant = state.aliases.get(alias, 0)
    if instead_of is not None and meant not in (instead_of, version):
        raise StoreError(
            f"Expected '{alias}' of '{state.model}' to mean version {instead_of} still. Received: {meant} (0: none); "
            "look again."
        )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
