"""The errors of piecehub: one sentence each, and the exit code that the command line answers with.

Every message reads `Expected … Received: …`, and says what to do. Each class takes that one sentence and nothing
else, so an error survives pickling through Beam's workers. The faults of a recipe are told together, a line each.
"""

import errno
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from os import PathLike

_NO_SPACE = {errno.ENOSPC: "no space left on device", errno.EDQUOT: "disk quota exceeded"}
# What libraries say that tell a full disk by their own errors: TensorFlow and Arrow, and SQLite below ML Metadata.
_SAID = re.compile(
    r"(?P<place>/[^\s;:'\"]+)?[;:'\"]?\s*\b(no space left on device|(?P<quota>disk quota exceeded)|"
    r"database or disk is full)",
    re.IGNORECASE,
)


class PiecehubError(Exception):
    """Something that a person can mend; `exit_code` is what the command line returns.

    `may_pass` tells whether the same may end otherwise if it is only tried again, with nothing mended.
    """

    exit_code = 1
    may_pass = False

    @property
    def sentence(self) -> str:
        """The message, on one line."""
        return " ".join(str(self).split())

    @property
    def lines(self) -> tuple[str, ...]:
        """The message as a person reads it: one line, or one for each fault that it tells."""
        return (self.sentence,)


class RecipeError(PiecehubError):
    """The recipe or the command's words are wrong."""

    exit_code = 2


class NotOnServer(RecipeError):
    """A server does not have what was named."""


class TakenOnServer(PiecehubError):
    """A server has something else by that name."""


class RunFailed(PiecehubError):
    """A run on a server ended, and not well."""


class SeveralFaults(RecipeError):
    """Several things are wrong: each line of the message is one, such as `FILE:LINE: Expected … Received: …`."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The faults, in the order in which they stand."""
        return tuple(" ".join(line.split()) for line in str(self).splitlines())


class EnvironmentProblem(PiecehubError):
    """The machine lacks something: a package, a writable folder, a reachable store."""

    exit_code = 3
    may_pass = True


class ServerUnreached(EnvironmentProblem):
    """A server was not reached, or did not answer as one that is well."""


class OtherCode(EnvironmentProblem):
    """A component's code is not that which its pipeline was compiled with."""

    may_pass = False


class NoSpace(EnvironmentProblem):
    """A disk is full, or a quota used up."""


class DataError(PiecehubError):
    """Examples are missing, empty or not what the schema says."""


class TrainingError(PiecehubError):
    """The full model could not be built or trained."""


class PieceError(PiecehubError):
    """The piece cannot be cut out of the full model."""


class NotReusableError(PiecehubError):
    """A SavedModel does not keep the Reusable SavedModel interface."""


class CheckUnfinished(PiecehubError):
    """A check went beyond its limit of time or memory, which says nothing of the model."""

    exit_code = 5
    may_pass = True


class StoreError(PiecehubError):
    """The store is damaged, or does not hold what was asked for."""

    may_pass = True


class VersionExists(StoreError):
    """Other content already stands under that version; versions are immutable."""

    may_pass = False


class StaleIncumbent(StoreError):
    """A newer version was published since the candidate was judged."""

    may_pass = False


class ArchiveError(StoreError):
    """An archive is corrupt, hostile, or not a model."""


class NotVerified(PiecehubError):
    """What was signed, or promised by a digest, is not what stands there; or nobody trusted has signed it."""


class ConsumerError(PiecehubError, ValueError):
    """A loaded SavedModel is asked for something that it cannot give; a ValueError too, as Keras' own refusals are."""


def first_line(error: BaseException) -> str:
    """What an error of another library says, as a part of our sentence: its first line, or else its class."""
    return next((line.strip().rstrip(". ") for line in str(error).splitlines() if line.strip()), type(error).__name__)


def no_space(error: BaseException, place: str | PathLike[str] = "") -> NoSpace | None:
    """An error as what a full disk is called, whichever library met it; None if it comes of something else.

    Args:
        error: with whatever it was raised from, or while.
        place: where was written, if the error does not tell.
    """
    for found in _chain(error):
        if isinstance(found, NoSpace):
            return found
        if isinstance(found, OSError) and found.errno in _NO_SPACE:
            return _full(str(found.filename or place), _NO_SPACE[found.errno])
        if said := _SAID.search(str(found)):
            return _full(said["place"] or str(place), _NO_SPACE[errno.EDQUOT if said["quota"] else errno.ENOSPC])
    return None


@contextmanager
def telling_no_space(place: str | PathLike[str] = "") -> Generator[None]:
    """Turns whatever comes of a full disk into `NoSpace`; what comes of something else passes as it is."""
    try:
        yield
    except Exception as error:
        full = no_space(error, place)
        if full is None or full is error:
            raise
        raise full from error


def as_ours(error: BaseException) -> PiecehubError | None:
    """An error as one that a person can mend: of a full disk `NoSpace`, else itself if it is ours; None if neither."""
    return no_space(error) or (error if isinstance(error, PiecehubError) else None)


def _full(place: str, what: str) -> NoSpace:
    where = f" in '{place}'" if place else ""
    return NoSpace(
        f"Expected room for what is written{where}. Received: {what}; free some, such as by `piecehub workdir gc`, and "
        "call again: what was finished is kept."
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and what it was raised from, or while."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__
