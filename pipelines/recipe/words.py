"""Names of a recipe as other programs want them."""

import re


def camel_case(name: str) -> str:
    """A name as part of a component's id, in letters and digits only, as Kubeflow wants it."""
    return "".join(word.capitalize() for word in re.split(r"[^a-z0-9]+", name))
