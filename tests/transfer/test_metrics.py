"""One run of TFMA; it imports TensorFlow and Beam, but not TFX."""

import pytest


def test_tfma_reads_what_numpy_counts(make_evidence, tmp_path):
    from piecehub.transfer.metrics import write_metrics

    import tensorflow_model_analysis as tfma  # isort: skip

    evidence = make_evidence()
    write_metrics(evidence.folder / "predictions.parquet", tmp_path / "evaluation")
    for mode, correct in evidence.correct.items():
        result = tfma.load_eval_result(str(tmp_path / "evaluation"), model_name=mode)
        found = {key: values[""][""] for key, values in result.slicing_metrics}
        assert found[()]["sparse_categorical_accuracy"]["doubleValue"] == pytest.approx(correct.mean(), abs=1e-6)
        for i, shots in enumerate(evidence.protocol.shots):
            sliced = found[(("shots", shots),)]
            assert sliced["sparse_categorical_accuracy"]["doubleValue"] == pytest.approx(correct[i].mean(), abs=1e-6)
            assert sliced["example_count"]["doubleValue"] == correct[i].size
            assert sliced["sparse_categorical_crossentropy"]["doubleValue"] > 0
