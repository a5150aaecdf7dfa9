"""What may be a secret is not shown: by its key, inside of JSON, in an address."""

import json
import time

import pytest

from piecehub.facts.secrets import carries_secret, redacted, redacted_text


@pytest.mark.parametrize(
    "key",
    [
        *("auth", "hf_tokens", "AUTH_TOKEN", "authToken", "basicAuth", "x-api-key", "apiKey", "accessKey"),
        *("private_key", "db.password", "PGPASSWORD", "passwd", "client_secret", "AWS_SECRET_ACCESS_KEY", "cookie"),
    ],
)
@pytest.mark.parametrize("value", ["hunter2", ["hunter2"], {"it": "hunter2"}, '{"it": "hunter2"}'])
def test_a5_what_stands_under_the_key_of_a_secret_is_not_shown(key, value):
    nested = redacted({"deep": [{key: value}]})
    for shown in (redacted(value, key), nested, redacted(json.dumps({key: value}), "args")):
        assert "hunter2" not in json.dumps(shown)


@pytest.mark.parametrize("key", ["author", "tokenizer", "monkey", "key", "signature", "passes", "compass", "keys"])
def test_a5_other_keys_are_shown(key):
    assert redacted({key: "abc"}) == {key: "abc"}
    assert redacted_text(f"{key}=abc") == f"{key}=abc"


def test_a5_numbers_of_tokens_are_shown_and_numbers_that_open_a_door_are_not():
    shown = redacted({"max_tokens": 512, "auth": True, "password": 1234})
    assert (shown["max_tokens"], shown["auth"]) == (512, True) and "1234" not in json.dumps(shown)


@pytest.mark.parametrize(
    "text",
    [
        *("https://u:hunter2@h/", "https://hunter2@h/", "git+ssh://u:hunter2@h:22/x", "s3://u:PA@hunter2@h"),
        *("https://h/x?a=1&token=hunter2", "https://h/?X-Amz-Signature=hunter2"),
        *("https://h/x?sig=hunter2&b=2", "h?key=hunter2"),
        *("fetch failed: password=hunter2, retry", "password='hunter2 x'", "Authorization: Bearer hunter2-x"),
        *("{'password': 'hunter2'}", '{"a": {"token": "hunter2"', '[{"name": "HF_TOKEN", "value": "hunter2"}]'),
        json.dumps({"a": json.dumps({"password": "hunter2"})}),
        json.dumps(["https://u:hunter2@h/"]),
    ],
)
def test_a5_texts_are_shown_without_what_opens_a_door(text):
    assert "hunter2" not in redacted_text(text)
    assert carries_secret(text)


@pytest.mark.parametrize(
    "text", ["https://h/x?tf-hub-format=compressed", "a@b.example", "3 @ 5", '{"a": [1, 2]}', "x=1, y=2", "[not json"]
)
def test_a5_other_texts_stay_as_they_are(text):
    assert redacted_text(text) == text


@pytest.mark.parametrize("text", ["a" * 300_000, "a." * 150_000, "a://" * 70_000, '"a":' * 70_000, "[" * 300_000])
def test_a5_a_long_text_takes_no_long_time(text):
    started = time.monotonic()
    redacted_text(text)
    assert time.monotonic() - started < 5
