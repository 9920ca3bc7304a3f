"""Encoders: what a fitted pipeline knows about each of its input columns.

Data flow: estimator and column names -> a walk through pipelines, column transformers and
searches -> for each column that reaches an encoder or a text vectorizer: its categories.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from inferry.types.signature import Scalar

# These keep their columns in place, so what follows them still speaks of the same columns.
_KEEP = ("Imputer", "Scaler", "FunctionTransformer", "Normalizer", "PowerTransformer", "QuantileTransformer")
_WRAPPED = ("best_estimator_", "regressor_", "estimator_", "_preprocessor")


class Known(NamedTuple):
    """One column: BYTES, INT64, FP64 or BOOL, the categories it was fitted on, and whether others are refused."""

    datatype: str
    categories: tuple[Scalar, ...]
    closed: bool
    missing: Any


def known_columns(loaded: Any, names: Sequence[str]) -> dict[str, Known]:
    """Column name -> what an encoder says of it. Columns that no encoder sees are absent."""
    found: dict[str, Known] = {}
    for name, known in _walk(loaded, list(names), 8):
        found.setdefault(name, known)
    return found


def is_vectorizer(step: Any) -> bool:
    """Whether a transformer takes one text a row."""
    return hasattr(step, "build_analyzer")


def _walk(step: Any, names: list[str], depth: int) -> Iterator[tuple[str, Known]]:
    if depth == 0 or not names:
        return
    if is_vectorizer(step):
        if len(names) == 1:
            yield names[0], Known("BYTES", (), False, np.nan)
    elif hasattr(step, "steps"):
        yield from _walk_steps(step.steps, names, depth)
    elif hasattr(step, "transformers_"):
        for _, inner, chosen in step.transformers_:
            yield from _walk(inner, _chosen(chosen, names), depth - 1)
    elif hasattr(step, "transformer_list"):
        for _, inner in step.transformer_list:
            yield from _walk(inner, names, depth - 1)
    elif len(getattr(step, "categories_", ())) == len(names):
        closed = getattr(step, "handle_unknown", "") == "error"
        known = [_known(categories, closed=closed) for categories in step.categories_]
        yield from zip(names, known, strict=True)
    else:
        for attribute in _WRAPPED:
            yield from _walk(vars(step).get(attribute) if hasattr(step, "__dict__") else None, names, depth - 1)


def _walk_steps(steps: Any, names: list[str], depth: int) -> Iterator[tuple[str, Known]]:
    for _, step in steps:
        yield from _walk(step, names, depth - 1)
        if step is not None and not isinstance(step, str) and not _keeps(step, names):
            return  # what follows sees other columns


def _keeps(step: Any, names: list[str]) -> bool:
    kept = getattr(step, "n_features_in_", len(names)) == len(names) and not getattr(step, "add_indicator", False)
    dropped = any(_missing(value) for value in getattr(step, "statistics_", ()))  # an all-empty column leaves
    return kept and not dropped and any(word in type(step).__name__ for word in _KEEP)


def _missing(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124  NaN is not itself


def _chosen(chosen: Any, names: list[str]) -> list[str]:
    """A ColumnTransformer's column choice as names."""
    if isinstance(chosen, str):
        return [chosen]
    if isinstance(chosen, int | np.integer):
        return [names[int(chosen)]]
    if isinstance(chosen, slice):
        start, stop = chosen.start, chosen.stop
        if isinstance(start, str) or isinstance(stop, str):
            begin = names.index(start) if start is not None else 0
            return names[begin : names.index(stop) + 1 if stop is not None else None]
        return names[chosen]
    items = list(chosen) if isinstance(chosen, list | tuple | np.ndarray) or hasattr(chosen, "__iter__") else []
    if items and all(isinstance(item, bool | np.bool_) for item in items):
        return [name for name, use in zip(names, items, strict=False) if use]
    return [item if isinstance(item, str) else names[int(item)] for item in items]


def _known(categories: Any, *, closed: bool) -> Known:
    values = [value.item() if isinstance(value, np.generic) else value for value in categories]
    kept = [value for value in values if not _missing(value)]
    missing = None if None in values else np.nan
    kinds = {type(value) for value in kept}
    if kinds == {bool}:
        datatype = "BOOL"
    elif kinds == {int}:
        datatype = "INT64"
    elif kinds <= {int, float} and kinds:
        datatype = "FP64"
    else:
        datatype, kept = "BYTES", [str(value) for value in kept]
    return Known(datatype, tuple(kept), closed, missing)
