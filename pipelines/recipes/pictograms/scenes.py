"""A scene: one drawing, changed by chance, on a ground made by chance, often with something before it; as JPEG."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageDraw

PIXELS = 96
QUALITY = 85
SCALES = (0.5, 1.0)
TURN_DEGREES = 30.0
HUE_DEGREES = 25.0
CLOUDS = 48.0
_RESAMPLED = Image.Resampling.BICUBIC


def scene(picture: Image.Image, rng: np.random.Generator) -> bytes:
    """A JPEG of `PIXELS` by `PIXELS`: the picture (RGBA) scaled, turned, in other hues and anywhere."""
    side = round(PIXELS * rng.uniform(*SCALES))
    small = _in_other_hues(picture.resize((side, side), _RESAMPLED), rng.uniform(-HUE_DEGREES, HUE_DEGREES))
    turned = small.rotate(rng.uniform(-TURN_DEGREES, TURN_DEGREES), _RESAMPLED, expand=True)
    # By its middle, so that what turning adds to its corners may be cut off.
    middle = rng.uniform(side / 2, PIXELS - side / 2, 2)
    left, top = (round(float(place) - edge / 2) for place, edge in zip(middle, turned.size, strict=True))
    ground = _gradient(rng) if rng.random() < 0.5 else _clouds(rng)
    ground.paste(turned, (left, top), turned)
    if rng.random() < 0.5:
        _put_before(ground, middle, side, rng)
    file = BytesIO()
    ground.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def _in_other_hues(picture: Image.Image, degrees: float) -> Image.Image:
    """The picture with its colours turned about the grey axis."""
    turn = np.deg2rad(degrees)
    cosine, sine = np.cos(turn), np.sin(turn)
    axis = np.full((3, 3), (1 - cosine) / 3)
    cross = sine / np.sqrt(3) * np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]])
    rgba = np.array(picture)
    turned = rgba[..., :3] @ (cosine * np.eye(3) + axis + cross).T
    rgba[..., :3] = np.clip(np.rint(turned), 0, 255)
    return Image.fromarray(rgba)


def _gradient(rng: np.random.Generator) -> Image.Image:
    """From one colour to another, in any direction."""
    first, second = rng.uniform(0, 255, (2, 3))
    turn = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[-0.5 : 0.5 : PIXELS * 1j, -0.5 : 0.5 : PIXELS * 1j]
    share = np.clip((rows * np.sin(turn) + columns * np.cos(turn)) / np.sqrt(2) + 0.5, 0, 1)[..., None]
    return Image.fromarray(np.rint(first + share * (second - first)).astype(np.uint8))


def _clouds(rng: np.random.Generator) -> Image.Image:
    """Around one colour, lighter and darker in places."""
    cells = int(rng.integers(3, 13))
    coarse = rng.uniform(CLOUDS, 255 - CLOUDS, 3) + rng.uniform(-CLOUDS, CLOUDS, (cells, cells, 3))
    return Image.fromarray(np.rint(coarse).astype(np.uint8)).resize((PIXELS, PIXELS), _RESAMPLED)


def _put_before(ground: Image.Image, middle: np.ndarray, side: int, rng: np.random.Generator) -> None:
    """Draws a box or a disc of one colour over a part of the drawing."""
    x, y = middle + rng.uniform(-side / 2, side / 2, 2)
    width, height = rng.uniform(0.1 * side, 0.4 * side, 2)
    box = [float(value) for value in (x - width / 2, y - height / 2, x + width / 2, y + height / 2)]
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    draw = ImageDraw.Draw(ground)
    (draw.rectangle if rng.random() < 0.5 else draw.ellipse)(box, fill=colour)
