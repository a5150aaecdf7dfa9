"""Bytes of a picture's file as whole numbers, and which format they are of, within a graph."""

from typing import Any

import tensorflow as tf

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WebP")
HEAD = 32  # bytes that tell the format and, of a PNG, the depth


def bytes_at(contents: Any, start: Any, count: int) -> Any:
    """Some bytes of `contents`, `[] string`, as `[count] int32`; zeros beyond the end."""
    start = tf.minimum(start, tf.strings.length(contents))
    padded = tf.strings.join([tf.strings.substr(contents, start, count), tf.constant(b"\0" * count)])
    read = tf.io.decode_raw(tf.strings.substr(padded, 0, count), tf.uint8)
    return tf.cast(tf.reshape(read, [count]), tf.int32)


def begins_with(values: Any, text: bytes) -> Any:
    """Whether these bytes begin with `text`, `[] bool`."""
    return tf.reduce_all(values[: len(text)] == tf.constant(list(text), tf.int32))


def number(values: Any, big: Any) -> Any:
    """A whole number of 2 or 4 bytes, the most significant first if `big`, `[] int32`; beyond 31 bits negative."""
    ordered = tf.where(big, values, values[::-1])
    return tf.reduce_sum(ordered * tf.constant([256**power for power in reversed(range(values.shape[0]))]))


def format_of(head: Any) -> Any:
    """The place in `FORMATS` of what begins with these `HEAD` bytes, `[] int32`; one more if of none."""
    known = [
        begins_with(head, b"\xff\xd8\xff"),
        begins_with(head, b"\x89PNG\r\n\x1a\n"),
        begins_with(head, b"GIF8"),
        begins_with(head, b"BM"),
        begins_with(head, b"RIFF") & begins_with(head[8:], b"WEBP"),
        tf.constant(True),
    ]
    return tf.argmax(tf.cast(tf.stack(known), tf.int32), output_type=tf.int32)
