"""What stands around the work of every component, with TFX or without: its code is the package's, and it says whence.

Every component takes `code_digest` and `lock_digest`. Before its work the first is compared with the code at hand;
afterwards `provenance.json` lies beside each output, and the same digests are facts of it.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from piecehub.containers import code
from piecehub.errors import OtherCode
from piecehub.facts import provenance
from piecehub.facts.provenance import Facts
from piecehub.facts.tables import ModelTable

DIGESTS = ("code_digest", "lock_digest")
_MODELS = ("model", "upstream_model")


def refuse_other_code(component: str, module: str, parameters: Mapping[str, Any]) -> None:
    """Compares the code of a component, which lies in `module`, with the digest among its parameters.

    Raises:
        OtherCode: if they differ.
    """
    tables = [parameters[key] for key in _MODELS if parameters.get(key)]
    file = ModelTable.from_json(tables[0]).module if tables else str(parameters.get("module", ""))
    of_recipe = ", or other files in the recipe's folder" if file else ""
    if code.code_digest(module, parameters.get("recipe_folder", ""), file) != parameters["code_digest"]:
        raise OtherCode(
            f"Expected the code of {component} that the pipeline was compiled with. Received: other "
            f"code{of_recipe}; compile the pipeline again, or use the image that belongs to it."
        )


def described(type_name: str, folder: Path) -> provenance.Input:
    """An artifact that was read, by its files and what it says of itself."""
    return provenance.Input(type_name, provenance.artifact_digest(folder), None, provenance.read(folder))


def leave_provenance(
    component: str,
    output: str,
    folder: Path,
    inputs: Mapping[str, Sequence[provenance.Input]],
    parameters: Mapping[str, Any],
) -> Facts:
    """Writes `provenance.json` into an output's folder; returns what is noted of it in ML Metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    made = provenance.make(
        component,
        output,
        provenance.artifact_digest(folder),
        inputs,
        {key: value for key, value in parameters.items() if key not in DIGESTS and not provenance.is_place(key)},
        *(parameters[key] for key in DIGESTS),
    )
    provenance.write(folder, made)
    facts: Facts = {"content_digest": made.statement["digest"], "provenance_digest": made.digest}
    splits = {key: dict(i.splits) for key, sources in inputs.items() for i in sources if i.splits}
    return {**facts, "input_splits": json.dumps(splits, sort_keys=True)} if splits else facts
