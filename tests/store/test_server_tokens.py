"""Private publishers: who shows a token reads them, nobody else learns of them."""

import hashlib
import secrets

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from piecehub.errors import RecipeError
from piecehub.facts.workdir import Workdir
from piecehub.store.publish import publish
from piecehub.store.server import hub_routes
from piecehub.store.tokens import Tokens
from piecehub.ui.app import create_app

FIRST, SECOND, OTHER = (secrets.token_urlsafe(32) for _ in range(3))
PRIVATE = [
    "/closed/tiny/1?tf-hub-format=compressed",
    "/closed/tiny?tf-hub-format=compressed",
    "/closed/tiny/1",
    "/closed/tiny",
    "/api/v1/models/closed/tiny",
    "/api/v1/models/closed/tiny/1",
    "/api/v1/models/closed/tiny/1/manifest",
    "/api/v1/models/closed/tiny/1/blobs/documentation.md",
]


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture
def tokens_file(tmp_path):
    path = tmp_path / "tokens.toml"
    path.write_text(f'closed = ["{_sha256(FIRST)}", "{_sha256(SECOND)}"]\nelsewhere = "{_sha256(OTHER)}"\n')
    return path


@pytest.fixture
def hub(store, make_model, tokens_file):
    for publisher in ("closed", "open"):
        publish(store, make_model(publisher), publisher, "tiny", blobs={"documentation.md": b"# Page"}, facts={})
    routes = hub_routes(lambda: store, tokens=Tokens.read(tokens_file))
    return TestClient(Starlette(routes=[*routes]), follow_redirects=False)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("url", PRIVATE)
def test_without_its_token_a_private_publisher_is_401_whether_it_exists_or_not(url, hub):
    wrong = [
        {},
        _bearer(OTHER),
        _bearer(FIRST[:-1]),
        _bearer(""),
        {"Authorization": f"Basic {FIRST}"},
        _bearer("größe"),
    ]
    answers = [hub.get(url, headers=[(k, v.encode()) for k, v in headers.items()]) for headers in wrong]
    answers += [hub.get(f"{url}{'&' if '?' in url else '?'}token={token}") for token in ("", OTHER, _sha256(FIRST))]
    answers += [hub.get(url.replace("tiny", "unknown")), hub.head(url)]
    for answer in answers:
        assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["cache-control"] == "no-store"
    assert len({answer.text for answer in answers[:-2]}) == 1 and FIRST not in answers[0].text


@pytest.mark.parametrize("token", [FIRST, SECOND], ids=["first", "second"])
def test_each_of_its_tokens_opens_it_as_a_header_and_as_a_parameter(token, hub, store):
    body = store.read_blob(store.newest("closed", "tiny").archive.digest)
    by_header = hub.get("/closed/tiny/1?tf-hub-format=compressed", headers=_bearer(token))
    by_parameter = hub.get(f"/closed/tiny/1?token={token}&tf-hub-format=compressed")
    for answer in (by_header, by_parameter):
        assert answer.content == body and answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    for url in PRIVATE:
        assert hub.get(url, headers=_bearer(token)).status_code in (200, 302)
    assert hub.get("/closed/unknown/1", headers=_bearer(token)).status_code == 404


def test_the_way_to_the_newest_keeps_the_token(hub):
    answer = hub.get(f"/closed/tiny?token={FIRST}")
    assert answer.status_code == 302 and answer.headers["location"] == f"/closed/tiny/1?token={FIRST}"
    assert hub.get(answer.headers["location"]).text == "# Page"


def test_lists_show_what_the_token_opens(hub):
    names = [
        [m["name"] for m in hub.get("/api/v1/models", headers=h).json()] for h in ({}, _bearer(FIRST), _bearer(OTHER))
    ]
    assert names == [["open/tiny/1"], ["open/tiny/1", "closed/tiny/1"], ["open/tiny/1"]]


def test_a_public_publisher_needs_none_and_is_cached_by_all(hub):
    for headers in ({}, _bearer(FIRST), _bearer("wrong")):
        answer = hub.get("/open/tiny/1?tf-hub-format=compressed", headers=headers)
        assert answer.status_code == 200 and answer.headers["cache-control"].startswith("public")


@pytest.mark.parametrize(
    "text",
    [
        "closed = 'my-secret-token'",
        "closed = []",
        "closed = 7",
        f"api = '{'0' * 64}'",
        f"Up = '{'0' * 64}'",
        "closed",
        "\x00",
    ],
)
def test_what_is_no_tokens_file_is_one_sentence_without_what_stands_there(text, tmp_path):
    (tmp_path / "tokens.toml").write_text(text)
    with pytest.raises(RecipeError, match=r"Expected a TOML file .* Received: .*tokens\.toml") as caught:
        Tokens.read(tmp_path / "tokens.toml")
    assert "secret" not in caught.value.sentence


def test_tokens_and_pages_do_not_go_together(tmp_path, tokens_file):
    tokens, workdir = Tokens.read(tokens_file), Workdir(tmp_path)
    with pytest.raises(RecipeError, match="Expected --tokens without the pages"):
        create_app(workdir, tokens=tokens, hub_only=False)
    closed = TestClient(create_app(workdir, tokens=tokens), base_url="http://127.0.0.1")
    assert closed.get("/").status_code == 404 and closed.get("/closed/tiny/1").status_code == 401


@pytest.mark.parametrize(
    ("host", "hub_only", "shows"),
    [("127.0.0.1", None, True), ("127.0.0.1", True, False), ("0.0.0.0", None, False), ("0.0.0.0", False, True)],
)
def test_pages_are_for_loopback_unless_somebody_says_otherwise(host, hub_only, shows, tmp_path):
    client = TestClient(create_app(Workdir(tmp_path), host=host, hub_only=hub_only), base_url="http://127.0.0.1")
    for path in ("/", "/api/v1/runs"):
        assert client.get(path).status_code == (200 if shows else 404)
    assert client.get("/healthz").status_code == 200 and client.get("/api/v1/models").status_code == 200


def test_the_digest_of_an_empty_token_opens_nothing(tmp_path):
    """Who shows no token shows ''; a digest of that is what a script writes whose variable was not set."""
    path = tmp_path / "tokens.toml"
    path.write_text(f'closed = ["{_sha256("")}", "{_sha256(FIRST)}"]\n')
    tokens = Tokens.read(path)
    assert tokens.is_private("closed") and not tokens.opens("closed", "")
    assert tokens.opens("closed", FIRST) and tokens.opens("open", "")
