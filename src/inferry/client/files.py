"""Files as data: what is posted as it is, and under which content type.

Data flow: a Path or bytes -> the body and its type, by suffix or first bytes; anything else -> JSON.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import msgspec

from inferry.client import results
from inferry.errors import InvalidInput

ANY = "application/octet-stream"
MEDIA = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif",
    ".bmp": "image/bmp", ".wav": "audio/wav", ".parquet": "application/vnd.apache.parquet",
    ".arrow": "application/vnd.apache.arrow.file", ".arrows": "application/vnd.apache.arrow.stream",
    ".feather": "application/vnd.apache.arrow.file",
}  # fmt: skip
TEXT = {".csv": "text/csv", ".json": "application/json"}


def is_file(path: Path) -> bool:
    """Whether a path's suffix says that it is sent as it is, not as text."""
    return path.suffix.lower() in MEDIA


def body_of(data: Any) -> tuple[bytes, str]:
    """The request's body and its content type. Raises InvalidInput for a file that cannot be read."""
    if isinstance(data, Path):
        return read(data), (MEDIA | TEXT).get(data.suffix.lower(), ANY)
    if isinstance(data, bytes | bytearray):
        return bytes(data), ANY
    if isinstance(data, list) and data and all(isinstance(one, Path | bytes) for one in data):
        data = [{"b64": base64.b64encode(read(one) if isinstance(one, Path) else one).decode()} for one in data]
    return msgspec.json.encode(data, enc_hook=results.jsonable), "application/json"


def read(path: Path) -> bytes:
    """A file's bytes."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror}.", help="Check the path.") from error
