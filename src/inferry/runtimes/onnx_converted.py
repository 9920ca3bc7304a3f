"""A converted model: an ONNX graph that answers in the signature of the model it was made of.

Data flow: request arrays by the signature's names -> guards (what the native model refuses is refused, in
its words) -> the graph's inputs, by plan -> session -> outputs with the signature's names, dtypes and ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from inferry.errors import InferryError, InvalidInput, InvalidModel, ModelFailed
from inferry.runtimes.tensors import DTYPES, Array, as_text, rows_of
from inferry.types.conversion import Feed, Guard, Plan
from inferry.types.sample import Sample
from inferry.types.signature import Inspection, Signature, TensorSpec

LARGEST = float(np.finfo(np.float32).max)
Run = Callable[[list[str], dict[str, Array]], list[Array]]


class ConvertedModel:
    """A session behind a plan. `run`: graph outputs wanted and inputs -> their values."""

    def __init__(self, run: Run, plan: Plan, signature: Signature) -> None:
        self._run = run
        self._feeds = [(feed, np.dtype(object if feed.dtype == "text" else feed.dtype)) for feed in plan.feeds]
        self._outputs = list(plan.answers.values())
        specs = {spec.name: spec for spec in signature.outputs}
        self._specs = [specs[name] for name in plan.answers]
        self._values = [guard for guard in plan.guards if guard.kind in {"nan", "infinite", "large"}]
        self._others = [guard for guard in plan.guards if guard not in self._values]
        self._known = {guard.input: frozenset(guard.known) for guard in self._others}

    def predict(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Answer as the native model does, its refusals included."""
        for guard in self._others:
            self._refuse_other(guard, inputs)
        feeds, usual = {}, True
        for feed, dtype in self._feeds:
            array = feeds[feed.name] = _fed(feed, dtype, inputs)
            if self._values and dtype.kind == "f" and array.size and not np.abs(array).max() <= LARGEST:
                usual = False  # NaN compares as False
        if not usual:
            for guard in self._values:
                _refuse_value(guard, inputs[guard.input])
        answers = self._run(self._outputs, feeds)
        return {spec.name: _answer(spec, array) for spec, array in zip(self._specs, answers, strict=True)}

    def describe(self, sample: Sample | None) -> Inspection:
        """A converted model is described by the one it was made of."""
        raise InvalidModel("A converted model is described by the model it was made of.")

    def _refuse_other(self, guard: Guard, inputs: Mapping[str, Array]) -> None:
        if guard.kind == "empty":
            if not rows_of(inputs):
                raise _refusal(guard, guard.message)
            return
        array = inputs[guard.input]
        if guard.kind == "negative":
            if (array < 0).any():
                raise _refusal(guard, guard.message)
            return
        values = as_text(array) if array.dtype.kind in "OSU" else array
        strange = {value for value in values.ravel().tolist() if value is not None} - self._known[guard.input]
        if strange:
            raise _refusal(guard, guard.message.replace("{values}", str(sorted(strange))))


def _fed(feed: Feed, dtype: np.dtype[Any], inputs: Mapping[str, Array]) -> Array:
    first = inputs[feed.columns[0]]
    if feed.dtype == "text":
        text = as_text(first)
        values = [feed.blank if value is None else value.lower() if feed.lower else value for value in text.ravel()]
        array = np.empty(len(values), dtype=object)
        array[:] = values
        if feed.form == "same":
            return array.reshape(text.shape)
    elif len(feed.columns) > 1:
        array = np.empty((len(first), len(feed.columns)), dtype=dtype)
        with np.errstate(over="ignore"):
            for at, name in enumerate(feed.columns):
                array[:, at] = inputs[name]
    else:
        with np.errstate(over="ignore"):
            array = np.ascontiguousarray(first, dtype=dtype)
    if feed.form == "column" or (feed.form == "matrix" and array.ndim == 1):
        return array.reshape(-1, 1)
    return array


def _refuse_value(guard: Guard, array: Array) -> None:
    if array.dtype.kind != "f":
        return
    if guard.kind == "nan":
        bad = np.isnan(array).any()
    elif guard.kind == "infinite":
        bad = np.isinf(array).any()
    else:
        with np.errstate(over="ignore"):
            bad = (np.isinf(array.astype(np.float32)) & np.isfinite(array)).any()
    if bad:
        raise _refusal(guard, guard.message)


def _refusal(guard: Guard, message: str) -> InferryError:
    return InvalidInput(message) if guard.code == InvalidInput.code else ModelFailed(message)


def _answer(spec: TensorSpec, array: Array) -> Array:
    if spec.datatype == "BYTES":
        array = as_text(array)
    elif array.dtype != DTYPES[spec.datatype]:
        array = array.astype(DTYPES[spec.datatype])
    if array.ndim != len(spec.shape):
        array = array.reshape(len(array), *(size for size in spec.shape[1:]))
    return array
