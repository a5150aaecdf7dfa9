"""The replay says what Kubeflow Pipelines 2.16.1's own driver said of parameters that tasks make and people give.

`recorded/parameters.json` holds small hand-made packages, in the order in which they ran: what each task's launcher was
told, which values it left in ML Metadata, and where the driver failed. What the launcher makes of files is of no
concern here: our containers tell their values in the output file.
"""

import json
import re
from pathlib import Path

import pytest

from tests.kubeflow.driver import DriverFailed, Metadata, Run

RECORDED = json.loads((Path(__file__).parent / "recorded" / "parameters.json").read_text(encoding="utf-8"))
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ROOT = "minio://mlpipeline/v2/artifacts"
# NaN ends the driver at the cache, and macros are filled in by the API server: neither is told to a launcher.
_LEFT_OUT = {"real-nan", "root-macro"}
CASES = [name for name in RECORDED["cases"] if name not in _LEFT_OUT]


@pytest.mark.parametrize("name", CASES)
def test_each_task_is_told_its_parameters_as_the_real_driver_tells_them(name: str) -> None:
    case = RECORDED["cases"][name]
    run = Run(RECORDED["packages"][case["package"]], _ROOT, case["run_id"], case["parameters"])
    metadata = Metadata()
    for task, recorded in case["tasks"].items():
        if "driver_error" in recorded:
            with pytest.raises(DriverFailed):
                run.executor_input(task, metadata, "0")
            continue
        told = run.executor_input(task, metadata, "01234567-89ab-cdef-0123-456789abcdef")
        assert _UUID.sub("UUID", json.dumps(told)) == _UUID.sub("UUID", json.dumps(recorded["executor_input"])), task
        metadata.hand_on(task, {}, recorded.get("values", {}))


def test_a_value_of_a_parameter_and_not_its_origin_is_in_the_cache() -> None:
    """A task that takes it came from the cache where another one, that never does, told the same as some run before."""
    seen: set[str] = set()
    for name in ("listing-1", "listing-1-again", "listing-2", "listing-1-third"):
        case, metadata = RECORDED["cases"][name], Metadata()
        run = Run(RECORDED["packages"][case["package"]], _ROOT, case["run_id"], case["parameters"])
        for task, recorded in case["tasks"].items():
            known = run.fingerprint(task, run.executor_input(task, metadata, "0"))
            is_cached = run.tasks[task].get("cachingOptions", {}).get("enableCache", False)
            assert (is_cached and known in seen) is recorded["cached"], (name, task)
            seen.add(known)
            metadata.hand_on(task, {}, recorded.get("values", {}))
