"""Pictures, for a recipe's `decode` and `augment`: files as TensorFlow reads them, with what it leaves to the caller.

    from piecehub import images

    def decode(features):
        return {"images": images.read(features["file"], size=(96, 96)), "label": features["label"]}

    def augment(features, seed):
        return features | {"images": images.random_flip(features["images"], seed)}

A picture is `[height, width, channels]` float32 in [0, 1], as TensorFlow Hub's common API for images asks for. `read`
gives the upright picture that a person sees: alpha laid over a ground, EXIF's orientation followed. All of it is
operations of TensorFlow; no Python stands in the graph, and equal bytes give equal bits.

| format | what is read |
|---|---|
| JPEG | grey, colours, CMYK and YCCK, as Adobe writes them too; by the exact integer transform, so no build differs |
| PNG | 1 to 16 bits, grey, palette, colours, with and without alpha, interlaced; 16 bits stay 16 bits |
| WebP | the first frame, with alpha |
| GIF | the first frame; what is transparent is black, for TensorFlow does not tell it apart |
| BMP | 24 and 32 bits, without alpha, and 8 bits of grey |
"""

# TensorFlow tells a checker too little of its types for more.
# pyright: standard

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from piecehub.errors import DataError
from piecehub.tensors import picture_files

Fit = Literal["crop", "pad", "stretch"]

_unconverted: Any = tf.autograph.experimental.do_not_convert  # what stands here are operations already
_random: Any = tf.random  # its stub lacks what is needed here
_WHITE = (1.0, 1.0, 1.0)
_QUALITY = 95  # of a JPEG that is written
_RED, _BLUE = 0.299, 0.114  # of grey, by ITU-R BT.601; green has the rest


@dataclass(frozen=True)
class Picture:
    """What `check` found a file to be: its format, and height and width once it is upright."""

    format: str
    height: int
    width: int


@_unconverted
def read(
    contents: Any,
    size: tuple[int, int] | None = None,
    *,
    channels: Literal[1, 3] = 3,
    fit: Fit = "crop",
    background: Sequence[float] = _WHITE,
) -> Any:
    """The picture that a file shows, `[height, width, channels]` float32 in [0, 1].

    Args:
        contents: the bytes of the file, `[] string`.
        size: height and width to bring it to, by `resize`; None leaves it as large as it is.
        channels: 3, or 1 for grey (ITU-R BT.601).
        fit: as `resize` has it.
        background: red, green and blue of what lies under transparent parts, and beside a padded picture.

    Raises:
        DataError: if the bytes are no such picture. Within a graph TensorFlow raises its InvalidArgumentError.

    Example:
        >>> from piecehub import images
        >>> grey = tf.io.encode_png(tf.fill([40, 60, 1], tf.constant(51, tf.uint8)))
        >>> picture = images.read(grey, size=(32, 32))
        >>> picture.shape.as_list(), round(float(picture[0, 0, 0]), 6)
        ([32, 32, 3], 0.2)
    """
    contents = tf.convert_to_tensor(contents, tf.string)
    picture = _upright(contents, background)
    if size is not None:
        picture = resize(picture, size, fit=fit, background=background)
    return _grey(picture) if channels == 1 else picture


def check(file: str | PathLike[str] | bytes) -> Picture:
    """What a file is, once `read` has read all of it: for whoever writes records, before one is written.

    Args:
        file: its path, or its bytes.

    Raises:
        DataError: saying what is wrong with it: it is no picture, or breaks off, or cannot be decoded.

    Example:
        >>> from piecehub import images
        >>> images.check(tf.io.encode_jpeg(tf.zeros([40, 60, 3], tf.uint8)).numpy())
        Picture(format='JPEG', height=40, width=60)
    """
    contents, picture = _opened(file)
    height, width, _ = picture.shape
    return Picture(picture_files.format_name(contents), height, width)


def shrink(file: str | PathLike[str] | bytes, side: int) -> bytes:
    """The file of a picture, made smaller if it is large: for whoever writes records, which each epoch decodes.

    A picture whose shorter side is twice `side` or more is brought to a shorter side of `side`, upright, over white: a
    JPEG of quality 95 where it was one, else a PNG of 8 bits. Any other file is returned as it is.

    Args:
        file: its path, or its bytes.
        side: in pixels.

    Raises:
        DataError: as `check` does.

    Example:
        >>> from piecehub import images
        >>> large = tf.io.encode_jpeg(tf.zeros([400, 600, 3], tf.uint8)).numpy()
        >>> images.check(images.shrink(large, 200)), images.shrink(large, 201) == large
        (Picture(format='JPEG', height=200, width=300), True)
    """
    contents, picture = _opened(file)
    height, width, _ = picture.shape
    if min(height, width) < 2 * side:
        return contents
    size = tuple(round(side * length / min(height, width)) for length in (height, width))
    pixels = tf.cast(tf.round(255 * resize(picture, size, fit="stretch")), tf.uint8)
    if picture_files.format_name(contents) == "JPEG":
        return tf.io.encode_jpeg(pixels, quality=_QUALITY, chroma_downsampling=False).numpy()
    return tf.io.encode_png(pixels).numpy()


@_unconverted
def resize(picture: Any, size: tuple[int, int], *, fit: Fit = "crop", background: Sequence[float] = _WHITE) -> Any:
    """The picture at another size, `[*size, channels]` float32: triangle filter, which averages where it makes smaller.

    Args:
        picture: `[height, width, channels]` float32.
        size: height and width.
        fit: `crop` fills the size and cuts off what is over, on both sides alike; `pad` keeps all, on a ground;
            `stretch` keeps all and fills the size, at the cost of the proportions.
        background: red, green and blue of the ground.

    Example:
        >>> from piecehub import images
        >>> wide = tf.ones([12, 40, 3])
        >>> images.resize(wide, (20, 20), fit="pad", background=(0, 0, 0))[:, 10, 0].numpy().nonzero()[0]
        array([ 7,  8,  9, 10, 11, 12])
    """
    shape = tf.cast(tf.shape(picture)[:2], tf.float32)
    wanted = tf.constant(size, tf.float32)
    scales = wanted / shape
    if fit != "stretch":
        chosen = tf.reduce_max(scales) if fit == "crop" else tf.reduce_min(scales)
        scales = tf.stack([chosen, chosen])
    ground = background if fit == "pad" else None
    placed = lambda: _placed(picture, size, scales, (wanted - shape * scales) / 2, ground)  # noqa: E731
    made = tf.cond(tf.reduce_all(shape == wanted), lambda: picture, placed)
    return tf.ensure_shape(made, [*size, picture.shape[-1]])


@_unconverted
def random_crop(
    picture: Any, seed: Any, *, area: tuple[float, float] = (0.5, 1.0), ratio: tuple[float, float] = (0.75, 4 / 3)
) -> Any:
    """A part of the picture, drawn by the seed and brought to the size of the whole.

    Args:
        picture: `[height, width, channels]` float32.
        seed: `[2] int32`, as `augment` is given it; other functions may be given the same.
        area: the least and the largest share of the picture that is kept.
        ratio: by how much the part may be wider than high, against the picture; all logarithms are as likely.

    Example:
        >>> from piecehub import images
        >>> picture = tf.random.uniform([32, 32, 3])
        >>> bool(tf.reduce_all(images.random_crop(picture, (1, 2)) == images.random_crop(picture, (1, 2))))
        True
    """
    draws = _uniform(seed, 1, [4])
    share = area[0] + draws[0] * (area[1] - area[0])
    low, high = tf.math.log(ratio[0]), tf.math.log(ratio[1])
    wider = tf.exp((low + draws[1] * (high - low)) / 2)
    sides = tf.minimum(tf.sqrt(share) * tf.stack([1 / wider, wider]), 1.0)
    shape = tf.shape(picture)[:2]
    starts = draws[2:] * (1 - sides) * tf.cast(shape, tf.float32)
    part = _placed(picture, shape, 1 / sides, -starts / sides, None)
    return tf.ensure_shape(part, picture.shape)


@_unconverted
def random_flip(picture: Any, seed: Any, *, vertical: bool = False) -> Any:
    """The picture, or its mirror image, as the seed draws.

    Args:
        picture: `[height, width, channels]`.
        seed: `[2] int32`; other functions may be given the same.
        vertical: draws whether it stands on its head too.

    Example:
        >>> from piecehub import images
        >>> row = tf.constant([[[0.0], [1.0]]])
        >>> sorted({float(images.random_flip(row, (0, n))[0, 0, 0]) for n in range(20)})
        [0.0, 1.0]
    """
    draws = _uniform(seed, 2, [2]) < 0.5
    return _mirrored(picture, draws[0], draws[1] & vertical)


@_unconverted
def random_color(
    picture: Any,
    seed: Any,
    *,
    brightness: float = 0.2,
    contrast: float = 0.2,
    saturation: float = 0.2,
    hue: float = 0.05,
) -> Any:
    """The picture in other colours, within [0, 1].

    Args:
        picture: `[height, width, channels]` float32 in [0, 1]; in grey it has neither saturation nor hue.
        seed: `[2] int32`; other functions may be given the same.
        brightness: up to so much is added or taken away, the same everywhere.
        contrast: differences from the mean colour grow or shrink by up to this share.
        saturation: differences from grey do.
        hue: hues are turned by up to this share of the circle.

    Example:
        >>> from piecehub import images
        >>> grey = tf.fill([2, 2, 3], 0.5)
        >>> picture = images.random_color(grey, (3, 4), brightness=0.1)
        >>> bool(0.4 <= picture[0, 0, 0] <= 0.6)
        True
    """
    added, factor, colour, turn = tf.unstack(2 * _uniform(seed, 3, [4]) - 1)
    if picture.shape[-1] != 1:
        picture = tf.image.adjust_hue(picture, turn * hue) if hue else picture
        grey = _grey(picture)
        picture = grey + (picture - grey) * (1 + colour * saturation)
    mean = tf.reduce_mean(picture, axis=[0, 1], keepdims=True)
    picture = mean + (picture - mean) * (1 + factor * contrast) + added * brightness
    return tf.clip_by_value(picture, 0.0, 1.0)


def _opened(file: str | PathLike[str] | bytes) -> tuple[bytes, Any]:
    """A file's bytes, and the upright picture that it shows; raises DataError, which names the file."""
    contents = file if isinstance(file, bytes) else Path(file).read_bytes()
    where = "" if isinstance(file, bytes) else f"in '{Path(file)}'"
    return contents, _upright(tf.constant(contents), _WHITE, where)


def _upright(contents: Any, background: Sequence[float], where: str = "") -> Any:
    """The picture as a person sees it, `[height, width, 3]` float32."""
    ground = tf.constant(background, tf.float32)
    if not tf.executing_eagerly():
        return _turned(*picture_files.decoded(contents, ground))
    try:
        return _turned(*picture_files.decoded(contents, ground))
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        raise DataError(picture_files.sentence(contents.numpy(), error, where)) from error


def _turned(picture: Any, orientation: Any) -> Any:
    """The picture turned as EXIF's orientation says, 1 to 8."""

    def turned() -> Any:
        swapped = tf.cond(orientation > 4, lambda: tf.transpose(picture, [1, 0, 2]), lambda: picture)
        across = tf.reduce_any(orientation == tf.constant([2, 3, 6, 7]))
        return _mirrored(swapped, across, tf.reduce_any(orientation == tf.constant([3, 4, 7, 8])))

    return tf.cond(orientation > 1, turned, lambda: picture)


def _grey(picture: Any) -> Any:
    """`[height, width, 1]`; what is grey keeps its value."""
    red, green, blue = tf.unstack(picture, axis=-1)
    return (green + _RED * (red - green) + _BLUE * (blue - green))[..., None]


def _mirrored(picture: Any, across: Any, down: Any) -> Any:
    axes = tf.boolean_mask(tf.constant([0, 1]), tf.stack([down, across]))
    return tf.ensure_shape(tf.reverse(picture, axes), picture.shape)


def _placed(picture: Any, size: Any, scales: Any, starts: Any, background: Sequence[float] | None) -> Any:
    """The picture scaled by `scales` and laid at `starts` into that size, both as (down, across).

    The operation leaves 0 beside it. So where there is a ground, what is laid is what the picture differs from it by.
    """
    if background is not None:
        ground = tf.constant(background, tf.float32)
        ground = _grey(ground[None, None])[0, 0] if picture.shape[-1] == 1 else ground
        placed = _scaled(picture - ground, size, scales, starts) + ground
    else:
        placed = _scaled(picture, size, scales, starts)
    return tf.clip_by_value(placed, 0.0, 1.0)


def _scaled(picture: Any, size: Any, scales: Any, starts: Any) -> Any:
    raw: Any = tf.raw_ops
    filtered = {"kernel_type": "triangle", "antialias": True}
    return raw.ScaleAndTranslate(images=picture[None], size=size, scale=scales, translation=starts, **filtered)[0]


def _uniform(seed: Any, number: int, shape: Sequence[int]) -> Any:
    """Draws in [0, 1) that hang on the seed and the function's number; by the same generator on every device."""
    folded = _random.experimental.stateless_fold_in(tf.cast(seed, tf.int32), number)
    return _random.stateless_uniform(shape, folded, alg="philox")
