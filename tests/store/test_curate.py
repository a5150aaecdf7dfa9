"""What people say about versions: recorded for ever, computed into what holds now."""

import threading

import pytest

from piecehub.errors import RecipeError, StoreError
from piecehub.facts.handle import Handle
from piecehub.store import curate, layout
from piecehub.store.events import Event, Kind, Status
from piecehub.store.publish import publish

SAID = {"by": "anna", "why": "labels were swapped"}


@pytest.fixture
def versions(anywhere, make_model) -> list[Handle]:
    """acme/tiny 1, 2 and 3."""
    return [publish(anywhere, make_model(f"model {n}"), "acme", "tiny", blobs={}, facts={}).handle for n in range(3)]


def test_a_yanked_version_is_hidden_and_still_there(anywhere, versions):
    curate.yank(anywhere, versions[2], **SAID)
    assert anywhere.status(versions[2]) is Status.YANKED and anywhere.status(versions[1]) is Status.PUBLISHED
    assert anywhere.newest("acme", "tiny").handle == versions[1]
    assert {m.handle for m in anywhere.models()} == set(versions[:2])
    assert {m.handle.version: s for m, s in anywhere.listing()} == {1: "published", 2: "published", 3: "yanked"}
    assert anywhere.manifest(versions[2]).handle == versions[2]
    assert anywhere.versions("acme", "tiny") == [1, 2, 3]


def test_a_yank_is_taken_back_and_both_are_recorded(anywhere, versions):
    curate.yank(anywhere, versions[2], **SAID)
    curate.unyank(anywhere, versions[2], by="ben", why="they\nwere not")
    assert anywhere.newest("acme", "tiny").handle == versions[2]
    log = anywhere.state("acme", "tiny").events
    assert [(e.number, e.kind, e.version, e.by, e.why) for e in log] == [
        (1, Kind.YANK, 3, "anna", "labels were swapped"),
        (2, Kind.UNYANK, 3, "ben", "they were not"),
    ]
    assert log[0].at <= log[1].at


def test_saying_what_holds_writes_nothing(anywhere, versions):
    assert (
        curate.unyank(anywhere, versions[0], **SAID) is None and curate.release(anywhere, versions[0], **SAID) is None
    )
    assert curate.yank(anywhere, versions[0], **SAID).number == 1
    assert curate.yank(anywhere, versions[0], by="ben", why="again") is None
    assert curate.drop_alias(anywhere, "acme", "tiny", "champion", **SAID) is None
    assert len(anywhere.state("acme", "tiny").events) == 1


def test_a_released_version_may_still_be_yanked(anywhere, versions):
    curate.yank(anywhere, versions[0], **SAID)
    curate.quarantine(anywhere, versions[0], by="ben", why="leaks")
    assert anywhere.status(versions[0]) is Status.QUARANTINED
    assert anywhere.state("acme", "tiny").reason(1).why == "leaks"
    curate.release(anywhere, versions[0], **SAID)
    assert anywhere.status(versions[0]) is Status.YANKED


def test_a_yanked_number_is_not_taken_again(anywhere, versions, make_model):
    for handle in versions:
        curate.yank(anywhere, handle, **SAID)
    assert anywhere.newest("acme", "tiny") is None and anywhere.models() == []
    again = publish(anywhere, make_model("new"), "acme", "tiny", blobs={}, facts={}, judged_against=None)
    assert again.created and again.handle.version == 4


def test_yanked_content_that_is_the_last_is_known(anywhere, versions, make_model):
    curate.yank(anywhere, versions[2], **SAID)
    again = publish(anywhere, make_model("model 2"), "acme", "tiny", blobs={}, facts={})
    assert not again.created and again.handle == versions[2]


def test_quarantined_content_is_not_published_again(anywhere, versions, make_model):
    curate.quarantine(anywhere, versions[0], **SAID)
    for version in (None, 9):
        with pytest.raises(StoreError, match=r"not quarantined\. Received: that of 'acme/tiny/1'"):
            publish(anywhere, make_model("model 0"), "acme", "tiny", version=version, blobs={}, facts={})
    curate.release(anywhere, versions[0], **SAID)
    assert publish(anywhere, make_model("model 0"), "acme", "tiny", version=9, blobs={}, facts={}).created


def test_a_person_promotes_a_version(anywhere, versions):
    curate.set_alias(anywhere, versions[0], "candidate", **SAID)
    curate.set_alias(anywhere, versions[1], "champion", **SAID, instead_of=0)
    curate.set_alias(anywhere, versions[0], "champion", **SAID, instead_of=2)
    assert anywhere.state("acme", "tiny").aliases == {"candidate": 1, "champion": 1}
    assert curate.find_alias(anywhere, "acme", "tiny", "champion").handle == versions[0]
    curate.drop_alias(anywhere, "acme", "tiny", "candidate", **SAID)
    assert anywhere.state("acme", "tiny").aliases == {"champion": 1}
    with pytest.raises(StoreError, match="'candidate', which means nothing"):
        curate.find_alias(anywhere, "acme", "tiny", "candidate")


def test_who_looked_too_long_ago_is_told(anywhere, versions):
    curate.set_alias(anywhere, versions[0], "champion", **SAID)
    with pytest.raises(StoreError, match=r"mean version 0 still\. Received: 1"):
        curate.set_alias(anywhere, versions[1], "champion", **SAID, instead_of=0)
    assert curate.set_alias(anywhere, versions[0], "champion", **SAID, instead_of=0) is None


@pytest.mark.parametrize("how", [curate.yank, curate.quarantine])
def test_what_is_withdrawn_is_not_promoted(how, anywhere, versions):
    curate.set_alias(anywhere, versions[0], "champion", **SAID)
    how(anywhere, versions[1], **SAID)
    how(anywhere, versions[0], **SAID)
    with pytest.raises(StoreError, match="neither yanked nor quarantined"):
        curate.set_alias(anywhere, versions[1], "champion", **SAID)
    if how is curate.quarantine:
        with pytest.raises(StoreError, match="the quarantined version 1"):
            curate.find_alias(anywhere, "acme", "tiny", "champion")


@pytest.mark.parametrize("alias", ["latest", "newest", "3", "", "Champion", "a/b", "../x", "a" * 64])
def test_words_that_are_no_aliases_are_refused(alias, store):
    with pytest.raises(RecipeError, match="Expected an alias"):
        curate.set_alias(store, Handle("acme", "tiny", 1), alias, **SAID)


def test_what_is_not_there_or_says_nothing_is_refused(anywhere, versions):
    with pytest.raises(StoreError, match="'acme/tiny/7'"):
        curate.yank(anywhere, Handle("acme", "tiny", 7), **SAID)
    for said in ({"by": "", "why": "x"}, {"by": "x", "why": "  "}):
        with pytest.raises(RecipeError, match="who says so and why"):
            curate.yank(anywhere, versions[0], **said)
    assert anywhere.state("acme", "tiny").events == ()


def test_nobody_who_speaks_at_once_is_lost(anywhere, versions):
    """Sixteen people, each with an alias of their own: sixteen entries, numbered 1 to 16."""
    start, problems = threading.Barrier(16), []

    def speak(number: int) -> None:
        start.wait()
        try:
            curate.set_alias(anywhere, versions[number % 3], f"choice-{number}", by=f"person {number}", why="mine")
        except StoreError as error:
            problems.append(error)

    threads = [threading.Thread(target=speak, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    state = anywhere.state("acme", "tiny")
    assert problems == [] and [e.number for e in state.events] == list(range(1, 17))
    assert state.aliases == {f"choice-{n}": n % 3 + 1 for n in range(16)}


def test_models_below_a_model_have_a_log_of_their_own(anywhere, make_model):
    for name in ("tiny", "tiny/deep"):
        publish(anywhere, make_model(name.replace("/", "-")), "acme", name, blobs={}, facts={})
    curate.yank(anywhere, Handle("acme", "tiny/deep", 1), **SAID)
    assert [str(m.handle) for m in anywhere.models()] == ["acme/tiny/1"]
    assert anywhere.state("acme", "tiny").events == () and anywhere.newest("acme", "tiny/deep") is None


def test_no_flipped_bit_of_an_event_goes_unseen():
    text = Event("acme/tiny", 3, Kind.ALIAS, 2, "anna", "2024-01-02T03:04:05.678+00:00", "größer", "champion").to_json()
    data = text.encode()
    assert Event.from_json(data).why == "größer"
    for place in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            with pytest.raises(StoreError):
                Event.from_json(bytes(flipped))


def test_an_event_at_another_place_is_refused(store, make_model):
    handle = publish(store, make_model(), "acme", "tiny", blobs={}, facts={}).handle
    curate.yank(store, handle, **SAID)
    folder = (store.root / layout.event_key("acme/tiny", 1)).parent
    (folder / "000001.json").rename(folder / "000002.json")
    with pytest.raises(StoreError, match="Expected event 2"):
        store.newest("acme", "tiny")


def test_n11_an_alias_has_a_syntax(anywhere, versions):
    curate.set_alias(anywhere, versions[1], "champion", **SAID)
    assert curate.of_alias(anywhere, "acme/tiny@champion").handle == versions[1]
    with pytest.raises(StoreError, match="which means nothing"):
        curate.of_alias(anywhere, "acme/tiny@nobody")
    for text in ("tiny@champion", "@champion", "acme@champion"):
        with pytest.raises(RecipeError, match="publisher/name@alias"):
            curate.of_alias(anywhere, text)


@pytest.mark.parametrize("name", ["acme/tiny/2", "acme/tiny@champion", "/acme/tiny@champion"])
def test_n11_commands_take_a_version_by_its_number_or_by_an_alias(anywhere, versions, name):
    curate.set_alias(anywhere, versions[1], "champion", **SAID)
    assert curate.named(anywhere, name) == versions[1]


def test_n11_an_unknown_version_says_where_was_looked(anywhere, versions):
    with pytest.raises(StoreError) as raised:
        anywhere.manifest(Handle("acme", "none", 1))
    assert anywhere.uri in raised.value.sentence and "--workdir" in raised.value.sentence
