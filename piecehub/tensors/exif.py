"""How EXIF says that a picture is to be turned, read from a file within a graph: TensorFlow does not look at it."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from piecehub.tensors.picture_bytes import FORMATS, begins_with, bytes_at, number

UPRIGHT = 1
_TAG = 0x0112
# Of the first 12 bytes of a section: whether it is EXIF, whether no EXIF can follow, where its content begins, how long
# that is, and how far the next section is.
_Section = tuple[Any, Any, int, Any, Any]


def orientation(contents: Any, which: Any) -> Any:
    """EXIF's orientation of a JPEG, a PNG or a WebP, 1 to 8, `[] int32`; `UPRIGHT` where nothing is said.

    Args:
        contents: the bytes of the file, `[] string`.
        which: the place of its format in `FORMATS`, or one more.
    """
    walks = {"JPEG": (2, _jpeg_segment), "PNG": (8, _png_chunk), "WebP": (12, _webp_chunk)}
    branches = [_walk(contents, *walks[name]) if name in walks else lambda: tf.constant(b"") for name in FORMATS]
    exif = tf.switch_case(which, [*branches, lambda: tf.constant(b"")])
    return tf.cond(tf.strings.length(exif) > 0, lambda: _read(exif), lambda: tf.constant(UPRIGHT))


def _walk(contents: Any, start: int, of: Callable[[Any], _Section]) -> Callable[[], Any]:
    """Gives the content of the first section that is EXIF, `[] string`; empty if there is none."""
    length = tf.strings.length(contents)

    def step(place: Any, _: Any) -> tuple[Any, Any]:
        wanted, last, offset, size, distance = of(bytes_at(contents, place, 12))
        begin = tf.minimum(place + offset, length)
        found = tf.strings.substr(contents, begin, tf.where(wanted, tf.maximum(size, 0), 0))
        ends = last | (distance <= 0) | (distance > length - place)
        return tf.where(ends, length, place + distance), found

    def goes_on(place: Any, found: Any) -> Any:
        return (place < length) & (tf.strings.length(found) == 0)

    return lambda: tf.while_loop(goes_on, step, (tf.constant(start), tf.constant(b"")))[1]


def _jpeg_segment(head: Any) -> _Section:
    """Those before the picture are APP0 to APP15 and comments; EXIF is an APP1 of that name."""
    kind, size = head[1], number(head[2:4], True)
    before = (head[0] == 0xFF) & (((kind >= 0xE0) & (kind <= 0xEF)) | (kind == 0xFE))
    return (kind == 0xE1) & begins_with(head[4:], b"Exif\0\0"), ~before, 10, size - 8, size + 2


def _png_chunk(head: Any) -> _Section:
    size = number(head[:4], True)
    return begins_with(head[4:], b"eXIf"), begins_with(head[4:], b"IDAT"), 8, size, size + 12


def _webp_chunk(head: Any) -> _Section:
    size = number(head[4:8], False)
    return begins_with(head, b"EXIF"), tf.constant(False), 8, size, size + 8 + size % 2


def _read(exif: Any) -> Any:
    """The orientation in the first directory of a TIFF, which may be damaged in any way."""
    named = begins_with(bytes_at(exif, 0, 6), b"Exif\0\0")  # as some put it into a WebP
    tiff = tf.strings.substr(exif, tf.where(named, 6, 0), tf.strings.length(exif))
    length = tf.strings.length(tiff)
    big = bytes_at(tiff, 0, 1)[0] == ord("M")
    place = number(bytes_at(tiff, 4, 4), big)
    place = tf.where((place < 0) | (place > length - 2), length, place)
    count = tf.minimum(number(bytes_at(tiff, place, 2), big), tf.maximum(length - place - 2, 0) // 12)
    entries = tf.strings.substr(tiff, tf.minimum(place + 2, length), 12 * count)
    rows = tf.reshape(tf.cast(tf.io.decode_raw(entries, tf.uint8), tf.int32), [-1, 12])
    pairs = tf.where(big, 256 * rows[:, 0::2] + rows[:, 1::2], 256 * rows[:, 1::2] + rows[:, 0::2])
    found = tf.boolean_mask(pairs[:, 4], (pairs[:, 0] == _TAG) & (pairs[:, 4] >= 1) & (pairs[:, 4] <= 8))
    return tf.concat([found[:1], [UPRIGHT]], axis=0)[0]
