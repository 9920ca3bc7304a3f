"""What a pickle or skops file says about the packages it was made with, without unpickling.

Data flow: raw (or decompressed, bounded) bytes -> text search for scikit-learn's version
stamp and for module names -> requirement lines.
"""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from inferry.bundles.archive import opened
from inferry.bundles.sniff import LZ4

MAX_SCANNED = 1 << 30
_CHUNK = 4 << 20
_OVERLAP = 256

_VERSION = rb"([0-9]+\.[0-9]+(?:\.[0-9]+)?(?:(?:rc|a|b|\.post)[0-9]+)?)"
_STAMP = re.compile(
    rb"_sklearn_version(?:\x94|q.|r.{4}|\np[0-9]+\n)?(?:\x8c(?P<size>.)|X(?P<long>.)\0\0\0|V)" + _VERSION, re.DOTALL
)
_MODULE = re.compile(
    rb"(?:\x8c.|X.\0\0\0|[c\n])([A-Za-z_][A-Za-z0-9_]{1,40})((?:\.[A-Za-z0-9_]{1,60}){0,8})", re.DOTALL
)

PACKAGES = {
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "imblearn": "imbalanced-learn",
    "category_encoders": "category-encoders",
    "feature_engine": "feature-engine",
    "sklego": "scikit-lego",
    "skorch": "skorch",
    "mlxtend": "mlxtend",
    "statsmodels": "statsmodels",
    "sentence_transformers": "sentence-transformers",
    "umap": "umap-learn",
    "hdbscan": "hdbscan",
    "cloudpickle": "cloudpickle",
    "dill": "dill",
    "polars": "polars",
}


def requirements_of(path: Path, *, skops: bool, packed: bool) -> tuple[str, ...]:
    """What must be installed to load the file: scikit-learn at its version, and what it names."""
    version, modules = _scan_skops(path) if skops else _scan(path, packed=packed)
    found = [f"scikit-learn=={version}" if version else "scikit-learn", "joblib", "pandas"]
    if skops:
        found.append("skops")
    if version and _release(version) < (1, 5):
        found.append("numpy<2")  # built before NumPy 2
    elif "numpy._core" in modules:
        found.append("numpy>=2")  # pickled by NumPy 2, which NumPy 1 cannot read
    if packed and _starts_with(path, LZ4):
        found.append("lz4")
    found += sorted(PACKAGES[name] for name in PACKAGES.keys() & modules)
    return tuple(found)


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _release(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(re.match(r"\d+", minor)[0])  # type: ignore[index]


def _scan(path: Path, *, packed: bool) -> tuple[str, set[str]]:
    version, modules, tail = "", set(), b""
    for chunk in _chunks(path, packed=packed):
        data = tail + chunk
        if not version and (stamp := _STAMP.search(data)):
            version = stamp[3].decode()
            size = stamp["size"] or stamp["long"]
            version = version[: size[0]] if size else version
        for match in _MODULE.finditer(data):
            name = match[1].decode()
            if name in PACKAGES or name == "numpy":
                modules |= {name, "numpy._core"} if match[2].startswith(b"._core") else {name}
        tail = data[-_OVERLAP:]
    return version, modules


def _chunks(path: Path, *, packed: bool) -> Iterator[bytes]:
    left = MAX_SCANNED
    try:
        with path.open("rb") as file:
            is_zlib = packed and file.read(1) == b"\x78"
        if is_zlib:
            yield from _inflated(path)
            return
        with opened(path) as file:
            while left > 0 and (chunk := file.read(_CHUNK)):
                left -= len(chunk)
                yield chunk
    except (OSError, EOFError, zlib.error, lzma.LZMAError):
        return  # damaged: the loader says so, in the sandbox


def _inflated(path: Path) -> Iterator[bytes]:
    inflate, left = zlib.decompressobj(), MAX_SCANNED
    with path.open("rb") as file:
        data = file.read(_CHUNK)
        while left > 0 and data:
            chunk = inflate.decompress(data, _CHUNK)
            left -= len(chunk)
            yield chunk
            data = inflate.unconsumed_tail or file.read(_CHUNK)


def _scan_skops(path: Path) -> tuple[str, set[str]]:
    try:
        with zipfile.ZipFile(path) as archive, archive.open("schema.json") as file:
            schema = file.read(64 << 20)
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, NotImplementedError, RuntimeError, OSError):
        return "", set()
    stamp = re.search(rb'"_sklearn_version":\s*\{[^{}]*?"content":\s*"\\"' + _VERSION, schema)
    modules = {match.decode().partition(".")[0] for match in re.findall(rb'"__module__":\s*"([\w.]{1,200})"', schema)}
    return stamp[1].decode() if stamp else "", modules


def is_skops(path: Path) -> bool:
    """Whether a zip's schema.json is one of skops, not anybody's."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open("schema.json") as file:
            schema = msgspec.json.decode(file.read(64 << 20))
    except (
        zipfile.BadZipFile,
        KeyError,
        EOFError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        OSError,
        msgspec.DecodeError,
        ValueError,
    ):  # fmt: skip  RuntimeError: encrypted, or nested too deeply
        return False
    return isinstance(schema, dict) and "_skops_version" in schema
