"""Runs of TFMA; they import TensorFlow and Beam, but not TFX."""

import numpy as np
import pytest

from piecehub.transfer import predictions
from piecehub.transfer.protocol import Protocol
from piecehub.transfer.tasks import Task


def test_tfma_reads_what_numpy_counts(make_evidence, tmp_path):
    from piecehub.transfer.metrics import write_metrics

    import tensorflow_model_analysis as tfma  # isort: skip

    evidence = make_evidence()
    write_metrics(evidence.folder / "predictions.parquet", tmp_path / "evaluation")
    for mode, correct in evidence.scores.items():
        result = tfma.load_eval_result(str(tmp_path / "evaluation"), model_name=mode)
        found = {key: values[""][""] for key, values in result.slicing_metrics}
        assert found[()]["sparse_categorical_accuracy"]["doubleValue"] == pytest.approx(correct.mean(), abs=1e-6)
        for i, shots in enumerate(evidence.protocol.shots):
            sliced = found[(("shots", shots),)]
            assert sliced["sparse_categorical_accuracy"]["doubleValue"] == pytest.approx(correct[i].mean(), abs=1e-6)
            assert sliced["example_count"]["doubleValue"] == correct[i].size
            assert sliced["sparse_categorical_crossentropy"]["doubleValue"] > 0


@pytest.mark.parametrize("kind", ["multi_label", "regression"])
def test_tfma_reads_several_labels_and_values_too(tmp_path, kind):
    from piecehub.transfer.metrics import write_metrics

    import tensorflow_model_analysis as tfma  # isort: skip

    generator = np.random.default_rng(0)
    x = np.zeros((40, 1), np.float32)
    y = generator.integers(0, 2, (40, 3)) if kind == "multi_label" else generator.normal(size=40)
    task = Task.from_arrays("made", x, y, x, y, kind)
    protocol = Protocol((5, 10), (0, 1), (0.01,), 10, 8, (1.0,))
    grid = [(mode, k) for mode in ("fine_tuning", "from_scratch") for k in (5, 10)]
    said = {key: [generator.normal(size=(40, task.outputs)).astype(np.float32)] * 2 for key in grid}
    predictions.write(tmp_path / "predictions.parquet", task, protocol, said)
    write_metrics(tmp_path / "predictions.parquet", tmp_path / "evaluation", kind)
    result = tfma.load_eval_result(str(tmp_path / "evaluation"), model_name="fine_tuning")
    found = {
        key: {name: v["doubleValue"] for name, v in values[""][""].items()} for key, values in result.slicing_metrics
    }
    outputs = said["fine_tuning", 10][0]
    sliced = found[(("shots", 10),)]
    if kind == "multi_label":
        assert sliced["binary_accuracy"] == pytest.approx(np.mean((outputs > 0) == y), abs=1e-6)
        assert sliced["example_count"] == 2 * 40 * 3
    else:
        assert sliced["mean_squared_error"] == pytest.approx(np.mean((outputs[:, 0] - y) ** 2), rel=1e-5)
        assert sliced["example_count"] == 2 * 40
