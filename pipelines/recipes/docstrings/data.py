"""Docstrings: what Python and the packages of the lock file say about themselves, some 30,000 short English texts.

Upstream: pairs of texts that belong together, either the two halves of one docstring or two docstrings of one file, of
installed packages. No label: of a batch of pairs, the model is to find out who belongs to whom.
Downstream: docstrings of the standard library, and which of seven topics they belong to.

No upstream text shares a run of eight words with a downstream one: packages carry copies of the standard library, and
some 500 texts are left out for it. Downstream, no two texts do, so nothing of the test part is in the pool.

The texts are those of the installed versions, which the lock file fixes, and of this Python. A run writes them once,
and from then on they are an artifact with a digest.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from piecehub import write_records
from piecehub.errors import DataError

from . import corpus
from .corpus import Document

# Modules that every build of Python 3.11 has; some distributions leave out `tkinter` and `idlelib`.
TOPICS = {
    "concurrency": "asyncio concurrent multiprocessing threading queue sched selectors subprocess signal",
    "mail": "email mailbox mimetypes mailcap quopri uu base64",
    "network": "http urllib xmlrpc wsgiref imaplib nntplib smtplib ftplib poplib ssl socket socketserver telnetlib "
    "ipaddress",
    "numbers": "_pydecimal statistics random fractions numbers datetime _strptime calendar zoneinfo heapq bisect "
    "colorsys",
    "parsing": "xml html json configparser csv tokenize ast lib2to3 tomllib plistlib symtable shlex",
    "files": "tarfile zipfile pathlib shutil os tempfile bz2 lzma gzip _pyio ntpath posixpath genericpath fileinput "
    "shelve dbm filecmp glob fnmatch zipimport",
    "development": "unittest doctest pdb bdb inspect traceback trace pstats profile timeit dis pydoc distutils",
}
MIN_HALF_WORDS = 6
MAX_HALF_WORDS = 48


def write(
    folder: Path,
    *,
    packages: Sequence[str],
    per_package: int,
    pool_per_topic: int,
    test_per_topic: int,
    eval_percent: int,
    seed: int,
) -> None:
    """Writes `upstream/{train,eval}` and `topic/{pool,test}` as TFRecords of tf.Example.

    Args:
        folder: where to.
        packages: the installed packages whose docstrings are upstream.
        per_package: at most so many docstrings of one package.
        pool_per_topic: downstream examples of each topic to draw from.
        test_per_topic: those to score on.
        eval_percent: of the upstream files, so many in a hundred are kept for evaluation; a file is on one side only.
        seed: fixes which docstrings are drawn and paired.
    """
    known: set[corpus.Run] = set()
    topics = {name: topic_documents(modules, known, seed) for name, modules in TOPICS.items()}
    sizes = {"pool": (0, pool_per_topic), "test": (pool_per_topic, pool_per_topic + test_per_topic)}
    for split, (start, stop) in sizes.items():
        write_records(folder / "topic" / split, labelled(topics, start, stop), shards=2)
    pairs = list(pairs_of(upstream_documents(packages, per_package, known), seed))
    for split, wanted in (("train", False), ("eval", True)):
        chosen = [pair for file, pair in pairs if is_held_out(file, eval_percent) == wanted]
        write_records(folder / "upstream" / split, chosen, shards=2)


def topic_documents(modules: str, known: set[corpus.Run], seed: int) -> list[Document]:
    """The documents of one topic that share no run of words with `known`, to which theirs are added.

    In an order drawn by `seed`, so that pool and test have the same mixture of modules.
    """
    found = [d for name in modules.split() for d in corpus.documents(corpus.standard_module(name))]
    drawn = (found[i] for i in np.random.default_rng(seed).permutation(len(found)))
    return list(corpus.unlike_each_other(drawn, known))


def labelled(topics: Mapping[str, Sequence[Document]], start: int, stop: int) -> Iterator[dict[str, Any]]:
    """The documents from `start` to `stop` of each topic, with the topic's number.

    Raises:
        DataError: if a topic has fewer.
    """
    for label, (name, texts) in enumerate(topics.items()):
        if len(texts) < stop:
            raise DataError(f"Expected {stop} docstrings of the topic '{name}'. Received: {len(texts)}; ask for fewer.")
        for document in texts[start:stop]:
            yield {"text": np.asarray(document.text), "label": np.asarray(label, np.int64)}


def upstream_documents(packages: Iterable[str], per_package: int, known: Set[corpus.Run]) -> Iterator[Document]:
    """The documents of the packages that share no run of words with `known`, each text once."""
    modules = map(corpus.installed_package, packages)
    found = (d for module in modules for d in islice(corpus.documents(module), per_package))
    return corpus.without_copies(corpus.without_duplicates(found), known)


def pairs_of(texts: Iterable[Document], seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Texts that belong together, with the file that they are from."""
    files: dict[str, list[str]] = {}
    for document in texts:
        files.setdefault(document.file, []).append(document.text)
    generator = np.random.default_rng(seed)
    for file, members in files.items():
        halves = [half for half in map(halves_of, members) if half]
        order = [members[i] for i in generator.permutation(len(members))]
        neighbours = zip(order[::2], order[1::2], strict=False)
        yield from ((file, _pair(first, second)) for first, second in (*halves, *neighbours))


def halves_of(text: str) -> tuple[str, str] | None:
    """The first and the second half of a text's words; None if they are too few."""
    words = text.split()
    middle = len(words) // 2
    return (" ".join(words[:middle]), " ".join(words[middle:])) if middle >= MIN_HALF_WORDS else None


def is_held_out(file: str, percent: int) -> bool:
    """Whether a file is for evaluation: by its name alone, so more packages do not move it."""
    return int.from_bytes(sha256(file.encode()).digest()[:4], "big") % 100 < percent


def _pair(first: str, second: str) -> dict[str, Any]:
    return {name: np.asarray(_shortened(text)) for name, text in (("first", first), ("second", second))}


def _shortened(text: str) -> str:
    """The beginning, which says what a thing is about; the rest costs time and adds little."""
    return " ".join(text.split()[:MAX_HALF_WORDS])
