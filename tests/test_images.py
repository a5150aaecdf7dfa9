"""Pictures held against Pillow, which turns and resizes them by code that has nothing in common with TensorFlow's.

JPEG: both are libjpeg with the exact integer transform and the same upsampling, so colours agree to the bit, up to the
rounding of float32; of CMYK each makes colours in whole numbers by its own rounding, and may be one step of 255 away.
PNG, BMP, GIF and lossless WebP lose nothing, so they are equal. Resizing: Pillow's floating point filter, within 1e-5.
"""

import colorsys
import functools
import io
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

import piecehub
from piecehub import images
from piecehub.errors import DataError
from tests.docstring_examples import run_docstring

STEP = 1 / 255 + 1e-6
RESIZED = 1e-5
ROUNDED = 3e-7  # of float32, over a product or two
_RNG = np.random.default_rng(0)
# Smooth as photographs are, so that JPEG has something to keep.
_COARSE = Image.fromarray(_RNG.integers(0, 256, (5, 7, 4), dtype=np.uint8))
RGBA = _COARSE.resize((40, 28), Image.Resampling.BICUBIC)
RGB = RGBA.convert("RGB")
GREY = RGB.convert("L")


def saved(picture: Image.Image, format_: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


@functools.cache
def _graph(options: tuple[tuple[str, Any], ...]) -> Any:
    return tf.function(lambda file: images.read(file, **dict(options)), [tf.TensorSpec([], tf.string)])


def read(contents: bytes, **options: Any) -> np.ndarray:
    """What `read` makes of a file, in a graph as in a recipe's `decode`, and the same outside of one."""
    picture = _graph(tuple(options.items()))(contents).numpy()
    assert picture.dtype == np.float32
    np.testing.assert_allclose(images.read(contents, **options), picture, rtol=0, atol=ROUNDED)
    return picture


def pillow(contents: bytes, background: tuple[float, ...] = (1, 1, 1)) -> np.ndarray:
    """What Pillow makes of a file of 8 bits, on a ground."""
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(contents)))
    rgba = np.asarray(upright.convert("RGBA"), np.float64) / 255
    return rgba[..., :3] * rgba[..., 3:] + np.asarray(background) * (1 - rgba[..., 3:])


PNGS = {
    "1 bit": GREY.convert("1"),
    "grey": GREY,
    "grey and alpha": RGBA.convert("LA"),
    "palette of 1 bit": RGB.quantize(2),
    "palette of 2 bits": RGB.quantize(4),
    "palette of 4 bits": RGB.quantize(16),
    "palette of 8 bits": RGB.quantize(200),
    "colours": RGB,
    "colours and alpha": RGBA,
}


@pytest.mark.parametrize("name", PNGS)
@pytest.mark.parametrize("background", [(1.0, 1.0, 1.0), (0.0, 0.25, 0.5)])
def test_a_png_of_every_mode_is_what_pillow_reads_to_the_bit(name: str, background: tuple[float, ...]) -> None:
    contents = saved(PNGS[name], "PNG")
    np.testing.assert_allclose(
        read(contents, background=background), pillow(contents, background), rtol=0, atol=ROUNDED
    )


@pytest.mark.parametrize(
    ("picture", "transparent"),
    [
        (GREY, GREY.getpixel((3, 3))),
        (RGB, RGB.getpixel((3, 3))),
        (RGB.quantize(16), 3),
        (RGB.quantize(16), bytes(range(0, 160, 10))),
    ],
)
def test_a_transparent_colour_of_a_png_shows_the_ground(picture: Image.Image, transparent: Any) -> None:
    contents = saved(picture, "PNG", transparency=transparent)
    green = (0.0, 1.0, 0.0)
    np.testing.assert_allclose(read(contents, background=green), pillow(contents, green), rtol=0, atol=ROUNDED)
    assert np.abs(read(contents) - read(contents, background=green)).max() > 0.5


def test_a_png_of_16_bits_keeps_all_of_them() -> None:
    values = _RNG.integers(0, 65536, (9, 11), dtype=np.uint16)
    picture = read(saved(Image.fromarray(values), "PNG"))
    np.testing.assert_allclose(picture, np.repeat(values[..., None] / 65535, 3, axis=2), rtol=0, atol=ROUNDED)
    assert len(np.unique(picture)) == len(np.unique(values))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_grey_png_of_few_bits_is_spread_over_the_whole_range(bits: int) -> None:
    values = _RNG.integers(0, 2**bits, (6, 16), dtype=np.uint8)
    picture = read(_png(values, bits))
    np.testing.assert_allclose(picture[..., 0], values / (2**bits - 1), rtol=0, atol=ROUNDED)


def _png(values: np.ndarray, bits: int, interlaced: bool = False) -> bytes:
    """A grey PNG, written by hand: Pillow writes neither few bits of grey nor interlaced ones."""
    height, width = values.shape
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [values[y::dy, x::dx] for y, x, dy, dx in passes] if interlaced else [values]
    rows = b""
    for row in (row for part in parts if part.size for row in part):
        unpacked = np.unpackbits(row[:, None], axis=1)[:, 8 - bits :]
        rows += b"\0" + np.packbits(unpacked.ravel()).tobytes()

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, int(interlaced))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_an_interlaced_png_is_the_same_picture(bits: int) -> None:
    values = _RNG.integers(0, 2**bits, (13, 16), dtype=np.uint8)
    interlaced = _png(values, bits, interlaced=True)
    np.testing.assert_allclose(read(interlaced), pillow(interlaced), rtol=0, atol=ROUNDED)
    np.testing.assert_array_equal(read(interlaced), read(_png(values, bits)))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_is_what_pillow_reads_to_the_bit(subsampling: str, progressive: bool) -> None:
    contents = saved(RGB, "JPEG", quality=85, subsampling=subsampling, progressive=progressive)
    np.testing.assert_allclose(read(contents), pillow(contents), rtol=0, atol=ROUNDED)


def test_a_grey_jpeg_is_grey() -> None:
    contents = saved(GREY, "JPEG")
    np.testing.assert_allclose(read(contents), pillow(contents), rtol=0, atol=ROUNDED)
    grey = read(contents, channels=1)
    assert grey.shape == (28, 40, 1)
    np.testing.assert_array_equal(grey, read(contents)[..., :1])


def test_grey_of_colours_is_that_of_bt_601() -> None:
    contents = saved(RGB, "PNG")
    np.testing.assert_allclose(read(contents, channels=1)[..., 0], pillow(contents) @ [0.299, 0.587, 0.114], atol=1e-6)
    np.testing.assert_allclose(read(contents, channels=1)[..., 0], np.asarray(RGB.convert("L")) / 255, atol=STEP)


def test_a_jpeg_of_inks_as_adobe_writes_it_shows_its_colours() -> None:
    inks = RGB.convert("CMYK")
    contents = saved(inks, "JPEG", quality=95)
    assert b"Adobe" in contents
    np.testing.assert_allclose(read(contents), pillow(contents), rtol=0, atol=STEP)
    assert np.abs(read(contents) - np.asarray(RGB) / 255).mean() < 0.03


def test_a_jpeg_of_ycck_shows_its_colours() -> None:
    """YCCK is CMYK whose three inks are kept as luma and chroma; Adobe's segment says so by a 2 at its end."""
    contents = saved(RGB.convert("CMYK"), "JPEG", quality=95, subsampling="4:4:4")
    place = contents.index(b"Adobe") + 11
    ycck = contents[:place] + b"\x02" + contents[place + 1 :]
    np.testing.assert_allclose(read(ycck), pillow(ycck), rtol=0, atol=STEP)
    assert np.abs(read(ycck) - read(contents)).max() > 0.2


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WebP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_exif_turns_is_upright(format_: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a maker, whose entry comes first"
    exif[0x0112] = orientation
    lossless = {"lossless": True} if format_ == "WebP" else {}
    contents = saved(RGB, format_, exif=exif.tobytes(), **lossless)
    assert read(contents).shape == ((28, 40, 3) if orientation < 5 else (40, 28, 3))
    np.testing.assert_allclose(read(contents), pillow(contents), rtol=0, atol=ROUNDED)
    turned = read(saved(RGB, format_, **lossless))
    assert (orientation == 1) == np.array_equal(read(contents), turned)


def test_exif_of_either_order_of_bytes_is_read_wherever_it_stands() -> None:
    plain = saved(RGB, "JPEG")
    for order, head in (("<", b"II*\0"), (">", b"MM\0*")):
        entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, 6, 0)
        tiff = head + struct.pack(f"{order}I", 12) + b"gap!" + struct.pack(f"{order}H", 1) + entry
        exif = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
        comment = b"\xff\xfe\x00\x06mine"
        other = b"\xff\xe1\x00\x0ahttp://\0"
        contents = plain[:2] + comment + other + exif + plain[2:]
        np.testing.assert_allclose(read(contents), pillow(contents), rtol=0, atol=ROUNDED)
        assert read(contents).shape == (40, 28, 3)


def test_damaged_exif_neither_fails_nor_turns() -> None:
    """Any byte of it may be anything: a picture comes out, upright or in one of the eight ways."""
    exif = Image.Exif()
    exif[0x0112] = 6
    contents = bytearray(saved(RGB, "JPEG", exif=exif.tobytes()))
    start = contents.index(b"Exif\0\0") + 6
    draw = random.Random(0)
    for _ in range(60):
        damaged = bytearray(contents)
        for place in draw.sample(range(start, start + 26), 3):
            damaged[place] = draw.randrange(256)
        assert images.read(bytes(damaged)).shape in ((28, 40, 3), (40, 28, 3))
    for value in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"):
        far = bytes(contents[: start + 4]) + value + bytes(contents[start + 8 :])
        np.testing.assert_allclose(images.read(far), pillow(saved(RGB, "JPEG")), atol=ROUNDED)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_bmp_is_what_pillow_reads(mode: str) -> None:
    contents = saved(RGB.convert(mode), "BMP")
    np.testing.assert_allclose(read(contents), pillow(contents), rtol=0, atol=ROUNDED)


def test_a_bmp_of_32_bits_has_no_alpha() -> None:
    contents = saved(RGBA, "BMP")
    np.testing.assert_allclose(read(contents), np.asarray(RGBA)[..., :3] / 255, rtol=0, atol=ROUNDED)


def test_a_bmp_with_a_palette_is_refused_and_not_shown_grey() -> None:
    contents = saved(RGB.quantize(200), "BMP")
    with pytest.raises(DataError, match=r"Received: a BMP with a palette; save it as PNG\.$"):
        images.read(contents)
    with pytest.raises(tf.errors.InvalidArgumentError, match="palette"):
        list(tf.data.Dataset.from_tensors(contents).map(images.read))


def test_of_a_gif_and_a_webp_the_first_frame_is_read() -> None:
    frames = [GREY.convert("P"), ImageOps.invert(GREY).convert("P")]
    gif = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(read(gif), pillow(gif), rtol=0, atol=ROUNDED)
    webp = saved(RGBA, "WebP", save_all=True, append_images=[ImageOps.mirror(RGBA)], lossless=True)
    np.testing.assert_allclose(read(webp), pillow(webp), rtol=0, atol=ROUNDED)


def test_the_alpha_of_a_webp_shows_the_ground() -> None:
    contents = saved(RGBA, "WebP", lossless=True)
    blue = (0.0, 0.0, 1.0)
    np.testing.assert_allclose(read(contents, background=blue), pillow(contents, blue), rtol=0, atol=ROUNDED)


def _resized(box: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """A box of `RGB` at another size, by Pillow in floating point: `size` is height and width."""
    bands = [Image.fromarray(band) for band in np.moveaxis(np.asarray(RGB, np.float32), 2, 0)]
    made = [band.resize(size[::-1], Image.Resampling.BILINEAR, box=box) for band in bands]
    return np.stack([np.asarray(band) for band in made], axis=2) / 255


@pytest.mark.parametrize("size", [(14, 20), (9, 9), (50, 61), (28, 40), (20, 7), (1, 1)])
def test_resizing_is_that_of_pillow(size: tuple[int, int]) -> None:
    contents = saved(RGB, "PNG")
    stretched = read(contents, size=size, fit="stretch")
    np.testing.assert_allclose(stretched, _resized((0, 0, 40, 28), size), rtol=0, atol=RESIZED)
    scale = max(size[0] / 28, size[1] / 40)
    height, width = size[0] / scale, size[1] / scale
    box = ((40 - width) / 2, (28 - height) / 2, (40 + width) / 2, (28 + height) / 2)
    np.testing.assert_allclose(read(contents, size=size), _resized(box, size), rtol=0, atol=RESIZED)


@pytest.mark.parametrize(("size", "inner"), [((40, 40), (28, 40)), ((28, 60), (28, 40)), ((20, 20), (14, 20))])
def test_padding_keeps_the_whole_picture_in_the_middle_of_the_ground(size: Any, inner: Any) -> None:
    red = (1.0, 0.0, 0.0)
    picture = read(saved(RGB, "PNG"), size=size, fit="pad", background=red)
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    middle = picture[top : top + inner[0], left : left + inner[1]]
    np.testing.assert_allclose(middle, _resized((0, 0, 40, 28), inner), rtol=0, atol=RESIZED)
    ground = np.ones(size, bool)
    ground[top : top + inner[0], left : left + inner[1]] = False
    assert (picture[ground] == red).all()


def test_the_shape_is_static_so_that_a_model_can_take_it() -> None:
    files = tf.data.Dataset.from_tensors(saved(RGB, "PNG"))
    spec = lambda **options: files.map(lambda file: images.read(file, **options)).element_spec  # noqa: E731
    assert spec(size=(8, 9)).shape.as_list() == [8, 9, 3]
    assert spec(size=(8, 9), channels=1, fit="pad").shape.as_list() == [8, 9, 1]
    assert spec().shape.as_list() == [None, None, 3]


BROKEN = {
    "nothing": (b"", "Received: 0 bytes; convert it"),
    "a page": (b"<html>not found</html>", "Received: 22 bytes that begin with 3c 68 74 6d 6c 3e 6e 6f"),
    "half a JPEG": (saved(RGB, "JPEG")[:-200], "Received: a JPEG of .* bytes, and it breaks off"),
    "half a PNG": (saved(RGB, "PNG")[:-200], "Received: a PNG of .* bytes, and it breaks off"),
    "a PNG with a changed byte": (
        saved(RGB, "PNG").replace(b"IHDR\0\0\0\x28", b"IHDR\0\0\0\x29"),
        "Received: a PNG of",
    ),
    "the head of a GIF": (saved(GREY, "GIF")[:20], "Received: a GIF of 20 bytes, and it breaks off"),
    "the head of a BMP": (saved(RGB, "BMP")[:40], "Received: a BMP of 40 bytes"),
    "half a WebP": (saved(RGB, "WebP")[:-100], "Received: a WebP of"),
    "two bytes": (b"\xff\xd8", "Received: 2 bytes that begin with ff d8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_named_before_it_is_written_and_when_it_is_read(name: str, tmp_path: Path) -> None:
    contents, said = BROKEN[name]
    for function in (images.read, images.check, lambda file: images.shrink(file, 1)):
        with pytest.raises(DataError, match=said) as caught:
            function(contents)
        assert caught.value.sentence.startswith("Expected a picture ")
    (tmp_path / "a.jpg").write_bytes(contents)
    with pytest.raises(DataError, match=rf"Expected a picture in '.*a\.jpg' .*{said}"):
        images.check(tmp_path / "a.jpg")
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(tf.data.Dataset.from_tensors(contents).map(images.read))


def test_check_tells_what_a_file_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(saved(RGB, "JPEG", exif=exif.tobytes()))
    assert images.check(str(tmp_path / "turned.jpg")) == images.Picture("JPEG", height=40, width=28)
    for name in ("PNG", "GIF", "BMP", "WebP"):
        assert images.check(saved(RGB, name)) == images.Picture(name, height=28, width=40)


def test_a_large_file_is_made_smaller_before_it_is_written(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "turned.jpg").write_bytes(saved(RGB, "JPEG", exif=exif.tobytes()))
    small = images.shrink(tmp_path / "turned.jpg", 14)
    assert images.check(small) == images.Picture("JPEG", height=20, width=14)
    resized = images.resize(images.read((tmp_path / "turned.jpg").read_bytes()), (20, 14), fit="stretch")
    np.testing.assert_allclose(images.read(small), resized, atol=0.1)
    for name in ("PNG", "GIF", "BMP", "WebP"):
        contents = saved(RGB, name)
        small = images.shrink(contents, 14)
        assert images.check(small) == images.Picture("PNG", height=14, width=20)
        resized = images.resize(images.read(contents), (14, 20), fit="stretch")
        np.testing.assert_allclose(images.read(small), resized, atol=0.501 / 255)
        assert images.shrink(contents, 15) == contents


def test_a_stream_says_which_record_holds_the_broken_file(tmp_path: Path) -> None:
    """By a recipe's function, as trainer and evaluator call it."""
    from piecehub.examples.features import Features
    from piecehub.examples.ingest import ingest
    from piecehub.examples.stream import Stream
    from piecehub.facts.tables import ModelTable
    from piecehub.training.decoding import decode_of

    (tmp_path / "model.py").write_text(
        "from piecehub import images\n"
        "def decode(features):\n"
        "    return {'images': images.read(features['file'], size=(8, 8))}\n"
    )
    files = [*(saved(RGB, "JPEG", quality=q) for q in range(50, 60)), saved(RGB, "JPEG")[:-300]]
    piecehub.write_records(tmp_path / "in/train", [{"file": file} for file in files], shards=1)
    ingest(str(tmp_path / "in"), ["train"], tmp_path / "out")
    features = Features({"file": tf.io.FixedLenFeature([], tf.string)})
    decode = decode_of(tmp_path, ModelTable(decode="decode"))
    stream = Stream.open(str(tmp_path / "out"), "train", features, decode)
    assert stream.element_spec["images"].shape.as_list()[1:] == [8, 8, 3]
    place = [record["file"].tolist() for record in Stream.open(str(tmp_path / "out"), "train", features).as_arrays(1)]
    broken = place.index([files[-1]])
    with pytest.raises(DataError, match=rf"JPEG of .*breaks off; .*example {broken} of the split 'train'"):
        list(stream.as_arrays())


@pytest.mark.parametrize("component", ["full_model_trainer", "piece_extractor", "fine_tune_evaluator"])
def test_an_edit_of_what_reads_pictures_makes_components_run_again(component: str) -> None:
    from piecehub.containers.code import module_closure

    files = {path.name for path in module_closure(f"components.{component}")}
    assert {"images.py", "picture_files.py", "exif.py"} <= files


PICTURE = tf.constant(np.asarray(RGB, np.float32) / 255)
AUGMENTATIONS = [images.random_crop, images.random_flip, images.random_color]


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_augmentation_hangs_on_the_seed_alone(augment: Any) -> None:
    seeds = tf.stack([tf.constant([7, n]) for n in range(8)])
    mapped = tf.data.Dataset.from_tensor_slices(seeds).map(lambda seed: augment(PICTURE, seed), num_parallel_calls=4)
    first, again = list(mapped.as_numpy_iterator()), list(mapped.as_numpy_iterator())
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(first, [augment(PICTURE, (7, n)) for n in range(8)], rtol=0, atol=RESIZED)
    assert len({picture.tobytes() for picture in first}) >= 2
    assert {picture.shape for picture in first} == {(28, 40, 3)}
    assert min(p.min() for p in first) >= 0
    assert max(p.max() for p in first) <= 1


@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_a_grey_picture_of_one_channel_is_augmented_like_one_of_three(augment: Any) -> None:
    """What has no colours has no hue or saturation to change, and all else is the same."""
    grey = images.read(tf.io.encode_png(RGB), channels=1)
    seeds = tf.stack([tf.constant([7, n]) for n in range(8)])
    mapped = list(tf.data.Dataset.from_tensor_slices(seeds).map(lambda seed: augment(grey, seed)).as_numpy_iterator())
    of_three = [augment(tf.repeat(grey, 3, axis=-1), (7, n)) for n in range(8)]
    assert len({picture.tobytes() for picture in mapped}) >= 2
    np.testing.assert_allclose(mapped, [picture[..., :1] for picture in of_three], rtol=0, atol=RESIZED)


def test_one_seed_given_to_several_functions_draws_several_things() -> None:
    """Whether the picture is mirrored says nothing of how bright it gets: both may be given the seed of `augment`."""
    row = tf.constant([[[0.5] * 3, [0.25] * 3]])
    mirrored = [bool(images.random_flip(row, (0, n))[0, 0, 0] == 0.25) for n in range(200)]
    only = {"contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    brighter = [bool(images.random_color(row, (0, n), **only)[0, 0, 0] > 0.5) for n in range(200)]
    assert 70 < sum(mirrored) < 130
    assert 70 < sum(brighter) < 130
    assert abs(np.corrcoef(mirrored, brighter)[0, 1]) < 0.25


def test_a_crop_is_a_part_of_the_picture_at_the_size_of_the_whole() -> None:
    """A picture whose values are the places: the crop's say which part it is."""
    rows, columns = np.mgrid[0:60, 0:90]
    places = np.stack([rows / 60, columns / 90], axis=2).astype(np.float32)
    shares = []
    for n in range(50):
        part = images.random_crop(tf.constant(places), (1, n), area=(0.3, 0.8), ratio=(0.8, 1.25)).numpy()
        inner = part[10:-10, 10:-10]  # the filter is cut off at the border of the picture
        steps = np.diff(inner[..., 0], axis=0).mean() * 60, np.diff(inner[..., 1], axis=1).mean() * 90
        np.testing.assert_allclose(inner[..., 0], np.repeat(inner[:, :1, 0], inner.shape[1], axis=1), atol=1e-5)
        shares.append(steps[0] * steps[1])
        assert 0.8 - 1e-3 < steps[1] / steps[0] < 1.25 + 1e-3
    assert 0.3 - 1e-3 <= min(shares) < 0.4
    assert 0.7 < max(shares) <= 0.8 + 1e-3
    np.testing.assert_allclose(
        images.random_crop(PICTURE, (1, 1), area=(1.0, 1.0), ratio=(1.0, 1.0)), PICTURE, rtol=0, atol=1e-6
    )


def test_a_flip_mirrors_across_and_where_asked_for_down() -> None:
    ways = [PICTURE.numpy()[::down, ::across] for down in (1, -1) for across in (1, -1)]
    for vertical, count in ((False, 2), (True, 4)):
        made = [images.random_flip(PICTURE, (5, n), vertical=vertical).numpy() for n in range(40)]
        seen = {next(i for i, way in enumerate(ways) if np.array_equal(way, picture)) for picture in made}
        assert seen == set(range(count))


def test_colours_change_by_as_much_as_was_asked_for() -> None:
    none = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    draw = lambda **one: [images.random_color(PICTURE, (9, n), **none | one).numpy() for n in range(30)]  # noqa: E731
    np.testing.assert_allclose(draw()[0], PICTURE, rtol=0, atol=1e-6)
    inner = (PICTURE.numpy() > 0.25).all(axis=2) & (PICTURE.numpy() < 0.75).all(axis=2)
    assert inner.sum() > 50
    added = [(picture - PICTURE.numpy())[inner] for picture in draw(brightness=0.2)]
    assert max(np.ptp(one) for one in added) < 1e-5
    assert 0.15 < max(one.mean() for one in added) <= 0.2
    assert -0.2 <= min(one.mean() for one in added) < -0.15
    spread = PICTURE.numpy()[inner].std()
    factors = [picture[inner].std() / spread for picture in draw(contrast=0.2)]
    assert 0.8 - 1e-3 < min(factors) < 0.85
    assert 1.15 < max(factors) < 1.2 + 1e-3
    weights = np.array([0.299, 0.587, 0.114])
    for picture in draw(saturation=0.2):
        np.testing.assert_allclose((picture @ weights)[inner], (PICTURE.numpy() @ weights)[inner], atol=1e-5)


def test_hues_turn_as_those_of_the_standard_library_do() -> None:
    only = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.1}
    turns = []
    for n in range(20):
        picture = images.random_color(PICTURE, (2, n), **only).numpy()
        pixels = list(zip(PICTURE.numpy()[::9, ::9].reshape(-1, 3), picture[::9, ::9].reshape(-1, 3), strict=True))
        before = np.array([colorsys.rgb_to_hsv(*map(float, pixel)) for pixel, _ in pixels])
        after = np.array([colorsys.rgb_to_hsv(*map(float, pixel)) for _, pixel in pixels])
        np.testing.assert_allclose(after[:, 1:], before[:, 1:], atol=1e-4)
        turned = (after[:, 0] - before[:, 0] + 0.5) % 1 - 0.5
        assert np.ptp(turned) < 1e-3
        turns.append(turned.mean())
    assert -0.1 <= min(turns) < -0.05
    assert 0.05 < max(turns) <= 0.1


@pytest.mark.parametrize("name", ["read", "check", "shrink", "resize", "random_crop", "random_flip", "random_color"])
def test_the_example_in_the_docstring_runs(name: str) -> None:
    run_docstring(getattr(images, name), tf=tf)
