"""Table: which inputs an estimator takes, and example values for them.

Data flow: the estimator's feature names, what its encoders know, and the sample's columns
-> input specs in the estimator's order -> the sample's values cast to them, or made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from inferry.errors import InvalidInput
from inferry.runtimes.encoders import Known, known_columns
from inferry.runtimes.feed import reads_text
from inferry.runtimes.tensors import Array, as_text, from_sample, made_up
from inferry.types.sample import Sample
from inferry.types.signature import Scalar, TensorSpec

MAX_CATEGORIES = 1000
FEW = 32

_MADE_UP = "The example input is made up: give a sample to see real values."


class Shape(NamedTuple):
    """Specs in order, example arrays for them, whether they are a table's columns, notes for people."""

    specs: tuple[TensorSpec, ...]
    inputs: dict[str, Array]
    table: bool
    notes: tuple[str, ...]


def shape_inputs(loaded: Any, sample: Sample | None) -> Shape:
    """The inputs of an estimator. Raises InvalidInput when the sample does not fit them."""
    if sample and sample.kind == "value":
        sample = _one_text(sample)
    if reads_text(loaded):
        return _text(sample)
    names = [str(name) for name in getattr(loaded, "feature_names_in_", ())] or _catboost_names(loaded)
    count = getattr(loaded, "n_features_in_", None) or None  # CatBoost says 0
    if sample and sample.kind == "tensors" and names:
        sample = _named(sample, names)
    if sample and sample.kind == "table" and not names:
        names = list(sample.tensors)
        if count is not None and count != len(names):
            raise InvalidInput(
                f"The sample has {len(names)} columns, the model takes {count}.",
                help="Leave out columns that are not inputs, such as the target.",
            )
    if names:
        return _columns(loaded, names, sample)
    spec = TensorSpec(name="x", datatype="FP64", shape=(-1, count or -1))
    if sample:
        return Shape((spec,), from_sample((spec,), sample), table=False, notes=())
    return Shape((spec,), made_up((spec,), rows=3), table=False, notes=(_MADE_UP,))


def _catboost_names(loaded: Any) -> list[str]:
    """CatBoost calls them otherwise, and counts where it was given none."""
    names = [str(name) for name in getattr(loaded, "feature_names_", None) or ()]
    return [] if names == [str(place) for place in range(len(names))] else names


def _one_text(sample: Sample) -> Sample:
    if isinstance(sample.value, str):
        return Sample(kind="tensors", tensors={"": np.array([sample.value], dtype=object)})
    raise InvalidInput("The sample is not made of rows.", help="Give records, rows or columns.")


def _text(sample: Sample | None) -> Shape:
    if sample is None:
        spec = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
        made = np.array(["a first text", "another text"], dtype=object)
        return Shape((spec,), {"text": made}, table=True, notes=(_MADE_UP,))
    texts = {name: array for name, array in sample.tensors.items() if array.dtype.kind == "O" and array.ndim == 1}
    name = "text" if "text" in texts else next(iter(texts), None)
    if name is None or (len(texts) > 1 and name != "text"):
        raise InvalidInput(
            "The model takes one text a row, and the sample has not exactly one text column.",
            help='Give one column of text, for example a CSV file with the header "text".',
        )
    spec = TensorSpec(name=name or "text", datatype="BYTES", shape=(-1,), nullable=any(v is None for v in texts[name]))
    return Shape((spec,), {spec.name: texts[name]}, table=True, notes=_unused(sample, [name]))


def _named(sample: Sample, names: list[str]) -> Sample:
    """A matrix, or arrays of one value a row, as the columns of an estimator that knows their names."""
    arrays = sample.tensors
    if len(arrays) > 1 and all(name in arrays for name in names):
        return Sample(
            kind="table", tensors={name: array.reshape(len(array), -1)[:, 0] for name, array in arrays.items()}
        )
    matrix: Array = next(iter(arrays.values()))
    matrix = matrix[np.newaxis] if matrix.ndim == 1 else matrix
    if len(arrays) != 1 or matrix.ndim != 2 or matrix.shape[1] != len(names):
        raise InvalidInput(f"The sample's rows do not have the model's {len(names)} columns.")
    return Sample(kind="table", tensors={name: matrix[:, at] for at, name in enumerate(names)})


def _columns(loaded: Any, names: list[str], sample: Sample | None) -> Shape:
    known = known_columns(loaded, names)
    if sample is None:
        specs = tuple(_from_known(name, known.get(name)) for name in names)
        return Shape(specs, made_up(specs, rows=3), table=True, notes=(_MADE_UP,))
    missing = [name for name in names if name not in sample.tensors]
    if missing:
        raise InvalidInput(
            f"The sample has no column {', '.join(map(repr, missing[:5]))}.",
            help=f"The model takes: {', '.join(names[:20])}.",
        )
    shaped: list[TensorSpec] = []
    inputs: dict[str, Array] = {}
    for name in names:
        spec, array = _from_sample(name, sample.tensors[name], known.get(name))
        shaped.append(spec)
        inputs[name] = array
    return Shape(tuple(shaped), inputs, table=True, notes=_unused(sample, names))


def _unused(sample: Sample, names: list[str]) -> tuple[str, ...]:
    rest = [name for name in sample.tensors if name not in names]
    return (f"Columns of the sample that the model does not take: {', '.join(rest[:10])}.",) if rest else ()


def _from_known(name: str, known: Known | None) -> TensorSpec:
    if known is None:
        return TensorSpec(name=name, datatype="FP64", shape=(-1,))
    categories, closed = _bounded(known.categories, closed=known.closed)
    return TensorSpec(name=name, datatype=known.datatype, shape=(-1,), categories=categories, closed=closed)


def _from_sample(name: str, array: Array, known: Known | None) -> tuple[TensorSpec, Array]:
    datatype, array = _typed(array, known)
    if known and known.categories:
        categories, closed = _bounded(known.categories, closed=known.closed)
    else:
        categories, closed = (_few(array) if datatype == "BYTES" else ()), False
    gone = (
        any(value is None for value in array)
        if datatype == "BYTES"
        else array.dtype.kind == "f" and np.isnan(array).any()
    )
    return (
        TensorSpec(
            name=name, datatype=datatype, shape=(-1,), categories=categories, closed=closed, nullable=bool(gone)
        ),
        array,
    )


def _typed(array: Array, known: Known | None) -> tuple[str, Array]:
    """The sample says the type, unless the encoder was fitted on text and the sample only looks like numbers."""
    if array.dtype.kind == "O" or (known and known.datatype == "BYTES"):
        return "BYTES", _as_words(array)
    if array.dtype.kind == "b":
        return "BOOL", array
    if array.dtype.kind in "iu" and not (array.dtype == np.uint64 and array.max(initial=0) >= 2**63):
        return "INT64", array.astype(np.int64)
    return "FP64", array.astype(np.float64)


def _as_words(array: Array) -> Array:
    if array.dtype.kind == "O":
        return as_text(array)
    words = np.empty(len(array), dtype=object)
    words[:] = [None if value != value else str(value) for value in array.tolist()]  # noqa: PLR0124  NaN is not itself
    return words


def _bounded(categories: tuple[Scalar, ...], *, closed: bool) -> tuple[tuple[Scalar, ...], bool]:
    return (categories, closed) if len(categories) <= MAX_CATEGORIES else ((), False)


def _few(array: Array) -> tuple[str, ...]:
    """Distinct texts when they repeat: then they are categories, not free text."""
    seen: Mapping[str, None] = dict.fromkeys(value for value in array if value is not None)
    return tuple(sorted(seen)) if len(seen) <= FEW and 2 * len(seen) <= len(array) else ()
