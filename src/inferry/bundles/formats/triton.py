"""Triton model repositories: a model's folder with config.pbtxt and numbered versions, or a repository of one.

A file of a framework is served by that framework's runtime (Triton wants the same tensor names in both);
a Python backend by its model.py. The version served is the highest that the version policy allows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from inferry.bundles.formats.files import FILES
from inferry.bundles.pbtxt import Message, PbtxtError, read_pbtxt
from inferry.bundles.scripts import classes, needs, parsed
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

MAX_BYTES = 1 << 20
DATATYPES = {
    "TYPE_BOOL": "BOOL", "TYPE_UINT8": "UINT8", "TYPE_UINT16": "UINT16", "TYPE_UINT32": "UINT32",
    "TYPE_UINT64": "UINT64",
    "TYPE_INT8": "INT8", "TYPE_INT16": "INT16", "TYPE_INT32": "INT32", "TYPE_INT64": "INT64", "TYPE_FP16": "FP16",
    "TYPE_FP32": "FP32", "TYPE_FP64": "FP64", "TYPE_STRING": "BYTES",
}  # fmt: skip
FILE_OF = {"onnxruntime": "model.onnx", "tensorrt": "model.plan", "pytorch": "model.pt", "python": "model.py",
           "openvino": "model.xml", "tensorflow": "model.savedmodel"}  # fmt: skip
BACKEND_OF = {"onnxruntime_onnx": "onnxruntime", "pytorch_libtorch": "pytorch", "tensorrt_plan": "tensorrt",
              "tensorflow_savedmodel": "tensorflow", "tensorflow_graphdef": "tensorflow"}  # fmt: skip
REPEATED = {"input", "output", "dims", "instance_group", "versions", "gpus", "model_warmup", "preferred_batch_size"}
_SERVED = "Models of the ONNX Runtime and Python backends are served."


def triton(tree: Tree) -> Detected | None:
    """A folder with a config.pbtxt beside numbered version folders."""
    found = [
        path for path in tree.files if path.name == "config.pbtxt" and len(path.relative_to(tree.folder).parts) < 3
    ]
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(f"{path.parent.name[:60]!a}" for path in found[:8])
        raise InvalidModel(
            f"The Triton repository holds {len(found)} models: {names}.",
            help="Deploy each by itself: inferry deploy REPOSITORY/MODEL --name MODEL.",
        )
    config, folder = read_config(found[0]), found[0].parent
    backend = _backend(config)
    version = _version(folder, tree, config)
    name = str(_one(config, "default_model_filename") or FILE_OF.get(backend, ""))
    path = folder / str(version) / name
    if not name or "/" in name or ".." in name:
        raise InvalidModel(f"The Triton backend {backend[:40]!a} is not served. {_SERVED}", help=_SERVED)
    if backend == "python":
        return _python(tree, path, config, version)
    if path.is_dir() and backend == "onnxruntime":
        path = path / "model.onnx"
    return _file(tree, path, backend)


def read_config(path: Path) -> Message:
    """config.pbtxt as lists of values by field. Raises InvalidModel."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PbtxtError("it is too long")
        return read_pbtxt(path.read_text("utf-8"))
    except (PbtxtError, UnicodeDecodeError) as error:
        said = error if isinstance(error, PbtxtError) else "it is not text in UTF-8"
        raise InvalidModel(f"config.pbtxt cannot be read: {said}.", help="Mend it, or copy it again.") from None


def _one(config: Message, name: str) -> Any:
    values = config.get(name) or [None]
    return values[-1]


def _backend(config: Message) -> str:
    platform = str(_one(config, "platform") or "")
    if platform == "ensemble" or "ensemble_scheduling" in config:
        raise InvalidModel(
            "This Triton model is an ensemble, which is not served.",
            help="Deploy its parts, or chain them in a Python class.",
        )
    named = str(_one(config, "backend") or BACKEND_OF.get(platform, platform))
    if named or not _one(config, "default_model_filename"):
        return named or "onnxruntime"
    return "python" if str(_one(config, "default_model_filename")).endswith(".py") else "onnxruntime"


def _version(folder: Path, tree: Tree, config: Message) -> int:
    """The highest numbered folder that the version policy allows."""
    inside = {path.relative_to(folder).parts[0] for path in tree.files if path.is_relative_to(folder)}
    there = sorted(int(name) for name in inside if name.isascii() and name.isdigit() and (folder / name).is_dir())
    policy = _one(config, "version_policy")
    specific = _one(policy, "specific") if isinstance(policy, dict) else None
    allowed = specific.get("versions") if isinstance(specific, dict) else None
    chosen = [number for number in there if allowed is None or number in allowed]
    if not chosen:
        what = f"none of the versions {allowed}" if there and allowed else "no numbered version folder, such as 1,"
        raise InvalidModel(
            f"The Triton model has {what} beside its config.pbtxt.", help="Deploy the model's whole folder."
        )
    return chosen[-1]


def _file(tree: Tree, path: Path, backend: str) -> Detected | None:
    if path.is_dir():
        return None  # a folder layout of its own framework
    if not path.is_file():
        raise InvalidModel(
            f"The Triton model has no file {tree.name(path)[:80]!a}.", help="Deploy the model's whole folder."
        )
    kind = tree.kind(path)
    if kind not in FILES:
        raise InvalidModel(
            f"The Triton model's file {tree.name(path)[:80]!a} is {kind.value}, which is not served.", help=_SERVED
        )
    return msgspec.structs.replace(FILES[kind](tree, path), why=f"It is a Triton model of the {backend} backend.")


def _python(tree: Tree, path: Path, config: Message, version: int) -> Detected:
    if not path.is_file():
        raise InvalidModel(
            f"The Triton model has no file {tree.name(path)[:80]!a}.", help="Deploy the model's whole folder."
        )
    if "execute" not in classes(parsed(path, path.name)).get("TritonPythonModel", ()):
        raise InvalidModel(
            f"{path.name[:80]!a} has no class TritonPythonModel with a method execute.", help="Copy the file again."
        )
    if _one(_one(config, "model_transaction_policy") or {}, "decoupled") is True:
        raise InvalidModel(
            "This Triton model is decoupled (it answers by a response sender), which is not served.",
            help="Write it as a Python class whose predict yields its parts.",
        )
    requirements, notes = needs(tree, path)
    return Detected(
        runtime="triton_python",
        entry=tree.name(path),
        requirements=requirements,
        options={
            "config": _plain(config),
            "version": str(version),
            "name": str(_one(config, "name") or path.parent.parent.name),
            "inputs": _specs(config, "input"),
            "outputs": _specs(config, "output"),
        },
        why="It is a Triton model of the Python backend.",
        notes=notes,
    )


def _specs(config: Message, field: str) -> list[dict[str, Any]]:
    """Names, datatypes and shapes of the inputs or outputs; the rows first when Triton may batch."""
    rows = _one(config, "max_batch_size")
    batched = type(rows) is int and rows > 0
    found = []
    for item in config.get(field, []):
        fields = item if isinstance(item, dict) else {}
        name, datatype, dims = (
            _one(fields, "name"),
            DATATYPES.get(str(_one(fields, "data_type"))),
            fields.get("dims", []),
        )
        if not isinstance(name, str) or not name or not datatype or not all(type(size) is int for size in dims):
            raise InvalidModel(
                f"config.pbtxt has an {field} whose name, data_type or dims cannot be read.",
                help="Mend it, or copy it again.",
            )
        found.append({"name": name, "datatype": datatype, "shape": [-1, *dims] if batched else list(dims)})
    if not found:
        raise InvalidModel(f"config.pbtxt names no {field}.", help="Add its name, data_type and dims.")
    return found


def _plain(message: Message) -> dict[str, Any]:
    """The configuration as Triton's JSON has it: one value a field, lists where the field may repeat, maps by key."""
    made: dict[str, Any] = {}
    for name, values in message.items():
        plain = [_plain(value) if isinstance(value, dict) else value for value in values]
        if all(isinstance(value, dict) and set(value) == {"key", "value"} for value in plain):
            made[name] = {str(value["key"]): value["value"] for value in plain}
        else:
            made[name] = plain if name in REPEATED else plain[-1]
    return made
