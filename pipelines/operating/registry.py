"""What a registry says of an image, by OCI's distribution API.

    HEAD /v2/NAME/manifests/REFERENCE                             its digest, in Docker-Content-Digest
    401, WWW-Authenticate: Bearer realm="…",service="…",scope="…"     asked of the realm, a token lets one in
    401, WWW-Authenticate: Basic …                                    name and password do

Names and passwords are those of `docker login`, helpers too. A registry on this machine is asked without TLS, as docker
does.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from docker import auth
from docker.errors import DockerException
from requests.auth import AuthBase, HTTPBasicAuth
from requests.utils import parse_dict_header

from piecehub.errors import first_line
from piecehub.facts.content import sha256_bytes
from pipelines.operating.image_name import HUB, Image

_HUB_HOST = "registry-1.docker.io"
_HERE = ("localhost", "127.0.0.1", "::1")
# Of an image for several processors, whose manifests it lists.
_LISTS = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_KINDS = (
    *_LISTS,
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_BYTES = 4 << 20  # of a manifest, as OCI has it


@dataclass(frozen=True)
class Found:
    """What a registry said.

    Attributes:
        digest: of the image; empty if the registry has no such image.
        untold: why nobody knows; empty if the registry answered.
        parts: the digests of its manifests, if it is for several processors: some of Kubernetes' runtimes tell these.
    """

    digest: str = ""
    untold: str = ""
    parts: tuple[str, ...] = ()


class _Bearer(AuthBase):
    """So that nothing else, such as ~/.netrc, is sent in its place; without a token nothing is."""

    def __init__(self, token: str = "") -> None:
        self._token = token

    def __call__(self, request: Any) -> Any:
        """Lets a request in."""
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _Untold(Exception):
    """Says why a registry tells nothing."""


def look_up(image: Image, timeout_s: float) -> Found:
    """The digest that pods get who pull an image now.

    Args:
        image: by its digest, if it has one, else by its tag.
        timeout_s: how long one answer may take.
    """
    try:
        return _asked(image, timeout_s)
    except _Untold as why:
        return Found(untold=str(why))
    except DockerException as error:
        return Found(untold=f"what `docker login` noted cannot be read ({first_line(error)})")
    except requests.exceptions.SSLError:
        return Found(untold=f"the certificate of '{image.registry}' is not known here")
    except requests.exceptions.Timeout:
        return Found(untold=f"'{image.registry}' did not answer in {timeout_s:g} s")
    except (requests.exceptions.RequestException, ValueError, AttributeError, TypeError) as error:
        kind = type(error).__name__
        return Found(untold=f"'{image.registry}' is not reached, or answers as no registry does ({kind})")


def _asked(image: Image, timeout_s: float) -> Found:
    host = _HUB_HOST if image.registry == HUB else image.registry
    scheme = "http" if urlsplit(f"//{host}").hostname in _HERE else "https"
    url = f"{scheme}://{host}/v2/{image.name}/manifests/{image.digest or image.tag or 'latest'}"
    with requests.Session() as session:
        session.headers["Accept"] = ", ".join(_KINDS)
        entered: Any = _Bearer()
        answer = session.head(url, auth=entered, timeout=timeout_s, allow_redirects=True)
        if answer.status_code == requests.codes.unauthorized:
            entered = _let_in(session, answer, image, timeout_s)
            answer = session.head(url, auth=entered, timeout=timeout_s, allow_redirects=True)
        if answer.status_code == requests.codes.not_found:
            return Found()
        if answer.status_code in (requests.codes.unauthorized, requests.codes.forbidden):
            raise _Untold(f"'{image.registry}' does not let in who asks ({answer.status_code})")
        if answer.status_code != requests.codes.ok:
            raise _Untold(f"'{image.registry}' answers {answer.status_code}")
        digest, is_list = answer.headers.get("Docker-Content-Digest", ""), answer.headers.get("Content-Type") in _LISTS
        # The header may be left out: then the digest is that of the manifest itself.
        content = _manifest(session, url, entered, timeout_s) if is_list or not digest else b""
    digest = digest or f"sha256:{sha256_bytes(content)}"
    if not _DIGEST.fullmatch(digest):
        raise _Untold(f"'{image.registry}' answers with no digest that is known here")
    return Found(digest, parts=_parts(content) if is_list else ())


def _manifest(session: requests.Session, url: str, entered: Any, timeout_s: float) -> bytes:
    with session.get(url, auth=entered, timeout=timeout_s, stream=True) as answer:
        content = answer.raw.read(_MOST_BYTES + 1, decode_content=True)
    if answer.status_code != requests.codes.ok or len(content) > _MOST_BYTES:
        raise _Untold(f"'{urlsplit(url).netloc}' answers {answer.status_code}, with no manifest")
    return content


def _parts(content: bytes) -> tuple[str, ...]:
    told = json.loads(content).get("manifests", ())
    return tuple(str(one["digest"]) for one in told if "digest" in one)


def _let_in(session: requests.Session, answer: requests.Response, image: Image, timeout_s: float) -> Any:
    """What lets one in who was asked who he is."""
    known = _noted(image.registry)
    kind, _, rest = answer.headers.get("WWW-Authenticate", "").partition(" ")
    asked = {key: value or "" for key, value in parse_dict_header(rest).items()} if rest else {}
    if kind.lower() == "basic" and known.get("Username"):
        return HTTPBasicAuth(known["Username"], known["Password"])
    if kind.lower() != "bearer" or not asked.get("realm"):
        raise _Untold(f"'{image.registry}' does not let in who asks ({answer.status_code})")
    return _Bearer(_token(session, asked, known, image, timeout_s))


def _token(
    session: requests.Session, asked: Mapping[str, str], known: Mapping[str, str], image: Image, timeout_s: float
) -> str:
    realm = asked["realm"]
    wanted = {"scope": asked.get("scope") or f"repository:{image.name}:pull"}
    wanted |= {"service": asked["service"]} if asked.get("service") else {}
    parts = urlsplit(realm)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _HERE)
    if known and not is_safe:
        raise _Untold(f"'{image.registry}' asks for a password at '{realm}', where anybody could read it")
    if token := known.get("IdentityToken"):
        given = {**wanted, "grant_type": "refresh_token", "refresh_token": token, "client_id": "piecehub"}
        answer = session.post(realm, data=given, auth=_Bearer(), timeout=timeout_s)
    else:
        who = HTTPBasicAuth(known["Username"], known["Password"]) if known.get("Username") else _Bearer()
        answer = session.get(realm, params=wanted, auth=who, timeout=timeout_s)
    if answer.status_code != requests.codes.ok:
        raise _Untold(f"'{parts.hostname}' gives no token for '{image.registry}' ({answer.status_code})")
    told = answer.json()
    return str(told.get("token") or told.get("access_token") or "")


def _noted(registry: str) -> dict[str, str]:
    """What `docker login` noted of a registry; its keys are written in two ways."""
    found: Any = auth.load_config().resolve_authconfig(None if registry == HUB else registry) or {}
    names = {"username": "Username", "password": "Password", "identitytoken": "IdentityToken"}
    return {names[key.lower()]: value for key, value in found.items() if key.lower() in names and value}
