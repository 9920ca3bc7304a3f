"""Keras models: .keras files (a zip of config, metadata and weights) and whole models in HDF5.

Data flow: .keras -> config.json and metadata.json, read in bounds; .h5 -> its bytes searched, since nothing
here reads HDF5 -> code of the model's own refused by name -> Detected with the Keras that saved it.

Keras 3 reads the files of its older versions, and newer versions refuse more of what is hostile in a file, so the
version that a file names is the least that is asked for, and never one that the file may pin. Files of Keras 2
are read by tf-keras, which is its continuation: Keras 3 does not read all of them.
"""

from __future__ import annotations

import mmap
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from inferry.bundles.requirements import merged
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import MAX_JSON, Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

EXPORT = "Where its code is, export it with model.export(FOLDER), and deploy that folder."
_AGAIN = "Save the model again, or copy it again."
_RELEASE = re.compile(r"(\d{1,3})\.\d{1,4}\.\d{1,4}")
_HDF5_VERSION = re.compile(rb"[\x05-\x0b]\0{7}(\d{1,3}\.\d{1,4}\.\d{1,4})")  # a length, then a text in the heap
_HDF5_LAMBDA = re.compile(rb'"class_name":\s{0,2}"(?:Lambda|__lambda__)"')


def keras(tree: Tree, path: Path) -> Detected:
    """A .keras file whose layers are all Keras's own."""
    config, metadata = _member(path, "config.json"), _member(path, "metadata.json")
    if not isinstance(config.get("class_name"), str):
        raise InvalidModel(f"{path.name[:80]!a} is a Keras file without a model in it.", help=_AGAIN)
    foreign = set()
    for name, module in _objects({key: value for key, value in config.items() if key != "compile_config"}):
        if name in {"Lambda", "__lambda__"}:
            raise _has_lambda()
        if module and module.partition(".")[0] not in {"keras", "builtins"}:
            foreign.add(name)
    if foreign:
        names = ", ".join(f"{name[:60]!a}" for name in sorted(foreign)[:5])
        raise InvalidModel(f"The Keras model uses {names}, which Keras does not have.", help=EXPORT)
    return _detected(tree, path, str(metadata.get("keras_version", "")))


def hdf5(tree: Tree, path: Path) -> Detected:
    """A whole Keras model in HDF5; other HDF5 files hold weights only, or no model at all."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if mapped.find(b"model_config") < 0:
            raise InvalidModel(
                f"{path.name[:80]!a} is an HDF5 file with weights only, or with other data: no Keras model is in it.",
                help='Save the whole model, with model.save("model.keras").',
            )
        if _HDF5_LAMBDA.search(mapped):
            raise _has_lambda()
        version = _HDF5_VERSION.search(mapped)
        return _detected(tree, path, version[1].decode() if version else "")


def _has_lambda() -> InvalidModel:
    return InvalidModel(
        "The Keras model has a Lambda layer, which is Python code inside the file and is not run.", help=EXPORT
    )


def _detected(tree: Tree, path: Path, version: str) -> Detected:
    saved_by = _RELEASE.match(version)
    ours: tuple[str, ...] = ("keras>=3", "tensorflow")
    options: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    if saved_by is None:
        notes = ("The file does not say which Keras saved it; Keras 3 serves it.",)
    elif int(saved_by[1]) < 3:
        ours, options = ("tensorflow", "tf-keras"), {"keras": 2}
        notes = (f"Keras {saved_by[0]} saved the model; tf-keras, which is Keras 2, serves it.",)
    else:
        ours = (f"keras>={saved_by[0]}", "tensorflow")
    return Detected(
        runtime="keras",
        entry=tree.name(path),
        requirements=merged(ours, tree.asked(path)),
        options=options,
        why=f"It is {'a Keras model' if tree.kind(path) is Kind.KERAS else 'a Keras model in HDF5'}.",
        notes=notes,
    )


def _member(path: Path, name: str) -> dict[str, Any]:
    """A JSON object inside the zip; {} when it is not there. Raises InvalidModel for one that is none."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            value = msgspec.json.decode(file.read(MAX_JSON))
    except KeyError:
        return {}
    except (
        zipfile.BadZipFile,
        EOFError,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        OSError,
        msgspec.DecodeError,
        ValueError,
    ):  # fmt: skip  RuntimeError: encrypted, or nested too deeply
        value = None
    if not isinstance(value, dict):
        raise InvalidModel(f"The Keras model's {name} is damaged.", help=_AGAIN)
    return value


def _objects(value: Any) -> Iterator[tuple[str, str]]:
    """(class, module) of every object that the configuration names."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            name, module = item.get("class_name"), item.get("module")
            if isinstance(name, str):
                yield name, module if isinstance(module, str) else ""
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)


FILES = {Kind.KERAS: keras, Kind.HDF5: hdf5}
