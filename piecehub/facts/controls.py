"""Where the controls of a piece lie: checkpoints of its variables, in the order of the piece's, with other values."""

from pathlib import Path


def control_folder(controls: Path, seed: int) -> Path:
    """Where the re-initialised weights of a seed lie."""
    return controls / f"seed-{seed}"
