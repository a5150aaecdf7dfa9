"""D20: the golden inputs that lie beside the model still give the golden outputs (piecehub/exporting/golden.py)."""

from piecehub.conformance.loaded import Loaded
from piecehub.conformance.verdict import Verdict, held, nothing, short
from piecehub.exporting import golden


def outputs_agree(loaded: Loaded) -> Verdict:
    """D20: recomputed outputs are the recorded ones, within the tolerance that the piece's manifest tells.

    A vocabulary that was mixed up at export gives other numbers here and nowhere else.
    """
    manifest = loaded.manifest
    recorded = golden.read(loaded.folder, manifest) if manifest else None
    if manifest is None or recorded is None:
        return nothing("No golden outputs lie beside the model.")
    # A stranger's manifest may not choose any tolerance.
    tolerance = min(float(manifest.golden.get("tolerance", golden.TOLERANCE)), golden.HALF_PRECISION_TOLERANCE)
    gap = golden.difference(recorded.outputs, loaded.obj(recorded.inputs))
    if gap <= tolerance:
        return held(f"Golden inputs give the golden outputs, to {gap:.2g}.")
    remedy = "look at its vocabularies and weights, and export it again"
    return short(f"golden outputs to {tolerance:g}", f"a difference of {gap:.3g}", remedy)
