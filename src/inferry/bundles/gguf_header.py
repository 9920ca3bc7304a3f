"""GGUF headers, read without believing them: no engine sees a file whose header does not add up.

    magic, version, counts | keys and values | a name, shape, type and offset a tensor | padding | tensor data

Data flow: file, mapped -> `read_header` walks what lies before the tensor data, each step within the
file and within limits -> Header: the few values that decide how it is served; InvalidModel for
whatever is cut off, absurd, or points outside the file.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any, NamedTuple

from inferry.errors import InvalidModel

MAX_KEYS, MAX_TENSORS = 16_384, 131_072
MAX_ELEMENTS = 16 << 20  # of all arrays together: vocabularies have some hundred thousand
MAX_KEY, MAX_TEXT, KEPT_TEXT = 65_535, 16 << 20, 1 << 16
MAX_DIMENSIONS = 4
ALIGNMENT = 32
AGAIN = "Download or convert it again."

SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
TEXT, ARRAY = 8, 9

BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17),
}  # fmt: skip
"""A tensor's type -> how many numbers a block has, and how many bytes."""


class Header(NamedTuple):
    """What a GGUF file says of itself. `values`: its scalars and short texts by key; `texts`: sizes of all texts."""

    version: int
    values: dict[str, Any]
    texts: dict[str, int]
    tensors: int

    @property
    def architecture(self) -> str:
        """The network's kind, "llama" for example."""
        found = self.values.get("general.architecture")
        return found if isinstance(found, str) else ""

    @property
    def context(self) -> int:
        """How many tokens it was trained to look at; 0 when the file does not say."""
        found = self.values.get(f"{self.architecture}.context_length")
        return found if isinstance(found, int) else 0

    @property
    def chats(self) -> bool:
        """Whether it says how a conversation is written down for it."""
        return self.texts.get("tokenizer.chat_template", 0) > 0


def read_header(path: Path) -> Header:
    """The header of a GGUF file. Raises InvalidModel with what is wrong."""
    size = path.stat().st_size
    if not size:
        raise _broken("is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Reader(data, size).header()


def _broken(what: str) -> InvalidModel:
    return InvalidModel(f"The GGUF file {what}.", help=AGAIN)


class _Reader:
    """A place in the file, which never leaves it."""

    def __init__(self, data: Any, size: int) -> None:
        self.data, self.size, self.at = data, size, 0
        self.elements = 0

    def take(self, count: int, what: str) -> bytes:
        if count > self.size - self.at:
            raise _broken(f"is cut off: it ends within {what}")
        self.at += count
        return bytes(self.data[self.at - count : self.at])

    def number(self, form: str, what: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form), what))[0]

    def text(self, limit: int, what: str) -> bytes:
        size = self.number("<Q", what)
        if size > limit:
            raise _broken(f"has {what} of {size} bytes, which is over the limit of {limit}")
        return self.take(size, what)

    def count(self, what: str, limit: int, least: int) -> int:
        """How many of something follow: no more than are allowed, and than there is room for."""
        found: int = self.number("<Q", "its counts")
        if found > limit:
            raise _broken(f"claims {found} {what}, which is over the limit of {limit}")
        if found * least > self.size - self.at:
            raise _broken(f"claims {found} {what}, which is more than it has room for")
        return found

    def header(self) -> Header:
        if self.take(4, "its first bytes") != b"GGUF":
            raise _broken("does not begin with GGUF")
        version = self.number("<I", "its first bytes")
        if version not in (2, 3):
            if version in (2 << 24, 3 << 24):
                raise InvalidModel("The GGUF file is big-endian.", help="Convert it for this kind of processor.")
            raise InvalidModel(f"The GGUF file has the version {version}.", help="Versions 2 and 3 are read.")
        tensors = self.count("tensors", MAX_TENSORS, 24)
        keys = self.count("keys", MAX_KEYS, 13)
        values: dict[str, Any] = {}
        texts: dict[str, int] = {}
        seen: set[str] = set()
        for _ in range(keys):
            key = _name(self.text(MAX_KEY, "a key"), "a key")
            if key in seen:
                raise _broken(f"has the key {key[:80]!a} twice")
            seen.add(key)
            self.value(key, values, texts)
        self.check_tensors(tensors, _alignment(values))
        return Header(version, values, texts, tensors)

    def value(self, key: str, values: dict[str, Any], texts: dict[str, int]) -> None:
        what = f"the value of {key[:80]!a}"
        kind = self.number("<I", what)
        if kind in SCALARS:
            values[key] = self.number(SCALARS[kind], what)
        elif kind == TEXT:
            text = self.text(MAX_TEXT, what)
            texts[key] = len(text)
            if len(text) <= KEPT_TEXT:
                values[key] = text.decode(errors="replace")
        elif kind == ARRAY:
            self.skip_array(what)
        else:
            raise _broken(f"gives {key[:80]!a} the unknown type {kind}")

    def skip_array(self, what: str) -> None:
        kind = self.number("<I", what)
        if kind in SCALARS:
            least = struct.calcsize(SCALARS[kind])
        elif kind == TEXT:
            least = 8
        else:
            raise _broken(f"holds an array of the type {kind} as {what}")
        count = self.count(f"elements in {what}", MAX_ELEMENTS, least)
        self.elements += count
        if self.elements > MAX_ELEMENTS:
            raise _broken(f"has arrays of over {MAX_ELEMENTS} elements")
        if kind != TEXT:
            self.at += count * least
            return
        for _ in range(count):
            size = int.from_bytes(self.take(8, what), "little")
            if size > self.size - self.at:
                raise _broken(f"is cut off: it ends within {what}")
            self.at += size

    def check_tensors(self, count: int, alignment: int) -> None:
        """Raise InvalidModel unless all tensors lie in the file, one beside the other."""
        places: list[tuple[int, int, str]] = []
        names: set[str] = set()
        for _ in range(count):
            name = _name(self.text(MAX_KEY, "a tensor's name"), "a tensor's name")
            if name in names:
                raise _broken(f"has the tensor {name[:80]!a} twice")
            names.add(name)
            size, offset = self.extent(name[:80])
            if offset % alignment:
                raise _broken(f"puts the tensor {name[:80]!a} at {offset}, which is no multiple of {alignment}")
            places.append((offset, size, name[:80]))
        start = -(-self.at // alignment) * alignment
        room, end = max(0, self.size - start), 0
        for offset, size, name in sorted(places):
            if offset + size > room:
                raise _broken(
                    f"puts the tensor {name!a} at bytes {offset} to {offset + size} of its data, which has {room}"
                )
            if offset < end:
                raise _broken(f"puts the tensor {name!a} over another one")
            end = offset + size

    def extent(self, name: str) -> tuple[int, int]:
        """The next tensor's size in bytes and its offset in the data."""
        what = f"the tensor {name!a}"
        dimensions = self.number("<I", what)
        if not 0 < dimensions <= MAX_DIMENSIONS:
            raise _broken(f"gives the tensor {name!a} {dimensions} dimensions")
        shape = [self.number("<Q", what) for _ in range(dimensions)]
        kind = self.number("<I", what)
        if kind not in BLOCKS:
            raise _broken(f"gives the tensor {name!a} the unknown type {kind}")
        block, size = BLOCKS[kind]
        elements = 1
        for length in shape:
            elements *= length
        if not elements or shape[0] % block:
            raise _broken(f"gives the tensor {name!a} the impossible shape {shape}")
        return elements // block * size, self.number("<Q", what)


def _name(text: bytes, what: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise _broken(f"has {what} that is no text") from None


def _alignment(values: dict[str, Any]) -> int:
    found = values.get("general.alignment", ALIGNMENT)
    if type(found) is not int or not 8 <= found <= 1 << 16 or found & (found - 1):
        raise _broken(f"has the impossible alignment {str(found)[:40]}")
    return found
