"""Metrics: how well predictions fit the truth, as plain functions over arrays. scikit-learn is not needed.

Data flow: truth and predictions, row by row -> one number. Truth comes first everywhere. A metric that the rows do
not define (an AUC of one class, an R2 of constant truth, anything of no row) is NaN: the caller says what that means.

Labels are any values that numpy can compare; scores are chances or any number that is larger for likelier;
`probabilities` have a column for each class, and `codes` name the column of each row's true class (-1: none of them).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from inferry.later import Later

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]
else:
    np = Later("numpy")

Kind = Literal["labels", "scores", "numbers"]

EPSILON = sys.float_info.epsilon
"""Chances are kept this far from 0 and 1 before their logarithm is taken."""

KINDS: Mapping[str, Kind] = MappingProxyType({
    "accuracy": "labels", "precision": "labels", "recall": "labels", "f1": "labels",
    "auc": "scores", "log_loss": "scores", "brier": "scores",
    "mae": "numbers", "rmse": "numbers", "r2": "numbers",
})  # fmt: skip
"""Every metric, and what it is computed of: predicted labels, chances of classes, or predicted numbers."""

SMALLER_IS_BETTER = frozenset({"log_loss", "brier", "mae", "rmse"})


def accuracy(truth: Array, predicted: Array) -> float:
    """The share of rows whose label is right."""
    return float(np.mean(truth == predicted)) if len(truth) else math.nan


def precision(truth: Array, predicted: Array, positive: Any = None) -> float:
    """The share of right ones among the rows predicted as a class; without `positive` the mean over the classes."""
    return _mean([_share(right, said) for right, said, _ in _counts(truth, predicted, positive)])


def recall(truth: Array, predicted: Array, positive: Any = None) -> float:
    """The share of a class's rows that were found; without `positive` the mean over the classes."""
    return _mean([_share(right, real) for right, _, real in _counts(truth, predicted, positive)])


def f1(truth: Array, predicted: Array, positive: Any = None) -> float:
    """The harmonic mean of precision and recall of a class; without `positive` its mean over the classes."""
    return _mean([_share(2 * right, said + real) for right, said, real in _counts(truth, predicted, positive)])


def auc(truth: Array, scores: Array) -> float:
    """The chance that a row for which `truth` is true scores over one for which it is not; ties count half.

    It is the area under the ROC curve (Mann and Whitney's U over the number of pairs).
    """
    positive = np.asarray(truth, dtype=bool)
    ones, zeros = int(positive.sum()), int(len(positive) - positive.sum())
    if not ones or not zeros or np.isnan(scores).any():
        return math.nan
    ranks = _ranks(scores)
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def auc_of_classes(codes: Array, probabilities: Array) -> float:
    """AUC of two classes; of more, the mean over the classes of each against the rest (those that occur)."""
    if probabilities.shape[1] == 2:
        return auc(codes == 1, probabilities[:, 1])
    each = [auc(codes == place, probabilities[:, place]) for place in range(probabilities.shape[1])]
    return _mean([value for value in each if not math.isnan(value)])


def log_loss(codes: Array, probabilities: Array) -> float:
    """The mean negative logarithm of the chance that was given to the true class."""
    if not len(codes):
        return math.nan
    rows = probabilities.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = rows / rows.sum(axis=1, keepdims=True)
    given = np.where(codes >= 0, rows[np.arange(len(codes)), codes], 0.0)
    return float(-np.mean(np.log(np.clip(given, EPSILON, 1 - EPSILON))))


def brier(codes: Array, probabilities: Array) -> float:
    """The mean squared error of the chances: of the second class for two classes, summed over classes for more."""
    if not len(codes):
        return math.nan
    rows = probabilities.astype(np.float64)
    if rows.shape[1] == 2:
        return float(np.mean((rows[:, 1] - (codes == 1)) ** 2))
    real = codes[:, None] == np.arange(rows.shape[1])[None, :]
    return float(np.mean(((rows - real) ** 2).sum(axis=1)))


def mae(truth: Array, predicted: Array) -> float:
    """The mean absolute error."""
    return float(np.mean(np.abs(predicted - truth))) if len(truth) else math.nan


def rmse(truth: Array, predicted: Array) -> float:
    """The square root of the mean squared error."""
    return float(np.sqrt(np.mean((predicted - truth) ** 2))) if len(truth) else math.nan


def r2(truth: Array, predicted: Array) -> float:
    """The share of the truth's variance that is explained: 1 for perfect, 0 for no better than its mean."""
    if len(truth) < 2:
        return math.nan
    spread = float(np.sum((truth - np.mean(truth)) ** 2))
    return 1 - float(np.sum((predicted - truth) ** 2)) / spread if spread > 0 else math.nan


def _counts(truth: Array, predicted: Array, positive: Any) -> list[tuple[int, int, int]]:
    """For each class: rows that are rightly it, that are said to be, that are."""
    classes = [positive] if positive is not None else sorted({*truth.tolist(), *predicted.tolist()}, key=str)
    if not len(truth):
        return []
    said = [predicted == one for one in classes]
    real = [truth == one for one in classes]
    return [(int(np.sum(s & r)), int(np.sum(s)), int(np.sum(r))) for s, r in zip(said, real, strict=True)]


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _ranks(values: Array) -> Array:
    """1 for the smallest; equal values share the mean of their places."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean: Array = (last - (counts - 1) / 2)[place]
    return mean
