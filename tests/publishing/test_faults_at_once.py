"""Everything that is wrong with a page and a model is told at once, with its line, before anything takes time."""

from pathlib import Path

import pytest

from piecehub.errors import PiecehubError, RecipeError, SeveralFaults
from piecehub.publishing import offered
from piecehub.publishing.look import Offered
from piecehub.publishing.offered import publish_made_elsewhere
from piecehub.store.catalog import Store
from tests.command_line import piecehub
from tests.conformance.broken_models import of, plain
from tests.conformance.test_conformance_documentation import IMAGES, _pooled

PAGE = """# Module acme/rows/3

TODO: in one sentence, what does it make of what?

<!-- asset-path: rows.zip -->
<!-- fine-tunable: true -->
<!-- format: saved_model_2 -->
<!-- licence: apache-2.0 -->

## Overview

TODO: what is it good for?
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of(_pooled, IMAGES)(tmp_path_factory.mktemp("images") / "model")


def test_n7_all_faults_are_told_at_once_with_their_lines(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE)
    fixed = ["--name", "acme/columns", "--documentation", "page.md", "--store", "store", "--trust"]
    done = piecehub("publish", str(rows), *fixed, "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    told = done.stderr.splitlines()
    assert told[0].startswith("piecehub: Expected a model and a page that can be published. Received: 6 faults")
    for line, words in (
        ("page.md:1", "a page about 'acme/columns/3'"),
        ("page.md:3", "'TODO: in one sentence, what does it make of what?'"),
        ("page.md:5", "a value of 'asset-path'"),
        ("page.md:6", "'<!-- fine-tunable: false -->'"),
        ("page.md:8", "did you mean 'license'"),
        ("page.md:12", "'TODO: what is it good for?'"),
    ):
        [found] = [each for each in told if each.startswith(f"piecehub: {line}: ")]
        assert words in found
    assert not (tmp_path / "store").exists()


def _refusal(store: Path, model: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(offered, "check_saved_model", lambda *_, **__: pytest.fail("it was checked"))
    try:
        publish_made_elsewhere(Store.open(store), Offered(model, page, trusted=True), "acme/rows")
    except SeveralFaults as error:
        return error.sentence
    except PiecehubError as error:
        return error.sentence
    return ""


@pytest.mark.usefixtures("glances_here")
def test_n7_what_a_task_demands_is_told_before_the_checks(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGE.replace("TODO: in one sentence, what does it make of what?", "Features of 12x10 images.")
    page = page.replace("TODO: what is it good for?", "Small images.").replace("licence", "license")
    page = page.replace("rows.zip", "rows.tar.gz").replace("fine-tunable: true", "fine-tunable: false")
    said = _refusal(tmp_path / "store", images, page, monkeypatch)
    assert "no task" in said and "pixels" not in said  # the description tells the size
    declared = page.replace("<!-- format", "<!-- task: image-feature-vector -->\n<!-- format")
    assert "page.md:7: Expected a page that says that images are in [0, 1]" in _refusal(
        tmp_path / "store", images, declared, monkeypatch
    )
    near = page.replace("<!-- format", "<!-- task: image-feature-vektor -->\n<!-- format")
    said = _refusal(tmp_path / "store", images, near, monkeypatch)
    assert "did you mean 'image-feature-vector'? `piecehub page --values task` lists all" in said


@pytest.mark.usefixtures("glances_here")
def test_a_model_that_has_nothing_to_call_is_told_with_the_faults_of_its_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    said = _refusal(tmp_path / "store", tmp_path / "empty", PAGE, monkeypatch)
    assert "S3 fell short" in said and "page.md:3" in said and "page.md:5" in said


@pytest.mark.usefixtures("glances_here")
def test_one_fault_is_one_sentence(rows: Path, tmp_path: Path) -> None:
    page = PAGE.replace("TODO: in one sentence, what does it make of what?", "Rows.").replace("rows.zip", "r.tar.gz")
    page = page.replace("TODO: what is it good for?", "Rows.").replace("licence", "license")
    with pytest.raises(RecipeError, match=r"^page.md:6: Expected '<!-- fine-tunable: false -->'") as refused:
        publish_made_elsewhere(Store.open(tmp_path / "store"), Offered(rows, page, trusted=True), "acme/rows")
    assert not isinstance(refused.value, SeveralFaults)


def test_a_model_without_a_trainable_variable_is_told_so_by_its_page(tmp_path: Path) -> None:
    folder = of(plain, trainable_variables=[], regularization_losses=[])(tmp_path / "model")
    done = piecehub("page", str(folder), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("# Module TODO/TODO/1\n")
    assert "Variables that it trains: 0" in done.stdout
    assert "--name PUBLISHER/NAME" in done.stderr
