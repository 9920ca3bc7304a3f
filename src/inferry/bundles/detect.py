"""Detect: which runtime serves what a person gave, decided before anything of it runs.

Data flow: artifact folder -> its files by content -> the one that is the model -> Detected:
runtime, entry, the packages it needs; else InvalidModel with what was found and what works.
"""

from __future__ import annotations

from pathlib import Path

from inferry.bundles.archive import unwrap
from inferry.bundles.onnx_files import external_files
from inferry.bundles.pickles import is_skops, requirements_of
from inferry.bundles.requirements import merged, read_requirements, script_requirements
from inferry.bundles.sniff import MAX_SOURCE, Kind, predictors, sniff, syntax_tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

MAX_FILES = 10_000
WORKS = (
    "ONNX, scikit-learn (joblib, pickle, skops) and Python (a class or function with predict) are served. "
    "Export the model to ONNX, or wrap it in a Python class with its own requirements.txt."
)
_MODELS = {Kind.ONNX, Kind.PICKLE, Kind.PICKLE_PACKED, Kind.SKOPS}
_ENTRIES = ("model.py", "main.py", "predictor.py", "predict.py", "inference.py", "app.py", "serve.py")
_OTHERS = {
    Kind.TORCH, Kind.KERAS, Kind.HDF5, Kind.SAVED_MODEL, Kind.TFLITE, Kind.SAFETENSORS, Kind.GGUF, Kind.XGBOOST,
    Kind.LIGHTGBM, Kind.CATBOOST, Kind.PMML,
}  # fmt: skip
_NOT_MODELS = {Kind.ARRAYS, Kind.PARQUET, Kind.NOTEBOOK, Kind.LFS}


def detect(artifact: Path, filename: str | None = None) -> Detected:
    """Recognise a model. `artifact` is the folder it was received into, or a lone file in one.

    An uploaded archive is unpacked in place first. `filename` is only used in messages.
    """
    folder = artifact if artifact.is_dir() else artifact.parent
    files = _files(folder) if artifact.is_dir() else [artifact]
    if len(files) == 1:
        kind = sniff(files[0])
        if kind is Kind.TAR or (kind is Kind.ZIP and artifact.is_dir()):
            unwrap(files[0], "zip" if kind is Kind.ZIP else "tar")
            files = _files(folder)
    if not files:
        raise InvalidModel("There is no file to serve.", help=WORKS)
    kinds = {path: sniff(path) for path in files}
    skops = {path for path, kind in kinds.items() if kind is Kind.SKOPS and not is_skops(path)}
    kinds |= dict.fromkeys(skops, Kind.ZIP)
    _refuse_folders(folder, files)
    if len(files) == 1:
        return _lone(folder, files[0], kinds[files[0]], filename or files[0].name)
    return _many(folder, kinds)


def _files(folder: Path) -> list[Path]:
    """Regular files, sorted; hidden files and caches do not count."""
    found: list[Path] = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") or part in {"__pycache__", "__MACOSX"} for part in parts):
            continue
        if path.is_symlink():
            raise InvalidModel(f"The folder holds a link ({path.name[:80]!a}).", help="Send the file itself.")
        if path.is_file():
            found.append(path)
        if len(found) > MAX_FILES:
            raise InvalidModel(f"The folder holds more than {MAX_FILES} files.")
    return found


def _refuse_folders(folder: Path, files: list[Path]) -> None:
    """Folder layouts of other tools, told by the file that marks them."""
    names = {path.relative_to(folder).as_posix() for path in files}
    last = {name.rpartition("/")[2] for name in names}
    if "MLmodel" in last:
        raise InvalidModel(f"This is an MLflow model folder, which is not served as a whole yet. {WORKS}")
    if "saved_model.pb" in last:
        raise InvalidModel(f"This is a TensorFlow SavedModel, which is not served yet. {WORKS}")
    weights = {"model.safetensors", "pytorch_model.bin", "model.safetensors.index.json", "adapter_model.safetensors"}
    if last & weights and any(name in last for name in ("config.json", "adapter_config.json")):
        python = any(path.suffix == ".py" and _predicts(path) for path in files)
        if not python:
            raise InvalidModel(f"This is a Hugging Face model folder, which is not served yet. {WORKS}")


def _lone(folder: Path, path: Path, kind: Kind, shown: str) -> Detected:
    if kind in _MODELS:
        return _model(folder, path, kind, ())
    if kind is Kind.PYTHON:
        return _python(folder, path)
    _refuse(kind, path, shown)
    raise InvalidModel(f"{shown[:80]!a} is not a model that is known here.", help=WORKS)


def _refuse(kind: Kind, path: Path, shown: str) -> None:
    name = f"{shown[:80]!a}"
    if kind is Kind.EMPTY:
        raise InvalidModel(f"{name} is empty.", help="Save or copy the model again.")
    if kind is Kind.ONNX_TRUNCATED:
        raise InvalidModel(f"{name} is a corrupt or truncated ONNX model.", help="Export or copy it again.")
    if kind is Kind.PYTHON_BROKEN:
        raise InvalidModel(f"{name} has a syntax error{_line(path)}.", help="Check it with python -m py_compile.")
    if kind in _OTHERS:
        raise InvalidModel(f"{name} is {kind.value}, which is not served yet.", help=WORKS)
    if kind in _NOT_MODELS:
        raise InvalidModel(f"{name} is {kind.value}, not a model.", help=WORKS)
    if kind is Kind.ZIP:
        raise InvalidModel(f"{name} is a zip file without a model in it, or a damaged one.", help=WORKS)


def _line(path: Path) -> str:
    try:
        compile(path.read_bytes(), path.name, "exec", dont_inherit=True, flags=0x400)  # PyCF_ONLY_AST: not run
    except SyntaxError as error:
        return f" in line {error.lineno}" if error.lineno else ""
    except (ValueError, RecursionError, MemoryError):
        return ""
    return ""


def _many(folder: Path, kinds: dict[Path, Kind]) -> Detected:
    """A folder: a Python project when a file of it predicts, else exactly one model."""
    sources = [path for path, kind in kinds.items() if kind is Kind.PYTHON]
    speaking = [path for path in sources if _predicts(path)]
    if speaking:
        return _python(folder, _entry(folder, speaking))
    for path, kind in kinds.items():
        if kind is Kind.PYTHON_BROKEN:
            _refuse(kind, path, path.name)
    models = [path for path, kind in kinds.items() if kind in _MODELS]
    if len(models) > 1:
        whole = [path for path in models if kinds[path] is Kind.ONNX]
        data = {outside for path in whole for outside in external_files(path)}
        models = [path for path in models if path not in data]
    if len(models) == 1:
        return _model(folder, models[0], kinds[models[0]], _asked(folder, models[0]))
    if models:
        names = ", ".join(repr(path.relative_to(folder).as_posix()[:60]) for path in models[:5])
        raise InvalidModel(
            f"The folder holds {len(models)} models: {names}.",
            help="Keep one, or add a Python file with a class that loads them and has predict.",
        )
    for path, kind in kinds.items():
        if kind in _OTHERS | {Kind.ONNX_TRUNCATED, Kind.LFS}:
            _refuse(kind, path, path.name)
    if sources:
        raise InvalidModel("No Python file of the folder has a class or function with predict.", help=WORKS)
    raise InvalidModel("The folder holds no model that is known here.", help=WORKS)


def _predicts(path: Path) -> bool:
    if path.stat().st_size > MAX_SOURCE:
        return False
    tree = syntax_tree(path.read_bytes())
    return tree is not None and bool(predictors(tree))


def _entry(folder: Path, speaking: list[Path]) -> Path:
    if len(speaking) == 1:
        return speaking[0]
    for name in _ENTRIES:
        if folder / name in speaking:
            return folder / name
    names = ", ".join(repr(path.relative_to(folder).as_posix()[:60]) for path in speaking[:5])
    raise InvalidModel(f"Several Python files have predict: {names}.", help='Call the one to serve "model.py".')


def _asked(folder: Path, entry: Path) -> tuple[str, ...]:
    for place in dict.fromkeys((folder, entry.parent)):
        path = place / "requirements.txt"
        if path.is_file():
            return read_requirements(path)
    return ()


def _model(folder: Path, path: Path, kind: Kind, asked: tuple[str, ...]) -> Detected:
    entry = path.relative_to(folder).as_posix()
    if kind is Kind.ONNX:
        external_files(path)
        return Detected(runtime="onnx", entry=entry, why="It is an ONNX model.")
    ours = requirements_of(path, skops=kind is Kind.SKOPS, packed=kind is Kind.PICKLE_PACKED)
    notes = () if ours[0] != "scikit-learn" else ("The file does not say which scikit-learn made it.",)
    return Detected(
        runtime="sklearn", entry=entry, requirements=merged(ours, asked), notes=notes, why=f"It is {kind.value}."
    )


def _python(folder: Path, path: Path) -> Detected:
    if not _predicts(path):
        raise InvalidModel(
            f"{path.name[:80]!a} has no class or function with predict.",
            help="Write a class with a method predict(self, inputs), or a function predict(inputs).",
        )
    asked = _asked(folder, path) or script_requirements(path.read_bytes())
    return Detected(
        runtime="python",
        entry=path.relative_to(folder).as_posix(),
        requirements=asked,
        why="It is Python with predict.",
    )
