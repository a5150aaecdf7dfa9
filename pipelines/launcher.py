"""TFX's launcher, which keeps a failure's sentence, knows an equal output again, and asks the cache what, not where.

An output of a node that is never cached, if it equals the one before it, *is* the one before it: else everything after
a node that only looks at the store would run again in every run.

TFX's cache key holds all parameters as they are, so a recipe in another checkout would train again, and a schema that
was edited would come from the cache. Here a place is no part of the key, and a file counts by its content.
"""

# The generated protos have no types.
# pyright: reportAttributeAccessIssue=false

import contextlib
import shutil
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as mlmd
from tfx.orchestration.portable import cache_utils, execution_publish_utils, launcher
from tfx.proto.orchestration import execution_result_pb2

from piecehub.errors import PiecehubError
from piecehub.facts import provenance
from piecehub.facts.content import sha256_file

# Of TFX's ImportSchemaGen.
_FILE = "schema_file"


def sentence_of(error: BaseException) -> str:
    """What went wrong, on one line and short enough for ML Metadata on every database."""
    text = str(error) if isinstance(error, PiecehubError) else f"{type(error).__name__}: {error}"
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
    """TFX's launcher, which keeps a failure's sentence, knows an equal output again, and asks the cache what."""

    def _prepare_execution(self) -> Any:
        with _keyed_by_content():
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
        if self._pipeline_node.execution_options.caching_options.enable_cache or len(output_dict) != 1:
            return None
        [(key, [new])] = output_dict.items()
        context = next(c for c in contexts if c.name.endswith(f".{self._pipeline_node.node_info.id}"))
        with self._mlmd_connection as connection:
            store = connection.store
            candidates = [
                a
                for a in store.get_artifacts_by_context(context.id)
                if a.state == mlmd.Artifact.LIVE and Path(a.uri).is_dir() and a.uri != new.uri
            ]
        if not candidates:
            return None
        newest = max(candidates, key=lambda a: a.id)
        if provenance.artifact_digest(Path(newest.uri)) != provenance.artifact_digest(Path(new.uri)):
            return None
        old, new_statement = provenance.read(Path(newest.uri)), provenance.read(Path(new.uri))
        if old is None or new_statement is None or old.digest != new_statement.digest:
            return None
        again = new.__class__()
        again.set_mlmd_artifact(newest)
        again.set_mlmd_artifact_type(new.artifact_type)
        return {key: [again]}
