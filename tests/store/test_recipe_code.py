"""A recipe's code in an archive: what is fetched is what was packed, or nothing of it is used."""

import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from piecehub.containers.code import recipe_digest
from piecehub.errors import ArchiveError, OtherCode, RecipeError
from piecehub.store.recipe_code import bring_code, code_here, is_archive
from tests.s3_server import BUCKET, told_to


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A folder with code, what it reads, links to both, and what is none of it."""
    folder = tmp_path / "recipe"
    for path, text in {
        "model.py": "from helpers.layers import width",
        "helpers/layers.py": "width = 3",
        "words.txt": "größer\n",
        "empty": "",
        "recipe.toml": "[gate]\nmin_gain = 0.1\n",
        "schema.pbtxt": "",
        ".git/config": "",
        "../beside/data.csv": "1,2",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    (folder / "linked").symlink_to(tmp_path / "beside", target_is_directory=True)
    return folder


def test_what_a_pod_fetches_has_the_digest_of_the_recipe_here(recipe: Path, tmp_path: Path) -> None:
    called = bring_code(recipe, "model.py", f"{tmp_path}/code/")
    assert is_archive(called) and not is_archive(str(recipe)) and not is_archive("")
    with code_here(called) as there:
        assert recipe_digest(there, "model.py") == recipe_digest(recipe, "model.py")
        files = {path.relative_to(there).as_posix() for path in there.rglob("*") if path.is_file()}
        assert files == {"model.py", "helpers/layers.py", "words.txt", "empty", "linked/data.csv"}
        assert not any(path.is_symlink() for path in there.rglob("*"))
    assert not there.exists()


def test_equal_code_is_one_archive_wherever_it_lies_and_an_edit_makes_another(recipe: Path, tmp_path: Path) -> None:
    def name(folder: Path) -> str:
        return bring_code(folder, "model.py", str(tmp_path / "code")).rpartition("/")[2]

    before = name(recipe)
    shutil.copytree(recipe, tmp_path / "copy")
    os.utime(tmp_path / "copy" / "model.py", (1, 1))
    (tmp_path / "copy" / "recipe.toml").write_text("[gate]\nmin_gain = 0.2\n")
    assert name(tmp_path / "copy") == before
    (tmp_path / "copy" / "words.txt").write_text("kleiner")
    assert name(tmp_path / "copy") != before


def test_another_archive_than_was_packed_or_none_is_refused(
    recipe: Path, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in told_to(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    called = bring_code(recipe, "model.py", f"s3://{BUCKET}/code")
    (recipe / "model.py").write_text("import os")
    other = bring_code(recipe, "model.py", str(tmp_path / "code"))
    altered = Path(called.replace(f"s3://{BUCKET}", str(tmp_path)))
    shutil.copyfile(other, altered)
    with code_here(called) as there:
        assert (there / "model.py").read_text() == "from helpers.layers import width"
    with pytest.raises(OtherCode, match=r"as it was packed. Received: other bytes; compile the package again"):
        code_here(str(altered)).__enter__()
    with pytest.raises(OtherCode, match="Received: nothing there; compile the package again with --code"):
        code_here(f"s3://{BUCKET}/code/{'0' * 64}.tar.gz").__enter__()


@pytest.mark.parametrize("name", ["../outside", "/outside", "link"])
def test_nothing_is_unpacked_outside_and_no_link_is(name: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive", "w:gz") as tar:
        member = tarfile.TarInfo(name)
        if name == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member, io.BytesIO())
    sha256 = hashlib.sha256((tmp_path / "archive").read_bytes()).hexdigest()
    (tmp_path / "archive").rename(tmp_path / f"{sha256}.tar.gz")
    with pytest.raises(ArchiveError):
        code_here(f"{tmp_path}/{sha256}.tar.gz").__enter__()
    assert not (tmp_path / "outside").exists()


def test_a_name_that_cannot_be_unpacked_everywhere_is_told_when_it_is_packed(recipe: Path, tmp_path: Path) -> None:
    (recipe / "Words.txt").write_text("in another case")
    with pytest.raises(RecipeError, match=r"a recipe's folder that can be packed.*each name once, in any case"):
        bring_code(recipe, "model.py", str(tmp_path / "code"))
    assert [path for path in (tmp_path / "code").rglob("*") if path.is_file()] == []
