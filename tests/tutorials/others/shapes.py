"""Pictures of eight shapes in colours."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

drawing = {
    "disc": lambda pen, at, size, ink: pen.ellipse([*at, *(at + size)], fill=ink),
    "frame": lambda pen, at, size, ink: pen.rectangle([*at, *(at + size)], outline=ink, width=2),
    "cross": lambda pen, at, size, ink: (
        pen.line([*at, *(at + size)], fill=ink, width=3),
        pen.line([at[0], at[1] + size, at[0] + size, at[1]], fill=ink, width=3),
    ),
    "bar": lambda pen, at, size, ink: pen.rectangle([*at, at[0] + size, at[1] + 3], fill=ink),
    "post": lambda pen, at, size, ink: pen.rectangle([*at, at[0] + 3, at[1] + size], fill=ink),
    "wedge": lambda pen, at, size, ink: pen.polygon([*at, at[0] + size, at[1], at[0], at[1] + size], fill=ink),
    "ring": lambda pen, at, size, ink: pen.ellipse([*at, *(at + size)], outline=ink, width=2),
    "half": lambda pen, at, size, ink: pen.pieslice([*at, *(at + size)], 0, 180, fill=ink),
}
rng = np.random.default_rng(1)
for name, draw in drawing.items():
    folder = Path("pictures") / f"a {name}"
    folder.mkdir(parents=True)
    for number in range(120):
        picture = Image.new("RGB", (28, 24), tuple(int(x) for x in rng.integers(0, 90, 3)))
        size = int(rng.integers(10, 16))
        ink = tuple(int(x) for x in rng.integers(140, 256, 3))
        draw(ImageDraw.Draw(picture), rng.integers(1, 8, 2), size, ink)
        picture.save(folder / f"{number}.jpg", quality=90)
