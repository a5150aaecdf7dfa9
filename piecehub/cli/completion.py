"""`piecehub completion`, and what a shell is offered where a command wants a recipe or a published version.

It is asked at every press of the key, so nothing heavy is imported, and no server is asked.
"""

import contextlib
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from piecehub.errors import PiecehubError
from piecehub.facts.workdir import DEFAULT_NAME, Workdir
from piecehub.shadows import HOME

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the lines that make SHELL complete commands, options, recipes and published versions.

    \b
    bash   eval "$(piecehub completion bash)"        in ~/.bashrc
    zsh    eval "$(piecehub completion zsh)"         in ~/.zshrc
    fish   piecehub completion fish > ~/.config/fish/completions/piecehub.fish
    """  # noqa: D301 - click keeps the lines of a paragraph that begins with this character
    found = get_completion_class(shell)
    assert found is not None  # click has these three
    click.echo(found(context.find_root().command, {}, "piecehub", "_PIECEHUB_COMPLETE").source())


def recipes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The shipped recipes; folders where none begins so."""
    del context, parameter
    names = sorted(file.parent.name for file in HOME.glob("pipelines/recipes/*/recipe.toml"))
    return _beginning(incomplete, names) or [CompletionItem(incomplete, type="dir")]


def versions(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The versions in the store, if it is a folder."""
    from piecehub.store.catalog import Store

    del parameter
    place = context.params.get("place") or Workdir(context.params.get("workdir") or Path(DEFAULT_NAME)).store
    if "://" in str(place):
        return []
    with contextlib.suppress(PiecehubError, OSError):  # a person who presses a key is told nothing
        states = Store.open(place).states()
        return _beginning(incomplete, [f"{state.model}/{version}" for state in states for version in state.versions])
    return []


def saved_models(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The versions in the store, and files."""
    return versions(context, parameter, incomplete) or [CompletionItem(incomplete, type="file")]


def _beginning(incomplete: str, values: list[str]) -> list[CompletionItem]:
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]
