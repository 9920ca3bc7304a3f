"""Pictures: encoded bytes -> a tensor, as an ImageSpec says. Pillow and numpy, nothing else.

Data flow: bytes -> opened (known formats only, its size checked before a pixel is decoded) -> turned as its
EXIF orientation says -> 8 bits, the mode's colours -> resized -> cropped -> scaled, normalised -> layout.

Resizing is Pillow's, so it is exactly what torchvision and Hugging Face do with a Pillow image. Transparency
is dropped, as `convert("RGB")` does; of a moving picture the first frame counts.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from inferry.errors import InvalidInput
from inferry.types.signature import ImageSpec

Array = np.ndarray[Any, Any]

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
MAX_PIXELS = 64 << 20
FILTERS = {filter.name.lower(): filter for filter in Image.Resampling}
_HELP = "Send the whole of a PNG, JPEG, WebP, GIF or BMP file."


def to_tensor(data: bytes, spec: ImageSpec, what: str = "The picture") -> Array:
    """One picture as float32 [channels, height, width] or [height, width, channels]. Raises InvalidInput."""
    with np.errstate(all="ignore"):
        picture = crop(resize(opened(data, spec.mode, what), spec, what), spec.crop)
        pixels: Array = np.asarray(picture, dtype=np.float32)
        pixels = pixels[:, :, np.newaxis] if pixels.ndim == 2 else pixels
        if spec.mode == "BGR":
            pixels = pixels[:, :, ::-1]
        if spec.scale != 1:
            pixels = pixels * np.float32(spec.scale)
        if spec.mean:
            pixels = pixels - np.asarray(spec.mean, dtype=np.float32)
        if spec.std:
            pixels = pixels / np.asarray(spec.std, dtype=np.float32)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if spec.layout == "NCHW" else pixels)


def opened(data: bytes, mode: str, what: str) -> Image.Image:
    """The upright picture in "RGB" or "L", 8 bits a channel."""
    try:
        picture: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        check_size(*picture.size, what)
        if getattr(picture, "is_animated", False):
            picture.seek(0)
        picture.load()
        ImageOps.exif_transpose(picture, in_place=True)
        return _flat(picture).convert("L" if mode == "L" else "RGB")
    except InvalidInput:
        raise
    except UnidentifiedImageError:
        raise InvalidInput(f"{what} is in no format that is read here.", help=_HELP) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(what) from None
    except MemoryError:
        raise _too_large(what) from None
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        KeyError,
        TypeError,
        OverflowError,
        struct.error,
        AttributeError,
        ArithmeticError,
        RuntimeError,
        AssertionError,
    ):  # fmt: skip - what Pillow's readers raise
        raise InvalidInput(f"{what} is cut off or damaged.", help=_HELP) from None


def check_size(width: int, height: int, what: str) -> None:
    """Refuse a picture that would take very much memory."""
    if width * height > MAX_PIXELS:
        raise _too_large(what)


def _too_large(what: str) -> InvalidInput:
    return InvalidInput(f"{what} has over {MAX_PIXELS >> 20} million pixels.", help="Send a smaller one.")


def _flat(picture: Image.Image) -> Image.Image:
    """16 bits to 8 (Pillow would cut them off at 255), and a palette to its colours."""
    if picture.mode.startswith("I"):
        deep = np.asarray(picture).astype(np.int64).clip(0, 65535)
        return Image.fromarray(((deep * 255 + 32767) // 65535).astype(np.uint8))
    if picture.mode == "P":
        return picture.convert("RGBA" if "transparency" in picture.info else "RGB")
    return picture


def resize(picture: Image.Image, spec: ImageSpec, what: str) -> Image.Image:
    """To the declared size; the longer side is rounded down, as torchvision does."""
    width, height = picture.size
    if spec.shortest_edge:
        short = min(width, height)
        wanted = (spec.shortest_edge * width // short, spec.shortest_edge * height // short)
    elif spec.height:
        wanted = (spec.width, spec.height)
    else:
        return picture
    check_size(*wanted, f"{what}, resized,")
    return picture if wanted == picture.size else picture.resize(wanted, FILTERS[spec.resample])


def crop(picture: Image.Image, size: Sequence[int]) -> Image.Image:
    """(height, width) around the middle, where torchvision puts it; black beyond the edges. (0, 0): all of it."""
    high, wide = size
    if not high or (wide, high) == picture.size:
        return picture
    width, height = picture.size
    left, top = _start(width - wide), _start(height - high)
    return picture.crop((left, top, left + wide, top + high))


def _start(spare: int) -> int:
    """Where a crop begins: half of what is left, to the even side; with too little, the smaller part before it."""
    return round(spare / 2) if spare > 0 else -(-spare // 2)


def made_up() -> bytes:
    """A small picture with all kinds of colours, where nobody gave one."""
    across, down = np.meshgrid(np.arange(32), np.arange(32))
    pixels = np.stack([across * 8, down * 8, (across * down) % 256], axis=-1).astype(np.uint8)
    return _encoded(Image.fromarray(pixels), "PNG")


def example(data: bytes, most: int) -> bytes:
    """The picture itself when it is small enough to be shown as an example, else a small copy of it."""
    if len(data) <= most:
        return data
    picture = opened(data, "RGB", "The sample")
    picture.thumbnail((256, 256))
    return _encoded(picture, "JPEG")


def _encoded(picture: Image.Image, form: str) -> bytes:
    kept = io.BytesIO()
    picture.save(kept, form)
    return kept.getvalue()
