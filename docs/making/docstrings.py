"""What docstrings call a section, in the words of the site's reader of docstrings. It is an extension of mkdocs.yml."""

from typing import Any

import griffe


class Examples(griffe.Extension):
    """`Example:` is what it knows as `Examples:`; under another name `>>>` would be text."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Renames the section in each docstring."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
