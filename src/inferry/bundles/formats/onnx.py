"""ONNX files, with the weights that they may keep in files beside them."""

from __future__ import annotations

from pathlib import Path

from inferry.bundles.onnx_files import external_files
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree
from inferry.types.bundle import Detected


def onnx(tree: Tree, path: Path) -> Detected:
    """Served in the platform's own environment, once its data files are found to be sound."""
    external_files(path)
    return Detected(runtime="onnx", entry=tree.name(path), why="It is an ONNX model.")


FILES = {Kind.ONNX: onnx}
