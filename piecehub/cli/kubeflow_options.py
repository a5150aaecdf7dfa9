"""What the commands of `piecehub kubeflow` share that talk to a server: which one, who asks, and of which package."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from piecehub.cli.options import FILE, needs
from piecehub.errors import RecipeError

package = click.argument("file", metavar="PACKAGE", type=FILE)
parameters = click.option(
    "-p", "--parameter", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the package; repeatable."
)
root = click.option(
    "--pipeline-root",
    "root",
    default="",
    metavar="URI",
    help="Where artifacts go: s3://, gs:// or minio://; the server's own without it.",
)
experiment = click.option("--experiment", default="", help="That runs belong to.  [default: the pipeline's name]")
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


def on_server(body: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that say which server, and who asks; the command gets `where` for them."""

    @functools.wraps(body)
    def called(
        host: str,
        namespace: str,
        token_file: Path | None,
        service_account: bool,
        ca: Path | None,
        timeout_s: float,
        **given: Any,
    ) -> None:
        from pipelines.operating.connection import SERVICE_ACCOUNT_TOKEN, Where

        if service_account and token_file:
            raise RecipeError("Expected --token-file or --service-account. Received: both; leave one out.")
        token = SERVICE_ACCOUNT_TOKEN if service_account else token_file
        body(where=Where(host, namespace, token, ca, timeout_s), **given)

    options = (
        click.option(
            "--host",
            envvar="KF_PIPELINES_ENDPOINT",
            show_envvar=True,
            required=True,
            metavar="URL",
            help="The server: its API, or its page (which `logs` needs).",
        ),
        click.option("--namespace", default="", help="Whose pipelines and runs; needed where a server has several."),
        click.option("--token-file", type=FILE, help="Holds a bearer token; read again for every call."),
        click.option(
            "--service-account", is_flag=True, help="In a pod: the token that Kubernetes mounts for Kubeflow."
        ),
        click.option("--ca", type=FILE, help="Authorities that the server's certificate may have, as PEM."),
        click.option(
            "--timeout",
            "timeout_s",
            default=30.0,
            show_default=True,
            type=click.FloatRange(0.1),
            metavar="SECONDS",
            help="How long one answer may take.",
        ),
    )
    checked = needs("pipeline")(called)
    for option in reversed(options):
        checked = option(checked)
    return checked
