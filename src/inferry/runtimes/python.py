"""Python models: a plain class or function of the user's own.

Data flow: file -> class with `predict` -> made, `load()` called -> a request's arrays in
the form that `predict` asks for by annotation -> whatever it returns as named arrays (for
an ``open`` signature: as a JSON value).
"""

from __future__ import annotations

import contextlib
import inspect
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from inferry.errors import ModelFailed
from inferry.runtimes.answers import as_json, as_tensors
from inferry.runtimes.proof import batch_curve, proven_batchable
from inferry.runtimes.tensors import Array, answer_rows, as_text, datatype_of, example_body, head, rows_of
from inferry.runtimes.usercode import find_model, form_of, import_file, parts, shape_input, told
from inferry.types.columns import sample_of
from inferry.types.sample import Sample
from inferry.types.signature import Inspection, Signature, TensorSpec, as_example
from inferry.types.text import raised

SHOWN_PARTS = 16  # of an answer in parts, as the example's answer


class PythonRuntime:
    """The runtime plugin "python"."""

    imports: ClassVar[tuple[str, ...]] = ()
    borrows: ClassVar[bool] = False
    computes_beside: ClassVar[bool] = False

    def load(self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None) -> PythonModel:
        """Import the file, make the object and call its `load`. Option `class`: which one."""
        started = time.perf_counter()
        with told("loading"), contextlib.chdir(artifact):
            module = import_file(artifact, artifact / entry)
            found = find_model(module, options.get("class"))
            model = _make(found, artifact) if isinstance(found, type) else None
        call = model.predict if model is not None else found
        about = model if model is not None else module
        return PythonModel(call, about, signature, (time.perf_counter() - started) * 1000)


def _make(found: type, artifact: Path) -> Any:
    model = found()
    load = getattr(model, "load", None)
    if callable(load):
        load(path=artifact) if "path" in inspect.signature(load).parameters else load()
    return model


class PythonModel:
    """A predict function, the form that its argument takes and what its author says of it."""

    def __init__(self, call: Callable[[Any], Any], about: Any, signature: Signature | None, load_ms: float) -> None:
        self._call = call
        self._about = about
        self._form = form_of(call)
        self._signature = signature
        self._load_ms = load_ms

    def predict(self, inputs: Any) -> Any:
        """Call the user's predict. What it raises becomes ModelFailed; the traceback goes to the log."""
        value = self._answer(inputs)
        signature = self._signature
        if signature is None or signature.kind == "open":
            return parts(value) if isinstance(value, Iterator) else as_json(value)
        answer = as_tensors(value)
        wanted = [spec.name for spec in signature.outputs]
        if wanted and sorted(answer) != sorted(wanted):
            raise ModelFailed(f"The model answered {', '.join(answer)} where it used to answer {', '.join(wanted)}.")
        rows = rows_of(inputs)
        if signature.batchable and any(len(array) != rows for array in answer.values()):
            raise ModelFailed(f"The model answered another number of rows than the {rows} it was given.")
        return answer

    def _answer(self, inputs: Any) -> Any:
        signature = self._signature
        kind = signature.kind if signature else "open"
        if kind != "open" and signature:
            for spec in signature.inputs:
                if spec.datatype == "BYTES":
                    inputs = {**inputs, spec.name: as_text(inputs[spec.name])}
        try:
            return self._call(shape_input(inputs, self._form, kind))
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise ModelFailed(f"The model raised {raised(error)}") from error

    def describe(self, sample: Sample | None) -> Inspection:
        """Signature from the sample, else from the author's `example`, else open."""
        if sample is None and getattr(self._about, "example", None) is not None:
            sample = sample_of(_unframed(self._about.example))
        if sample is None:
            return self._open(None, "No sample was given, so any JSON is taken: give one for checks and an example.")
        if sample.kind == "value":
            return self._open(sample, "The sample is not made of rows or arrays, so any JSON is taken.")
        table = sample.kind == "table"
        inputs = {name or "input": array for name, array in sample.tensors.items()}
        specs = tuple(_input_spec(name, array) for name, array in inputs.items())
        self._signature = Signature(kind="table" if table else "tensors", inputs=specs)
        example = head(inputs)
        started = time.perf_counter()
        value = self._answer(example)
        predict_ms = (time.perf_counter() - started) * 1000
        if isinstance(value, Iterator):
            return self._open(sample, "The model answers in parts, so any JSON is taken and given.")
        try:
            answer = as_tensors(value)
        except ModelFailed as error:
            return self._open(sample, f"{error.message} So any JSON is taken and given.")
        rows = rows_of(example)
        outputs = tuple(self._output_spec(name, array, rows) for name, array in answer.items())
        signature = Signature(kind=self._signature.kind, inputs=specs, outputs=outputs)
        self._signature = signature
        wanted = getattr(self._about, "batchable", False) is True
        proven = wanted and proven_batchable(self.predict, specs, inputs)
        notes = () if proven or not wanted else ("The model says batchable, but stacked rows got other answers.",)
        self._signature = Signature(kind=signature.kind, inputs=specs, outputs=outputs, batchable=proven)
        return Inspection(
            signature=self._signature,
            example=as_example(example_body(signature, example)),
            answer=answer_rows(signature, answer),
            task="classification" if any(spec.labels for spec in outputs) else "",
            notes=notes,
            load_ms=self._load_ms,
            predict_ms=predict_ms,
            batch_us=batch_curve(self.predict, inputs) if proven else {},
        )

    def _open(self, sample: Sample | None, note: str) -> Inspection:
        self._signature = Signature(kind="open")
        if sample is None:
            return Inspection(signature=self._signature, notes=(note,), load_ms=self._load_ms)
        given = sample.value if sample.kind == "value" else _body(sample)
        started = time.perf_counter()
        answer = self.predict(given)
        if isinstance(answer, Iterator):
            answer = list(islice(answer, SHOWN_PARTS))
        return Inspection(
            signature=self._signature,
            example=as_example({"inputs": given}),
            answer=None if isinstance(answer, bytes) else answer,
            notes=(note,),
            load_ms=self._load_ms,
            predict_ms=(time.perf_counter() - started) * 1000,
        )

    def _output_spec(self, name: str, array: Array, rows: int) -> TensorSpec:
        labels = tuple(getattr(self._about, "labels", None) or ())
        fits = array.dtype.kind == "f" and array.ndim == 2 and array.shape[1] == len(labels)
        first = -1 if len(array) == rows else len(array)
        if not fits:
            return TensorSpec(name=name, datatype=datatype_of(array), shape=(first,) + (-1,) * (array.ndim - 1))
        return TensorSpec(name=name, datatype=datatype_of(array), shape=(first, len(labels)), labels=labels)


def _body(sample: Sample) -> Any:
    shown = Signature(kind="table" if sample.kind == "table" else "tensors")
    body = example_body(shown, head(sample.tensors))
    return body["inputs"] if isinstance(body, dict) else body


def _unframed(example: Any) -> Any:
    return example.to_dict(orient="list") if hasattr(example, "columns") and hasattr(example, "to_dict") else example


def _input_spec(name: str, array: Array) -> TensorSpec:
    text = array.dtype.kind == "O"
    missing = (
        any(value is None for value in array.ravel()) if text else array.dtype.kind == "f" and np.isnan(array).any()
    )
    return TensorSpec(name=name, datatype=datatype_of(array), shape=(-1, *array.shape[1:]), nullable=bool(missing))
