"""The files that an ONNX model keeps its weights in, found and checked before anything loads it.

Data flow: model file, mapped -> every tensor of its graphs, by hand -> external_data
locations -> each must be a plain file below the model's folder that is long enough.
"""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from pathlib import Path

from inferry.errors import InvalidModel
from inferry.types.protobuf import BYTES, WireError, fields, text

MAX_FIELDS = 5_000_000
MAX_DEPTH = 32

# message -> field number -> message inside it, for every way that leads to a TensorProto
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}


def external_files(model: Path) -> set[Path]:
    """The data files of an ONNX model. Raises InvalidModel for one that is missing, short or elsewhere."""
    if model.stat().st_size == 0:
        return set()
    found: dict[str, int] = {}
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        try:
            for location, end in _Walk().tensors(view, "model", MAX_DEPTH):
                found[location] = max(end, found.get(location, 0))
        except WireError:
            raise InvalidModel("The ONNX file is corrupt or truncated.", help="Export or copy it again.") from None
        finally:
            view.release()
    return {_checked(model.parent, location, end) for location, end in found.items()}


class _Walk:
    """Counts fields, so that a hostile file cannot keep us busy."""

    def __init__(self) -> None:
        self._left = MAX_FIELDS

    def tensors(self, buffer: memoryview, message: str, depth: int) -> Iterator[tuple[str, int]]:
        """(location, end of its bytes there) of every tensor kept outside the file."""
        if depth == 0:
            raise InvalidModel("The ONNX file is nested too deeply.")
        inside = _INSIDE[message]
        entries: dict[str, str] = {}
        for number, wire, value in fields(buffer):
            self._left -= 1
            if self._left < 0:
                raise InvalidModel("The ONNX file has too many parts to check.")
            if not isinstance(value, memoryview):
                continue
            try:
                kind = inside.get(number) if wire == BYTES else None
                if kind == "entry":
                    entries.update(_entry(value))
                elif kind:
                    yield from self.tensors(value, kind, depth - 1)
            finally:
                value.release()
        if entries:
            yield entries.get("location", ""), _size(entries.get("offset")) + _size(entries.get("length"))


def _entry(buffer: memoryview) -> dict[str, str]:
    pair = {1: "", 2: ""}
    for number, _, value in fields(buffer):
        if number in pair and isinstance(value, memoryview):
            if len(value) > 4096:
                raise InvalidModel("The ONNX file names a data file with an overlong name.")
            pair[number] = text(value)
            value.release()
    return {pair[1]: pair[2]}


def _size(number: str | None) -> int:
    return int(number) if number and number.isascii() and number.isdigit() and len(number) < 19 else 0


def _checked(folder: Path, location: str, end: int) -> Path:
    parts = location.split("/")
    if not location or location.startswith("/") or ".." in parts or "\\" in location or not location.isprintable():
        raise InvalidModel(
            f"The ONNX file points at data outside its own folder ({location[:80]!a}).",
            help="Export it again with its data file beside it.",
        )
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise InvalidModel(f"The ONNX model's data file {location[:80]!a} is a link.")
    if not path.is_file():
        raise InvalidModel(
            f"The ONNX model keeps its weights in {location[:80]!a}, which was not given.",
            help="Deploy the folder that holds the .onnx file together with its data file.",
        )
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size < end:
        raise InvalidModel(f"The ONNX model's data file {location[:80]!a} is truncated.", help="Copy it again.")
    return path
