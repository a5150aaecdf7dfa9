"""A recipe's examples on disk: what a writer may raise, which files count, and that a path is no pattern."""

import functools
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from piecehub.errors import DataError, EnvironmentProblem, NoSpace, PiecehubError, RecipeError
from piecehub.examples.ingest import ingest
from piecehub.examples.layout import split_names
from piecehub.examples.records import write_records
from piecehub.facts.workdir import Workdir
from pipelines.data import examples_folder
from pipelines.recipe.loader import RECIPES, load_recipe
from pipelines.recipe.tables import LoadedRecipe
from tests.full_disk import full
from tests.in_memory import split_digests
from tests.s3_server import BUCKET, KEY, REGION, SECRET, client_of, running_s3

SPLITS = ("upstream/train", "upstream/eval", "digits-5-9/pool", "digits-5-9/test")


def _loaded(place: Path, **data: Any) -> LoadedRecipe:
    """The digits recipe in another folder, with other entries in `[data]`."""
    config = load_recipe(RECIPES / "digits").config
    return LoadedRecipe(place, replace(config, data=replace(config.data, **data)))


def _written(tmp_path: Path, source: str) -> Path:
    """The examples that a `data.py` writes."""
    (tmp_path / "recipe").mkdir(exist_ok=True)
    (tmp_path / "recipe" / "data.py").write_text(source)
    return examples_folder(_loaded(tmp_path / "recipe", arguments={}), tmp_path / "work" / "data")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("assert False, 'no rows'", "AssertionError: no rows"),
        ("import zipfile; zipfile.ZipFile(__file__)", "BadZipFile: File is not a zip file"),
        ("raise EOFError", "EOFError: no message"),
        ("import sqlite3; sqlite3.connect(':memory:').execute('select')", "OperationalError: incomplete input"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys; sys.exit('gone')", "SystemExit: gone"),
        ("raise BaseException('bare')", "BaseException: bare"),
        ("raise ExceptionGroup('two', [ValueError(1)])", "ExceptionGroup: two"),
        ("raise StopIteration", "StopIteration: no message"),
        ("raise MemoryError", "MemoryError: no message"),
    ],
)
def test_e11_whatever_a_writer_raises_is_one_sentence_with_its_line(tmp_path: Path, source: str, said: str) -> None:
    file = tmp_path / "recipe" / "data.py"
    with pytest.raises(BaseException) as caught:  # whatever comes, that it is ours is what is asserted
        _written(tmp_path, f"def write(folder):\n    {source}\n")
    assert isinstance(caught.value, RecipeError)
    assert f"Received: {said}" in caught.value.sentence
    assert caught.value.sentence.endswith(f"({file}:2).")


def test_e11_a_module_that_exits_while_it_loads_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BaseException) as caught:
        _written(tmp_path, "import sys\nsys.exit(0)\n")
    assert isinstance(caught.value, RecipeError)
    assert caught.value.exit_code == 2
    assert f"SystemExit: 0 ({tmp_path / 'recipe' / 'data.py'}:2)" in caught.value.sentence


def test_e11_ctrl_c_stays_ctrl_c(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        _written(tmp_path, "def write(folder):\n    raise KeyboardInterrupt\n")


POOL = """
import multiprocessing
from piecehub import write_records
from .rows import row

def write(folder):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rows = pool.map_async(row, range(3)).get(timeout=100)
    for split in ("upstream/train", "upstream/eval", "digits-5-9/pool", "digits-5-9/test"):
        write_records(folder / split, rows, shards=1)
"""


def test_e11_a_spawned_pool_in_a_writer_works(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "rows.py").write_text("def row(n):\n    return {'label': n}\n")
    said = ""
    try:
        folder = _written(tmp_path, POOL)
        assert (folder / "upstream" / "train" / "part-00000-of-00001.tfrecord").stat().st_size
    except PiecehubError as error:
        said = error.sentence
    assert said == ""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of records in the layout of `data.folder`."""
    for split in SPLITS:
        write_records(tmp_path / "own" / split, [{"label": n} for n in range(3)], shards=1)
    return tmp_path / "own"


def _own(folder: Path, tmp_path: Path) -> Path:
    return examples_folder(_loaded(tmp_path, module="", folder=str(folder)), tmp_path / "work" / "data")


PART = "part-00000-of-00001.tfrecord"


@pytest.mark.parametrize("name", [".DS_Store", "_SUCCESS", ".part-0.tfrecord.crc"])
def test_e12_a_hidden_file_does_not_count(own: Path, tmp_path: Path, name: str) -> None:
    (own / "upstream" / "train" / name).write_bytes(b"no record at all")
    refused = ""
    try:
        assert _own(own, tmp_path) == own
    except DataError as error:
        refused = error.sentence
    assert refused == ""


@pytest.mark.parametrize("name", ["part-0.tfrec", "part-0", "data_tfrecord-00000"])
def test_e12_records_count_whatever_the_file_is_called(own: Path, tmp_path: Path, name: str) -> None:
    from tests.in_memory import read_records

    split = own / "upstream" / "train"
    (split / PART).rename(split / name)
    assert _own(own, tmp_path) == own
    assert len(read_records(str(own / "upstream"), "train")) == 3


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("Thumbs.db", b"no record at all", "only TFRecord files"),
        ("notes.txt", b"x", "only TFRecord files"),
        ("part-1.gz", b"no record at all", "a gzipped file"),
        ("part-1.tfrecord", b"\x1f\x8b\x08 gzipped", "a gzipped file"),
        ("part-1.tfrecord.gz", b"\x1f\x8b\x08 damaged", "TFRecord file"),
        ("zeros.bin", bytes(64), "TFRecord file"),
    ],
)
def test_e12_a_file_that_holds_no_records_is_named(
    own: Path, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (own / "digits-5-9" / "test" / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        _own(own, tmp_path)
    assert str(own / "digits-5-9" / "test" / name) in caught.value.sentence


def test_e12_a_file_that_was_cut_off_is_named(own: Path, tmp_path: Path) -> None:
    file = own / "upstream" / "eval" / PART
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(DataError, match=f"{PART}, which is none, or is damaged"):
        _own(own, tmp_path)


@pytest.mark.parametrize("name", ["own[1]", "own*", "own?", "{span}", "own[!a]", "own]", "own\\[1]"])
def test_b4_a_folder_of_records_is_no_pattern(own: Path, tmp_path: Path, name: str) -> None:
    """Neither for our reader nor for the pass over the data: what a pattern would match lies beside it."""
    from piecehub.examples.ingest import ingest
    from tests.in_memory import read_records

    shutil.copytree(own, tmp_path / "own1")
    own.rename(tmp_path / name)
    place = _own(tmp_path / name, tmp_path)
    assert place == tmp_path / name
    (place / "upstream" / "train" / ".DS_Store").write_text("hidden")
    assert len(read_records(str(place / "upstream"), "train")) == 3
    assert ingest(str(place / "upstream"), ["train"], tmp_path / "out")["train"].records == 3


@pytest.mark.parametrize("name", ["work[1]", "wo*rk", "w?", "a\\b"])
def test_b4_a_working_folder_that_tfx_would_take_for_a_pattern_is_refused(tmp_path: Path, name: str) -> None:
    from pipelines import kubeflow_runner, local_runner

    loaded = load_recipe(RECIPES / "digits")
    with pytest.raises(EnvironmentProblem, match="--workdir"):
        local_runner.run(loaded, Workdir(tmp_path / name))
    with pytest.raises(EnvironmentProblem, match="--workdir"):
        kubeflow_runner.compile_recipe(loaded, Workdir(tmp_path / name), tmp_path / "p.yaml", "piecehub:0.1.0")
    assert not (tmp_path / name).exists()


def test_b4_a_recipe_in_a_folder_with_brackets_is_found(tmp_path: Path) -> None:
    shutil.copytree(RECIPES / "digits", tmp_path / "re[c]ipe*")
    assert load_recipe(str(tmp_path / "re[c]ipe*")).folder == tmp_path / "re[c]ipe*"


@pytest.mark.parametrize("data_py", ["vocab.txt", "data.py", "other/rows.csv"])
def test_b2_examples_are_written_again_when_a_file_of_the_recipe_changes(tmp_path: Path, data_py: str) -> None:
    source = POOL.partition("\n\n")[0].replace("from .rows import row", "from pathlib import Path")
    source += """
def write(folder):
    for split in ("upstream/train", "upstream/eval", "digits-5-9/pool", "digits-5-9/test"):
        texts = [path.read_text() for path in sorted(Path(__file__).parent.rglob("*.[tcp][xsy][tv]*"))]
        write_records(folder / split, [{"label": text} for text in [*texts, Path(__file__).read_text()]], shards=1)
"""
    (tmp_path / "recipe" / "other").mkdir(parents=True)
    for name in ("vocab.txt", "other/rows.csv", "recipe.toml", "README.md"):
        (tmp_path / "recipe" / name).write_text("# before")
    first = _written(tmp_path, source)
    (tmp_path / "recipe" / "README.md").write_text("# after")
    assert _written(tmp_path, source) == first
    if data_py == "data.py":
        assert _written(tmp_path, source + "# after\n") != first
    else:
        (tmp_path / "recipe" / data_py).write_text("# after")
        assert _written(tmp_path, source) != first


@pytest.fixture
def evaluator(tmp_path: Path) -> Any:
    """An evaluator of a recipe whose pool and test part are the same five examples."""
    import numpy as np

    from pipelines.evaluation import Evaluator

    rows = [{"image": np.random.default_rng(n).random((8, 8, 1)), "label": n % 5} for n in range(10)]
    for split in ("pool", "test"):
        write_records(tmp_path / "own" / "digits-5-9" / split, rows, shards=1)
    return Evaluator(load_recipe(RECIPES / "digits"), tmp_path, "", tmp_path, False, tmp_path / "own", tmp_path)


def test_b9_an_evaluation_stops_where_the_test_part_is_the_pool(evaluator: Any, tmp_path: Path) -> None:
    from piecehub.transfer.evaluation import Means

    (task,) = evaluator.loaded.config.task
    for ask in (evaluator.plan, lambda task, means: evaluator.evaluate(task, means, tmp_path / "out")):
        with pytest.raises(DataError, match="10 equal and 0 near of 10"):
            ask(task, Means(tmp_path / "trials"))


def test_b4_a_model_in_a_folder_with_brackets_is_the_one_that_is_evaluated(tmp_path: Path, own: Path) -> None:
    from pipelines.evaluation import make_evaluator

    (tmp_path / "scratch").mkdir()
    for name in ("model[1]", "controls*"):
        (tmp_path / name).mkdir()
    loaded, data = _loaded(tmp_path, module="", folder=str(own)), tmp_path / "work" / "data"
    places = (tmp_path / "model[1]", "", tmp_path / "controls*", tmp_path / "scratch", data)
    found = make_evaluator(loaded, *places)
    for folder, name in [(found.saved_model, "model[1]"), (found.controls, "controls*")]:
        assert not set(str(folder)) & set("[*?")
        assert folder.resolve() == tmp_path / name


def test_b2_a_working_folder_in_the_recipes_folder_is_no_part_of_it(tmp_path: Path) -> None:
    from piecehub.containers.code import recipe_closure

    (tmp_path / "data.py").write_text(POOL.partition("def write")[0].replace("from .rows import row\n", ""))
    with (tmp_path / "data.py").open("a") as file:
        file.write("def write(folder):\n    for split in " + repr(SPLITS) + ":\n")
        file.write("        write_records(folder / split, [{'label': 1}], shards=1)\n")
    loaded = _loaded(tmp_path, arguments={})
    before = recipe_closure(tmp_path, "data.py")
    assert examples_folder(loaded, tmp_path / "data") == examples_folder(loaded, tmp_path / "data")
    assert recipe_closure(tmp_path, "data.py") == before == (tmp_path / "data.py",)


# What commits before the one pass over the data computed; those of docstrings hang on Python's patch release.
DIGESTS = {
    ("digits", "upstream"): {
        "eval": "sha256:d35ceb3dd600f699befd3aab4ee511d4631bc080312b65e09fc8073055844c18",
        "train": "sha256:35ab465c4a3cc713ddcf41c13cc5b85422311e2a5b666431e48521732ec3986e",
    },
    ("digits", "digits-5-9"): {
        "pool": "sha256:caf9aa2710625098bde8db858c7c4ebf463762b6e253280b75a4378323a356ba",
        "test": "sha256:35508fe7c6d44897b67075d8f030560ed0358c73922bfc8d811cbc605f642aec",
    },
    ("nuclei", "upstream"): {
        "eval": "sha256:494720022984c74b24e4c8d686d1acde76f38b1f2ecfe7a72c9b2030f9cfa7e4",
        "train": "sha256:004c61655b31e3de2f56e0a21a1eea034ef27b5efc621d4b0cbfc9f605a87c06",
    },
    ("nuclei", "diagnosis"): {
        "pool": "sha256:5a03cd143af388e54f8510e84a7eeb44690516b80ddc0294897d2b3e4faa9f3f",
        "test": "sha256:518ba3d3098119022073e08d80d2429fe805d35d06e3d04327c1fa10e6f8e8b4",
    },
    ("docstrings", "upstream"): None,
    ("docstrings", "topic"): None,
}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes the examples of a shipped recipe, once."""

    @functools.cache
    def written(recipe: str) -> Path:
        return Path(examples_folder(load_recipe(RECIPES / recipe), tmp_path_factory.mktemp(recipe)))

    return written


# The texts of every installed package take half a minute to read.
_LONG = {key: pytest.mark.long if key[0] == "docstrings" else () for key in DIGESTS}


@pytest.mark.parametrize(("recipe", "part"), [pytest.param(*key, marks=marks) for key, marks in _LONG.items()])
def test_the_splits_of_the_shipped_recipes_have_the_digests_that_they_always_had(
    tmp_path: Path, recipe: str, part: str, shipped: Callable[[str], Path]
) -> None:
    source = str(shipped(recipe) / part)
    found = {split: facts.digest for split, facts in ingest(source, split_names(source), tmp_path / "out").items()}
    assert found == (DIGESTS[recipe, part] or split_digests(source))


def test_on_a_full_disk_no_examples_are_left_and_the_next_call_writes_them(tmp_path: Path) -> None:
    digits = (RECIPES / "digits" / "data.py").read_text()
    source = digits + "\n_write = write\ndef write(folder, **more):\n"
    source += (
        "    (folder / 'notes').write_text('n' * 9999)\n    _write(folder, **more)\n    (folder / 'notes').unlink()\n"
    )
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "data.py").write_text(source)
    data, loaded = tmp_path / "work" / "data", _loaded(tmp_path / "recipe")
    with full(data, room=100), pytest.raises(PiecehubError) as raised:
        examples_folder(loaded, data)
    assert isinstance(raised.value, NoSpace), raised.value
    assert [path.name for path in data.iterdir()] == ["keys"] and not list((data / "keys").glob("[!.]*"))
    assert examples_folder(loaded, data).is_dir()


def test_on_a_full_disk_no_half_name_of_examples_is_left(tmp_path: Path) -> None:
    data, loaded = tmp_path / "work" / "data", _loaded(RECIPES / "digits")
    with full(data / "keys", room=10), pytest.raises(OSError, match="No space left"):
        examples_folder(loaded, data)
    assert not list((data / "keys").glob("[!.]*"))
    folder = examples_folder(loaded, data)
    os.utime(folder, (1, 1))
    assert len(folder.name) == 64 and folder == examples_folder(loaded, data)
    assert folder.stat().st_mtime > 1, "by which a gc knows when it was last used"


def test_of_spans_a_run_reads_the_newest(own: Path, tmp_path: Path) -> None:
    shutil.copytree(own, tmp_path / "views" / "2026-11-28")
    shutil.copytree(own, tmp_path / "views" / "2026-11-29")
    pattern = tmp_path / "views" / "{YYYY}-{MM}-{DD}"
    assert _own(pattern, tmp_path) == tmp_path / "views" / "2026-11-29"
    shutil.rmtree(tmp_path / "views" / "2026-11-29" / "digits-5-9" / "test")
    assert _own(pattern, tmp_path) == tmp_path / "views" / "2026-11-28"
    with pytest.raises(DataError, match="no folder of such a name"):
        _own(tmp_path / "others" / "{SPAN}", tmp_path)


def test_of_a_bucket_records_are_fetched_once_as_long_as_they_stay(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from piecehub.store import data

    with running_s3() as endpoint:
        told = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": REGION}
        for name, value in {**told, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true"}.items():
            monkeypatch.setenv(name, value)
        client = client_of(endpoint)
        for path in (path for path in own.rglob("*") if path.is_file()):
            key = f"views/17/{path.relative_to(own).as_posix()}"
            client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
        loaded = _loaded(tmp_path, module="", folder=f"s3://{BUCKET}/views/{{SPAN}}")
        first = examples_folder(loaded, tmp_path / "work" / "data")
        files = {path.relative_to(own) for path in own.rglob("*.tfrecord")}
        assert {path.relative_to(first) for path in first.rglob("*.tfrecord")} == files
        assert all((first / file).read_bytes() == (own / file).read_bytes() for file in files)
        monkeypatch.setattr(data, "_fetched", None)  # nothing may be fetched again
        assert examples_folder(loaded, tmp_path / "work" / "data") == first
