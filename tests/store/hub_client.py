"""The unmodified client of tensorflow_hub, in a process of its own that imports TensorFlow once."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = """
import json, os, sys
import tensorflow as tf
import tensorflow_hub as hub
from tensorflow_hub import uncompressed_module_resolver

class Tiny(tf.Module):
    def __init__(self, vocabulary):
        self.scale = tf.Variable([1.0, 2.0], name="scale")
        file = tf.lookup.TextFileInitializer(
            vocabulary, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
        self.table = tf.lookup.StaticHashTable(file, -1)

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    def __call__(self, inputs):
        return inputs * self.scale

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def look_up(self, words):
        return self.table.lookup(words)

def save(folder, vocabulary):
    tf.saved_model.save(Tiny(vocabulary), folder)
    return folder

def resolve(handle):
    return hub.resolve(handle)

def load(handle):
    model = hub.load(handle)
    return [model(tf.constant([[3.0, 4.0]])).numpy().tolist(),
            model.look_up(tf.constant(["two", "six"])).numpy().tolist()]

def gcs_location(handle):  # what the client reads before it opens gs://
    return uncompressed_module_resolver.HttpUncompressedFileResolver()._request_gcs_location(
        handle + "?tf-hub-format=uncompressed")

for line in sys.stdin:
    job = json.loads(line)
    os.environ["TFHUB_CACHE_DIR"] = job["cache"]
    try:
        answer = {"value": globals()[job["call"]](*job["arguments"])}
    except Exception as error:
        answer = {"error": type(error).__name__, "message": str(error)}
    print(json.dumps(answer), flush=True)
"""


class HubError(Exception):
    """What the client raised: `name` is the class."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name


class HubClient:
    """Asks the process; each call names the cache that it uses."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def save(self, folder: Path, vocabulary: Path) -> Path:
        """Saves a small model whose `scale` is [1, 2]."""
        return Path(self._call("save", folder.parent, folder, vocabulary))

    def resolve(self, handle: str, cache: Path) -> Path:
        """`hub.resolve`: the folder in the cache; raises HubError."""
        return Path(self._call("resolve", cache, handle))

    def load(self, handle: str, cache: Path) -> list[Any]:
        """`hub.load`, and what the model then computes; raises HubError."""
        return self._call("load", cache, handle)

    def gcs_location(self, handle: str, cache: Path) -> str:
        """What the client reads of an uncompressed model's place; raises HubError."""
        return self._call("gcs_location", cache, handle)

    def _call(self, call: str, cache: Path, *arguments: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        job = {"call": call, "cache": str(cache), "arguments": [str(argument) for argument in arguments]}
        print(json.dumps(job), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise HubError(answer["error"], answer["message"])
        return answer["value"]


@contextmanager
def running_client() -> Iterator[HubClient]:
    """A client; the process is there until the end."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "no_proxy": "127.0.0.1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", PROGRAM],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield HubClient(process)
    finally:
        process.kill()
        process.wait(30)
