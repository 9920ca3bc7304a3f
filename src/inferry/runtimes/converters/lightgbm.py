"""LightGBM's own files to ONNX.

Data flow: model text -> head and trees, exactly as LightGBM reads them: thresholds and leaves in 64 bits,
directions of missing values, sets of categories -> the objective's link -> graph in 64 bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inferry.runtimes.arrays import ArrayModel
from inferry.runtimes.converters import Conversions, NotConvertible
from inferry.runtimes.converters.boosted import ZERO, Boosted, Members, conversions
from inferry.runtimes.converters.trees import Array, Forest, Tree
from inferry.types.signature import Scalar, Signature

LINKS = {
    "binary": "logistic", "cross_entropy": "logistic", "cross_entropy_lambda": "softplus", "gamma": "exp",
    "multiclass": "softmax", "multiclassova": "logistic", "poisson": "exp", "tweedie": "exp",
}  # fmt: skip
"""Objective -> how an answer is made of a raw score."""
_RAW = {
    "", "custom", "regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg",
}  # fmt: skip
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_NONE, _ZERO = 0, 1


def convert(model: ArrayModel, signature: Signature, _: Mapping[str, Any]) -> Conversions:
    """Candidates. Raises NotConvertible."""
    import lightgbm

    native = model.opened.native
    made = read(native["booster"].model_to_string(), native["values"], native["classes"])
    return conversions([made], signature, f"inferry, from LightGBM {lightgbm.__version__}")


def read(text: str, values: dict[int, Sequence[Scalar]], classes: int) -> Boosted:
    """A model's text as boosted trees."""
    head, *parts = text.partition("\nend of trees")[0].split("\nTree=")
    told = dict(line.partition("=")[::2] for line in head.splitlines())
    objective, *settings = told.get("objective", "").split()
    link = LINKS.get(objective, "identity")
    if objective not in LINKS and objective not in _RAW:
        raise NotConvertible(f"its objective {objective} is not known")
    if objective == "regression" and "sqrt" in settings:
        link = "square"
    slope = next((float(one.partition(":")[2]) for one in settings if one.startswith("sigmoid:")), 1.0)
    targets = int(told.get("num_tree_per_iteration", told["num_class"]))
    members = Members(int(told["max_feature_idx"]) + 1)
    zeros: set[int] = set()
    trees = [_tree(part, at % targets, members, zeros) for at, part in enumerate(parts)]
    rounds = max(1, len(trees) // targets)
    average = "average_output" in head.splitlines()
    return Boosted(
        forest=Forest(trees=trees, targets=targets, double=True), members=members, link=link, values=values,
        scale=(slope if link == "logistic" else 1.0) / (rounds if average else 1), classes=range(classes),
        zeros=frozenset(zeros),
    )  # fmt: skip


def _tree(part: str, target: int, members: Members, zeros: set[int]) -> Tree:
    told = dict(line.partition("=")[::2] for line in part.splitlines()[1:])
    if told.get("is_linear", "0") != "0":
        raise NotConvertible("its leaves are linear models")

    def numbers(key: str, dtype: Any) -> Array:
        return np.array(told.get(key, "").split(), dtype=dtype)

    leaves = numbers("leaf_value", np.float64).reshape(-1, 1)
    features, thresholds = numbers("split_feature", np.int64), numbers("threshold", np.float64)
    lefts, rights = numbers("left_child", np.int64), numbers("right_child", np.int64)
    kinds = numbers("decision_type", np.int64)
    if len(leaves) == 1:
        features, thresholds, lefts, rights, kinds = (
            array[:0] for array in (features, thresholds, lefts, rights, kinds)
        )
    missing, default = (kinds >> 2) & 3, (kinds & _DEFAULT_LEFT) > 0
    sets = (kinds & _CATEGORICAL) > 0
    zeros.update(features[~sets & (missing == _ZERO)].tolist())
    near = np.abs(thresholds) <= ZERO  # what is as near to zero is zero
    thresholds = np.where(near, np.where(thresholds < 0, np.nextafter(-ZERO, -np.inf), ZERO), thresholds)
    gone = np.where(missing == _NONE, thresholds >= 0, default)  # without missing values in training, NaN is 0
    if sets.any():
        begins, words = numbers("cat_boundaries", np.int64), numbers("cat_threshold", np.uint32)
        for node in np.flatnonzero(sets):
            at = int(thresholds[node])
            bits = np.unpackbits(words[begins[at] : begins[at + 1]].view(np.uint8), bitorder="little")
            chosen = frozenset(np.flatnonzero(bits).tolist())
            features[node], thresholds[node] = members.column(int(features[node]), chosen), 0.5
            lefts[node], rights[node], gone[node] = rights[node], lefts[node], True  # those in the set go left
    return Tree(
        feature=features, threshold=thresholds, left=lefts, right=rights, missing_left=gone.astype(bool),
        values=leaves, targets=(target,),
    )  # fmt: skip
