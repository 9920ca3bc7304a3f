"""XGBoost's own files to ONNX.

Data flow: Booster -> its JSON -> trees in 32 bits, scaled where dart dropped some, as many as early stopping
kept; the base score first, as XGBoost adds it -> the objective's link -> graph. Linear boosters stay native.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inferry.runtimes.arrays import ArrayModel
from inferry.runtimes.converters import Conversions, NotConvertible
from inferry.runtimes.converters.boosted import Boosted, Members, conversions
from inferry.runtimes.converters.trees import Forest, Tree, leaf
from inferry.runtimes.xgboost import file_of
from inferry.types.signature import Scalar, Signature

LINKS = {
    "binary:hinge": "step", "binary:logistic": "logistic", "count:poisson": "exp", "multi:softmax": "softmax",
    "multi:softprob": "softmax", "reg:gamma": "exp", "reg:logistic": "logistic", "reg:tweedie": "exp",
    "survival:aft": "exp", "survival:cox": "exp",
}  # fmt: skip
"""Objective -> how an answer is made of a raw score; the others answer it as it is."""
_RAW = {"binary:logitraw"}  # releases differ in what they take the base score for
_RAW_PREFIXES = ("reg:", "rank:")


def convert(model: ArrayModel, signature: Signature, _: Mapping[str, Any]) -> Conversions:
    """Candidates. Raises NotConvertible."""
    import xgboost

    file, held = file_of(model.opened.native["booster"]), model.opened.native
    meant = [False, True] if file["learner"]["objective"]["name"] in _RAW else [False]
    made = [
        read(file, best=held["rounds"], values=held["values"], classes=held["classes"], logit=logit) for logit in meant
    ]
    return conversions(made, signature, f"inferry, from XGBoost {xgboost.__version__}")


def read(
    file: dict[str, Any], *, best: int, values: dict[int, Sequence[Scalar]], classes: int, logit: bool = False
) -> Boosted:
    """A model's JSON as boosted trees. `best`: rounds that count, 0 for all. `logit`: the base score is a probability,
    whatever the objective answers."""
    learner = file["learner"]
    booster, sizes = learner["gradient_booster"], learner["learner_model_param"]
    objective = learner["objective"]["name"]
    if objective not in LINKS and objective not in _RAW and not objective.startswith(_RAW_PREFIXES):
        raise NotConvertible(f"its objective {objective} is not known")
    if booster["name"] == "gblinear":
        raise NotConvertible("it is a linear booster, not trees")
    dropped: Sequence[float] = booster.get("weight_drop") or ()
    grown = booster.get("gbtree", booster)["model"]
    targets = max(1, int(sizes["num_class"]), int(sizes.get("num_target") or 1))
    members = Members(int(sizes["num_feature"]))
    kept = _kept(grown, best, targets)
    trees = [*_base(sizes["base_score"], "logistic" if logit else LINKS.get(objective, ""), targets)]
    for at, (tree, target) in enumerate(zip(grown["trees"][:kept], grown["tree_info"], strict=False)):
        weight = np.float32(dropped[at]) if dropped else None
        trees.append(_tree(tree, target, weight, members))
    return Boosted(
        forest=Forest(trees=trees, targets=targets, strict=True), members=members,
        link=LINKS.get(objective, "identity"), values=values, floors=True, missing=math.nan, single=True,
        classes=range(classes),
    )  # fmt: skip


def _kept(grown: dict[str, Any], best: int, targets: int) -> int:
    """How many trees count."""
    if not best:
        return len(grown["trees"])
    if ends := grown.get("iteration_indptr"):
        return int(ends[best])
    return best * targets * max(1, int(grown["gbtree_model_param"].get("num_parallel_tree", 1)))


def _base(said: str, link: str, targets: int) -> list[Tree]:
    """The base score as the first leaf of each sum. The file has it as an answer, the sum wants a raw score."""
    scores = [float(part) for part in said.strip("[]").split(",")]
    raw = scores
    if link == "logistic":
        raw = [-math.log(1 / score - 1) if 0 < score < 1 else math.nan for score in scores]
    elif link == "exp":
        raw = [math.log(score) if score > 0 else math.nan for score in scores]
    if any(math.isnan(score) for score in raw) or len(raw) not in {1, targets}:
        raise NotConvertible(f"its base score {said} is not understood")
    return [leaf(raw[at % len(raw)], at) for at in range(targets)]


def _tree(file: dict[str, Any], target: int, weight: Any, members: Members) -> Tree:
    lefts, rights = np.array(file["left_children"]), np.array(file["right_children"])
    width = int(file["tree_param"].get("size_leaf_vector") or 1)
    ends = lefts == -1
    numbers = np.where(ends, ~(np.cumsum(ends) - 1), np.cumsum(~ends) - 1)  # of nodes: inner ones, and leaves
    inner = np.flatnonzero(~ends)
    conditions = np.array(file["split_conditions"], dtype=np.float32)
    features = np.array(file["split_indices"])
    if width > 1:
        vectors = np.array(file.get("leaf_weights") or (), dtype=np.float32).reshape(-1, width)
        if len(vectors) != ends.sum():
            raise NotConvertible("its trees answer several numbers in a form of an older XGBoost")
        values = vectors[rights[ends]]
    else:
        values = conditions[ends].reshape(-1, 1)
    for node, begin, size in zip(
        file.get("categories_nodes", ()), file.get("categories_segments", ()), file.get("categories_sizes", ()),
        strict=True,
    ):  # fmt: skip
        chosen = frozenset(int(value) for value in file["categories"][begin : begin + size])
        features[node], conditions[node] = members.column(int(features[node]), chosen), 0.5
    return Tree(
        feature=features[inner], threshold=conditions[inner].astype(np.float64), left=numbers[lefts[inner]],
        right=numbers[rights[inner]], missing_left=np.array(file["default_left"])[inner].astype(bool),
        values=(values if weight is None else values * weight).astype(np.float64),
        targets=(target,) if width == 1 else tuple(range(width)),
    )  # fmt: skip
