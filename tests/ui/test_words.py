import pytest

from piecehub.ui import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.31, "0.3 s"), (59.96, "60.0 s"), (65, "1 min 05 s"), (119.7, "2 min 00 s"), (3780, "1 h 03 min")],
)
def test_durations_are_short(seconds, text):
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(517, "517 bytes"), (12_400, "12 kB"), (1_240, "1.2 kB"), (999_700, "1.0 MB"), (3e12, "3000 GB")],
)
def test_sizes_are_short(size_bytes, text):
    assert words.size(int(size_bytes)) == text


def test_times_without_a_zone_are_utc():
    assert words.moment("2026-11-24T01:44:00") == words.moment("2026-11-24T02:44:00+01:00") == "24 Nov 2026, 01:44 UTC"


def test_long_names_are_cut_in_the_middle():
    assert words.cut("FineTuneEvaluator") == "FineTuneEvaluator"
    cut = words.cut("FineTuneEvaluatorDigitsFiveToNine")
    assert len(cut) == 20
    assert cut.startswith("FineTuneEv") and cut.endswith("iveToNine")


@pytest.mark.parametrize("key", ["access_token", "API-KEY", "db_password", "secret", "credentials"])
def test_what_may_be_a_secret_is_not_shown(key):
    assert "abc" not in words.parameter(key, "abc")


@pytest.mark.parametrize("key", ["tokenizer", "epochs", "monkey"])
def test_other_parameters_are_shown(key):
    assert words.parameter(key, "abc") == "abc"


def test_long_values_are_cut():
    assert len(words.parameter("protocol", "x" * 10_000)) < 700


@pytest.mark.parametrize("name", ["FineTuneEvaluator", "ImportSchemaGen", "TFMA", "a", "Digits2Pusher", "<b>Bold"])
def test_a_name_is_the_sum_of_its_humps(name):
    assert "".join(words.humps(name)) == name


def test_a_name_may_break_before_a_capital():
    assert words.humps("FineTuneEvaluator") == ["Fine", "Tune", "Evaluator"]
