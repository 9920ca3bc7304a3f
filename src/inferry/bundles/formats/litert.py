"""LiteRT models (TensorFlow Lite), which are one .tflite file each."""

from __future__ import annotations

from pathlib import Path

from inferry.bundles.requirements import merged
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree
from inferry.types.bundle import Detected


def litert(tree: Tree, path: Path) -> Detected:
    """Served by the LiteRT interpreter alone: no TensorFlow is installed."""
    return Detected(
        runtime="litert",
        entry=tree.name(path),
        requirements=merged(("ai-edge-litert",), tree.asked(path)),
        why="It is a LiteRT (TensorFlow Lite) model.",
    )


FILES = {Kind.TFLITE: litert}
