"""TFX's launcher, which keeps a failure's sentence, knows an equal output again, and asks the cache what, not where.

An output of a node that is never cached, if it equals the one before it, *is* the one before it: else everything after
a node that only looks at the store would run again in every run.

An artifact whose folder is gone, as after `piecehub workdir gc`, is made anew: TFX's cache passes over it, and so does
what looks for an equal output here. What was found is in use from then on, so no gc may come in between.

TFX's cache key holds all parameters as they are, so a recipe in another checkout would train again, and a schema that
was edited would come from the cache. Here a place is no part of the key, and a file counts by its content.
"""

# The generated protos have no types.
# pyright: reportAttributeAccessIssue=false

import contextlib
import shutil
import sys
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration.portable import cache_utils, execution_publish_utils, launcher
from tfx.proto.orchestration import execution_result_pb2
from tfx.types.standard_artifacts import Examples, ExampleStatistics

from piecehub.errors import as_ours
from piecehub.examples.ingest import FACTS
from piecehub.facts import provenance
from piecehub.facts.content import sha256_file

# Of TFX's ImportSchemaGen.
_FILE = "schema_file"
# Records that were only touched, or lie elsewhere now, are read again, but need not be trained on again.
_EXAMPLES = (Examples.TYPE_NAME, ExampleStatistics.TYPE_NAME)


def sentence_of(error: BaseException) -> str:
    """What went wrong, on one line and short enough for ML Metadata on every database."""
    text = str(as_ours(error) or f"{type(error).__name__}: {error}")
    return " ".join(text.split())[:2000]


@contextlib.contextmanager
def _keyed_by_content() -> Generator[None]:
    """While this lasts, TFX makes cache keys of what parameters say, not of where things lie."""
    original = cache_utils.get_cache_context

    def keyed(*arguments: Any, parameters: Mapping[str, Any] | None = None, **named: Any) -> Any:
        return original(*arguments, parameters=_of_content(parameters or {}), **named)

    cache_utils.get_cache_context = keyed
    try:
        yield
    finally:
        cache_utils.get_cache_context = original


def _of_content(parameters: Mapping[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in parameters.items() if not provenance.is_place(key)}
    return told | ({_FILE: sha256_file(Path(told[_FILE]))} if _FILE in told else {})


class TruthfulLauncher(launcher.Launcher):
    """TFX's launcher, which keeps a failure's sentence, knows an equal output again, and asks the cache what.

    Args:
        relied_on: entered for as long as an artifact was found, and no record says yet that it is used.
        arguments: those of TFX's launcher.
    """

    _relied_on: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext

    def __init__(
        self,
        *,
        relied_on: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._relied_on = relied_on

    def _prepare_execution(self) -> Any:
        with _keyed_by_content(), self._relied_on():
            return super()._prepare_execution()

    def _publish_failed_execution(self, execution_id: int, contexts: Any, executor_output: Any = None) -> None:
        error = sys.exc_info()[1]
        if executor_output is None and error is not None:
            result = execution_result_pb2.ExecutionResult(code=2, result_message=sentence_of(error))
            executor_output = execution_result_pb2.ExecutorOutput(execution_result=result)
        super()._publish_failed_execution(execution_id, contexts, executor_output)

    def _publish_successful_execution(
        self, execution_id: int, contexts: Any, output_dict: Any, executor_output: Any
    ) -> None:
        with self._relied_on():
            earlier = self._earlier_equal(contexts, output_dict)
            if not earlier:
                super()._publish_successful_execution(execution_id, contexts, output_dict, executor_output)
                return
            with self._mlmd_connection as connection:
                execution_publish_utils.publish_succeeded_execution(
                    metadata_handle=connection,
                    execution_id=execution_id,
                    contexts=contexts,
                    output_artifacts=earlier,
                    executor_output=None,
                )
        for artifacts in output_dict.values():
            shutil.rmtree(artifacts[0].uri, ignore_errors=True)

    def _earlier_equal(self, contexts: Any, output_dict: Any) -> Any:
        """The newest outputs of this node, if their content equals that of the new ones; else None."""
        caching = self._pipeline_node.execution_options.caching_options.enable_cache
        are_examples = all(artifacts[0].type_name in _EXAMPLES for artifacts in output_dict.values())
        if not are_examples and (caching or len(output_dict) != 1):
            return None
        context = next(c for c in contexts if c.name.endswith(f".{self._pipeline_node.node_info.id}"))
        with self._mlmd_connection as connection:
            known = connection.store.get_artifacts_by_context(context.id)
        found = {key: _newest_like(artifacts[0], known) for key, artifacts in output_dict.items()}
        return found if all(found.values()) else None


def _newest_like(new: Any, known: Any) -> Any:
    """Of the artifacts of the type of `new` the newest, in a list, if its content is the same; else None."""
    candidates = [
        a
        for a in known
        if a.type == new.type_name and a.state == mlmd.Artifact.LIVE and Path(a.uri).is_dir() and a.uri != new.uri
    ]
    newest = max(candidates, key=lambda a: a.id, default=None)
    if newest is None or not _same_content(Path(newest.uri), Path(new.uri), new.type_name):
        return None
    again = new.__class__()
    again.set_mlmd_artifact(newest)
    again.set_mlmd_artifact_type(new.artifact_type)
    return [again]


def _same_content(old: Path, new: Path, type_name: str) -> bool:
    if type_name == _EXAMPLES[0]:
        return (old / FACTS).is_file() and (old / FACTS).read_bytes() == (new / FACTS).read_bytes()
    if provenance.artifact_digest(old) != provenance.artifact_digest(new):
        return False
    told = {found and found.digest for found in (provenance.read(old), provenance.read(new))}
    return len(told) == 1 and (None not in told or type_name in _EXAMPLES)
