"""Imports: what a pickle would import, found without importing or running anything.

Data flow: pickle bytes -> Python's own unpickler in pure Python, in which every class and function is an inert stub
-> the names that were asked for. Arrays that joblib writes between the opcodes are skipped by the size that their
stub says. What cannot be followed to its end is said to be so: it may hide something.
"""

from __future__ import annotations

import io
import lzma
import pickle
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from inferry.bundles.archive import opened

MAX_BYTES = 2 << 30
MAX_MEMBERS = 2000
DANGEROUS_MODULES = frozenset({
    "os", "posix", "nt", "subprocess", "sys", "socket", "shutil", "runpy", "importlib", "pty", "ctypes", "_ctypes",
    "commands", "webbrowser", "requests", "urllib", "http", "httpx", "aiohttp", "asyncio", "multiprocessing", "signal",
    "code", "codeop", "pdb", "bdb", "timeit", "cProfile", "profile", "trace", "pip", "pathlib", "tempfile", "io", "_io",
    "marshal", "threading", "_thread", "inspect", "pydoc", "ensurepip", "distutils", "setuptools", "venv", "ssl",
    "smtplib", "ftplib", "telnetlib", "sqlite3", "zipimport", "pkgutil", "imp", "linecache", "platform",
})  # fmt: skip
DANGEROUS_NAMES = frozenset({
    *(f"builtins.{name}" for name in ("eval", "exec", "compile", "open", "getattr", "setattr", "delattr", "__import__",
                                      "breakpoint", "input", "globals", "locals", "vars")),
    "operator.attrgetter", "operator.methodcaller", "functools.partial.__call__", "types.FunctionType",
    "types.CodeType", "pickle.loads", "pickle.load", "_pickle.loads", "_pickle.load", "dill.loads", "joblib.load",
    "torch.load", "torch.hub.load", "numpy.load", "pandas.read_pickle", "pandas.eval",
})  # fmt: skip
_JOBLIB = "joblib.numpy_pickle.NumpyArrayWrapper"
_CODES = {"b": 1, "?": 1, "i": 1, "u": 1, "f": 1, "c": 1, "S": 1, "V": 1, "U": 4, "M": 1, "m": 1, "a": 1}


class Scan(NamedTuple):
    """`names`: `module.name` of all imports. `unread`: why the rest could not be followed, "" when all was."""

    names: frozenset[str]
    unread: str


def dangerous(name: str) -> bool:
    """Whether something of that name can do more than make an object."""
    name = name.replace("__builtin__.", "builtins.", 1)
    module = name.rpartition(".")[0]
    return module.partition(".")[0] in DANGEROUS_MODULES or name in DANGEROUS_NAMES


def scan(path: Path) -> Scan | None:
    """What the pickles of a file would import; None for a file without any."""
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"PK\x03\x04"):
        return _scan_zip(path)
    if head.startswith(b"\x93NUMPY"):
        return _scan_npy(path)
    if not _is_pickle(head) and not _is_packed(head):
        return None
    try:
        with _unpacked(path, head) as stream:
            first = stream.read(2)
            if not _is_pickle(first):
                return None
            stream.seek(0)
            return scan_stream(stream)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        return Scan(frozenset(), f"it cannot be unpacked ({error})")


def scan_stream(stream: BinaryIO) -> Scan:
    """What the pickles in a stream, one behind the other, would import."""
    names: set[str] = set()
    reader = _Reader(stream, names)
    try:
        while True:
            reader.load()
            if not stream.read(1):
                return Scan(frozenset(names), "")
            stream.seek(-1, io.SEEK_CUR)
    except Exception as error:  # noqa: BLE001 - a hostile stream may raise anything, and what was found counts
        return Scan(frozenset(names), f"{type(error).__name__} after {len(names)} imports")


def _unpacked(path: Path, head: bytes) -> AbstractContextManager[BinaryIO]:
    if head[:1] != b"\x78":
        return opened(path)
    inflate = zlib.decompressobj()
    return io.BytesIO(inflate.decompress(path.read_bytes(), MAX_BYTES))


def _is_pickle(head: bytes) -> bool:
    marked = len(head) >= 2 and head[0] == 0x80 and head[1] <= pickle.HIGHEST_PROTOCOL
    return marked or head[:2] in {b"(l", b"(d", b"(c", b"(i", b"]q", b"}q", b"co", b"cp", b"c_", b"cn", b"cs"}


def _is_packed(head: bytes) -> bool:
    magics = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x5d\x00\x00", b"\x78\x9c", b"\x78\x01", b"\x78\xda", b"\x78\x5e")
    return head.startswith(magics)


def _scan_zip(path: Path) -> Scan | None:
    names: set[str] = set()
    unread, found = "", False
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist()[:MAX_MEMBERS]:
                if not entry.filename.endswith((".pkl", ".pickle", ".joblib", ".npy")) or entry.file_size > MAX_BYTES:
                    continue
                data = archive.read(entry)
                if _is_pickle(data[:16]):
                    found = True
                    part = scan_stream(io.BytesIO(data))
                    names |= part.names
                    unread = unread or part.unread
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        return Scan(frozenset(names), f"it cannot be unpacked ({error})")
    return Scan(frozenset(names), unread) if found else None


def _scan_npy(path: Path) -> Scan | None:
    import numpy as np

    with path.open("rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _, _, dtype = read(file)
        except (ValueError, EOFError, SyntaxError) as error:
            return Scan(frozenset(), f"its header cannot be read ({error})")
        return scan_stream(file) if dtype.hasobject else None


class _Stub:
    """Stands for anything: it can be made, called, filled and given a state, and does nothing."""

    name = ""

    def __new__(cls, *args: Any, **_: Any) -> Self:
        made = super().__new__(cls)
        made.args = args
        made.state = None
        return made

    def __init__(self, *args: Any, **_: Any) -> None:
        self.args: tuple[Any, ...] = args
        self.state: Any

    def __call__(self, *_: Any, **__: Any) -> _Stub:
        return _Stub()

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Take it."""

    def extend(self, values: Any) -> None:
        """Take them."""

    def add(self, value: Any) -> None:
        """Take it."""


_Python: Any = pickle._Unpickler
"""The algorithm in Python, which can be followed step by step; it is what the faster one is tested against."""


class _Reader(_Python):  # type: ignore[misc]
    """Follows the opcodes with stubs."""

    dispatch = dict(_Python.dispatch)

    def __init__(self, file: BinaryIO, names: set[str]) -> None:
        super().__init__(file)
        self._file = file
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        """A stub of that name."""
        self._names.add(f"{module}.{name}"[:200])
        return type("Stub", (_Stub,), {"name": f"{module}.{name}"})

    def get_extension(self, code: int) -> None:
        """A name that only the reader's own process knows."""
        raise pickle.UnpicklingError(f"an extension code, {code}")

    def persistent_load(self, pid: Any) -> Any:  # noqa: ARG002
        """Where torch keeps its numbers."""
        return _Stub()

    def load_build(self) -> None:
        """Give a state, and skip the numbers that joblib writes behind it."""
        super().load_build()
        top = self.stack[-1]
        if isinstance(top, _Stub) and top.name == _JOBLIB and isinstance(top.state, dict):
            self._skip(top.state)

    dispatch[pickle.BUILD[0]] = load_build

    def _skip(self, state: dict[str, Any]) -> None:
        dtype, shape = state["dtype"], state["shape"]
        kind = dtype.args[0] if isinstance(dtype, _Stub) and dtype.args else ""
        if kind.startswith("O"):
            part = scan_stream_once(self._file, self._names)
            if part:
                raise pickle.UnpicklingError(part)
            return
        size = _CODES[kind[0]] * int(kind[1:] or 1)
        for length in shape:
            size *= length
        if state.get("numpy_array_alignment_bytes") is not None:
            padding = self._file.read(1)
            size += padding[0] if padding else 0
        for piece in _sizes(size):
            if len(self._file.read(piece)) != piece:
                raise EOFError("an array is cut off")


def scan_stream_once(stream: BinaryIO, names: set[str]) -> str:
    """Follow one pickle of a stream; why not, or "" when it was read."""
    try:
        _Reader(stream, names).load()
    except Exception as error:  # noqa: BLE001 - as above
        return f"{type(error).__name__} in an array of objects"
    return ""


def _sizes(size: int) -> Iterator[int]:
    while size > 0:
        piece = min(size, 1 << 20)
        yield piece
        size -= piece
