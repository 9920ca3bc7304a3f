"""Boosting: what the runtimes of gradient boosters share, their inputs and the answers of classifiers.

Data flow: feature names and categories of a file -> input specs; a request's columns -> one matrix, categories
as their numbers, NaN for what is missing; probabilities -> label and probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inferry.runtimes.arrays import stacked
from inferry.runtimes.tensors import Array, as_text
from inferry.types.signature import Scalar, TensorSpec

Categories = Mapping[str, Sequence[Scalar]]


def matrix(width: int, datatype: str) -> TensorSpec:
    """The input of a model without feature names: rows of `width` numbers, null where one is missing."""
    return TensorSpec(name="x", datatype=datatype, shape=(-1, width), nullable=True)


def number(name: str) -> TensorSpec:
    """A column of numbers, null where one is missing."""
    return TensorSpec(name=name, datatype="FP64", shape=(-1,), nullable=True)


def category(name: str, values: Sequence[Scalar], *, closed: bool) -> TensorSpec:
    """A column of one of `values`. Numbers stay numbers."""
    kinds = {type(value) for value in values}
    datatype = "BYTES" if str in kinds or not kinds else "BOOL" if kinds == {bool} else "FP64"
    return TensorSpec(
        name=name, datatype=datatype, shape=(-1,), categories=tuple(values), closed=closed, nullable=datatype != "BOOL"
    )


def numbered(inputs: Mapping[str, Array], categories: Categories, dtype: Any) -> Array:
    """The columns as one matrix [rows, columns]: a category is its place among the known ones, an unknown one NaN."""
    if not categories:
        return stacked(inputs, dtype)
    columns = dict(inputs)
    for name, values in categories.items():
        places = {value: place for place, value in enumerate(values)}
        given = inputs[name]
        cells = as_text(given).tolist() if given.dtype.kind == "O" else given.tolist()
        columns[name] = np.array([places.get(cell, np.nan) for cell in cells], dtype=np.float64)
    return stacked(columns, dtype)


def classified(scores: Array) -> dict[str, Array]:
    """Label and probabilities. `scores`: of the second class [rows], or of all classes [rows, classes]."""
    if scores.ndim == 1:
        return {"label": (scores > 0.5).astype(np.int64), "probabilities": np.column_stack([1 - scores, scores])}
    return {"label": scores.argmax(axis=1).astype(np.int64), "probabilities": scores}


def are_places(names: Sequence[str], prefix: str) -> bool:
    """Whether a library made the names up, by counting."""
    return all(name == f"{prefix}{place}" for place, name in enumerate(names))
