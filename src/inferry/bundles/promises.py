"""Promises: what a file's name says that it holds. It decides nothing but the words of a refusal.

Data flow: files that nothing recognised -> the first whose name promises a model that its content is not, else
each with what it is -> one sentence.
"""

from __future__ import annotations

from pathlib import Path

from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree

BY_NAME = {
    ".onnx": Kind.ONNX, ".pkl": Kind.PICKLE, ".pickle": Kind.PICKLE, ".joblib": Kind.PICKLE, ".skops": Kind.SKOPS,
    ".pt": Kind.TORCH, ".pth": Kind.TORCH, ".pt2": Kind.TORCH_EXPORT, ".safetensors": Kind.SAFETENSORS,
    ".jax": Kind.JAX, ".keras": Kind.KERAS, ".h5": Kind.HDF5, ".hdf5": Kind.HDF5, ".tflite": Kind.TFLITE,
    ".ubj": Kind.XGBOOST, ".cbm": Kind.CATBOOST, ".ftz": Kind.FASTTEXT, ".gguf": Kind.GGUF, ".py": Kind.PYTHON,
    ".zip": Kind.ZIP, ".mar": Kind.ZIP, ".tar": Kind.TAR, ".tgz": Kind.TAR,
}  # fmt: skip
SHOWN = 5


def unknown(name: str) -> str:
    """The sentence about one file whose content is no model."""
    kind = BY_NAME.get(Path(name).suffix.lower())
    promise = f": its name promises {kind.value}, and its content is none" if kind else ""
    return f"{name[:80]!a} is not a model that is known here{promise}."


def said_of(tree: Tree) -> str:
    """What a folder without a model holds: the broken promise in it, or its files by kind."""
    files = tree.files
    for path in files:
        if tree.kind(path) in {Kind.UNKNOWN, Kind.ARRAYS} and path.suffix.lower() in BY_NAME:
            return unknown(tree.name(path))
    names = ", ".join(f"{tree.name(path)[:60]!a} ({tree.kind(path).value})" for path in files[:SHOWN])
    more = f" and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
    return f"The folder holds no model that is known here, but {names}{more}."
