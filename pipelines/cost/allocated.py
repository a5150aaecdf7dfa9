"""What files take of a disk."""

from pathlib import Path


def allocated(folder: Path) -> int:
    """What a folder takes of a disk, in bytes of its blocks, as `du` counts; 0 if there is none."""
    if not folder.is_dir():
        return 0
    return sum(path.lstat().st_blocks * 512 for path in (folder, *folder.rglob("*")))
