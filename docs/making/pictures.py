"""Makes docs/pictures/ again, with Debian's chromium: `python docs/making/pictures.py [WORKDIR]`.

WORKDIR is a working folder in which `piecehub run digits` has published; `.piecehub` unless you name another. Port 8470
must be free, for the pages show their address. Look at what it made: pages change, and words with them.
"""

import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from PIL import Image

from piecehub.facts.workdir import Workdir
from piecehub.ui.app import create_app

ROOT = Path(__file__).resolve().parents[2]
_PICTURES = ROOT / "docs" / "pictures"
_MOST_BYTES = 150_000
_PORT = 8470
_CHROMIUM = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")


def main() -> None:
    """Takes a picture of each page, and of the plot of accuracies."""
    with _served(Path(sys.argv[1] if sys.argv[1:] else ".piecehub")) as url:
        model = _first(url, r'href="(/models/[^"#]+)"')
        run = _first(url, r'href="(/runs/[^"#]+)"')
        plot = _first(f"{url}{run}", r'src="(/[^"]+/accuracy\.svg)"')
        _take(f"{url}{model}", "model", 1100, 1400)
        _take(f"{url}{run}", "run", 1400, 1180)
        _take(f"{url}{plot}", "accuracy", 700, 440)


@contextmanager
def _served(workdir: Path) -> Generator[str]:
    """The address of the pages of a working folder."""
    app = create_app(Workdir(workdir))
    server = uvicorn.Server(uvicorn.Config(app, port=_PORT, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{_PORT}"
    server.should_exit = True
    thread.join()


def _first(address: str, pattern: str) -> str:
    """What the pattern finds first on a page."""
    with urllib.request.urlopen(address) as answer:
        found = re.search(pattern, answer.read().decode())
    if found is None:
        raise SystemExit(f"Expected '{pattern}' on {address}. Received: a page without it; take a run that published.")
    return found[1]


def _take(address: str, name: str, width: int, height: int) -> None:
    """Writes `docs/pictures/<name>.png`, of at most 128 colours, which pages do with."""
    _PICTURES.mkdir(exist_ok=True)
    path = _PICTURES / f"{name}.png"
    subprocess.run(
        [*_CHROMIUM, f"--window-size={width},{height}", f"--screenshot={path}", address],
        check=True,
        capture_output=True,
    )
    with Image.open(path) as taken:
        taken.convert("RGB").quantize(128, method=Image.Quantize.MEDIANCUT).save(path, optimize=True)
    size_bytes = path.stat().st_size
    if size_bytes > _MOST_BYTES:
        raise SystemExit(f"Expected at most {_MOST_BYTES:,} bytes. Received: '{path}' of {size_bytes:,}; take less.")
    print(f"{path.relative_to(ROOT)}  {size_bytes:,} bytes")


if __name__ == "__main__":
    main()
