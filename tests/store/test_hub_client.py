"""The unmodified tensorflow_hub client against our server; it imports TensorFlow in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from piecehub.facts.content import list_files
from piecehub.store.publish import publish

# Saves a small model, waits for the handle under which it was published, then takes it from there.
CLIENT = """
import sys
import tensorflow as tf
import tensorflow_hub as hub

class Tiny(tf.Module):
    def __init__(self):
        self.scale = tf.Variable([1.0, 2.0], name="scale")
        file = tf.lookup.TextFileInitializer(
            sys.argv[2], tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
        self.table = tf.lookup.StaticHashTable(file, -1)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def __call__(self, inputs):
        return inputs * self.scale

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def look_up(self, words):
        return self.table.lookup(words)

tf.saved_model.save(Tiny(), sys.argv[1])
print("saved", flush=True)
handle = input()
print(hub.resolve(handle), flush=True)
model = hub.load(handle)
print(model(tf.constant([[3.0, 4.0]])).numpy().tolist(), model.look_up(tf.constant(["two", "six"])).numpy().tolist())
try:
    hub.resolve(handle[:-1] + "9")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_the_unmodified_client_resolves_and_loads_what_we_serve(store, store_url, tmp_path: Path):
    model, cache = tmp_path / "model", tmp_path / "cache"
    (tmp_path / "vocabulary.txt").write_text("one\ntwo\n")
    environment = os.environ | {"TFHUB_CACHE_DIR": str(cache), "TF_CPP_MIN_LOG_LEVEL": "2", "no_proxy": "127.0.0.1"}
    command = [sys.executable, "-P", "-c", CLIENT, str(model), str(tmp_path / "vocabulary.txt")]
    with subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as client:
        assert client.stdout is not None
        saved = client.stdout.readline()
        published = publish(store, model, "acme", "tiny", blobs={}, facts={}) if saved == "saved\n" else None
        out, err = client.communicate(published.handle.url(store_url) if published else "", timeout=240)
    assert published is not None and client.returncode == 0, err[-2000:]
    folder, outputs, unknown = out.splitlines()
    assert Path(folder).parent == cache and list_files(Path(folder)) == list_files(model)
    assert outputs == "[[3.0, 8.0]] [1, -1]"
    assert unknown.startswith("HTTPError HTTP Error 404")
