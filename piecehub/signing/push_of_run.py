"""What HubPusher does: publishes what a run made, signed if the run has a key."""

from functools import wraps
from pathlib import Path
from typing import Any

from piecehub.facts.made_by import MadeBy
from piecehub.facts.pod_outcome import PodOutcome
from piecehub.facts.provenance import Facts
from piecehub.signing.attest import attest_run
from piecehub.signing.place import mounted_place, signing_with
from piecehub.store.push import Candidate, push


def push_run(
    reusable_model: Path,
    conformance: Path,
    evidence: list[Path],
    blessing: Path,
    incumbent: Path,
    documentation: Path,
    pushed_model: Path,
    publisher: str,
    name: str,
    store_folder: str,
    image: str = "",
    cluster_run: str = "",
) -> Facts:
    """Publishes what is blessed and conforms, and nothing else; returns facts of what came of it.

    The outcome goes into `pushed_model`; `store_folder` is a folder, or the uri of a bucket. On Kubeflow `cluster_run`
    is the id of the run, and `image` what its pods run, without the registry; both are empty elsewhere.
    """
    candidate = Candidate(
        reusable_model=reusable_model,
        conformance=conformance,
        evidence=evidence,
        blessing=blessing,
        incumbent=incumbent,
        documentation=documentation,
    )
    attest = attest_run(reusable_model / "saved_model", documentation)
    made_by = MadeBy("kubeflow", cluster_run, image) if cluster_run else None
    outcome = push(candidate, publisher, name, store_folder, pushed_model, attest, made_by)
    return {
        "pushed": int(outcome.pushed),
        "handle": outcome.handle,
        "pushed_version": outcome.handle.rpartition("/")[2],
        "saved_model_digest": outcome.digest,
        "why": outcome.why[:2000],
    }


@wraps(push_run)
def push_run_from_pod(**arguments: Any) -> Facts:
    """`push_run` with the key of a secret that is mounted, if one is; the pod's log tells what came of it, twice.

    Once for who waits for the run, and as its last line in a sentence.
    """
    with signing_with(mounted_place()):
        facts = push_run(**arguments)
    if not facts["pushed"]:
        told = f"Not published. {facts['why']}"
    elif facts["why"]:
        told = f"Nothing new. {facts['why']} It is {facts['handle']}."
    else:
        told = f"Published {facts['handle']}."
    print(PodOutcome(bool(facts["pushed"]), str(facts["handle"]), str(facts["why"])).line)
    print(told, flush=True)
    return facts
