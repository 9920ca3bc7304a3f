"""Trees as ONNX: an ensemble written node by node, so that it decides and adds up as its library does.

Data flow: Trees (thresholds, directions of missing values, leaves) -> one node of an ONNX graph: in 64 bits
the operator TreeEnsemble, which keeps them to the end, or for onnxruntimes that lack it, for several numbers
a leaf, and in 32 bits, the older TreeEnsembleRegressor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
ML = "ai.onnx.ml"


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One tree. A child is an inner node, or a leaf written as `~leaf`; a tree of one leaf has no nodes.

    A row goes `left` when its feature is below the threshold (or equal to it: the forest says which), and
    where it is missing when `missing_left`. `values`: [leaves, len(targets)], added to those targets.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    values: Array
    targets: tuple[int, ...] = (0,)


def leaf(value: float, target: int = 0) -> Tree:
    """The same number for every row."""
    none = np.zeros(0, dtype=np.int64)
    return Tree(
        feature=none, threshold=none.astype(np.float64), left=none, right=none, missing_left=none.astype(bool),
        values=np.array([[value]], dtype=np.float64), targets=(target,),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Forest:
    """Trees whose leaves add up in their order. `strict`: below means <, else <=. `double`: in 64 bits."""

    trees: Sequence[Tree]
    targets: int = 1
    strict: bool = False
    double: bool = False

    @property
    def exact(self) -> bool:
        """Whether the newer operator can say it: one number a leaf."""
        return self.double and all(len(tree.targets) == 1 for tree in self.trees)

    def newer(self) -> dict[str, Any]:
        """Attributes of TreeEnsemble (opset 5). Every tree has a node: a lone leaf is on both sides of one."""
        from onnx import numpy_helper

        kept: dict[str, list[Array]] = {}
        roots, nodes, leaves = [], 0, 0
        for tree in self.trees:
            split = tree if len(tree.feature) else _split(tree)
            roots.append(nodes)
            _extend(kept, nodes_featureids=split.feature, nodes_splits=split.threshold)
            _extend(kept, nodes_missing_value_tracks_true=split.missing_left, leaf_weights=split.values[:, 0])
            for side, children in (("true", split.left), ("false", split.right)):
                places = np.where(children < 0, ~children + leaves, children + nodes)
                _extend(kept, **{f"nodes_{side}nodeids": places, f"nodes_{side}leafs": children < 0})
            _extend(kept, leaf_targetids=np.full(len(split.values), split.targets[0]))
            nodes, leaves = nodes + len(split.feature), leaves + len(split.values)
        made: dict[str, Any] = {key: np.concatenate(parts) for key, parts in kept.items()}
        for key in ("nodes_splits", "leaf_weights"):
            made[key] = numpy_helper.from_array(made[key].astype(np.float64), key)
        modes = np.full(nodes, 1 if self.strict else 0, dtype=np.uint8)
        whole = {key: value.astype(np.int64).tolist() for key, value in made.items() if isinstance(value, np.ndarray)}
        return {
            **made, **whole, "n_targets": self.targets, "aggregate_function": 1, "post_transform": 0,
            "tree_roots": roots, "nodes_modes": numpy_helper.from_array(modes, "nodes_modes"),
        }  # fmt: skip

    def older(self) -> dict[str, Any]:
        """Attributes of TreeEnsembleRegressor (opset 3): the leaves are nodes, after the inner ones."""
        from onnx import numpy_helper

        kept: dict[str, list[Array]] = {}
        modes: list[str] = []
        for at, tree in enumerate(self.trees):
            inner, leaves = len(tree.feature), len(tree.values)
            none = np.zeros(leaves, dtype=np.int64)
            for key, values in (
                ("nodes_featureids", tree.feature),
                ("nodes_values", tree.threshold),
                ("nodes_truenodeids", np.where(tree.left < 0, ~tree.left + inner, tree.left)),
                ("nodes_falsenodeids", np.where(tree.right < 0, ~tree.right + inner, tree.right)),
                ("nodes_missing_value_tracks_true", tree.missing_left),
            ):
                _extend(kept, **{key: values})
                _extend(kept, **{key: none})
            _extend(kept, nodes_treeids=np.full(inner + leaves, at), nodes_nodeids=np.arange(inner + leaves))
            width = len(tree.targets)
            _extend(kept, target_treeids=np.full(leaves * width, at), target_ids=np.tile(tree.targets, leaves))
            _extend(kept, target_nodeids=np.repeat(np.arange(leaves) + inner, width))
            _extend(kept, target_weights=tree.values.ravel())
            modes += ["BRANCH_LT" if self.strict else "BRANCH_LEQ"] * inner + ["LEAF"] * leaves
        made: dict[str, Any] = {key: np.concatenate(parts) for key, parts in kept.items()}
        for key in ("nodes_values", "target_weights"):
            numbers = made.pop(key)
            if self.double:
                made[f"{key}_as_tensor"] = numpy_helper.from_array(numbers.astype(np.float64), key)
            else:
                made[key] = numbers.astype(np.float32).tolist()
        whole = {key: value.astype(np.int64).tolist() for key, value in made.items() if isinstance(value, np.ndarray)}
        return {**made, **whole, "n_targets": self.targets, "nodes_modes": modes, "post_transform": "NONE"}

    def cuts(self) -> Mapping[int, Array]:
        """The thresholds by feature."""
        features = np.concatenate([tree.feature for tree in self.trees])
        thresholds = np.concatenate([tree.threshold for tree in self.trees])
        return {int(feature): np.unique(thresholds[features == feature]) for feature in np.unique(features)}


def _split(tree: Tree) -> Tree:
    first = np.zeros(1, dtype=np.int64)
    return Tree(
        feature=first, threshold=first.astype(np.float64), left=~first, right=~first,
        missing_left=first.astype(bool), values=tree.values, targets=tree.targets,
    )  # fmt: skip


def _extend(kept: dict[str, list[Array]], **more: Array) -> None:
    for key, values in more.items():
        kept.setdefault(key, []).append(np.asarray(values))
