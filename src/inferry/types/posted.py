"""Posted: an HTTP body as it came, for code that reads bodies itself, and what such code writes.

Data flow: a client's body, its content type and what it accepts -> Posted -> the handler of a package ->
Written: a body with its content type.
"""

from __future__ import annotations

from typing import NamedTuple

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
ANY = ("", "*/*")


class Posted(NamedTuple):
    """One request. `parts`: the fields of a form, None when the body is none."""

    body: bytes
    content_type: str = JSON
    accept: str = ""
    parts: tuple[tuple[str, bytes], ...] | None = None

    @property
    def media(self) -> str:
        """The content type without its parameters, in lower case; JSON when none is told."""
        return self.content_type.partition(";")[0].strip().lower() or JSON

    @property
    def is_json(self) -> bool:
        """Whether the body says that it is JSON."""
        return self.media == JSON or self.media.endswith("+json")


class Written(NamedTuple):
    """One answer."""

    body: bytes
    content_type: str = JSON
