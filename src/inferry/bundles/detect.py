"""Detect: which runtime serves what a person gave, decided before anything of it runs.

Data flow: artifact folder -> Tree of its files by content -> the formats in their order: a layout
that marks the whole folder, a Python project, the one model file in it -> Detected: runtime,
entry, the packages it needs; else InvalidModel with what was found and what works.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from inferry import plugins
from inferry.bundles.archive import unwrap
from inferry.bundles.formats.files import FILES
from inferry.bundles.formats.layouts import LAYOUTS
from inferry.bundles.onnx_files import external_files
from inferry.bundles.promises import said_of, unknown
from inferry.bundles.requirements import merged, script_requirements
from inferry.bundles.scripts import error_line
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree, files_of
from inferry.errors import InvalidModel
from inferry.media.declaration import find
from inferry.types.bundle import Detected

WORKS = (
    "inferry runtimes lists what is served. "
    "Export the model to ONNX, or wrap it in a Python class with its own requirements.txt."
)
_ENTRIES = ("model.py", "main.py", "predictor.py", "predict.py", "inference.py", "app.py", "serve.py")
_NOT_MODELS = {Kind.ARRAYS, Kind.PARQUET, Kind.NOTEBOOK, Kind.LFS}
_BROKEN = {Kind.ONNX_TRUNCATED, Kind.LFS}
_NEVER_MODELS = {Kind.PYTHON, Kind.PYTHON_BROKEN, Kind.EMPTY, Kind.ZIP, Kind.TAR, Kind.UNKNOWN, *_NOT_MODELS, *_BROKEN}


def detect(artifact: Path, filename: str | None = None) -> Detected:
    """Recognise a model. `artifact` is the folder it was received into, or a lone file in one.

    An uploaded archive is unpacked in place first. `filename` is only used in messages. A model whose
    input is declared to be a picture needs Pillow in an environment of its own.
    """
    found = _recognised(artifact, filename)
    declared = find(artifact if artifact.is_dir() else artifact.parent, found.entry)
    ours = ("pillow>=10.3",) if declared.image and found.requirements else ()
    return msgspec.structs.replace(found, requirements=merged(ours, found.requirements))


def _recognised(artifact: Path, filename: str | None) -> Detected:
    folder = artifact if artifact.is_dir() else artifact.parent
    tree = Tree(folder, files_of(folder) if artifact.is_dir() else [artifact], filename or "")
    if tree.lone is not None:
        kind = tree.kind(tree.lone)
        if kind is Kind.TAR or (kind is Kind.ZIP and artifact.is_dir() and not _packed_model(tree)):
            unwrap(tree.lone, "zip" if kind is Kind.ZIP else "tar")
            tree = Tree(folder, files_of(folder), filename or "")
    if not tree.files:
        raise InvalidModel("There is no file to serve.", help=WORKS)
    for recognise in (*plugins.all_of("inferry.formats"), *LAYOUTS):
        found: Detected | None = recognise(tree)
        if found is not None:
            return found
    return _lone(tree, tree.lone) if tree.lone is not None else _many(tree)


def _packed_model(tree: Tree) -> bool:
    """Whether a layout knows the archive as it is, which then must not be unpacked.

    A TorchServe .mar is not one of those: it is a zip file like any other, unpacked by the same rules.
    """
    return any(recognise(tree) is not None for recognise in LAYOUTS)


def _lone(tree: Tree, path: Path) -> Detected:
    kind = tree.kind(path)
    if kind in FILES:
        return FILES[kind](tree, path)
    if kind is Kind.PYTHON:
        return _python(tree, path)
    _refuse(kind, path, tree.shown)
    raise InvalidModel(unknown(tree.shown), help=WORKS)


def _refuse(kind: Kind, path: Path, shown: str) -> None:
    name = f"{shown[:80]!a}"
    if kind is Kind.EMPTY:
        raise InvalidModel(f"{name} is empty.", help="Save or copy the model again.")
    if kind is Kind.ONNX_TRUNCATED:
        raise InvalidModel(f"{name} is a corrupt or truncated ONNX model.", help="Export or copy it again.")
    if kind is Kind.PYTHON_BROKEN:
        raise InvalidModel(
            f"{name} has a syntax error{error_line(path.read_bytes())}.", help="Check it with python -m py_compile."
        )
    if kind in _NOT_MODELS:
        raise InvalidModel(f"{name} is {kind.value}, not a model.", help=WORKS)
    if kind is Kind.ZIP:
        raise InvalidModel(f"{name} is a zip file without a model in it, or a damaged one.", help=WORKS)
    if kind not in _NEVER_MODELS:
        raise InvalidModel(f"{name} is {kind.value}, which is not served yet.", help=WORKS)


def _many(tree: Tree) -> Detected:
    """A folder: a Python project when a file of it predicts, else exactly one model."""
    sources = tree.of(Kind.PYTHON)
    speaking = [path for path in sources if tree.predicts(path)]
    if speaking:
        return _python(tree, _entry(tree, speaking))
    for path in tree.of(Kind.PYTHON_BROKEN):
        _refuse(Kind.PYTHON_BROKEN, path, path.name)
    models = tree.of(*FILES)
    if len(models) > 1:
        data = {outside for path in tree.of(Kind.ONNX) for outside in external_files(path)}
        data |= {path.with_suffix(".bin") for path in tree.of(Kind.OPENVINO)}
        models = [path for path in models if path not in data]
    if len(models) == 1:
        return FILES[tree.kind(models[0])](tree, models[0])
    if models:
        names = ", ".join(repr(tree.name(path)[:60]) for path in models[:5])
        raise InvalidModel(
            f"The folder holds {len(models)} models: {names}.",
            help="Keep one, or add a Python file with a class that loads them and has predict.",
        )
    for path in tree.files:
        if tree.kind(path) in _BROKEN or tree.kind(path) not in _NEVER_MODELS:
            _refuse(tree.kind(path), path, path.name)
    if sources and len(sources) == len(tree.files):
        raise InvalidModel("No Python file of the folder has a class or function with predict.", help=WORKS)
    raise InvalidModel(said_of(tree), help=WORKS)


def _entry(tree: Tree, speaking: list[Path]) -> Path:
    if len(speaking) == 1:
        return speaking[0]
    for name in _ENTRIES:
        if tree.folder / name in speaking:
            return tree.folder / name
    names = ", ".join(repr(tree.name(path)[:60]) for path in speaking[:5])
    raise InvalidModel(f"Several Python files have predict: {names}.", help='Call the one to serve "model.py".')


def _python(tree: Tree, path: Path) -> Detected:
    if not tree.predicts(path):
        raise InvalidModel(
            f"{path.name[:80]!a} has no class or function with predict.",
            help="Write a class with a method predict(self, inputs), or a function predict(inputs).",
        )
    return Detected(
        runtime="python",
        entry=tree.name(path),
        requirements=tree.asked(path) or script_requirements(path.read_bytes()),
        why="It is Python with predict.",
    )
