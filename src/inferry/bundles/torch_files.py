"""What PyTorch's files say of themselves: the names in their pickles, the program of an export. Nothing is unpickled.

Data flow: a checkpoint (zip with data.pkl, or the older run of pickles) -> opcodes -> every global that
opening it would look up; an exported program (zip with JSON) -> the torch that wrote it, the operators it calls.
"""

from __future__ import annotations

import io
import pickletools
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from inferry.errors import InvalidModel

MAX_PICKLE = 64 << 20
MAX_PROGRAM = 256 << 20
_LEGACY_PARTS = 4  # magic number, protocol, facts of the machine, the object
_ZIP_ERRORS = (zipfile.BadZipFile, KeyError, EOFError, zlib.error, NotImplementedError, RuntimeError, OSError)
_STRINGS = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
_PUTS = {"BINPUT", "LONG_BINPUT", "PUT"}
_GETS = {"BINGET", "LONG_BINGET", "GET"}
_VERSION = re.compile(rb'"torch_version":\s*"([0-9]+\.[0-9]+)')
_OPERATOR = re.compile(rb'"target":\s*"torch\.ops\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)')
_SCRIPT_OPERATOR = re.compile(rb"\bops\.([A-Za-z_]\w*)\.([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Program:
    """An exported program: `torch` is the release that wrote it ("2.13", "" when it does not say)."""

    torch: str
    packages: frozenset[str]


def globals_of(path: Path) -> set[tuple[str, str]]:
    """Every (module, name) that opening a checkpoint would look up. InvalidModel when it is damaged."""
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                return set().union(*(_globals(file) for _ in range(_LEGACY_PARTS)))
        with zipfile.ZipFile(path) as archive:
            name = min((name for name in archive.namelist() if name.split("/")[-1] == "data.pkl"), key=len)
            with archive.open(name) as file:
                return _globals(io.BytesIO(file.read(MAX_PICKLE)))
    except (*_ZIP_ERRORS, ValueError, IndexError, UnicodeDecodeError) as error:
        raise damaged(path) from error


def damaged(path: Path) -> InvalidModel:
    """The refusal of a file that cannot be read to its end."""
    return InvalidModel(f"{path.name[:80]!a} is a corrupt or truncated PyTorch file.", help="Save or copy it again.")


def _globals(pickle: BinaryIO) -> set[tuple[str, str]]:
    """The globals of one pickle, by its opcodes. Raises ValueError for what is none."""
    found: set[tuple[str, str]] = set()
    memo: dict[int, str] = {}
    texts: list[str] = ["", ""]
    for opcode, argument, _ in pickletools.genops(pickle):
        name = opcode.name
        if name in _STRINGS:
            texts = [texts[-1], str(argument)]
        elif name in _PUTS or name == "MEMOIZE":
            memo[len(memo) if argument is None else int(argument)] = texts[-1]
        elif name in _GETS and argument is not None and int(argument) in memo:
            texts = [texts[-1], memo[int(argument)]]
        elif name in {"GLOBAL", "INST"}:
            module, _, attribute = str(argument).partition(" ")
            found.add((module, attribute))
        elif name == "STACK_GLOBAL":
            found.add((texts[0], texts[1]))
    return found


def program_of(path: Path) -> Program:
    """What an exported program says. InvalidModel for a damaged one, and for compiled code without a program."""
    data = b""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            programs = [name for name in names if re.fullmatch(r"(?:[^/]+/)?models/[^/]+\.json", name)]
            programs += [name for name in names if name.endswith("serialized_exported_program.json")]
            for name in programs[:1]:
                with archive.open(name) as file:
                    data = file.read(MAX_PROGRAM)
    except (*_ZIP_ERRORS, ValueError) as error:
        raise damaged(path) from error
    if not data:
        raise InvalidModel(
            f"{path.name[:80]!a} holds no exported program, only what was compiled from one for one kind of machine.",
            help="Save the program itself: torch.export.save(torch.export.export(model, inputs), PATH).",
        )
    version = _VERSION.search(data)
    return Program(
        torch=version[1].decode() if version else "",
        packages=frozenset(match[1].decode() for match in _OPERATOR.finditer(data)),
    )


def script_packages(path: Path) -> frozenset[str]:
    """The namespaces of the operators that a TorchScript file's code calls beside torch's own."""
    found: set[str] = set()
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if "/code/" in entry.filename and entry.filename.endswith(".py"):
                    with archive.open(entry) as file:
                        found |= {match[1].decode() for match in _SCRIPT_OPERATOR.finditer(file.read(MAX_PICKLE))}
    except (*_ZIP_ERRORS, ValueError) as error:
        raise damaged(path) from error
    return frozenset(found)
