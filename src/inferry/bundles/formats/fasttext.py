"""fastText classifiers (.bin, and .ftz quantised); word vectors have nothing to predict."""

from __future__ import annotations

from pathlib import Path

from inferry.bundles.requirements import merged
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

HEAD = 64  # magic, version, then the training arguments, 4 bytes each
_MODEL_AT, _SUPERVISED = 36, 3


def fasttext(tree: Tree, path: Path) -> Detected:
    """A supervised model, which its training arguments tell."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if len(head) < HEAD:
        raise InvalidModel(f"{path.name[:80]!a} is a truncated fastText model.", help="Save or copy it again.")
    if int.from_bytes(head[_MODEL_AT : _MODEL_AT + 4], "little") != _SUPERVISED:
        raise InvalidModel(
            f"{path.name[:80]!a} holds fastText word vectors, which have no predict.",
            help="Serve a classifier (train_supervised), or wrap the vectors in a Python class with predict.",
        )
    return Detected(
        runtime="fasttext",
        entry=tree.name(path),
        requirements=merged(("fasttext-predict>=0.9.2",), tree.asked(path)),
        why="It is a fastText classifier.",
    )


FILES = {Kind.FASTTEXT: fasttext}
