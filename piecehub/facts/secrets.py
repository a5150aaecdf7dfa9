"""What may be a secret is not shown: one rule for keys, for what lies inside of JSON, and for URLs.

A key is one if a word of it says so (`hf_tokens`, `authToken`, `db.password`; not `tokenizer`, not `author`). Under
such a key nothing is shown, however deep it lies; but a number under `max_tokens` counts something. Texts are read as
JSON where they are JSON, and else searched for `user:password@` and `key=value`, as addresses and messages carry them.
"""

import json
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, cast

NOT_SHOWN = "(not shown: the key looks like a secret)"
_HIDDEN = "(not shown)"
_ANYWHERE = re.compile(r"secret|passw|passphrase|passcode|credential|api.?key", re.IGNORECASE)
_WORDS = frozenset({"token", "tokens", "auth", "oauth", "authorization", "bearer", "pass", "pwd", "cookie", "jwt"})
# Keys to a door, not those of a table.
_KEYS = frozenset({"access", "account", "private", "signing", "ssh", "encryption", "shared", "master", "license"})
_IN_ADDRESSES = frozenset({"sig", "signature", "key", "sas"})
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# What comes before is looked at, so that a long word is read once and not from each of its letters.
_USER = re.compile(r"(?P<scheme>(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://)[^/?#\s\"'<>]*@", re.IGNORECASE)
_PAIR = re.compile(r"""(?<![\w.~%-])(?P<key>[\w.~%-]+)=(?P<value>"[^"\n]*"|'[^'\n]*'|[^&#;\s"'<>,)}\]]+)""")
_QUOTED = re.compile(r"""(?P<head>(?P<q>["'])(?P<key>[^"'\n]+)(?P=q)\s*:\s*)(?P<r>["'])(?P<value>.*?)(?P=r)""")
_SCHEME = re.compile(r"\b(?P<kind>bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)


def is_secret(key: str) -> bool:
    """Whether a key looks like that of a secret."""
    words = [word.lower() for word in _PARTS.findall(key)]
    opens = any(word in _KEYS and following in ("key", "keys") for word, following in pairwise(words))
    return opens or not _WORDS.isdisjoint(words) or bool(_ANYWHERE.search(key))


def redacted(value: Any, key: str = "") -> Any:
    """A value that stands under a key, as it may be shown; plain JSON values stay plain JSON values."""
    if key and is_secret(key) and not _counts(key, value):
        return NOT_SHOWN
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value)
        named = next((str(items[k]) for k in ("name", "key") if isinstance(items.get(k), str)), "")
        return {k: redacted(v, named if k == "value" and is_secret(named) else str(k)) for k, v in items.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in cast("list[Any]", value)]
    return redacted_text(value) if isinstance(value, str) else value


def redacted_text(text: str) -> str:
    """A text without the secrets that stand in it: JSON, an address, or a sentence that quotes one."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            found = json.loads(text)
            shown = redacted(found)
            return text if shown == found else json.dumps(shown, ensure_ascii=False)
        except (ValueError, RecursionError):
            pass
    text = _USER.sub(rf"\g<scheme>{_HIDDEN}@", text)
    text = _QUOTED.sub(_without_quoted, text)
    return _SCHEME.sub(rf"\g<kind> {_HIDDEN}", _PAIR.sub(_without_value, text))


def carries_secret(url: str) -> bool:
    """Whether an address has a user, a password, or a token in its query."""
    return redacted_text(url) != url


def _counts(key: str, value: Any) -> bool:
    """Whether it is a number of tokens, say, and none that opens a door."""
    return (value is None or isinstance(value, bool | int | float)) and not _ANYWHERE.search(key)


def _without_value(pair: re.Match[str]) -> str:
    key, value = pair["key"], pair["value"]
    is_query = pair.string[pair.start() - 1 : pair.start()] in ("?", "&", ";")
    in_address = is_query and not _IN_ADDRESSES.isdisjoint(word.lower() for word in _PARTS.findall(key))
    hides = in_address or (is_secret(key) and not (value.isdigit() and _counts(key, 0)))
    return f"{key}={_HIDDEN}" if hides else pair[0]


def _without_quoted(pair: re.Match[str]) -> str:
    return f"{pair['head']}{pair['r']}{NOT_SHOWN}{pair['r']}" if is_secret(pair["key"]) else pair[0]
