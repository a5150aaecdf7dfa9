"""Lines of five topics, a file for each."""

from pathlib import Path

import numpy as np

words = {
    "kitchen": "boil bake salt oven spoon butter onion stir plate taste",
    "harbour": "sail rope tide anchor deck wind crew mast pier storm",
    "garden": "seed soil prune rake bloom weed hedge water spade bulb",
    "court": "judge law plea witness oath verdict appeal clerk jury case",
    "stage": "actor scene curtain role script light cue audience play act",
}
rng = np.random.default_rng(0)
Path("texts").mkdir()
for name, own in words.items():
    others = ["the", "a", "of", "and", "to", "with", "for", "on", "it", "was"]
    lines = [" ".join([*rng.choice(own.split(), 4), *rng.choice(others, 7)]) for _ in range(150)]
    Path("texts", f"{name}.txt").write_text("\n".join(lines))
