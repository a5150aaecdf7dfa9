"""`piecehub kubeflow`: the pipeline as a package for Kubeflow Pipelines, and that package on a server."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from piecehub import logs
from piecehub.cli import kubeflow_options as options
from piecehub.cli import kubeflow_server
from piecehub.cli.options import RECIPE, SETTINGS, VERSION, Command, needs
from piecehub.facts.workdir import Workdir

if TYPE_CHECKING:
    from pipelines.kubeflow_requests import Request


@click.group()
def kubeflow() -> None:
    """Kubeflow Pipelines: compile a recipe into a package, run and schedule it on a server.

    Exits 3 if the server is not reached, does not answer in time or does not let in who asks (401, 403), 2 if it has no
    such thing (404) or a word is wrong (400), 1 if a name is taken (409).
    """


@kubeflow.command(cls=Command)
@RECIPE
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="package.yaml")
@click.option(
    "--image",
    default=f"piecehub:{VERSION}",
    show_default=True,
    help="The image that holds piecehub; its tag is never moved.",
)
@SETTINGS
@click.option(
    "--beam-arg",
    "beam_args",
    multiple=True,
    help="Read examples and run trials on Beam, such as --beam-arg=--runner=FlinkRunner; results are the same.",
)
@click.option("--store", default="", metavar="URI", help="Publish to a bucket: s3://, gs://, az:// or minio://.")
@click.option(
    "--store-secret",
    default="",
    metavar="NAME[:KEY,KEY]",
    help="The cluster's secret with the bucket's credentials; its keys are variables, as AWS_ACCESS_KEY_ID.",
)
@click.option("--signing-secret", default="", metavar="NAME", help="The cluster's secret whose key.pem signs.")
@click.option(
    "--work",
    default="",
    metavar="URI",
    help="Keep examples, trials and checkpoints in a bucket, or a folder that pods see; without --volume in the store.",
)
@click.option(
    "--work-secret",
    default="",
    metavar="NAME[:KEY,KEY]",
    help="The cluster's secret for --work, for pods that do not see the store; by default that of the store.",
)
@click.option(
    "--data-secret",
    default="",
    metavar="NAME[:KEY,KEY]",
    help="The cluster's secret for the bucket that data.folder names; by default that of --work.",
)
@click.option(
    "--code",
    default="",
    metavar="URI",
    help="Bring the recipe's code there, by its content, for pods to fetch. Without it the code lies in the image.",
)
@click.option("--volume", default="", metavar="CLAIM", help="Mount that claim at the working folder, in every pod.")
@options.as_json
@needs("pipeline")
def compile(
    recipe: str,
    output: Path,
    image: str,
    settings: tuple[str, ...],
    beam_args: tuple[str, ...],
    store: str,
    store_secret: str,
    signing_secret: str,
    work: str,
    work_secret: str,
    data_secret: str,
    code: str,
    volume: str,
    as_json: bool,
    workdir: Path,
) -> None:
    """Compile RECIPE into a package that Kubeflow Pipelines runs.

    With --store and no --volume, pods need none. A pod that is killed is followed by one that goes on where it was, by
    what it kept in the bucket.

    In every run a light task lists what data.folder names, or data.py writes anew; what did not change comes from the
    cache.

    A line for each task says how many processors and how much memory its pod asks for, and by what: the recipe's
    [kubeflow], a run of the recipe in the working folder, or else what such a component was measured to take of digits.

    What the package names by a path of this machine, and pods must find there, is told.

    A submission may give another store, other records, and what kubeflow.parameters lists (`kubeflow run -p`).
    """
    from pipelines.kubeflow_platform import OnCluster
    from pipelines.recipe.loader import load_recipe

    cluster = OnCluster(
        store, store_secret, signing_secret, volume, work.rstrip("/"), work_secret, data_secret, code.rstrip("/")
    )
    loaded = load_recipe(recipe, settings)
    with logs.away():
        from pipelines.kubeflow_places import sought_by_pods
        from pipelines.kubeflow_runner import compile_recipe

        requests = compile_recipe(loaded, Workdir(workdir), output, image, beam_args, cluster)
    click.echo(f"wrote {output}", err=True)
    for sentence in sought_by_pods(loaded, cluster, workdir):
        click.echo(sentence, err=True)
    _tell(requests, output, as_json)


def _tell(requests: "Sequence[Request]", output: Path, as_json: bool) -> None:
    """What the pods of a package ask for."""
    from piecehub.ui.table import print_list

    if as_json:
        told = {"package": str(output), "requests": [asdict(request) for request in requests]}
        click.echo(json.dumps(told, indent=2))
        return
    cells = [(one.task, one.cpu, one.memory, one.told_by) for one in requests]
    print_list(("task", "cpu", "memory", "by"), cells, ["  ".join(row) for row in cells])


for _command in kubeflow_server.COMMANDS:
    kubeflow.add_command(_command)
