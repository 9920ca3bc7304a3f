"""scikit-learn objects saved by joblib, pickle or skops, and the versions that made them."""

from __future__ import annotations

from pathlib import Path

from inferry.bundles.pickles import requirements_of
from inferry.bundles.requirements import merged
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree
from inferry.types.bundle import Detected


def sklearn(tree: Tree, path: Path) -> Detected:
    """What the file names, at the version that saved it; the person's requirements.txt has the last word."""
    kind = tree.kind(path)
    ours = requirements_of(path, skops=kind is Kind.SKOPS, packed=kind is Kind.PICKLE_PACKED)
    notes = () if ours[0] != "scikit-learn" else ("The file does not say which scikit-learn made it.",)
    return Detected(
        runtime="sklearn",
        entry=tree.name(path),
        requirements=merged(ours, tree.asked(path)),
        notes=notes,
        why=f"It is {kind.value}.",
    )


FILES = {Kind.PICKLE: sklearn, Kind.PICKLE_PACKED: sklearn, Kind.SKOPS: sklearn}
