"""By which way a request goes: one rule for our own client, for TensorFlow Hub's, and for that of buckets.

this machine    directly, whatever the proxy variables say
others          as http_proxy, https_proxy, all_proxy (which only the client of buckets knows) and no_proxy say
a token         never over the open network without TLS, nor to a proxy that could read it
"""

import os
import urllib.parse
from collections.abc import Generator
from contextlib import contextmanager

from piecehub.errors import RecipeError
from piecehub.facts.addresses import is_loopback
from piecehub.facts.secrets import carries_secret, redacted_text

# Python's urllib knows no ranges, so 127.0.0.1 stands by itself.
_HERE = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")
_VARIABLES = ("no_proxy", "NO_PROXY")


def is_in_clear(url: str) -> bool:
    """Whether others could read what is sent there."""
    parts = urllib.parse.urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def refuse_token_in_clear(url: str, token: str = "", what: str = "") -> None:
    """Passes if no token goes to `url`, beside it or in it, or if nobody on the way could read it.

    Raises:
        RecipeError: calling the address `what`, without its secrets.
    """
    if (token or carries_secret(url)) and is_in_clear(url):
        told = redacted_text(what or url)
        raise RecipeError(f"Expected https for a token. Received: '{told}'; without TLS everybody on the way reads it.")


@contextmanager
def directly_here(url: str = "") -> Generator[None]:
    """While this lasts, libraries that heed the proxy variables ask this machine directly.

    They read them when they make a client or a request, and offer no other way that leaves the variables in force for
    other machines. Of threads that do this at once, one may leave `no_proxy` longer by this machine's names.

    Args:
        url: what will be asked, if it is known: another name or number of this machine counts then, too.
    """
    host = urllib.parse.urlsplit(url).hostname or ""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    told = next(filter(None, before.values()), "")
    if told.strip() != "*":  # which stands for all, and only by itself
        names = [*filter(None, [told]), *_HERE, *([host] if is_loopback(host) else [])]
        os.environ.update(dict.fromkeys(_VARIABLES, ",".join(names)))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
