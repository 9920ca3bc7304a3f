"""Sniff: what one file is, from its content. Nothing is executed, unpickled or trusted.

Data flow: file -> its first bytes, a zip's directory, a protobuf's top level or the Python
syntax tree -> a Kind; detect turns kinds into a runtime or a refusal.
"""

from __future__ import annotations

import ast
import lzma
import mmap
import pickletools
import re
import warnings
import zipfile
import zlib
from enum import Enum
from pathlib import Path

from inferry.bundles.archive import opened
from inferry.bundles.jax_files import exported_function
from inferry.types.protobuf import BYTES, VARINT, WireError, fields

MAX_SOURCE = 4 << 20
HEAD = 4096


class Kind(Enum):
    """What a file is. The value is its name for people."""

    ONNX = "an ONNX model"
    ONNX_TRUNCATED = "a truncated ONNX model"
    PICKLE = "a pickle"
    PICKLE_PACKED = "a compressed joblib file"
    SKOPS = "a skops file"
    PYTHON = "Python source"
    PYTHON_BROKEN = "Python source with a syntax error"
    ZIP = "a zip archive"
    TAR = "a tar archive"
    EMPTY = "an empty file"
    TORCH = "a PyTorch checkpoint"
    TORCHSCRIPT = "a TorchScript model"
    TORCH_EXPORT = "a program of torch.export"
    TORCH_TRUNCATED = "a truncated PyTorch file"
    JAX = "an exported JAX function"
    KERAS = "a Keras model"
    HDF5 = "an HDF5 file (Keras weights or model)"
    SAVED_MODEL = "a TensorFlow SavedModel"
    TFLITE = "a TensorFlow Lite model"
    OPENVINO = "an OpenVINO model"
    SAFETENSORS = "a safetensors file (weights without code)"
    GGUF = "a GGUF language model"
    XGBOOST = "an XGBoost model"
    LIGHTGBM = "a LightGBM model"
    CATBOOST = "a CatBoost model"
    FASTTEXT = "a fastText model"
    ARRAYS = "NumPy arrays"
    PARQUET = "a Parquet table"
    NOTEBOOK = "a Jupyter notebook"
    PMML = "a PMML model"
    LFS = "a Git LFS pointer, not the model itself"
    UNKNOWN = "unknown"


_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", Kind.HDF5),
    (0, b"GGUF", Kind.GGUF),
    (0, b"CBM1", Kind.CATBOOST),
    (4, b"TFL3", Kind.TFLITE),
    (0, b"\x93NUMPY", Kind.ARRAYS),
    (0, b"PAR1", Kind.PARQUET),
    (0, b"binf", Kind.XGBOOST),
    (0, b"{L\0\0\0\0\0\0\0\x07learner", Kind.XGBOOST),
    (0, b"tree\nversion=", Kind.LIGHTGBM),
    (0, b"\xba\x16\x4f\x2f", Kind.FASTTEXT),
    (0, b"version https://git-lfs.github.com/", Kind.LFS),
    (257, b"ustar", Kind.TAR),
)
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x5d\0\0", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
LZ4 = b"\x04\x22\x4d\x18"
_PACKED_TAR = re.compile(r"(?i)\.(?:tar\.(?:gz|bz2|xz|lzma)|tgz|tbz2|txz)$")
_OLD_XGBOOST = re.compile(rb"(?:\x06\0{7}gbtree|\x08\0{7}gblinear|\x04\0{7}dart)")  # a booster's name, its size first
_NET = re.compile(rb"<net\s[^<>]{0,2000}\bversion\s*=")
_TORCH_LEGACY = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_TORCH_FIRST = re.compile(rb"^[^/\0]{1,200}/(?:data\.pkl|data/(?:[0-9]+|weights/)|archive_format|models/|code/)")
_ONNX_FIELDS = {1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES,
                14: BYTES, 20: BYTES, 25: BYTES, 26: BYTES}  # fmt: skip


def sniff(path: Path) -> Kind:
    """What the file is."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return Kind.EMPTY
    known = next((kind for at, magic, kind in _MAGIC if head[at : at + len(magic)] == magic), None)
    if known:
        return known
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(path, head)
    if head.startswith((*_PACKED, LZ4)):
        return _packed(path, head)
    if _is_pickle(head):
        return Kind.TORCH if _TORCH_LEGACY in head[:32] else Kind.PICKLE
    return _flatbuffer(path) or _text_format(path, head) or _source(path, head) or _protobuf(path)


def _zip(path: Path, head: bytes) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, OSError):
        return Kind.TORCH_TRUNCATED if _TORCH_FIRST.search(head[30:400]) else Kind.ZIP
    if "schema.json" in names:
        return Kind.SKOPS
    if torch := _torch(names):
        return torch
    if "config.json" in names and any(name.endswith(".weights.h5") for name in names):
        return Kind.KERAS
    if names and all(name.endswith(".npy") for name in names):
        return Kind.ARRAYS
    return Kind.ZIP


def _torch(names: list[str]) -> Kind | None:
    if "serialized_exported_program.json" in names or any(name.endswith("/archive_format") for name in names):
        return Kind.TORCH_EXPORT
    if not any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return None
    script = any("/code/" in name for name in names) and any(name.endswith("/constants.pkl") for name in names)
    return Kind.TORCHSCRIPT if script else Kind.TORCH


def unpacked_head(path: Path, size: int = HEAD) -> bytes:
    """The first bytes of a file that joblib, gzip, bz2 or xz compressed; b"" when it is damaged."""
    try:
        with path.open("rb") as file:
            first = file.read(HEAD)
        if first[:1] == b"\x78":
            return zlib.decompressobj().decompress(first, size)
        with opened(path) as unpacked:
            return unpacked.read(size)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError):
        return b""


def _packed(path: Path, head: bytes) -> Kind:
    if head.startswith(LZ4):
        return Kind.PICKLE_PACKED if path.suffix.lower() in {".joblib", ".pkl", ".pickle", ".lz4"} else Kind.UNKNOWN
    inside = unpacked_head(path)
    if not inside and _PACKED_TAR.search(path.name):
        return Kind.TAR  # damaged, as unpacking it says
    if inside[257:262] == b"ustar":
        return Kind.TAR
    return Kind.PICKLE_PACKED if _is_pickle(inside) else Kind.UNKNOWN


def _is_pickle(head: bytes) -> bool:
    """Protocol 2 and later say so in the first bytes; older ones must read as a run of opcodes."""
    if len(head) > 2 and head[0] == 0x80:
        return head[1] in range(2, 6)
    if head[:1] not in {b"(", b"c", b"]", b"}"}:
        return False
    seen = []
    try:
        for opcode, _, _ in pickletools.genops(head[:HEAD]):
            seen.append(opcode.name)
            if len(seen) == 64:
                break
    except (ValueError, UnicodeDecodeError, IndexError):
        return len(seen) > 8 and "GLOBAL" in seen
    return seen[-1:] == ["STOP"] or "GLOBAL" in seen


def _flatbuffer(path: Path) -> Kind | None:
    return Kind.JAX if exported_function(path) is not None else None


def _text_format(path: Path, head: bytes) -> Kind | None:
    if _OLD_XGBOOST.search(head[:256]):
        return Kind.XGBOOST
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"{"):
        if b'"learner"' in head and (b'"gradient_booster"' in head or b'"attributes"' in head):
            return Kind.XGBOOST
        if b'"cells"' in head and path.suffix.lower() == ".ipynb":
            return Kind.NOTEBOOK
    if len(head) > 9 and head[8:9] == b"{":
        fits = int.from_bytes(head[:8], "little") < path.stat().st_size
        if fits or path.suffix.lower() == ".safetensors":
            return Kind.SAFETENSORS
    if start.startswith(b"<"):
        return Kind.PMML if b"<PMML" in head else Kind.OPENVINO if _NET.search(head) else None
    return None


def _source(path: Path, head: bytes) -> Kind | None:
    if b"\0" in head or path.stat().st_size > MAX_SOURCE:
        return None
    tree = syntax_tree(path.read_bytes())
    named = path.suffix.lower() == ".py"
    if tree is None:
        return Kind.PYTHON_BROKEN if named else None
    return Kind.PYTHON if named or predictors(tree) else None


def syntax_tree(source: bytes) -> ast.Module | None:
    """Parsed, not run; None for what is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the person's escapes, not ours
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def predictors(tree: ast.Module) -> list[str]:
    """Classes with a `predict` of their own and no `fit` (those are estimators, not models), and `predict` itself."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
            if "predict" in methods and "fit" not in methods:
                found.append(node.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "predict":
            found.append(node.name)
    return found


def _protobuf(path: Path) -> Kind:
    """An ONNX ModelProto has a version (1) and a graph (7) and no field that it does not know."""
    seen: set[int] = set()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        view = memoryview(mapped)
        try:
            for count, (number, wire, value) in enumerate(fields(view)):
                if isinstance(value, memoryview):
                    value.release()
                if _ONNX_FIELDS.get(number) != wire or count > 100_000:
                    return _saved_model(path)
                seen.add(number)
        except WireError:
            begun = {1, 2} <= seen or {1, 7} <= seen or {1, 8} <= seen
            return Kind.ONNX_TRUNCATED if begun or (1 in seen and path.suffix.lower() == ".onnx") else Kind.UNKNOWN
        finally:
            view.release()
    return Kind.ONNX if {1, 7} <= seen else _saved_model(path)


def _saved_model(path: Path) -> Kind:
    return Kind.SAVED_MODEL if path.name in {"saved_model.pb", "saved_model.pbtxt"} else Kind.UNKNOWN
