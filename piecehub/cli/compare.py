"""`piecehub compare`: two models side by side, as a table or JSON on standard output.

Exit code 1 if the second is no drop-in for the first.
"""

import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from piecehub import logs
from piecehub.cli.completion import saved_models
from piecehub.cli.options import needs, workdir_option
from piecehub.documentation.evidence_table import interval_text
from piecehub.facts.progress import phase
from piecehub.facts.workdir import Workdir

if TYPE_CHECKING:
    from piecehub.comparing.comparison import Comparison
    from piecehub.comparing.metrics import Mean, TaskComparison
    from piecehub.comparing.side import Side

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_EVIDENCE_HELP = "What `piecehub evaluate {} --out` wrote; a published version brings its own."
_MOST_OPERATIONS = 6


@click.command()
@click.argument("a", shell_complete=saved_models)
@click.argument("b", shell_complete=saved_models)
@click.option("--evidence-a", type=_FOLDER, help=_EVIDENCE_HELP.format("A"))
@click.option("--evidence-b", type=_FOLDER, help=_EVIDENCE_HELP.format("B"))
@click.option(
    "--margin",
    type=click.FloatRange(min=0, max=100),
    help="Points that B may be worse after fine-tuning; by default what A was published by, or 2.",
)
@click.option("--json", "as_json", is_flag=True, help="The comparison as one JSON document.")
@workdir_option("Whose store holds published versions.")
@needs("tf")
def compare(
    a: str,
    b: str,
    evidence_a: Path | None,
    evidence_b: Path | None,
    margin: float | None,
    as_json: bool,
    workdir: Path,
) -> None:
    """Compare two models, and say whether B is a drop-in for A.

    Each is a folder, an archive, the handle of a published version, or an address. Neither is loaded or run: what can
    be called, sizes and operations are read from their files, data and evidence from what was published with them.
    """
    from piecehub.store.source import find_saved_model
    from piecehub.ui.shown import form_of, shown

    store = Workdir(workdir).store
    with shown(form_of()), phase("reading both models"), ExitStack() as stack:
        sources = [stack.enter_context(find_saved_model(name, store)) for name in (a, b)]
        scratch = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="piecehub-"))) for _ in sources]
        with logs.away():
            from piecehub.comparing.comparison import compare as compare_sides
            from piecehub.comparing.side import read_side

        first = read_side(a, sources[0], store, scratch[0], evidence_a)
        second = read_side(b, sources[1], store, scratch[1], evidence_b)
        found = compare_sides(first, second, None if margin is None else margin / 100)
    click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(found)))
    if found.drop_in == "no":
        sys.exit(1)


def _lines(found: "Comparison") -> Iterator[str]:
    one, other = _facts(found.a), _facts(found.b)
    width = max(map(len, one.values()))
    for title in one:
        yield f"{_mark(not title or one[title] == other[title])} {title:<22}{one[title]:<{width}}  {other[title]}"
    yield from _data_lines(found.a, found.b)
    yield from _operation_lines(found.operations)
    for task in found.tasks:
        yield from _task_lines(task)
    if found.lacking:
        yield "\nWhat code that is written for A misses in B:"
        yield from (f"  {sentence}" for sentence in found.lacking)
    yield f"\n{found.sentence}"


def _facts(side: "Side") -> dict[str, str]:
    """What stands in a row of its own, by its title."""
    from piecehub.comparing.interface import spec_text
    from piecehub.ui.words import size

    interface = side.interface
    call = interface.calls[0] if interface.calls else None
    return {
        "": side.name,
        "content": side.digest[:19],
        "inputs": spec_text(call.inputs) if call else "signatures only",
        "outputs": spec_text(call.outputs) if call else "signatures only",
        "signatures": _names(interface.signatures),
        "hyperparameters": _names(interface.hyperparameters),
        "sub-pieces": _names(interface.sub_pieces),
        "trainable variables": str(interface.trainable_variables),
        "parameters": f"{side.parameters:,}",
        "size": size(side.size_bytes),
        "operations": str(sum(side.operations.values())),
    }


def _mark(same: bool) -> str:
    return " " if same else "≠"


def _data_lines(a: "Side", b: "Side") -> Iterator[str]:
    if a.data is None or b.data is None:
        yield f"  {'data':<22}not known of {' and '.join(n for n, s in (('A', a), ('B', b)) if s.data is None)}"
        return
    for where in sorted({*a.data, *b.data}):
        same = a.data.get(where) == b.data.get(where)
        yield f"{_mark(same)} {where + ' data':<22}{'the same' if same else 'others'}"


def _operation_lines(operations: "dict[str, tuple[int, int]]") -> Iterator[str]:
    if not operations:
        return
    by_change = sorted(operations.items(), key=lambda item: (-abs(item[1][1] - item[1][0]), item[0]))
    told = ", ".join(f"{name} {one} → {other}" for name, (one, other) in by_change[:_MOST_OPERATIONS])
    more = len(by_change) - _MOST_OPERATIONS
    yield f"≠ {'operations differ in':<22}{told}{f' and {more} more' if more > 0 else ''}"


def _task_lines(task: "TaskComparison") -> Iterator[str]:
    from piecehub.comparing.comparison import points_text
    from piecehub.facts.reference import mode_words

    yield f"\n{task.task}: {task.metric} with 95 % intervals"
    for row in task.rows:
        yield f"  {mode_words(row.mode):<24}{row.shots:>4}   {_mean(row.a):<24}{_mean(row.b)}"
    if found := task.difference:
        yield (
            f"  fine-tuning, B minus A: {points_text(found)}; at least {100 * found.bound:+z.1f}, and "
            f"{-100 * found.margin:g} would do"
        )
    else:
        yield f"  fine-tuning cannot be compared: {task.incomparable_because}"


def _mean(found: "Mean | None") -> str:
    return interval_text(found.mean, found.low, found.high) if found else "–"


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
