"""The newest records of a place are told without reading one; the same rules hold in a folder and in a bucket."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from piecehub.errors import DataError, EnvironmentProblem, RecipeError
from piecehub.store.backend import Entry
from piecehub.store.data import Found, _identity, bring_data, find_data, list_data, listed_again, record_files
from tests.s3_server import BUCKET, KEY, REGION, SECRET, client_of, running_s3

PARTS = {"upstream": ("train", "eval"), "task-a": ("pool", "test")}
EVERY = [f"{part}/{split}/part-0.tfrecord" for part, splits in PARTS.items() for split in splits]
Put = Callable[[str, str], None]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with running_s3() as address:
        yield address


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Put]:
    """A place, and what writes a text into it."""
    if request.param == "folder":

        def write(key: str, text: str) -> None:
            (tmp_path / "own" / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "own" / key).write_text(text)

        return str(tmp_path / "own"), write
    endpoint = request.getfixturevalue("endpoint")
    told = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
    for name, value in {**told, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    client, prefix = client_of(endpoint), tmp_path.name
    return f"s3://{BUCKET}/{prefix}", lambda key, text: client.put_object(
        Bucket=BUCKET, Key=f"{prefix}/{key}", Body=text.encode()
    )


def _write(put: Put, below: str = "", text: str = "records", but: str = "") -> None:
    for key in EVERY:
        if key.rpartition("/")[0] != but:
            put(f"{below}{key}", text)


def test_without_spans_the_place_is_told_with_what_its_files_are(place: tuple[str, Put]) -> None:
    uri, put = place
    _write(put)
    found = find_data(uri, PARTS)
    assert (found.place, found.span, found.fingerprints.keys()) == (uri, "", PARTS.keys())
    assert find_data(f"{uri}/", PARTS) == found


def test_what_changes_in_one_part_is_told_of_that_part_alone(place: tuple[str, Put]) -> None:
    uri, put = place
    _write(put)
    before = find_data(uri, PARTS)
    put("upstream/train/part-0.tfrecord", "others!")
    after = find_data(uri, PARTS)
    assert after.fingerprints["upstream"] != before.fingerprints["upstream"]
    assert after.fingerprints["task-a"] == before.fingerprints["task-a"]
    assert after.name != before.name
    put("task-a/pool/_SUCCESS", "")
    put("task-a/pool/.hidden", "x")
    put("elsewhere/part-0", "x")
    assert find_data(uri, PARTS) == after
    put("task-a/pool/part-1.tfrecord", "more")
    assert find_data(uri, PARTS).fingerprints["task-a"] != after.fingerprints["task-a"]


def test_of_spans_the_newest_is_taken_by_its_number_not_by_its_letters(place: tuple[str, Put]) -> None:
    uri, put = place
    for span in ("9", "10", "x11"):
        _write(put, f"run-{span}/")
    found = find_data(f"{uri}/run-{{SPAN}}", PARTS)
    assert (found.place, found.span) == (f"{uri}/run-10", "10")


def test_a_span_that_is_asked_for_is_taken_though_it_is_not_the_newest(place: tuple[str, Put]) -> None:
    uri, put = place
    for span in ("9", "10"):
        _write(put, f"run-{span}/")
    _write(put, "run-8/", but="task-a/pool")
    assert list_data(f"{uri}/run-{{SPAN}}", json.dumps(PARTS), "9")["span"] == "9"
    with pytest.raises(DataError, match=r"Expected the span '7' of .* Received: none of that name"):
        list_data(f"{uri}/run-{{SPAN}}", json.dumps(PARTS), "7")
    with pytest.raises(DataError, match=r"8, lacks 'task-a/pool'"):
        list_data(f"{uri}/run-{{SPAN}}", json.dumps(PARTS), "8")
    with pytest.raises(DataError, match=r"Expected the span '9' of .* Received: none of that name"):
        list_data(f"{uri}/run-9", json.dumps(PARTS), "9")


def test_of_days_the_newest_is_taken_and_no_such_day_is_none(place: tuple[str, Put]) -> None:
    uri, put = place
    for day in ("2026/02/03", "2025/12/31", "2026/02/31", "2026/1/9"):
        _write(put, f"{day}/records/")
    found = find_data(f"{uri}/{{YYYY}}/{{MM}}/{{DD}}/records", PARTS)
    assert (found.place, found.span) == (f"{uri}/2026/02/03/records", "2026-02-03")


def test_a_word_that_stands_twice_says_the_same(place: tuple[str, Put]) -> None:
    uri, put = place
    _write(put, "2026/2026-02-03/")
    _write(put, "2026/2027-02-03/")
    assert find_data(f"{uri}/{{YYYY}}/{{YYYY}}-{{MM}}-{{DD}}", PARTS).span == "2026-02-03"


@pytest.mark.parametrize("lacking", ["upstream/eval", "task-a/pool"])
def test_a_span_that_is_not_complete_is_passed_over(place: tuple[str, Put], lacking: str) -> None:
    uri, put = place
    _write(put, "1/")
    _write(put, "2/", but=lacking)
    put(f"2/{lacking}/part-0.tfrecord", "")  # an empty file is no record
    assert find_data(f"{uri}/{{SPAN}}", PARTS).span == "1"


def test_no_complete_span_is_one_sentence(place: tuple[str, Put]) -> None:
    uri, put = place
    with pytest.raises(DataError, match=r"Expected records in '.*\{SPAN\}'. Received: no folder of such a name"):
        find_data(f"{uri}/{{SPAN}}", PARTS)
    _write(put, "7/", but="task-a/test")
    with pytest.raises(DataError, match=r"Received: none of 1, and the newest, 7, lacks 'task-a/test'"):
        find_data(f"{uri}/{{SPAN}}", PARTS)
    with pytest.raises(DataError, match=r"records in the split 'task-a/test'\. Received: none in"):
        find_data(f"{uri}/7", PARTS)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("records/{WEEK}", "Received: '{WEEK}'"),
        ("records/{SPAN:3}", "Received: '{SPAN:3}'"),
        ("records/{YYYY}-{MM}", "only {YYYY}, {MM}"),
        ("{SPAN}", "put a folder around them"),
        ("s3://{SPAN}/x", "put a folder around them"),
    ],
)
def test_spans_that_cannot_be_meant_are_refused(pattern: str, words: str) -> None:
    with pytest.raises(RecipeError) as refused:
        find_data(pattern, PARTS)
    assert words in refused.value.sentence


def test_braces_that_are_no_words_belong_to_the_name(tmp_path: Path) -> None:
    for key in EVERY:
        path = tmp_path / "a{1}{x}" / key
        path.parent.mkdir(parents=True)
        path.write_text("x")
    assert find_data(str(tmp_path / "a{1}{x}"), PARTS).span == ""


def test_the_listing_tells_each_part_by_the_names_that_the_package_uses(place: tuple[str, Put]) -> None:
    uri, put = place
    _write(put, "3/")
    told = list_data(f"{uri}/{{SPAN}}", json.dumps(PARTS))
    assert told.keys() == {"span", *(f"{part}-{what}" for part in PARTS for what in ("folder", "fingerprint"))}
    assert told["task-a-folder"] == f"{uri}/{{SPAN}}/task-a"
    assert told["span"] == "3"


def _set_times(uri: str) -> None:
    """As an archive leaves them that was unpacked: one time for all."""
    for path in Path(uri).rglob("*.tfrecord") if "://" not in uri else ():
        os.utime(path, (1, 1))


def test_a_span_of_copies_is_told_as_the_one_before_where_tags_are_made_of_bytes(place: tuple[str, Put]) -> None:
    """In a folder only times tell, and files that differ may have one: there each span is told for itself."""
    uri, put = place
    told = []
    for span, text in (("1", "records"), ("2", "records"), ("3", "another")):
        _write(put, f"{span}/", text=text)
        _set_times(uri)
        told.append(list_data(f"{uri}/{{SPAN}}", json.dumps(PARTS)))
        assert told[-1].pop("span") == span
    assert (told[0] == told[1]) == ("://" in uri)
    assert told[1] != told[2] and told[0] != told[2]
    names = {find_data(f"{uri}/{span}", PARTS).name for span in "123"}
    assert len(names) == (2 if "://" in uri else 3)


@pytest.mark.parametrize(
    ("etag", "is_of_bytes"),
    [
        ('"d41d8cd98f00b204e9800998ecf8427e"', True),
        ('"d41d8cd98f00b204e9800998ecf8427e-12"', True),  # uploaded in parts
        ('"0x8DD3C0F4A5B6C70"', False),  # Azure's: a time
        ('"CKih16GjycICEAE="', False),  # Google's of a composed object: a generation
        ("", False),
    ],
)
def test_a_tag_tells_of_copies_only_if_it_is_made_of_bytes(etag: str, is_of_bytes: bool) -> None:
    entry = Entry("part-0", 7, datetime(2026, 1, 31, tzinfo=UTC), etag)
    assert (_identity(entry, "az://shop/1/upstream") == _identity(entry, "az://shop/2/upstream")) == is_of_bytes


def test_what_was_listed_is_found_again_whatever_came_since(place: tuple[str, Put]) -> None:
    uri, put = place
    _write(put, "1/")
    told = list_data(f"{uri}/{{SPAN}}", json.dumps(PARTS))
    source, splits, fingerprint = told["task-a-folder"], PARTS["task-a"], told["task-a-fingerprint"]
    assert listed_again(source, splits, fingerprint) == f"{uri}/1/task-a"
    _write(put, "2/", text="another")
    assert listed_again(source, splits, fingerprint) == f"{uri}/1/task-a"
    put("1/task-a/pool/part-1.tfrecord", "more")
    with pytest.raises(DataError, match=r"Received: others; they changed between listing and ingestion"):
        listed_again(source, splits, fingerprint)


def test_a_folder_that_is_called_by_its_content_is_not_looked_at(tmp_path: Path) -> None:
    for source in ("s3://no-such-bucket/examples/abc1/upstream", f"{tmp_path}/abc1"):
        assert listed_again(source, ["train"], "abc1") == source
    with pytest.raises(DataError, match="Received: others"):
        listed_again(f"{tmp_path}/abc1", ["train"], "")


def test_records_are_brought_here_as_they_are(place: tuple[str, Put], tmp_path: Path) -> None:
    uri, put = place
    _write(put, text="bytes")
    put("upstream/train/part-1.tfrecord", "more")
    seen = []
    for file in record_files(f"{uri}/upstream", "train"):
        seen.append((Path(file).name, Path(file).read_text()))
    assert seen == [("part-0.tfrecord", "bytes"), ("part-1.tfrecord", "more")]
    if "://" in uri:
        bring_data(Found(uri, "", {}), PARTS, tmp_path / "here")
        found = {path.relative_to(tmp_path / "here").as_posix() for path in (tmp_path / "here").rglob("part*")}
        assert found == {*EVERY, "upstream/train/part-1.tfrecord"}


def test_a_bucket_that_is_not_there_is_told_of_in_a_sentence(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
    for name, value in {**told, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}.items():
        monkeypatch.setenv(name, value)
    for pattern in ("s3://no-such-bucket/records", "s3://no-such-bucket/records/{SPAN}"):
        with pytest.raises(EnvironmentProblem, match="Expected to reach 's3://no-such-bucket"):
            find_data(pattern, PARTS)
