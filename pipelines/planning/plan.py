"""What a run of a recipe would do now, component by component, and why: asked of ML Metadata, told by name."""

# The generated protos have no types.
# pyright: reportAttributeAccessIssue=false

import json
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import localtime, strftime
from typing import Any

from tfx.proto.orchestration import pipeline_pb2

from piecehub import logs
from piecehub.containers.code import code_by_file, lock_digest
from piecehub.examples.ingest import FACTS, read_facts
from piecehub.examples.layout import split_files
from piecehub.examples.tfrecord_files import count_records
from piecehub.facts import runs
from piecehub.facts.plan import Change, Component, MadeOf, Part, Plan, read_plan
from piecehub.facts.progress import phase
from piecehub.facts.workdir import Workdir, looked_into, mark
from piecehub.training.devices import resolved
from pipelines.compiled import checked, compiled, tried
from pipelines.cost.earlier import taken
from pipelines.data_key import known_examples
from pipelines.literal_paths import refuse_patterns
from pipelines.planning import reasons
from pipelines.planning.foresee import Foreseen, foresee
from pipelines.planning.made_of import files_of, parameters_of, schemas_of
from pipelines.planning.parameters import parameters_by_component, plain_parameters
from pipelines.planning.sources import diff_of, read_sources, sources_of
from pipelines.planning.stamp import last_published, last_run, read_stamp
from pipelines.planning.store_state import store_state
from pipelines.recipe.node_ids import never_cached, task_suffixes
from pipelines.recipe.tables import LoadedRecipe, Recipe

_NOT_WRITTEN = "not-written-yet"  # stands for examples that are not there, under the name of no content


@dataclass(frozen=True)
class _Before:
    """The last published run of the recipe: its id, what it published, and what it was made of and told."""

    run: str = ""
    published: tuple[str, ...] = ()
    made_of: MadeOf | None = None
    told: Mapping[str, Mapping[str, Any]] | None = None
    sources: Mapping[str, str] = field(default_factory=dict[str, str])


def plan(loaded: LoadedRecipe, workdir: Workdir, devices: str = "", signed_by: str = "") -> Plan:
    """What a run would do now; examples that are not there yet are written, as a run does, which then finds them.

    Args:
        loaded: the recipe.
        workdir: beside examples, nothing is written there.
        devices: what the full model would be trained on (piecehub/training/devices.py).
        signed_by: the digest of the public key of what the run would sign with, if it would.

    Raises:
        PiecehubError: what would stop the run before it has components.
    """
    told = _devices(workdir, devices)
    mark(workdir.root)
    with logs.away():
        examples = checked(loaded, workdir)
    return plan_of(_compiled(loaded, workdir, examples, told), loaded, workdir, signed_by)


def plan_without_data(loaded: LoadedRecipe, workdir: Workdir, devices: str = "", signed_by: str = "") -> Plan:
    """The same, but that the recipe's writer of examples is not called: of what it would write nothing is known."""
    told = _devices(workdir, devices)
    with logs.away():
        tried(loaded, workdir)
    examples = known_examples(loaded, workdir.data.resolve()) or workdir.data.resolve() / _NOT_WRITTEN
    return plan_of(_compiled(loaded, workdir, examples, told), loaded, workdir, signed_by)


def _devices(workdir: Workdir, devices: str) -> str:
    refuse_patterns(workdir.root)
    with logs.away():
        return resolved(devices)  # TensorFlow divides a processor only before it has computed anything


def _compiled(loaded: LoadedRecipe, workdir: Workdir, examples: Path, devices: str) -> pipeline_pb2.Pipeline:
    with logs.away():
        return compiled(loaded, workdir, examples, devices)


def plan_of(ir: pipeline_pb2.Pipeline, loaded: LoadedRecipe, workdir: Workdir, signed_by: str | None = "") -> Plan:
    """The plan of a pipeline that is compiled already; None as `signed_by`: what sees the store runs whatever it is."""
    before = _before(workdir, ir.pipeline_info.id)
    nodes = [node.pipeline_node for node in ir.nodes]
    with (
        phase("looking at earlier runs"),
        logs.away(),
        looked_into(workdir),
        tempfile.TemporaryDirectory(prefix="piecehub-plan-") as scratch,
    ):
        idle = None if signed_by is None else _idle(ir, loaded, workdir, Path(scratch) / "idle", signed_by)
        found = idle or foresee(ir, workdir, _made(Path(scratch) / "asked"))
        data = _data(nodes, found, loaded.config, before)
    made_of = _made_of(loaded, nodes, data)
    changes = tuple(_with_diffs(before, made_of, loaded)) if before.made_of else ()
    took = taken(workdir, parameters_by_component(ir))
    components = tuple(
        replace(component, took=took.get(component.id))
        for component in _components(nodes, found, loaded, workdir, before, changes, bool(idle))
    )
    return Plan(
        ir.pipeline_info.id,
        str(loaded.folder),
        runs.now(),
        before.run,
        before.published,
        changes,
        components,
        made_of,
    )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _before(workdir: Workdir, pipeline: str) -> _Before:
    row = last_published(workdir, pipeline)
    plan, record = (read_plan(workdir, row.run), runs.read_run(workdir, row.run)) if row else (None, None)
    if not (row and plan and record):
        return _Before()
    told = {node.id: node.parameters for node in record.nodes}
    handles = tuple(result.handle for result in row.results)
    return _Before(row.run, handles, plan.made_of, told, read_sources(workdir, row.run))


def _with_diffs(before: _Before, made_of: MadeOf, loaded: LoadedRecipe) -> Iterator[Change]:
    """What differs from the run before, with the edits in small files of the recipe."""
    assert before.made_of
    old, new = before.sources, sources_of(loaded)
    for change in reasons.changes(before.made_of, made_of):
        if change.kind == "code":
            diff = diff_of(change.name, old, new, change.old is None, change.new is None)
            yield replace(change, diff=diff)
        else:
            yield change


def _idle(
    ir: pipeline_pb2.Pipeline, loaded: LoadedRecipe, workdir: Workdir, scratch: Path, signed_by: str
) -> dict[str, Foreseen] | None:
    """What becomes of each component if there is nothing to do; None if there is.

    There is nothing to do where the last run ended well, the store is as it was then, and every component has in the
    cache just what that run had.
    """
    last = last_run(workdir, ir.pipeline_info.id)
    stamp = read_stamp(workdir, last.run) if last and last.state == "done" else None
    record = runs.read_run(workdir, last.run) if last else None
    if not (last and stamp and record) or stamp.store is None or stamp.signed_by != signed_by:
        return None
    if stamp.store != store_state(loaded, workdir.store_place):
        return None
    found = foresee(ir, workdir, _made(scratch), never_cached(loaded.config))
    had = runs.node_states(record, runs.read_events(workdir, last.run))
    same = all(node in had and dict(each.outputs) == had[node].outputs for node, each in found.items())
    return found if same and not any(each.runs for each in found.values()) else None


def _parts(config: Recipe) -> dict[str, str]:
    """The part whose examples a component reads, by the component's id."""
    tasks = zip(task_suffixes(config), config.task, strict=True)
    return {"UpstreamExamples": "upstream", **{f"DownstreamExamples{suffix}": task.name for suffix, task in tasks}}


def _data(nodes: Sequence[Any], found: Mapping[str, Foreseen], config: Recipe, before: _Before) -> dict[str, Part]:
    """What is known of the examples of each part."""
    parts = _parts(config)
    return {
        parts[node.node_info.id]: _part(node, found[node.node_info.id], parts[node.node_info.id], before)
        for node in nodes
        if node.node_info.id in parts
    }


def with_examples(plan: Plan, config: Recipe, outputs: Mapping[str, Mapping[str, str]]) -> Plan:
    """The plan of a run that is done, with what its examples were; before, they were only counted where they are new.

    Args:
        plan: that it was started with.
        config: the recipe.
        outputs: of each component by id, the folders of its outputs by key.
    """
    read = {part: _read(outputs.get(name, {})) for name, part in _parts(config).items()}
    data = {**plan.made_of.data, **{part: found for part, found in read.items() if found}}
    return replace(plan, made_of=replace(plan.made_of, data=data))


def _read(outputs: Mapping[str, str]) -> Part | None:
    """The part that lies in the outputs of a component that reads examples, if it does."""
    place = outputs.get("examples", "")
    if not place or not (Path(place) / FACTS).is_file():
        return None
    facts = read_facts(place)
    records = {split: told.records for split, told in facts.items()}
    return Part(True, records, {split: told.digest for split, told in facts.items()})


def _part(node: Any, found: Foreseen, part: str, before: _Before) -> Part:
    if read := _read(found.outputs):
        return read
    told, was = plain_parameters(node), (before.told or {}).get(node.node_info.id, {})
    if before.made_of and part in before.made_of.data and told["input_fingerprint"] == was.get("input_fingerprint"):
        return before.made_of.data[part]
    folder = Path(told["source_folder"])
    if not folder.is_dir():
        return Part(known=False)
    splits = {split: split_files(str(folder), split) for split in json.loads(told["splits"])}
    return Part(True, {split: sum(map(count_records, map(Path, files))) for split, files in splits.items()})


def _made_of(loaded: LoadedRecipe, nodes: Sequence[Any], data: Mapping[str, Part]) -> MadeOf:
    code = {path: digest for node in nodes for path, digest in _code(node).items()}
    return MadeOf(
        parameters=parameters_of(loaded.config),
        lock=lock_digest(),
        files=files_of(loaded),
        schemas=schemas_of(loaded),
        piecehub=dict(sorted(code.items())),
        data=data,
    )


def _code(node: Any) -> dict[str, str]:
    """The files of ours that a component runs; one of TFX runs none."""
    module = node.node_info.type.name.rpartition(".")[0]
    return code_by_file(module) if module.startswith("components.") else {}


def _components(
    nodes: Sequence[Any],
    found: Mapping[str, Foreseen],
    loaded: LoadedRecipe,
    workdir: Workdir,
    before: _Before,
    changes: Sequence[Change],
    is_idle: bool,
) -> Iterator[Component]:
    sees_store, parts = never_cached(loaded.config), _parts(loaded.config)
    run_ids, new = sorted(runs.run_ids(workdir)), set[str]()
    for node in nodes:
        name, upstream = node.node_info.id, tuple(node.upstream_nodes)
        told = reasons.Told(plain_parameters(node), frozenset(_code(node)), parts.get(name, ""))
        was = (before.told or {}).get(name) if before.run else None
        why = reasons.of_component(told, was, changes)
        if before.run and new & set(upstream):
            why.append(reasons.INPUT)
        tried_alike = found[name].runs and found[name].outputs and not found[name].anew
        if (why or found[name].anew) and not tried_alike:
            new.add(name)
        state = "idle" if is_idle and name in sees_store else "run" if found[name].runs else "cache"
        why += _of_this_run(found[name], why, state == "run" and name in sees_store)
        yield Component(name, state, tuple(why), _run_at(run_ids, found[name].made_at), upstream)


def _of_this_run(found: Foreseen, known: Sequence[str], sees_store: bool) -> list[str]:
    """Why a component runs though nothing differs from the last published run."""
    if sees_store:
        return [reasons.STORE, *([reasons.STORE_NEW] if found.anew and not known else [])]
    if not found.runs or known:
        return []
    return [reasons.GONE if found.gone else reasons.NOT_DONE]


def _run_at(run_ids: Sequence[str], moment: float) -> str:
    """The run that went on at that time, by their ids, which begin with the time of their start."""
    if not moment:
        return ""
    at = f"{strftime('%Y%m%d-%H%M%S', localtime(moment))}-{int(moment * 1000) % 1000:03d}"
    place = bisect_right(run_ids, at)
    return run_ids[place - 1] if place else ""
