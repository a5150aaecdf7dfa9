"""A picture's file as numbers, and a sentence about one that cannot be read.

TensorFlow's own `decode_image` neither keeps 16 bits and alpha where there are any, nor tells what a BMP with a palette
shows; so each format is read by its own operation.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from piecehub.tensors.exif import orientation
from piecehub.tensors.picture_bytes import FORMATS, HEAD, bytes_at, format_of, number

_raw: Any = tf.raw_ops
_END = {"JPEG": b"\xff\xd9", "PNG": b"IEND", "GIF": b";"}
_TAIL = 64  # bytes in which the end is looked for; some writers put a few after it
_PALETTE = "a BMP with a palette"


def decoded(contents: Any, ground: Any) -> tuple[Any, Any]:
    """The picture as stored, `[height, width, 3]` float32 in [0, 1], and how EXIF says to turn it, `[] int32`.

    Args:
        contents: the bytes of the file, `[] string`.
        ground: what lies under transparent parts, `[3] float32`.

    Raises:
        tf.errors.InvalidArgumentError: if they are no picture of `FORMATS`; `sentence` says it in one.
    """
    head = bytes_at(contents, 0, HEAD)
    which = format_of(head)
    branches: list[Callable[[], Any]] = [
        lambda: _shares(tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")),
        lambda: _on_ground(_png(contents, head), ground),
        lambda: _gif(contents),
        lambda: _bmp(contents, head),
        lambda: _webp(contents, ground),
        lambda: _refused("no picture", tf.zeros([1, 1, 3])),
    ]
    picture = tf.switch_case(which, branches)
    picture.set_shape([None, None, 3])
    return picture, orientation(contents, which)


def format_name(contents: bytes) -> str:
    """The name of a file's format; empty if it is none of `FORMATS`."""
    return dict(enumerate(FORMATS)).get(int(format_of(bytes_at(tf.constant(contents), 0, HEAD))), "")


def sentence(contents: bytes, error: Exception, where: str = "") -> str:
    """What is wrong with bytes that were refused, in one sentence; `where` names their place."""
    said = " ".join(str(getattr(error, "message", error)).split())
    what = f"a picture {where}".strip()
    if _PALETTE in said:
        return f"Expected {what} that TensorFlow reads as it is. Received: {_PALETTE}; save it as PNG."
    name = format_name(contents)
    if not name:
        begins = f"{len(contents)} bytes that begin with {contents[:8].hex(' ')}" if contents else "0 bytes"
        return f"Expected {what} as JPEG, PNG, GIF, BMP or WebP. Received: {begins}; convert it, or leave it out."
    if name in _END and _END[name] not in contents[-_TAIL:]:
        said = "it breaks off"
    return (
        f"Expected {what} that can be decoded. Received: a {name} of {len(contents)} bytes, and {said[:200]}; get the "
        "file anew, or leave it out."
    )


def _shares(values: Any) -> Any:
    """Whole numbers as shares of the largest. By a product: of a quotient TensorFlow makes one, but in graphs only."""
    return tf.cast(values, tf.float32) * (1 / values.dtype.max)


def _on_ground(picture: Any, ground: Any) -> Any:
    alpha = picture[:, :, 3:]
    return picture[:, :, :3] * alpha + ground * (1 - alpha)


def _refused(what: str, values: Any, unless: Any = False) -> Any:
    """The values, or an error that says what they are."""
    with tf.control_dependencies([tf.debugging.Assert(tf.convert_to_tensor(unless), [f"Received: {what}."])]):
        return tf.identity(values)


def _png(contents: Any, head: Any) -> Any:
    """`[height, width, 4]` float32, whatever the file has.

    Where pixels of 1, 2 or 4 bits have no alpha, TensorFlow 2.21 fills in 1, 3 or 15 in place of 255. Grey of so few
    bits has none between 0 and the whole; a palette's is told by the channels that are there unasked.
    """
    picture = _shares(tf.io.decode_png(contents, channels=4, dtype=tf.uint16))

    def mended() -> Any:
        has_alpha = tf.shape(tf.io.decode_png(contents))[2] == 4
        alpha = tf.where(has_alpha, picture[:, :, 3:], tf.sign(picture[:, :, 3:]))
        return tf.concat([picture[:, :, :3], alpha], axis=2)

    return tf.cond(head[24] < 8, mended, lambda: picture)


def _webp(contents: Any, ground: Any) -> Any:
    """The first frame; TensorFlow gives alpha only where there is one."""
    frame = _shares(_raw.DecodeWebP(contents=contents, channels=0)[0])
    return tf.cond(tf.shape(frame)[2] == 4, lambda: _on_ground(frame, ground), lambda: frame)


def _gif(contents: Any) -> Any:
    """The first frame, of which TensorFlow makes black whatever is transparent."""
    return _shares(tf.image.decode_gif(contents)[0])


def _bmp(contents: Any, head: Any) -> Any:
    """TensorFlow takes 8 bits for grey, whatever their palette says."""
    palette = tf.reshape(bytes_at(contents, 14 + number(head[14:18], False), 1024), [256, 4])
    grey = tf.reduce_all(palette[:, :3] == tf.range(256)[:, None])
    values = _shares(tf.io.decode_bmp(_refused(_PALETTE, contents, unless=(head[28] != 8) | grey)))
    return tf.cond(tf.shape(values)[2] == 1, lambda: tf.repeat(values, 3, axis=2), lambda: values[:, :, :3])
