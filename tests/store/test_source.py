"""What a person names as a SavedModel: what is none is called by its name, with what to do."""

import re
import zipfile
from pathlib import Path

import pytest

from piecehub.errors import ArchiveError, PiecehubError, RecipeError
from piecehub.store.archive import pack
from piecehub.store.source import find_saved_model

HDF = b"\x89HDF\r\n\x1a\n" + bytes(100)
EXPORT = r"a Keras model in one file; export it: `piecehub export \S*{} -o my_piece`"


def _zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return path


def _refused(path: Path, words: str) -> None:
    refused: PiecehubError | None = None
    try:
        with find_saved_model(path, path.parent / "store"):
            pass
    except PiecehubError as error:
        refused = error
    said = refused.sentence if refused else "taken as a SavedModel"
    assert re.search(words, said), said
    assert re.fullmatch(r"Expected .*\. Received: .*; .*\.", said)
    assert isinstance(refused, RecipeError)


def test_e13_a_model_in_one_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    _refused(
        _zipped(tmp_path / "model.keras", "metadata.json", "config.json", "model.weights.h5"),
        EXPORT.format("model.keras"),
    )
    (tmp_path / "model.h5").write_bytes(HDF)
    _refused(tmp_path / "model.h5", EXPORT.format("model.h5"))
    (tmp_path / "renamed.tar.gz").write_bytes(HDF)
    _refused(tmp_path / "renamed.tar.gz", "a Keras model in one file")
    (tmp_path / "model.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(60))
    _refused(tmp_path / "model.tflite", "TensorFlow Lite model.*converted from")
    _refused(_zipped(tmp_path / "model.zip", "model/saved_model.pb"), "a zip archive; unpack it")
    _refused(_zipped(tmp_path / "model.pt", "archive/data.pkl"), "a file of PyTorch")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    _refused(tmp_path / "saved_model.pb", "the graph of a SavedModel; name the folder around it")
    (tmp_path / "pointer.tar.gz").write_text("version https://git-lfs.github.com/spec/v1\n")
    _refused(tmp_path / "pointer.tar.gz", "git lfs pull")


def test_e13_a_folder_around_names_the_one_below(tmp_path: Path) -> None:
    for version in ("9", "10"):
        (tmp_path / "versions" / version).mkdir(parents=True)
        (tmp_path / "versions" / version / "saved_model.pb").touch()
    newest = tmp_path / "versions" / "10"
    _refused(tmp_path / "versions", f"which is around one; name '{newest}', the newest of 2 in it")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "model.h5").write_bytes(HDF)
    _refused(tmp_path / "kept", r"kept/model\.h5', a Keras model")


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("pointer", "remedy"), [(LFS, "git lfs pull"), ("/annex/objects/SHA256E-s1--4d", "git annex get")]
)
@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "assets.extra/piecehub.json"])
def test_e14_a_pointer_in_the_place_of_a_file_of_a_model_is_named(
    tmp_path: Path, name: str, pointer: str, remedy: str
) -> None:
    folder = tmp_path / "model"
    for file in ("saved_model.pb", name):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
    (folder / name).write_text(pointer)
    _refused(folder, f"{name}', a pointer of .* in the place of a file; fetch the file itself with `{remedy}`")
    pack(folder, tmp_path / "model.tar.gz")
    _refused(tmp_path / "model.tar.gz", f"{name}', a pointer of")


def test_what_may_be_a_model_or_an_archive_is_left_to_who_reads_it(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").touch()
    with find_saved_model(tmp_path / "model", tmp_path) as source:
        assert source.folder == tmp_path / "model"
    (tmp_path / "model.tar.gz").write_bytes(b"\x1f\x8b" + bytes(20))
    with pytest.raises(ArchiveError), find_saved_model(tmp_path / "model.tar.gz", tmp_path):
        pass
