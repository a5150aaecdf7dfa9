"""Every failure of a call to Kubeflow's server, as one sentence with an exit code.

| what happened                                          | error             | exit |
|---|---|---|
| not reached, no answer in time, a certificate, HTML, 5xx | `ServerUnreached`  | 3 |
| 3xx (a login), 401, 403                                | `EnvironmentProblem` | 3 |
| 404                                                    | `NotOnServer`        | 2 |
| 409                                                    | `TakenOnServer`      | 1 |
| 400 and what else is wrong with a request              | `RecipeError`        | 2 |

The SDK has no time-out of its own, and tries what failed again in silence; both are settled here, for every call of it.
"""

import json
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NewConnectionError, SSLError, TimeoutError

from piecehub.errors import (
    EnvironmentProblem,
    NotOnServer,
    PiecehubError,
    RecipeError,
    ServerUnreached,
    TakenOnServer,
    first_line,
)

_MOST_SHOWN = 300


class PatientPool(urllib3.PoolManager):
    """Connections that wait a stated time for an answer, try nothing twice, and raise what is wrong as our errors."""

    def __init__(self, host: str, timeout_s: float, **options: Any) -> None:
        super().__init__(**options)
        self.host, self.timeout_s = host, timeout_s

    def request(self, method: str, url: str, *arguments: Any, **options: Any) -> Any:
        """An answer with a status of success; that of a path of the API is a JSON object."""
        options |= {"timeout": urllib3.Timeout(total=self.timeout_s), "retries": False, "redirect": False}
        try:
            answer = super().request(method, url, *arguments, **options)
        except NewConnectionError as error:  # one of its time-outs, by its class
            raise self._unreached(error) from error
        except TimeoutError as error:
            raise ServerUnreached(
                f"Expected an answer of '{self.host}' within {self.timeout_s:g} s. Received: none; call again later, "
                "or give it more by --timeout."
            ) from error
        except SSLError as error:
            raise ServerUnreached(
                f"Expected a certificate of '{self.host}' that can be verified. Received: {_short(first_line(error))}; "
                "give the file of its authority by --ca."
            ) from error
        except HTTPError as error:
            raise self._unreached(error) from error
        if not 200 <= answer.status < 300:
            raise refusal(self.host, answer.status, answer.data)
        if "/apis/" in urlsplit(url).path and not isinstance(_as_json(answer.data), dict):
            raise ServerUnreached(
                f"Expected Kubeflow Pipelines at '{self.host}'. Received: an answer that is no JSON, so another "
                "server, or a page for a login; mend --host, or give a token by --token-file."
            )
        return answer

    def _unreached(self, error: HTTPError) -> ServerUnreached:
        why = first_line(error).rpartition(": ")[2]  # before it stands which of urllib3's objects says so
        return ServerUnreached(
            f"Expected Kubeflow Pipelines at '{self.host}'. Received: no connection ({_short(why)}); "
            "mend --host, or forward a port to the server."
        )


def refusal(host: str, status: int, body: bytes) -> PiecehubError:
    """What a status that is no success means to a person."""
    said = f"{status}{f' ({message})' if (message := _message(body)) else ''}"
    if 300 <= status < 400:
        return EnvironmentProblem(
            f"Expected an answer of '{host}'. Received: {status}, which leads to a login; give a token by "
            "--token-file, or the address of the server behind it."
        )
    if status == 401:
        return EnvironmentProblem(
            f"Expected a token that '{host}' takes. Received: {said}; give a fresh one by --token-file, or in a pod "
            "--service-account."
        )
    if status == 403:
        return EnvironmentProblem(
            f"Expected to be allowed this on '{host}'. Received: {said}; ask for the role, or mend --namespace."
        )
    if status == 404:
        return NotOnServer(
            f"Expected something that '{host}' has. Received: {said}; `piecehub kubeflow list` names what there is."
        )
    if status == 409:
        return TakenOnServer(f"Expected a name that is free on '{host}'. Received: {said}; give another.")
    if 400 <= status < 500:
        return RecipeError(f"Expected a request that '{host}' takes. Received: {said}; correct what it names.")
    return ServerUnreached(
        f"Expected an answer of '{host}'. Received: {said}; its log says more, and the same call may do later."
    )


def _message(body: bytes) -> str:
    """What the server says for a person: the API has `message`, an upload `error_message`, a gateway a line of text."""
    found = _as_json(body)
    if isinstance(found, dict):
        told = next((found[key] for key in ("message", "error_message", "error") if found.get(key)), "")
        return _short(str(told))
    text = body.decode("utf-8", "replace").strip()
    return "" if text.startswith("<") else _short(text)


def _as_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _short(text: str) -> str:
    """On one line, and not the pages that a Go server's chain of causes may have."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= _MOST_SHOWN else f"{line[:_MOST_SHOWN]}…"
