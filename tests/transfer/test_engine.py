import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from piecehub.errors import NotReusableError, PieceError, PiecehubError
from piecehub.transfer import engine as engines
from piecehub.transfer import fitting, kinds, probe
from piecehub.transfer.engine import Engine
from piecehub.transfer.tasks import Task, draw_shots

TRAINING = {"seed": 0, "learning_rate": 0.03, "steps": 30, "batch_size": 8}


@pytest.fixture(scope="module")
def engine(exported, task):
    return Engine(exported.saved_model, task.outputs)


@pytest.fixture(scope="module")
def shots(task):
    indices = draw_shots(task, 5, seed=0)
    return task.pool_x[indices], task.pool_y[indices]


def test_every_epoch_is_a_whole_permutation_and_the_order_hangs_on_seed_and_size_only():
    order = engines.batch_order(10, steps=7, batch_size=5, seed=1).ravel()
    assert order.shape == (35,)
    assert all(sorted(order[i : i + 10]) == list(range(10)) for i in (0, 10, 20))
    assert np.array_equal(order, engines.batch_order(10, 7, 5, seed=1).ravel())
    assert not np.array_equal(order, engines.batch_order(10, 7, 5, seed=2).ravel())


def test_the_learning_rate_rises_for_a_tenth_and_falls_to_nothing():
    rates = engines.learning_rates(0.5, 100)
    assert rates[:10] == pytest.approx(0.05 * np.arange(1, 11))
    assert rates.argmax() in (9, 10) and (np.diff(rates[10:]) < 0).all()
    assert rates[-1] < 0.001


def test_fine_tuning_learns_and_goes_through_every_weight(engine, task, shots, exported):
    engine.use_piece()
    before = engine.features(task.test_x)
    loss = engine.fine_tune(*shots, **TRAINING)
    assert len(loss) == 30 and loss[-1] < np.log(3)
    assert np.mean(engine.logits(task.test_x).argmax(axis=1) == task.test_y) > 0.6
    assert not np.allclose(engine.features(task.test_x), before)
    engine.use_piece()
    assert np.array_equal(engine.features(task.test_x), before)


def test_a_training_leaves_nothing_behind_for_the_next(engine, task, shots):
    found = []
    for _ in range(2):
        engine.use_piece()
        engine.fine_tune(*shots, **TRAINING)
        found.append(engine.logits(task.test_x))
    engine.use_piece()
    engine.fine_tune(*shots, **{**TRAINING, "learning_rate": 0.01})
    assert np.array_equal(*found)
    assert not np.array_equal(found[0], engine.logits(task.test_x))


def test_adam_and_loss_are_those_of_keras(build_piece, task, shots, tmp_path):
    piece = build_piece()
    tf.saved_model.save(piece, str(tmp_path / "m"))
    ours = Engine(tmp_path / "m", task.outputs)
    loss = ours.fine_tune(*shots, **TRAINING)
    head = [tf.Variable(tf.zeros([8, 3])), tf.Variable(tf.zeros([3]))]
    weights = [tf.Variable(v) for v in piece.trainable_variables] + head
    kernel, gamma, beta = weights[:3]
    optimizer = tf.keras.optimizers.Adam(epsilon=1e-7)
    optimizer.build(weights)
    rates, order = engines.learning_rates(0.03, 30), engines.batch_order(15, 30, 8, seed=0)
    value = np.inf
    for rate, rows in zip(rates, order, strict=True):
        with tf.GradientTape() as tape:
            y = shots[0][rows] @ kernel
            mean, variance = tf.nn.moments(y, [0])
            features = tf.nn.relu(gamma * (y - mean) / tf.sqrt(variance + 1e-3) + beta)
            logits = features @ head[0] + head[1]
            crosses = tf.nn.sparse_softmax_cross_entropy_with_logits(shots[1][rows], logits)
            value = tf.reduce_mean(crosses) + 1e-3 * tf.reduce_sum(kernel**2)
        optimizer.learning_rate = rate
        optimizer.apply_gradients(zip(tape.gradient(value, weights), weights, strict=True))
    assert loss[-1] == pytest.approx(float(value), abs=1e-4)


def test_a_head_that_is_given_is_where_training_starts(exported, task, shots):
    engine = Engine(exported.saved_model, task.outputs)
    head = probe.fit(engine.features(shots[0]), shots[1], 1.0)
    still = {**TRAINING, "learning_rate": 1e-9, "steps": 1}
    engine.fine_tune(*shots, **still, head=head)
    engine.use_piece()  # the running statistics were estimated anew
    assert engine.logits(task.test_x) == pytest.approx(probe.logits(engine.features(task.test_x), head), abs=1e-4)


@pytest.mark.parametrize("kind", ["regression", "multi_label"])
def test_values_and_several_labels_are_learned_with_their_own_loss(exported, task, kind):
    said = task.pool_x[:, :2] - task.pool_x[:, 2:4]
    y = said[:, 0] if kind == "regression" else (said > 0).astype(np.int64)
    engine = Engine(exported.saved_model, 1 if kind == "regression" else 2, kind)
    losses = engine.fine_tune(task.pool_x, y, **{**TRAINING, "steps": 100})
    logits = engine.logits(task.pool_x)
    # A head at 0 starts with the loss of no answer, beside the piece's regularization.
    first = np.mean(y**2) if kind == "regression" else np.log(2)
    assert losses[0] == pytest.approx(first, rel=0.5) and losses[-1] < losses[0] / 2
    assert np.mean(kinds.scores(kind, y, kinds.predictions(kind, logits))) > 0.7


def test_a_control_is_found_whatever_its_checkpoint_is_called(engine, build_piece, write_control, task, tmp_path):
    other = build_piece(seed=77)
    engine.use_control(write_control(other, tmp_path / "seed-0", name="weights"))
    expected = other.__call__(tf.constant(task.test_x), training=False).numpy()
    assert engine.features(task.test_x) == pytest.approx(expected, abs=1e-5)


def test_a_control_that_is_missing_or_of_another_form_is_refused(engine, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(PieceError, match="one checkpoint"):
        engine.use_control(tmp_path / "empty")
    tf.train.Checkpoint(v=[tf.Variable(tf.constant([1.0]))]).write(str(tmp_path / "small" / "variables"))
    with pytest.raises(PieceError, match="Received: 1 variables"):
        engine.use_control(tmp_path / "small")


def test_a_saved_model_without_the_interface_is_refused(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "m"))
    with pytest.raises(NotReusableError, match="'variables'"):
        Engine(tmp_path / "m", 3)


@pytest.mark.parametrize(
    ("rows", "output", "words"),
    [
        (np.zeros((2, 5), np.float32), "", r"takes them, float32 \[batch, 8\]\. Received: float32 \[batch, 5\]"),
        (np.zeros((2, 8, 8, 1), np.float32), "", r"Received: float32 \[batch, 8, 8, 1\]"),
        (np.full((2, 8), 2**40 + 1), "", r"Received: int64 \[batch, 8\]"),
        (np.zeros(2, [("a", "f4", (8,))]), "", r"Received: \{a: float32 \[batch, 8\]\}"),
        (np.zeros((2, 8), np.float32), "pooled", r"it has one\. Received: 'pooled'"),
    ],
)
def test_e14_examples_that_the_piece_does_not_take_are_told_with_what_it_takes(engine, rows, output, words):
    engine.refuse_misfit("trees", np.zeros((2, 8), np.float32))
    with pytest.raises(PiecehubError, match=words):
        fitting.refuse_misfit("trees", engine._piece, engine._inputs.taken(engine._inputs.held(rows)), output)


def test_e14_outputs_that_a_linear_head_cannot_read_are_told(tmp_path):
    root = tf.Module()
    root.__call__ = tf.function(lambda x: {"map": x, "pooled": tf.reduce_mean(x, 1)})
    root.__call__.get_concrete_function(tf.TensorSpec([None, 4, 3], tf.float32))
    tf.saved_model.save(root, str(tmp_path / "m"))
    piece, rows = tf.saved_model.load(str(tmp_path / "m")), tf.zeros([1, 4, 3])
    fitting.refuse_misfit("trees", piece, rows, "pooled")
    for output, words in (("", "map, pooled. Received: none"), ("map", r"Received: float32 \[batch, 4, 3\]")):
        with pytest.raises(PiecehubError, match=words):
            fitting.refuse_misfit("trees", piece, rows, output)


def test_a_saved_model_that_cannot_be_called_is_refused(build_piece, tmp_path):
    whole, mute = build_piece(), tf.__internal__.tracking.AutoTrackable()
    for name in ("variables", "trainable_variables", "regularization_losses"):
        setattr(mute, name, list(getattr(whole, name)))
    tf.saved_model.save(mute, str(tmp_path / "m"))
    with pytest.raises(NotReusableError, match="can be called"):
        Engine(tmp_path / "m", 3)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_probe_says_what_logistic_regression_says(classes):
    generator = np.random.default_rng(0)
    y = np.arange(60) % classes
    x = (5 + 100 * (generator.normal(size=(60, 4)) + np.eye(4)[y])).astype(np.float32)
    found = probe.logits(x, probe.fit(x, y, 0.5))
    scaled = (x - x.mean(axis=0)) / np.sqrt(np.mean((x - x.mean(axis=0)) ** 2))
    expected = LogisticRegression(C=0.5, max_iter=1000).fit(scaled, y).predict_log_proba(scaled)
    ours = found - np.log(np.exp(found).sum(axis=1, keepdims=True))
    assert ours == pytest.approx(expected, abs=1e-3)


def test_a_piece_that_takes_texts_is_trained_like_any_other(tmp_path):
    generator = np.random.default_rng(0)
    kinds = {"sea": ["wave", "ship", "salt"], "wood": ["tree", "moss", "deer"]}
    y = np.tile(list(kinds), 40)
    x = [" ".join(generator.choice([*kinds[name], "and", "the", "été"], 6)) for name in y]
    task = Task.from_arrays("places", np.array(x[:40], object), y[:40], np.array(x[40:], object), y[40:])
    root = tf.__internal__.tracking.AutoTrackable()
    vectors = tf.Variable(tf.constant(0.1 * generator.normal(size=(64, 4)).astype(np.float32)))

    def mean_of_words(texts, training=False):
        rows = tf.strings.split(texts)
        ids = tf.strings.to_hash_bucket_fast(rows.flat_values, 64)
        return tf.math.unsorted_segment_mean(tf.gather(vectors, ids), rows.value_rowids(), rows.nrows())

    root.__call__ = tf.function(mean_of_words)
    for training in (False, True):
        root.__call__.get_concrete_function(tf.TensorSpec([None], tf.string), training=training)
    root.variables = root.trainable_variables = [vectors]
    root.regularization_losses = []
    tf.saved_model.save(root, str(tmp_path / "m"))

    text_engine = Engine(tmp_path / "m", task.outputs)
    before = text_engine.features(task.test_x)
    assert before == pytest.approx(mean_of_words(tf.constant(x[40:])).numpy())
    loss = text_engine.fine_tune(task.pool_x, task.pool_y, **TRAINING)
    assert loss[-1] < np.log(2)
    assert np.mean(text_engine.logits(task.test_x).argmax(axis=1) == task.test_y) > 0.9
    assert not np.allclose(text_engine.features(task.test_x), before)


def test_a_piece_of_dicts_gives_the_numbers_of_the_plain_one(build_piece, task, shots, tmp_path):
    plain = build_piece()
    named = build_piece()
    call = tf.function(
        lambda inputs, training=False: {"other": inputs["x"], "features": plain_call(inputs["x"], training=training)}
    )
    plain_call = named.__call__
    for training in (True, False):
        call.get_concrete_function({"x": tf.TensorSpec([None, shots[0].shape[1]], tf.float32)}, training=training)
    named.__call__ = call
    for piece, name in ((plain, "plain"), (named, "named")):
        tf.saved_model.save(piece, str(tmp_path / name))
    records = np.empty(len(shots[0]), [("x", np.float32, shots[0].shape[1:])])
    records["x"] = shots[0]
    ours, theirs = Engine(tmp_path / "named", 3, output="features"), Engine(tmp_path / "plain", 3)
    assert np.array_equal(ours.fine_tune(records, shots[1], **TRAINING), theirs.fine_tune(*shots, **TRAINING))
    np.testing.assert_array_equal(ours.logits(records), theirs.logits(shots[0]))
