"""Handles to loaded objects: what `hub.load` gives, and which function of it a consumer calls.

A handle is a URL (resolved and cached by the tensorflow_hub client: G22), a path, or `publisher/name/version` of the
local store. A reusable object is callable;
anything else is called through one of its signatures, for inference only (G24). TF1 Hub modules have signatures only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_hub as hub

from piecehub.errors import ConsumerError, NotReusableError, StoreError, first_line
from piecehub.facts.pointers import refuse_pointers_below
from piecehub.facts.workdir import DEFAULT_NAME, Workdir
from piecehub.store.foreign_files import told_as_foreign
from piecehub.store.proxies import directly_here, refuse_token_in_clear
from piecehub.store.source import keep_unpacked

TF1_NAME = "default"  # as hub.KerasLayer: of a TF1 Hub module the signature, and the output, named so


@dataclass(frozen=True)
class Loaded:
    """A loaded SavedModel.

    Attributes:
        root: what `hub.load` gave. It must live as long as any function of it is called (tensorflow#37615).
        folder: where the SavedModel lies; empty for an object that was loaded elsewhere.
        is_tf1: whether it is in TF1 Hub format, which has neither training mode nor regularization losses.
    """

    root: Any
    folder: str
    is_tf1: bool


@dataclass(frozen=True)
class Callee:
    """The function that a consumer calls, and the object whose weights it uses.

    Attributes:
        function: `owner.__call__`, or a signature.
        owner: the object whose `variables`, `trainable_variables` and `regularization_losses` count.
        is_signature: whether it takes named tensors only, and gives a dict.
    """

    function: Callable[..., Any]
    owner: Any
    is_signature: bool


def load(handle: str | PathLike[str]) -> Any:
    """The object behind a handle, as `tensorflow_hub.load` gives it: any valid SavedModel (G23).

    Keep it while you call its functions: they do not keep its variables alive.

    Args:
        handle: a URL, a path, or `publisher/name/version` of the store in `.piecehub`.

    Raises:
        StoreError: if nothing can be loaded from there.
        RecipeError: if only pointers of Git LFS are there.

    Example:
        >>> piece = piecehub.load("my_piece")
        >>> piece(tf.ones([2, 4])).shape
        TensorShape([2, 3])
    """
    return load_handle(handle).root


def load_handle(handle: Any) -> Loaded:
    """Loads what `load` takes; an object that is loaded already comes back as it is.

    Raises:
        StoreError: if nothing can be loaded from there.
        RecipeError: if only pointers of Git LFS are there.
    """
    if not isinstance(handle, str | PathLike):
        return Loaded(handle, "", _is_tf1(handle))
    handle = fspath(handle)
    folder = ""
    try:
        folder = resolve(handle)
        root = hub.load(folder)
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        if told := told_as_foreign(Path(handle)):
            raise StoreError(told) from error
        # The client takes whatever lies in its cache, also what a broken download left there.
        mend = f"delete '{folder}' if it is the client's cache" if folder and folder != handle else "check the handle"
        if folder:
            refuse_pointers_below(Path(folder), f"a SavedModel at '{handle}'")
        raise StoreError(f"Expected a SavedModel at '{handle}'. Received: {first_line(error)}; {mend}.") from error
    return Loaded(root, folder, _is_tf1(root))


def resolve(handle: str | PathLike[str]) -> str:
    """The folder behind a handle: in the local store's, else as the hub client finds it.

    The client goes by our rule of ways (store/proxies.py), and is not told a token that it would send in clear.

    Raises:
        RecipeError: if the handle has such a token.
    """
    name = fspath(handle)
    if kept := keep_unpacked(name, Workdir(Path(DEFAULT_NAME))):
        return str(kept)
    refuse_token_in_clear(name)
    with directly_here(name):
        return hub.resolve(name)


def find_callee(root: Any, piece: str | None, signature: str | None) -> Callee:
    """The function to call: of the object, of its sub-object `piece`, or the signature.

    Raises:
        ConsumerError: if there is no such sub-object or signature.
        NotReusableError: if the object offers signatures only and none is asked for.
    """
    owner = _sub_object(root, piece) if piece else root
    if signature:
        return Callee(_signature(owner, signature), owner, True)
    if not callable(owner):
        raise NotReusableError(
            f"Expected a callable object (a Reusable SavedModel). Received: {_description(owner)}; "
            'name a signature for inference, such as signature="serving_default", or export it through piecehub.'
        )
    return Callee(_call_of(owner), owner, False)


def _call_of(owner: Any) -> Callable[..., Any]:
    """Of a restored object `__call__` is an attribute of the instance, and tells its traces; a function is its own."""
    if "__call__" in getattr(owner, "__dict__", {}) or hasattr(owner, "variables"):
        return owner.__call__
    return owner


def _is_tf1(root: Any) -> bool:
    return bool(getattr(root, "_is_hub_module_v1", False))


def _sub_object(root: Any, piece: str) -> Any:
    found = getattr(root, piece, None)
    if callable(found):
        return found
    raise ConsumerError(
        f"Expected a callable sub-object '{piece}' of the SavedModel. Received: none; "
        "its documentation names the pieces that it offers."
    )


def _signature(owner: Any, signature: str) -> Callable[..., Any]:
    signatures = getattr(owner, "signatures", {})
    if signature in signatures:
        return signatures[signature]
    raise ConsumerError(f"Expected the signature '{signature}'. Received: {_description(owner)}; choose one of those.")


def _description(owner: Any) -> str:
    names = ", ".join(sorted(getattr(owner, "signatures", {})))
    return f"an object with the signatures {names}" if names else "an object without signatures"
