"""Files as bodies of `POST /predict/{endpoint}`: what a browser's form or `curl --data-binary` sends.

    image/png, audio/wav, application/octet-stream...   one file: one row
    application/vnd.apache.parquet, ...arrow.stream     a table: its rows
    multipart/form-data                                 files: a row each; or a part for each named input
    text/csv                                            a header line and rows

What a file is, its first bytes say, not its content type; a body that is no file is read as plain JSON. Only
the form's boundary must be known, and it is the body's first line. The answer is that of the plain door.

Data flow: body -> files, or columns -> `PlainCodec.arrays` -> Call. An input that takes no files gets none:
a model without a signature gets the bytes themselves.
"""

from __future__ import annotations

import re
from email.message import Message
from typing import Any, NamedTuple

import msgspec

from inferry.errors import InvalidInput, UnsupportedMedia
from inferry.interfaces.codec import Call
from inferry.media import arrow
from inferry.media.kinds import HEAD, IMAGES, TABLES, kind_of
from inferry.protocols.dataframes import Frames
from inferry.protocols.mlflow_csv import CsvCodec
from inferry.protocols.plain import PlainCodec, lift
from inferry.protocols.rows import Read
from inferry.types.frames import Request
from inferry.types.signature import Signature, TensorSpec

MAX_PARTS = 1024
MAX_BOUNDARY = 200
PAGE = "docs/tasks/images-audio-tables.md"
_FORM = "Send multipart/form-data as curl -F does: a part for each file."


class FileCodec(PlainCodec):
    """Reads one file."""

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self._frames = Frames(signature)
        self._media = [spec for spec in signature.inputs if spec.takes_files]

    def decode(self, request: Request) -> Call:
        """A Call from a request body. Raises InvalidInput."""
        head = bytes(request.body[:HEAD])
        kind = kind_of(head)
        if not kind and (not head or head[:1] in b'{["-0123456789tfn \t\r\n'):
            return super().decode(request)
        return self.call(request, self._read(bytes(request.body), kind))

    def _read(self, data: bytes, kind: str) -> Read:
        if kind in TABLES:
            return self._frames.from_table(*arrow.read(data))
        if self._open:
            return data, 0
        return self.arrays({self._lone_media(kind).name: [data]})

    def _lone_media(self, kind: str) -> TensorSpec:
        """The input that a file is for. Raises UnsupportedMedia when it is for none."""
        if not self._media:
            raise UnsupportedMedia(
                "This model takes no files.", help=f"{self.hint} {PAGE} tells how a file is declared."
            )
        if len(self._specs) > 1:
            raise InvalidInput("This model takes more than one file.", help=f"Name the inputs. {_FORM}")
        spec = self._media[0]
        wanted = "a picture" if spec.image else "a sound"
        if kind not in (IMAGES if spec.image else {"wav"}):
            came = f"a {kind} file" if kind else "none that is known here"
            raise UnsupportedMedia(
                f"This model takes {wanted}, but the file is {came}.",
                help="Send PNG, JPEG, WebP, GIF or BMP." if spec.image else "Send WAV.",
            )
        return spec


class FormCodec(FileCodec):
    """Reads the parts of a form."""

    def decode(self, request: Request) -> Call:
        """A Call from a request body. Raises InvalidInput."""
        parts = read_form(bytes(request.body))
        if not parts:
            raise InvalidInput("The form has no parts.", help=_FORM)
        if self._open:
            files = [part.data for part in parts]
            return self.call(request, (files if len(files) > 1 else files[0], 0))
        if len(self._specs) > 1:
            return self.call(request, self._by_name(parts))
        if any(kind_of(part.data[:HEAD]) in TABLES for part in parts) and len(parts) == 1:
            return self.call(request, self._read(parts[0].data, kind_of(parts[0].data[:HEAD])))
        for part in parts:
            self._lone_media(kind_of(part.data[:HEAD]))
        return self.call(request, self.arrays({self._specs[0].name: [part.data for part in parts]}))

    def _by_name(self, parts: list[Part]) -> Read:
        """A part or more for each input: files as they are, all else as JSON, or as text."""
        media = {spec.name for spec in self._media}
        named: dict[str, Any] = {}
        for part in parts:
            if part.name in media:
                named.setdefault(part.name, []).append(part.data)
            elif part.name in named:
                raise InvalidInput(f"The form has two parts {part.name[:60]!r}.", help="Send a list in one part.")
            else:
                named[part.name] = _value(part.data)
        self.check_names(named, "")
        return self.arrays(self.from_dict(named) if not media else self._lifted(named, media))

    def _lifted(self, named: dict[str, Any], media: set[str]) -> dict[str, Any]:
        """With one file each, the other parts are one row as well."""
        alone = all(len(named[name]) == 1 for name in media)
        others = {name: value for name, value in named.items() if name not in media}
        if alone:
            specs = {spec.name: spec for spec in self._specs}
            others = {name: lift(value, specs[name]) for name, value in others.items()}
        return {spec.name: named[spec.name] if spec.name in media else others[spec.name] for spec in self._specs}


class CsvRowsCodec(PlainCodec):
    """Reads CSV as the MLflow door does."""

    def __init__(self, signature: Signature) -> None:
        super().__init__(signature)
        self._csv = CsvCodec(signature)

    def decode(self, request: Request) -> Call:
        """A Call from a request body. Raises InvalidInput."""
        return self.call(request, self._csv.read(request.body))


class Part(NamedTuple):
    """One field of a form."""

    name: str
    data: bytes


def read_form(body: bytes) -> list[Part]:
    """The parts of a multipart/form-data body. Raises InvalidInput."""
    first = body[: MAX_BOUNDARY + 4].partition(b"\r\n")
    mark = first[0].rstrip(b" \t")
    if not re.fullmatch(rb"--[\x21-\x7e ]{1,%d}" % MAX_BOUNDARY, mark) or not first[1]:
        raise InvalidInput("The body is not a form.", help=_FORM)
    if mark.endswith(b"--") and body.strip() == mark:
        return []
    if len(mark) > MAX_BOUNDARY:
        raise InvalidInput("The form's boundary is too long.", help=_FORM)
    pieces = (b"\r\n" + body).split(b"\r\n" + mark, MAX_PARTS + 2)
    if len(pieces) > MAX_PARTS + 2:
        raise InvalidInput(f"The form has over {MAX_PARTS} parts.", help="Send them in several requests.")
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise InvalidInput("The form is cut off.", help=_FORM)
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, blank, data = piece.partition(b"\r\n\r\n")
    said = re.search(rb"\r\ncontent-disposition:([^\r\n]*)", head, re.IGNORECASE)
    if not blank or said is None:
        raise InvalidInput("A part of the form has no name.", help=_FORM)
    message = Message()
    message["content-disposition"] = said[1].decode("utf-8", "replace").strip()
    name = message.get_param("name", "", "content-disposition")
    return Part(name if isinstance(name, str) else "", data)


def _value(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return data.decode("utf-8", "replace")
