"""Pictures become the tensor that Pillow and numpy give; whatever bytes come, the answer is a tensor or a sentence."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inferry.errors import InvalidInput
from inferry.media import images
from inferry.types.signature import ImageSpec

RAW = ImageSpec(scale=1.0)


def photo(width: int = 60, height: int = 40, mode: str = "RGB") -> Image.Image:
    seed = np.random.default_rng(3)
    return Image.fromarray(seed.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    kept = io.BytesIO()
    picture.save(kept, form, **options)
    return kept.getvalue()


def test_every_step_agrees_with_pillow_and_numpy():
    spec = ImageSpec(
        shortest_edge=32, resample="bicubic", crop=(28, 30), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    made = images.to_tensor(encoded(photo()), spec)
    resized = photo().resize((48, 32), Image.Resampling.BICUBIC).crop((9, 2, 39, 30))
    wanted = (np.asarray(resized, np.float64) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    assert made.dtype == np.float32
    assert made.shape == (3, 28, 30)
    np.testing.assert_allclose(made, wanted.transpose(2, 0, 1), atol=2e-6)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (ImageSpec(scale=1.0, layout="NHWC"), lambda p: np.asarray(p)),
        (ImageSpec(scale=1.0, mode="BGR", layout="NHWC"), lambda p: np.asarray(p)[:, :, ::-1]),
        (ImageSpec(scale=1.0, mode="L"), lambda p: np.asarray(p.convert("L"))[np.newaxis]),
        (ImageSpec(height=20, width=10, layout="NHWC", resample="nearest"),
         lambda p: np.asarray(p.resize((10, 20), Image.Resampling.NEAREST)) / 255),
    ],
)  # fmt: skip
def test_modes_layouts_and_exact_sizes(spec, wanted):
    np.testing.assert_allclose(images.to_tensor(encoded(photo()), spec), wanted(photo()), atol=1e-6)


def test_a_crop_larger_than_the_picture_is_black_around_it():
    made = images.to_tensor(encoded(photo(4, 2)), ImageSpec(scale=1.0, crop=(6, 8), layout="NHWC"))
    assert made.shape == (6, 8, 3)
    np.testing.assert_array_equal(made[2:4, 2:6], np.asarray(photo(4, 2)))
    assert made.sum() == np.asarray(photo(4, 2)).sum()


@pytest.mark.parametrize(("wide", "left"), [(59, 0), (58, 1), (57, 2), (56, 2), (55, 2), (53, 4)])
def test_a_crop_lies_where_torchvision_puts_it(wide, left):
    """Half of what is left over, an odd one going to the even side."""
    made = images.to_tensor(encoded(photo()), ImageSpec(scale=1.0, crop=(40, wide), layout="NHWC"))
    np.testing.assert_array_equal(made, np.asarray(photo())[:, left : left + wide])


def test_exif_orientation_turns_the_picture():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    made = images.to_tensor(encoded(photo(), exif=exif), RAW)
    np.testing.assert_array_equal(made, np.rot90(np.asarray(photo()), -1).transpose(2, 0, 1))


KINDS = {
    "transparency is dropped": (lambda: photo().convert("RGBA"), lambda: photo()),
    "a palette": (lambda: photo().quantize(16), lambda: photo().quantize(16).convert("RGB")),
    "grey": (lambda: photo(mode="L"), lambda: photo(mode="L").convert("RGB")),
    "black and white": (lambda: photo(mode="1"), lambda: photo(mode="1").convert("RGB")),
    "grey with alpha": (lambda: photo(mode="LA"), lambda: photo(mode="LA").convert("L").convert("RGB")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_colours_become_rgb(kind):
    given, wanted = KINDS[kind]
    np.testing.assert_array_equal(
        images.to_tensor(encoded(given()), RAW), np.asarray(wanted(), np.float32).transpose(2, 0, 1)
    )


def test_cmyk_jpeg():
    made = images.to_tensor(encoded(photo().convert("CMYK"), "JPEG"), RAW)
    assert made.shape == (3, 40, 60)


def test_sixteen_bits_keep_their_brightness():
    deep = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    made = images.to_tensor(encoded(Image.fromarray(deep)), ImageSpec(scale=1.0, mode="L"))
    assert made[0, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_every_format_that_is_promised(form):
    assert images.to_tensor(encoded(photo(), form), RAW).shape == (3, 40, 60)


def bomb(width: int, height: int) -> bytes:
    """A PNG of few bytes that says it is huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )


WRONG = {
    "empty": (b"", RAW, "The picture is in no format that is read here."),
    "text": (b"hello, this is no picture", RAW, "The picture is in no format that is read here."),
    "a cut off PNG": (encoded(photo())[:-600], RAW, "The picture is cut off or damaged."),
    "a cut off JPEG": (encoded(photo(), "JPEG")[:-200], RAW, "The picture is cut off or damaged."),
    "a bomb": (bomb(20_000, 20_000), RAW, "The picture has over 64 million pixels."),
    "an enormous bomb": (bomb(2**31 - 1, 2**31 - 1), RAW, "The picture has over 64 million pixels."),
    "a thread that would grow": (
        encoded(Image.new("L", (50_000, 1))), ImageSpec(shortest_edge=224), "The picture, resized, has over 64 million pixels.",
    ),
    "a format that is not offered": (encoded(photo(), "TIFF"), RAW, "The picture is in no format that is read here."),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said(kind):
    data, spec, sentence = WRONG[kind]
    with pytest.raises(InvalidInput) as caught:
        images.to_tensor(data, spec)
    assert caught.value.message == sentence
    assert caught.value.help


SEEDS = [encoded(photo(9, 7), form) for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP")]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    st.integers(0, 2000),
)
def test_no_bytes_break_it(seed, changes, length):
    data = bytearray(seed[: max(1, length)])
    for at, value in changes:
        data[at % len(data)] = value
    try:
        made = images.to_tensor(bytes(data), ImageSpec(height=8, width=8))
    except InvalidInput as error:
        assert error.message.startswith("The picture")
    else:
        assert made.shape == (3, 8, 8)
