"""`piecehub store export` and `store expand`: copies of a store's models for readers that ask no server of ours."""

from pathlib import Path

import click

from piecehub.cli.completion import versions
from piecehub.cli.options import FOLDER
from piecehub.cli.store import StoreCommand, named, open_store


@click.command(cls=StoreCommand)
@click.option("--to", required=True, type=FOLDER, help="A folder of its own.")
@click.option(
    "--layout",
    default="nginx",
    show_default=True,
    type=click.Choice(["nginx", "plain"]),
    help="For nginx with deploy/nginx.conf, or for any host of plain files.",
)
@click.option("--url", default="", help="The address that the folder will be served at.")
@click.option(
    "--publisher", "publishers", multiple=True, help="Only this one; repeatable. Exported files know no tokens."
)
def export(to: Path, layout: str, url: str, publishers: tuple[str, ...], place: str | None, workdir: Path) -> None:
    """Write the store as files that a web server hands out without Python; again: only what changed."""
    from piecehub.store.export import LAYOUTS
    from piecehub.store.export import export as write
    from piecehub.ui.static_pages import static_pages

    opened = open_store(place, workdir)
    done = write(opened, to, LAYOUTS[layout], static_pages(url), url=url, publishers=publishers)
    click.echo(f"{done.versions} versions in {to}: {done.written} files written, {done.removed} removed", err=True)


@click.command(cls=StoreCommand)
@click.argument("handle", shell_complete=versions)
def expand(handle: str, place: str | None, workdir: Path) -> None:
    """Put the files of HANDLE beside its archive, in a store on gs://, for clients that ask for it uncompressed."""
    from piecehub.store import expanded

    opened = open_store(place, workdir)
    click.echo(expanded.expand(opened, opened.manifest(named(opened, handle))))
