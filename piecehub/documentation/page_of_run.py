"""What DocumentationWriter does: the model page, written from the artifacts of a run."""

from pathlib import Path

from piecehub.documentation import page as pages
from piecehub.documentation.person import Person
from piecehub.facts.provenance import Facts


def document_run(
    full_model: Path,
    piece: Path,
    reusable_model: Path,
    conformance: Path,
    evidence: list[Path],
    blessing: Path,
    incumbent: Path,
    documentation: Path,
    publisher: str,
    name: str,
    description: str,
    intended_use: str,
    limitations: str,
    training_data: str,
    license_id: str,
    hub_tasks: str,
) -> Facts:
    """Writes the page into `documentation`, with what the recipe says and every number from the other folders."""
    person = Person(description, intended_use, limitations, training_data, license_id, hub_tasks)
    sources = pages.Sources(
        full_model=full_model,
        piece=piece,
        reusable_model=reusable_model,
        conformance=conformance,
        evidence=evidence,
        blessing=blessing,
        incumbent=incumbent,
    )
    pages.write(publisher, name, person, sources, documentation)
    return {}
