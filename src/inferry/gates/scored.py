"""Scored: predictions beside their truth, ready for any metric on any part of the rows.

Data flow: prediction rows of the plain door + the truth's column -> labels as text, chances as a matrix, numbers ->
`value(metric, rows)`. Labels are compared as text, since a CSV does not say whether 1 is a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from inferry.errors import InvalidInput
from inferry.policy import metrics

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scored:
    """`classes` name the columns of `chances`. What the model does not give is None."""

    truth: Array
    labels: Array | None
    numbers: Array | None
    chances: Array | None
    classes: tuple[str, ...]
    positive: str | None
    truth_numbers: Array | None = None
    codes: Array = field(default_factory=lambda: np.array([], dtype=int))

    def value(self, metric: str, rows: Array) -> float:
        """A metric on some rows. Raises InvalidInput when the model does not give what it is computed of."""
        kind = metrics.KINDS[metric]
        function = getattr(metrics, "auc_of_classes" if metric == "auc" else metric)
        if kind == "labels":
            said, more = self._need(self.labels, metric, "a label"), self.positive
            args = (self.truth[rows], said[rows])
            return float(function(*args) if metric == "accuracy" else function(*args, more))
        if kind == "numbers":
            said = self._need(self.numbers, metric, "a number a row")
            return float(function(self._need(self.truth_numbers, metric, "a number as its truth")[rows], said[rows]))
        said = self._need(self.chances, metric, "the chance of each class")
        return float(function(self.codes[rows], said[rows]))

    @staticmethod
    def _need(found: Array | None, metric: str, what: str) -> Array:
        if found is None:
            raise InvalidInput(
                f"{metric} needs {what}, which the model does not give.",
                help="Ask for another metric, or name the output with output.",
            )
        return found


def score(predictions: Sequence[Any], truth: Sequence[Any], positive: Any, output: str) -> Scored:
    """Predictions with their truth."""
    rows = [row if isinstance(row, dict) else {"": row} for row in predictions]
    labels = [_label(row, output) for row in rows]
    chances, classes = _chances(rows, output)
    codes = {name: place for place, name in enumerate(classes)}
    real = [text_of(value) for value in truth]
    return Scored(
        truth=np.array(real, dtype=object),
        labels=_column([None if one is None else text_of(one) for one in labels], object),
        numbers=_column([_number(_lone(row, output)) for row in rows], float),
        chances=chances,
        classes=classes,
        positive=None if positive is None else text_of(positive),
        truth_numbers=_column([_number(value) for value in truth], float),
        codes=np.array([codes.get(name, -1) for name in real], dtype=int),
    )


def text_of(value: Any) -> str:
    """A label as text: 1, 1.0 and "1.0" are "1"; True and "True" are "true"."""
    if isinstance(value, str):
        if value in ("True", "False"):
            return value.lower()
        return value[:-2] if re.fullmatch(r"-?[0-9]+\.0", value) else value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _label(row: dict[str, Any], output: str) -> Any:
    if output:
        return row.get(output)
    return row["label"] if "label" in row else _lone(row, "")


def _lone(row: dict[str, Any], output: str) -> Any:
    if output:
        return row.get(output)
    found = next(iter(row.values())) if len(row) == 1 else None
    while isinstance(found, list) and len(found) == 1:
        found = found[0]
    return None if isinstance(found, (dict, list)) else found


def _number(value: Any) -> float | None:
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return float(value) if isinstance(value, (int, float)) else None


def _column(values: list[Any], kind: type) -> Array | None:
    return None if any(value is None for value in values) else np.array(values, dtype=kind)


def _chances(rows: list[dict[str, Any]], output: str) -> tuple[Array | None, tuple[str, ...]]:
    """The first output that has a number for each class."""
    first = rows[0] if rows else {}
    name = next((key for key, value in first.items() if isinstance(value, dict) and (not output or key == output)), "")
    keys = tuple(first.get(name, ()))
    if not keys or any(not isinstance(row.get(name), dict) or row[name].keys() != set(keys) for row in rows):
        return None, ()
    filled = [[math.nan if row[name][key] is None else row[name][key] for key in keys] for row in rows]
    if not all(isinstance(value, (int, float)) for line in filled for value in line):
        return None, ()
    return np.array(filled, dtype=float), tuple(text_of(key) for key in keys)
