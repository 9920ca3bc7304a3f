"""CatBoost's own files to ONNX.

Data flow: CatBoost -> its JSON -> trees in 64 bits over input in 32 bits, symmetric ones unfolded -> the loss's
link -> graph. Of categories the file keeps only hashes, which ONNX cannot compute: those models stay native.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from inferry.runtimes.arrays import ArrayModel
from inferry.runtimes.converters import Conversions, NotConvertible
from inferry.runtimes.converters.boosted import Boosted, Members, conversions
from inferry.runtimes.converters.trees import Forest, Tree, leaf
from inferry.types.signature import Scalar, Signature

LINKS = {"MultiClass": "softmax", "MultiClassOneVsAll": "logistic", "Poisson": "exp", "Tweedie": "exp"}
"""Loss -> how an answer is made of raw scores; regressors of other losses answer them as they are."""
_OTHERS = {"RMSEWithUncertainty", "MultiLogloss", "MultiCrossEntropy"}


def convert(model: ArrayModel, signature: Signature, _: Mapping[str, Any]) -> Conversions:
    """Candidates. Raises NotConvertible."""
    import catboost

    native = model.opened.native["model"]
    if native.get_cat_feature_indices() or native.get_text_feature_indices():
        raise NotConvertible("CatBoost keeps only hashes of categories and words, which ONNX cannot compute")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        native.save_model(str(path), format="json")
        file = msgspec.json.decode(path.read_bytes())
    loss = str(native.get_params().get("loss_function") or "").partition(":")[0]
    share = native.get_probability_threshold() if len(model.opened.native["classes"]) == 2 else 0.5
    made = read(file, model.opened.native["classes"], loss, above=math.log(share / (1 - share)))
    return conversions([made], signature, f"inferry, from CatBoost {catboost.__version__}")


class _Splits:
    """The splits of a file, as features and thresholds."""

    def __init__(self, info: Mapping[str, Any]) -> None:
        floats = info.get("float_features", ())
        self._features = {one["feature_index"]: one for one in floats}
        self.width = max((one["flat_feature_index"] for one in floats), default=-1) + 1

    def read(self, split: Mapping[str, Any]) -> tuple[int, float, bool]:
        """Feature, threshold, and whether a missing value is below it."""
        if split["split_type"] != "FloatFeature":
            raise NotConvertible(f"it splits by {split['split_type']}, which ONNX has not")
        feature = self._features[split["float_feature_index"]]
        below = feature.get("nan_value_treatment", "AsIs") != "AsTrue"
        return feature["flat_feature_index"], float(np.float32(split["border"])), below


def read(file: Mapping[str, Any], classes: Sequence[Scalar], loss: str, above: float) -> Boosted:
    """A model's JSON as boosted trees. `above`: the raw score above which the second of two classes is said."""
    splits = _Splits(file["features_info"])
    scale, bias = _scale(file.get("scale_and_bias", [1.0, [0.0]]))
    if "oblivious_trees" in file:
        trees = [_symmetric(tree, splits) for tree in file["oblivious_trees"]]
    else:
        trees = [_free(tree, splits) for tree in file["trees"]]
    targets = len(trees[0].targets) if trees else max(1, len(bias))
    if loss in _OTHERS or (classes and targets != (1 if len(classes) == 2 else len(classes))):
        raise NotConvertible(f"its answers come of the loss {loss}")
    link = "logistic" if classes and targets == 1 else LINKS.get(loss, "identity")
    if len(bias) not in {0, 1, targets}:
        raise NotConvertible("its bias is not understood")
    trees += [leaf(bias[at % len(bias)] / scale, at) for at in range(targets) if bias and bias[at % len(bias)]]
    return Boosted(
        forest=Forest(trees=trees, targets=targets, double=True), members=Members(splits.width), link=link,
        single=True, scale=scale, classes=classes, above=above,
    )  # fmt: skip


def _scale(said: Sequence[Any]) -> tuple[float, list[float]]:
    scale, bias = said
    return float(scale), [float(one) for one in (bias if isinstance(bias, list) else [bias])]


def _symmetric(tree: Mapping[str, Any], splits: _Splits) -> Tree:
    """All nodes of a level ask the same. The first split is the last level's: the lowest bit of a leaf's number."""
    levels = [splits.read(split) for split in reversed(tree.get("splits") or [])]
    depth = len(levels)
    counts = [1 << at for at in range(depth)]
    inner = (1 << depth) - 1
    columns = [np.repeat([level[at] for level in levels], counts) for at in range(3)] if levels else [np.zeros(0)] * 3
    lefts = 2 * np.arange(inner) + 1
    lefts, rights = (np.where(child < inner, child, ~(child - inner)) for child in (lefts, lefts + 1))
    values = np.array(tree["leaf_values"], dtype=np.float64).reshape(1 << depth, -1)
    return Tree(
        feature=columns[0].astype(np.int64), threshold=columns[1].astype(np.float64), left=lefts, right=rights,
        missing_left=columns[2].astype(bool), values=values, targets=tuple(range(values.shape[1])),
    )  # fmt: skip


def _free(tree: Mapping[str, Any], splits: _Splits) -> Tree:
    nodes: list[list[Any]] = []
    leaves: list[Any] = []
    above: list[tuple[Mapping[str, Any], int, int]] = [(tree, -1, 0)]
    while above:
        node, parent, side = above.pop()
        if "split" in node:
            number = len(nodes)
            nodes.append([*splits.read(node["split"]), 0, 0])
            above += [(node["left"], number, 3), (node["right"], number, 4)]
        else:
            number = ~len(leaves)
            leaves.append(np.ravel(node["value"]))
        if parent >= 0:
            nodes[parent][side] = number
    columns = list(zip(*nodes, strict=True)) or [()] * 5
    values = np.array(leaves, dtype=np.float64)
    whole = [np.array(column, dtype=np.int64) for column in (columns[0], columns[3], columns[4])]
    return Tree(
        feature=whole[0], threshold=np.array(columns[1], dtype=np.float64), left=whole[1], right=whole[2],
        missing_left=np.array(columns[2], dtype=bool), values=values, targets=tuple(range(values.shape[1])),
    )  # fmt: skip
