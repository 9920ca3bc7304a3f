"""Kinds: what a file is, from its first bytes, whatever it was called or sent as.

Data flow: first bytes -> the name of a kind, "" when it is none that is known.
"""

from __future__ import annotations

from inferry.types import frames

HEAD = 16  # bytes that are enough

IMAGES = {"png", "jpeg", "gif", "webp", "bmp"}
TABLES = {"parquet", "arrow"}

CONTENTS = {"png": frames.CONTENT_PNG, "jpeg": frames.CONTENT_JPEG, "gif": frames.CONTENT_GIF,
            "webp": frames.CONTENT_WEBP, "wav": frames.CONTENT_WAV, "pdf": frames.CONTENT_PDF}  # fmt: skip
"""Kind -> the content type of an answer that is such a file."""

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow"),  # the stream format's first message
    (b"%PDF-", "pdf"),
)


def kind_of(head: bytes) -> str:
    """png, jpeg, gif, webp, bmp, wav, parquet, arrow, pdf or ""."""
    if head[:4] in (b"RIFF", b"RF64"):
        return {b"WAVE": "wav", b"WEBP": "webp"}.get(head[8:12], "")
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), "")
