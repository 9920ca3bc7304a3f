"""Predictions: what a model answered, one object a row.

Data flow: arrays by output name -> a column of values each, probabilities by label, a lone value without its
list -> one object a row. When an output does not go row by row there is one object, with the whole arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from inferry.errors import ModelFailed
from inferry.protocols import answers
from inferry.protocols.tensors import Array, one_a_row
from inferry.types.feedback import label_text
from inferry.types.signature import Signature, TensorSpec

Column = Callable[[Array], list[Any]]


class Predictions:
    """Writes the answers of one signature."""

    def __init__(self, signature: Signature) -> None:
        self._columns = {spec.name: _column_of(spec) for spec in signature.outputs}

    def rows(self, rows: int, outputs: dict[str, Any]) -> list[dict[str, Any]]:
        """One object for each of the call's `rows` (0: not countable). Raises ModelFailed."""
        if not outputs:
            raise ModelFailed("The model answered nothing.")
        columns = []
        for name, value in outputs.items():
            array = np.asarray(value)
            if rows < 1 or not array.ndim or len(array) != rows:
                return [{name: answers.values(np.asarray(value)) for name, value in outputs.items()}]
            column: Column = self._columns.get(name, answers.values)
            columns.append(column(array))
        if rows == 1:
            return [dict(zip(outputs, [column[0] for column in columns], strict=True))]
        return [dict(zip(outputs, row, strict=True)) for row in zip(*columns, strict=True)]


def _column_of(spec: TensorSpec) -> Column:
    """How an output's array becomes one value a row."""
    labels = [label_text(label) for label in spec.labels]

    def labelled(array: Array) -> list[Any]:
        if array.ndim != 2 or array.shape[1] != len(labels):
            return plain(array)
        rows: list[list[Any]] = answers.values(array)
        if spec.top:
            return [_likeliest(labels, row, spec.top) for row in rows]
        return [dict(zip(labels, row, strict=True)) for row in rows]

    def texts(array: Array) -> list[Any]:
        return [msgspec.Raw(str(text).encode()) for text in array.tolist()]

    def lone(array: Array) -> list[Any]:
        listed: list[Any] = answers.values(array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array)
        return listed

    plain: Column = texts if spec.json else lone if one_a_row(spec) else answers.values
    return labelled if labels else plain


def _likeliest(labels: list[str], scores: list[Any], count: int) -> dict[str, Any]:
    """The labels with the highest scores, the highest first."""
    order = sorted(range(len(labels)), key=lambda at: -scores[at])[:count]
    return {labels[at]: scores[at] for at in order}
