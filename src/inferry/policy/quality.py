"""Quality: accuracy, AUC, errors and their intervals from predictions with their truth. Pure.

Data flow: Joined -> Pairs, one a row -> which task they are of -> figures. `outcomes` says the same of a single row:
what rollouts and experiments add up.

Intervals: Wilson's for shares; Hanley and McNeil, "The meaning and use of the area under a receiver operating
characteristic (ROC) curve", Radiology 143 (1982), for AUC; the normal one for means, through the square for RMSE.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from inferry.later import Later
from inferry.policy import metrics
from inferry.types.feedback import Joined, Label, Prediction
from inferry.types.quality import ClassQuality, Metric, Task, VersionQuality

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

Z = 1.959964
LEAST = 1e-15
MAX_CLASSES = 50


class Pair(NamedTuple):
    """A row's prediction and its truth."""

    prediction: Prediction
    truth: Label


class Classed(NamedTuple):
    """Classes by name, and the scores of each."""

    predicted: str
    true: str
    scores: Mapping[str, float]


def pairs(joined: Joined) -> list[Pair]:
    """The rows of a request whose truth is known."""
    truth = joined.truth.truth
    truths = truth if isinstance(truth, list) else [truth]
    return [
        Pair(prediction, true)
        for prediction, true in zip(joined.capture.predictions, truths, strict=False)
        if true is not None and prediction != Prediction()
    ]


def task_of(rows: Sequence[Pair]) -> Task:
    """Classes or numbers. A whole number is a class when both sides are whole; a number from 0 to 1 is the score of a
    class when the truth is true or false, or 1 or 0."""
    if not rows:
        return ""
    if all(is_score(pair) or is_class(pair) for pair in rows):
        return "classes"
    return (
        "numbers"
        if all(pair.prediction.value is not None and number_of(pair.truth) is not None for pair in rows)
        else "classes"
    )


def is_class(pair: Pair) -> bool:
    """Whether both sides name a class."""
    return pair.prediction.label is not None and (not isinstance(pair.truth, float) or pair.truth.is_integer())


def is_score(pair: Pair) -> bool:
    """Whether a number is the score of the class 1."""
    prediction, truth = pair
    if prediction.label is not None or prediction.value is None or not 0 <= prediction.value <= 1:
        return False
    return isinstance(truth, (bool, int)) and truth in (0, 1)


def number_of(truth: Label) -> float | None:
    """The number that a truth is; text of a number counts."""
    if isinstance(truth, bool):
        return None
    try:
        value = float(truth)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def name_of(label: Label) -> str:
    """A class as text: 1, 1.0 and true are one class, as are 0, 0.0 and false."""
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    text = str(int(label)) if isinstance(label, bool) else str(label).strip()
    return {"true": "1", "True": "1", "false": "0", "False": "0"}.get(text, text)


def classed(pair: Pair) -> Classed:
    """A row as classes."""
    prediction, truth = pair
    if is_score(pair):
        value = prediction.value or 0.0
        return Classed(str(int(value >= 0.5)), name_of(truth), {"0": 1 - value, "1": value})
    label = prediction.label if prediction.label is not None else prediction.value
    scores = {name_of(name): score for name, score in prediction.scores.items()}
    return Classed(name_of(label if label is not None else ""), name_of(truth), scores)


def outcomes(joined: Joined) -> dict[str, list[float]]:
    """By metric, what each row adds to it: accuracy (0 or 1), absolute_error, squared_error, and the values that came
    with the feedback."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for pair in pairs(joined):
        if is_score(pair) or is_class(pair):
            one = classed(pair)
            found["accuracy"].append(float(one.predicted == one.true))
        value, true = pair.prediction.value, number_of(pair.truth)
        if value is not None and true is not None:
            found["absolute_error"].append(abs(value - true))
            found["squared_error"].append((value - true) ** 2)
    for name, value in joined.truth.values.items():
        found[name].append(value)
    return dict(found)


def measure(version: int, joined: Sequence[Joined], captured: int) -> VersionQuality:
    """All figures of one version."""
    rows = [pair for one in joined for pair in pairs(one)]
    task = task_of(rows)
    figures: list[Metric] = []
    classes: tuple[ClassQuality, ...] = ()
    if task == "classes":
        found = [classed(pair) for pair in rows]
        classes = by_class(found)
        figures = class_metrics(found, classes)
    elif task == "numbers":
        figures = number_metrics(rows)
    values: defaultdict[str, list[float]] = defaultdict(list)
    for one in joined:
        for name, value in one.truth.values.items():
            values[name].append(value)
    figures += [mean(name, numbers) for name, numbers in sorted(values.items())]
    return VersionQuality(
        version=version, task=task, captured=captured, joined=len(joined), metrics=tuple(figures), classes=classes
    )


# classes


def by_class(rows: Sequence[Classed]) -> tuple[ClassQuality, ...]:
    """Precision, recall and F1 of each class, the most frequent first."""
    true, predicted = Counter(row.true for row in rows), Counter(row.predicted for row in rows)
    right = Counter(row.true for row in rows if row.true == row.predicted)
    names = sorted({*true, *predicted}, key=lambda name: (-true[name], name))[:MAX_CLASSES]
    return tuple(
        ClassQuality(
            label=name,
            count=true[name],
            precision=right[name] / predicted[name] if predicted[name] else None,
            recall=right[name] / true[name] if true[name] else None,
            f1=2 * right[name] / (predicted[name] + true[name]),
        )
        for name in names
    )


def class_metrics(rows: Sequence[Classed], classes: Sequence[ClassQuality]) -> list[Metric]:
    """Figures over all classes; of two classes, precision, recall and F1 are those of the second."""
    right = sum(row.predicted == row.true for row in rows)
    found = [share("accuracy", right, len(rows))]
    positive = positive_of(rows)
    if positive is not None:
        tp = sum(row.predicted == row.true == positive for row in rows)
        told = sum(row.predicted == positive for row in rows)
        are = sum(row.true == positive for row in rows)
        found += [share("precision", tp, told)] if told else []
        found += [share("recall", tp, are)] if are else []
    else:
        for name in ("precision", "recall"):
            known = [getattr(one, name) for one in classes if getattr(one, name) is not None]
            found += [Metric(name=name, value=sum(known) / len(known), count=len(rows))] if known else []
    f1 = [one.f1 or 0.0 for one in classes if positive is None or one.label == positive]
    found += [Metric(name="f1", value=sum(f1) / len(f1), count=len(rows))] if f1 else []
    scored = [row for row in rows if len(row.scores) > 1]
    return found + (score_metrics(scored, positive) if scored else [])


def positive_of(rows: Iterable[Classed]) -> str | None:
    """The second of two classes, in the model's order where it has one; None when there are more."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row.scores))
    listed = list(names)
    seen = sorted({name for row in rows for name in (row.predicted, row.true)} - set(listed))
    listed = listed + seen if listed else seen
    return listed[1] if len(listed) == 2 else None


def score_metrics(rows: Sequence[Classed], positive: str | None) -> list[Metric]:
    """Figures of scores: AUC (of several classes the mean of each against the rest), log loss, Brier."""
    names = [positive] if positive is not None else sorted({row.true for row in rows})
    areas = [
        area
        for name in names
        if (area := auc([row.scores.get(name, 0.0) for row in rows], [row.true == name for row in rows])) is not None
    ]
    found = []
    if positive is not None and areas:
        found.append(areas[0])
    elif areas:
        found.append(Metric(name="auc", value=sum(one.value for one in areas) / len(areas), count=len(rows)))
    found.append(mean("log_loss", [-math.log(max(LEAST, row.scores.get(row.true, 0.0))) for row in rows]))
    return [*found, mean("brier", [brier(row, positive) for row in rows])]


def brier(row: Classed, positive: str | None) -> float:
    """The squared error of a row's scores; of two classes that of one."""
    if positive is not None:
        return (row.scores.get(positive, 0.0) - (row.true == positive)) ** 2
    names = {*row.scores, row.true}
    return sum((row.scores.get(name, 0.0) - (row.true == name)) ** 2 for name in names)


def auc(scores: Sequence[float], positive: Sequence[bool]) -> Metric | None:
    """The chance that a positive scores above a negative, ties counting half; None without both kinds."""
    values, flags = np.asarray(scores), np.asarray(positive)
    m = int(flags.sum())
    n = len(flags) - m
    if not m or not n:
        return None
    area = metrics.auc(flags, values)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = (area * (1 - area) + (m - 1) * (q1 - area**2) + (n - 1) * (q2 - area**2)) / (m * n)
    width = Z * math.sqrt(max(0.0, spread))
    return Metric(name="auc", value=area, count=m + n, low=max(0.0, area - width), high=min(1.0, area + width))


# numbers


def number_metrics(rows: Sequence[Pair]) -> list[Metric]:
    """MAE, RMSE, R2 and the mean error."""
    predicted = np.asarray([pair.prediction.value for pair in rows], float)
    true = np.asarray([number_of(pair.truth) for pair in rows], float)
    errors = predicted - true
    squares = mean("mse", (errors**2).tolist())
    rmse = Metric(
        name="rmse", value=math.sqrt(squares.value), count=len(rows),
        low=None if squares.low is None else math.sqrt(max(0.0, squares.low)),
        high=None if squares.high is None else math.sqrt(squares.high),
    )  # fmt: skip
    found = [mean("mae", np.abs(errors).tolist()), rmse]
    explained = metrics.r2(true, predicted)
    if not math.isnan(explained):
        found.append(Metric(name="r2", value=explained, count=len(rows)))
    return [*found, mean("bias", errors.tolist())]


# intervals


def share(name: str, hits: int, of: int) -> Metric:
    """A share with Wilson's interval."""
    p, z2 = hits / of, Z * Z
    middle = (p + z2 / (2 * of)) / (1 + z2 / of)
    width = Z / (1 + z2 / of) * math.sqrt(p * (1 - p) / of + z2 / (4 * of * of))
    return Metric(name=name, value=p, count=of, low=max(0.0, middle - width), high=min(1.0, middle + width))


def mean(name: str, values: Sequence[float]) -> Metric:
    """A mean with the normal interval."""
    array = np.asarray(values, float)
    middle = float(array.mean())
    if len(array) < 2:
        return Metric(name=name, value=middle, count=len(array))
    width = Z * float(array.std(ddof=1)) / math.sqrt(len(array))
    return Metric(name=name, value=middle, count=len(array), low=middle - width, high=middle + width)
