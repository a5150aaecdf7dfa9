"""`piecehub keys`, `publish`, `verify`, `fetch` and `cache`: who vouches for a model, and taking in what holds.

What was found goes to standard output; what does not hold is one sentence and exit code 1.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from piecehub.cli.completion import saved_models
from piecehub.cli.options import (
    FILE,
    FOLDER,
    QUIET,
    SERVER,
    TOKEN,
    needs,
    read_token,
    store_option,
    store_workdir_option,
)
from piecehub.errors import NotVerified, PiecehubError, RecipeError
from piecehub.facts.progress import phase
from piecehub.facts.workdir import Workdir

if TYPE_CHECKING:
    from piecehub.facts.handle import Handle
    from piecehub.signing.hub_cache import Ask
    from piecehub.signing.trust import Trust
    from piecehub.signing.verify import Signed, Verdict
    from piecehub.store.shelf import Shelf

_KEY = click.option("--key", type=FILE, help="The public key that must have signed.")
_TRUST = click.option("--trust", "trust_file", type=FILE, help="trust.toml: which key may sign for which publisher.")
_CACHE = click.option("--cache", "folder", type=FOLDER, help="The hub client's cache.  [default: as the client]")


@click.group()
def keys() -> None:
    """Keys to sign with."""


@keys.command()
@click.argument("path", type=FILE)
def new(path: Path) -> None:
    """Make a key pair: the private key at PATH, the public one at PATH.pub; print the fingerprint."""
    from piecehub.signing.keys import new_key

    click.echo(new_key(path).fingerprint)
    click.echo(f"wrote {path} (keep it secret) and {path}.pub (give it to consumers)", err=True)


@keys.command()
@click.argument("path", type=FILE)
def fingerprint(path: Path) -> None:
    """Print the fingerprint of the public key at PATH."""
    from piecehub.signing.keys import read_public_key

    click.echo(read_public_key(path).fingerprint)


@click.command()
@click.argument("saved_model", shell_complete=saved_models)
@click.option("--name", required=True, metavar="PUBLISHER/NAME", help="As the first line of the page has it.")
@click.option("--version", type=click.IntRange(min=1), help="As the first line of the page has it.")
@click.option("--documentation", required=True, type=FILE, help="The model page; `piecehub page` begins one.")
@click.option(
    "--evidence",
    type=click.Path(path_type=Path),
    help="What `piecehub evaluate --out` kept. Judged by the recipe's rule, which lies beside it in verdict.json; "
    "without one a gain of more than 0.75 points is asked for.",
)
@click.option(
    "--with-preprocessor",
    "preprocessor",
    type=(str, FILE),
    metavar="SAVED_MODEL PAGE",
    help="Publish the model that makes its inputs together with it, both or none; the first line of PAGE names it.",
)
@click.option("--signing-key", type=FILE, help="Sign it; see `piecehub keys new`.")
@click.option("--trust", is_flag=True, help="Run the model even where there is no sandbox.")
@click.option(
    "--without-keras-metadata",
    is_flag=True,
    help="Leave out keras_metadata.pb, which only tf_keras' own loader reads, and which may hold Python.",
)
@QUIET
@store_option
@store_workdir_option
@needs("tf")
def publish(
    saved_model: str,
    name: str,
    version: int | None,
    documentation: Path,
    evidence: Path | None,
    preprocessor: tuple[str, Path] | None,
    signing_key: Path | None,
    trust: bool,
    without_keras_metadata: bool,
    quiet: bool,
    place: str | None,
    workdir: Path,
) -> None:
    """Publish SAVED_MODEL, which was made elsewhere: a folder, an archive, or an address.

    Page, names, version, interface and evidence are looked at first, and all faults are told at once. Then it must pass
    `piecehub check`, which takes minutes. Its page may say `fine-tunable: true` only if --evidence is blessed.
    """
    from piecehub.ui.shown import form_of, shown

    with shown(form_of(quiet=quiet)), phase("reading the model"):
        from piecehub.publishing.offered import publish as publish_offered

        done = publish_offered(
            saved_model,
            name,
            documentation=documentation,
            evidence=evidence,
            preprocessor=preprocessor,
            version=version,
            store=place,
            signing_key=signing_key,
            trust=trust,
            without_keras_metadata=without_keras_metadata,
            workdir=workdir,
        )
    click.echo(f"{done.handle}  {done.digest}")
    if done.warning:
        click.echo(f"piecehub: {done.warning}", err=True)
    if not done.created:
        click.echo("The same content was published before; nothing was written, and nothing signed.", err=True)


@click.command()
@click.argument("name", shell_complete=saved_models)
@_KEY
@_TRUST
@click.option("--bundle", type=FILE, help="NAME is the folder of a SavedModel, and this its model.sig.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@TOKEN
@SERVER
@store_option
@store_workdir_option
def verify(
    name: str,
    key: Path | None,
    trust_file: Path | None,
    bundle: Path | None,
    as_json: bool,
    token_file: Path | None,
    server: str,
    place: str | None,
    workdir: Path,
) -> None:
    """Verify every byte of NAME, and who signed it.

    NAME is publisher/name/version or publisher/name@alias in the store, an address on a server of piecehub, or a folder
    with --bundle. Exits 1 if anything is not as it was published; with --key or --trust also if it is unsigned, or
    signed by somebody else.
    """
    from piecehub.signing import verify as verifying

    trust = _trust(key, trust_file)
    if bundle is not None:
        if trust is None or trust_file:
            raise RecipeError("Expected --key with --bundle. Received: no such key; a bundle names no publisher.")
        verdict = verifying.verify_folder(Path(name), bundle, trust)
    else:
        verdict = verifying.verify_version(*_shelf(name, place, workdir, token_file, server), trust)
    click.echo(json.dumps(_plain(verdict), indent=2) if as_json else _told(verdict))


@click.command()
@click.argument("handle")
@_KEY
@_TRUST
@TOKEN
@SERVER
@_CACHE
@QUIET
def fetch(
    handle: str,
    key: Path | None,
    trust_file: Path | None,
    token_file: Path | None,
    server: str,
    folder: Path | None,
    quiet: bool,
) -> None:
    """Verify HANDLE, then put it into the hub client's cache, so that hub.load(HANDLE) needs no network."""
    from piecehub.signing.fetch import fetch as fetch_model
    from piecehub.signing.hub_cache import cache_folder
    from piecehub.ui.shown import form_of, shown

    cache, trust, token = folder or cache_folder(), _trust(key, trust_file), read_token(token_file)
    with shown(form_of(quiet=quiet)):
        done = fetch_model(handle, cache, trust=trust, token=token, server=server)
    click.echo(str(done.entry))
    what = "verified" if done.created else "was there before"
    click.echo(f"{handle} {what}: {done.digest}, {_signer(done.signed)}", err=True)


@click.group()
def cache() -> None:
    """The cache of TensorFlow Hub's client."""


@cache.command()
@click.option("--purge", is_flag=True, help="Remove what is wrong; the client then downloads it again.")
@click.option("--offline", is_flag=True, help="Ask no server what the files should be.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
@TOKEN
@_CACHE
def doctor(purge: bool, offline: bool, as_json: bool, token_file: Path | None, folder: Path | None) -> None:
    """Find entries that would break hub.load, or are not what was published; exit 1 if any stays."""
    from piecehub.signing import hub_cache
    from piecehub.ui.table import print_list

    where = folder or hub_cache.cache_folder()
    findings = hub_cache.check_cache(where, None if offline else _asker(read_token(token_file)))
    rows = [{"kind": f.kind, "entry": f.paths[0].name, "handle": f.handle, "sentence": f.sentence} for f in findings]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        cells = [(row["kind"], row["entry"], row["handle"] or "-", row["sentence"]) for row in rows]
        lines = [f"{kind:<9} {entry}  {handle}  {sentence}" for kind, entry, handle, sentence in cells]
        print_list(("kind", "entry", "handle", "what is wrong"), cells, lines)
    if purge:
        for finding in findings:
            hub_cache.purge(finding)
        click.echo(f"removed {len(findings)} entries from '{where}'", err=True)
    elif findings:
        raise NotVerified(
            f"Expected a sound cache. Received: {len(findings)} bad entries in '{where}'; --purge removes them."
        )


def _asker(token: str) -> "Ask":
    from piecehub.store.shelf import Address, ServerShelf

    def ask(handle: str) -> Any:
        try:
            address = Address.parse(handle)
            return ServerShelf(address.server, token).manifest(address.handle).files
        except PiecehubError:  # another kind of server, none at all, or no version: nobody promises anything
            return None

    return ask


def _shelf(name: str, place: str | None, workdir: Path, token_file: Path | None, server: str) -> "tuple[Shelf, Handle]":
    from piecehub.store.catalog import Store
    from piecehub.store.curate import named
    from piecehub.store.shelf import Address, ServerShelf, StoreShelf

    if "://" in name:
        address = Address.parse(name, server)
        return ServerShelf(address.server, read_token(token_file)), address.handle
    opened = Store.open(_place(place, workdir))
    return StoreShelf(opened), named(opened, name)


def _place(place: str | None, workdir: Path) -> Path | str:
    return Workdir(workdir).store if place is None else place


def _trust(key: Path | None, trust_file: Path | None) -> "Trust | None":
    from piecehub.signing.trust import Trust

    if key and trust_file:
        raise RecipeError("Expected --key or --trust. Received: both; the file may name the key.")
    if key:
        return Trust.in_key(key)
    return Trust.load(trust_file) if trust_file else None


def _plain(verdict: "Verdict") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(verdict)


def _told(verdict: "Verdict") -> str:
    lines = [
        f"{verdict.name}  {verdict.digest}",
        f"files      {verdict.files}, {verdict.size_bytes} bytes: as they were published",
        f"signature  {_signer(verdict.signed)}",
    ]
    if verdict.signed and verdict.signed.builder:
        lines.append(f"provenance {verdict.signed.builder}, {verdict.signed.signed_at}")
    return "\n".join(lines)


def _signer(signed: "Signed | None") -> str:
    if signed is None:
        return "unsigned"
    by = f"'{signed.trusted_as}'" if signed.trusted_as else "a key that nobody here vouches for"
    return f"signed by {by} ({signed.fingerprint})"
