"""`piecehub store reindex`: makes the index that lists read anew, from the log."""

from pathlib import Path

import click

from piecehub.cli.store import StoreCommand, open_store


@click.command(cls=StoreCommand)
def reindex(place: str | None, workdir: Path) -> None:
    """Make the index that lists read anew, from every manifest and event; safe beside publishers."""
    from piecehub.store.index import reindex as read_anew

    opened = open_store(place, workdir).made()
    count = read_anew(opened)
    click.echo(f"indexed {count} version{'' if count == 1 else 's'} in {opened.uri}", err=True)
