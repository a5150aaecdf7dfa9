"""`piecehub models`, `lineage` and `serve`: what is published, what it was made from, and showing it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from piecehub import extras
from piecehub.cli.completion import versions
from piecehub.cli.options import SERVER, STORE_URL, TOKEN, Command, read_token, store_option, store_workdir_option
from piecehub.facts.workdir import Workdir

if TYPE_CHECKING:
    from piecehub.ui.metrics import Scheduled


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
def models(as_json: bool, workdir: Path) -> None:
    """List the published versions, newest first."""
    from piecehub.store.catalog import Store
    from piecehub.ui.table import moment, print_list

    rows = [
        {
            "name": str(manifest.handle),
            "handle": manifest.handle.url(STORE_URL),
            "digest": manifest.digest,
            "published_at": manifest.published_at,
        }
        for manifest in Store.open(Workdir(workdir).store).models()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    print_list(
        ("model", "digest", "published (UTC)"),
        [(row["name"], row["digest"], moment(row["published_at"])) for row in rows],
        [f"{row['name']}  {row['digest']}  {row['published_at']}" for row in rows],
    )
    if not rows:
        click.echo(f"No published models in '{workdir}'; `piecehub run digits` makes one.", err=True)


@click.command()
@click.argument("name", shell_complete=versions)
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
@TOKEN
@SERVER
@store_option
@store_workdir_option
def lineage(name: str, as_json: bool, token_file: Path | None, server: str, place: str | None, workdir: Path) -> None:
    """Tell what the published NAME was made from.

    NAME is publisher/name/version, publisher/name@alias or publisher/name, for the newest, in the store, or an address
    on a server of piecehub. It is read from what was published with it, wherever that was made: data and what each
    component read by digest, code, parameters, evaluation, parents; of a run on Kubeflow its id and image.
    """
    from piecehub.lineage import published as lineages
    from piecehub.store.catalog import Store
    from piecehub.ui.table import print_text

    if "://" in name:
        found = lineages.of_address(name, server, read_token(token_file))
    else:
        found = lineages.of_published(Store.open(Workdir(workdir).store if place is None else place), name)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, sort_keys=True))
    else:
        print_text(lineages.text(found))


@click.command(cls=Command)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8470, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--hub-only/--with-pages",
    "hub_only",
    default=None,
    help="Leave out runs, lineage and logs; the default on another host than loopback, and with --tokens.",
)
@click.option(
    "--tokens",
    "tokens_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML: private publishers, each with the sha256 of its tokens.",
)
@click.option(
    "--kubeflow-host", metavar="URL", help="A Kubeflow server: /metrics tells of the last run of its schedules."
)
@click.option("--kubeflow-namespace", default="", help="Whose schedules, where that server has several.")
@click.option(
    "--kubeflow-token-file", type=click.Path(dir_okay=False, path_type=Path), help="Holds a token for that server."
)
@click.option(
    "--kubeflow-ca", type=click.Path(dir_okay=False, path_type=Path), help="Authorities of its certificate, as PEM."
)
@store_option
def serve(
    host: str,
    port: int,
    hub_only: bool | None,
    tokens_file: Path | None,
    kubeflow_host: str | None,
    kubeflow_namespace: str,
    kubeflow_token_file: Path | None,
    kubeflow_ca: Path | None,
    place: str | None,
    workdir: Path,
) -> None:
    """Serve the local store by the hosting protocol, the pages for review, and /metrics for Prometheus."""
    from piecehub.store.tokens import Tokens
    from piecehub.ui.serve import serve as serve_pages

    tokens = Tokens.read(tokens_file) if tokens_file else None
    scheduled = None
    if kubeflow_host:
        scheduled = _watched(kubeflow_host, kubeflow_namespace, kubeflow_token_file, kubeflow_ca)
    serve_pages(Workdir(workdir), host, port, hub_only=hub_only, tokens=tokens, store=place, scheduled=scheduled)


def _watched(host: str, namespace: str, token_file: Path | None, ca: Path | None) -> "Scheduled":
    if lacks := extras.lacking("pipeline", "--kubeflow-host"):
        raise lacks
    from pipelines.operating.connection import Where
    from pipelines.operating.watching import watched

    return watched(Where(host, namespace, token_file, ca, timeout_s=5))
