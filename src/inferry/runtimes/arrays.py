"""Array models: what most frameworks come down to, a function from named arrays to named arrays.

A runtime opens its file and gives an ArrayModel the function, and what the file says of its inputs;
the rest is the same for all: inputs from the sample where the file is silent, an example answered,
outputs described, batching proven and timed.

    class MyRuntime(ArrayRuntime):
        imports = ("my_framework",)

        def open(self, path, options):
            net = my_framework.load(path)
            return Opened(call=lambda inputs: net(inputs["x"]), inputs=(TensorSpec(...),))

Data flow: `open` -> Opened -> ArrayModel; `describe(sample)` -> Inspection; `predict(inputs)` -> whatever
the function returned (array, list, tuple, dict, data frame) as named arrays.
"""

from __future__ import annotations

import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from inferry.errors import InferryError, InvalidInput, InvalidModel, ModelFailed
from inferry.interfaces.runtime import LoadedModel
from inferry.runtimes.answers import as_tensors
from inferry.runtimes.proof import answer_example, batch_curve, proven_batchable
from inferry.runtimes.tensors import (
    DTYPES,
    Array,
    answer_rows,
    as_text,
    datatype_of,
    example_body,
    from_sample,
    head,
    made_up,
    rows_of,
)
from inferry.types.sample import Sample
from inferry.types.signature import Inspection, Scalar, Signature, TensorSpec, as_example
from inferry.types.text import raised

MADE_UP_SIZES = (1, 2, 8, 32, 224)
_SAMPLE_HELP = "Give a sample: inferry deploy PATH --sample FILE with a few rows or arrays as the model takes them."


@dataclass(kw_only=True)
class Opened:
    """A model as its framework opened it.

    `call`: named arrays (dtypes and ranks as `inputs` say; text as object arrays of str) -> the answer.
    `inputs`: what it takes, as far as its file says; empty: taken from the sample. `table`: the inputs are
    columns, one value a row. `floats`: the datatype that the sample's numbers with a fraction become
    when `inputs` is empty. `adapt`: gives the sample as the model takes it. `outputs`: the datatypes and shapes that
    the file promises, by name.
    `labels`: the class of each column of the output `scores` (default: "probabilities"). `independent`: the
    framework promises that rows do not influence each other. `nullable`: cells of the sample's columns may be missing.
    `example`: an input that the model answers, where there is no sample. `stacks`: whether rows of several requests
    may be computed together, if that proves right. `writer`: what also answers OpenAI's bodies.
    `tokens`: how many tokens the model reads of texts, one number each. `native`: the framework's own model, for
    a converter.
    """

    call: Callable[[dict[str, Array]], Any]
    inputs: Sequence[TensorSpec] = ()
    table: bool = False
    floats: str = "FP32"
    adapt: Callable[[Sample], Sample] | None = None
    outputs: Sequence[TensorSpec] = ()
    labels: Sequence[Scalar] = ()
    scores: str = "probabilities"
    task: str = ""
    independent: bool = False
    nullable: bool = False
    example: Mapping[str, Array] = field(default_factory=dict)
    stacks: bool = True
    writer: Any = None
    tokens: Callable[[Sequence[str]], list[int]] | None = None
    details: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    native: Any = None


class ArrayRuntime(ABC):
    """A runtime whose models are ArrayModels. Subclasses say `open`, and what to import beforehand."""

    imports: ClassVar[tuple[str, ...]] = ()
    borrows: ClassVar[bool] = False
    computes_beside: ClassVar[bool] = False

    @abstractmethod
    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Open the model at `path`. Whatever this raises is told as an InvalidModel."""

    def load(self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None) -> LoadedModel:
        """Open `artifact/entry`. Options: those that detection gave, and `threads` for one prediction."""
        started = time.perf_counter()
        try:
            opened = self.open(artifact / entry, options)
        except (InferryError, MemoryError):
            raise
        except ModuleNotFoundError as error:
            traceback.print_exc(file=sys.stderr)
            raise InvalidModel(
                f"The model needs the Python module {error.name!r}, which its environment does not have.",
                help="Name its package in a requirements.txt beside the model.",
            ) from error
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise InvalidModel(
                f"The model cannot be loaded: {raised(error)}", help="Is the file whole, and of this framework?"
            ) from error
        return self.model(opened, signature, (time.perf_counter() - started) * 1000)

    def model(self, opened: Opened, signature: Signature | None, load_ms: float) -> LoadedModel:
        """What answers, of an opened model."""
        return ArrayModel(opened, signature, load_ms)


class ArrayModel:
    """An opened model with its signature, once that is known."""

    def __init__(self, opened: Opened, signature: Signature | None, load_ms: float) -> None:
        self.opened = opened
        self._load_ms = load_ms
        self._signature = signature
        self._names = [spec.name for spec in signature.outputs] if signature else []
        self.tokens = opened.tokens
        self._use(signature.inputs if signature else tuple(opened.inputs))

    def _use(self, specs: Sequence[TensorSpec]) -> None:
        self._order = [spec.name for spec in specs]
        self._text = {spec.name for spec in specs if spec.datatype == "BYTES"}

    def predict(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Call the model, its inputs in the signature's order. What it raises becomes ModelFailed, and is logged."""
        inputs = {name: as_text(inputs[name]) if name in self._text else inputs[name] for name in self._order}
        try:
            answer = as_tensors(self.opened.call(inputs))
        except (InferryError, MemoryError):
            raise
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            raise ModelFailed(f"The model raised {raised(error)}") from error
        if self._names and sorted(answer) != sorted(self._names):
            raise ModelFailed(f"The model answered {', '.join(answer)} where it used to answer {self._names}.")
        return answer

    def describe(self, sample: Sample | None) -> Inspection:
        """Signature from the file and the sample; an example answered; batching proven and timed."""
        opened = self.opened
        if sample is not None and opened.adapt is not None:
            sample = opened.adapt(sample)
        table = opened.table or (not opened.inputs and sample is not None and sample.kind == "table")
        specs = tuple(opened.inputs) or self._specs_of(sample)
        self._use(specs)
        whole = from_sample(specs, sample) if sample else dict(opened.example) or self._made_up(specs)
        example = head(whole)
        started = time.perf_counter()
        answer = answer_example(self.predict, example)
        predict_ms = (time.perf_counter() - started) * 1000
        by_row = bool(rows_of(example)) and all(len(array) == rows_of(example) for array in answer.values())
        stacks = by_row and opened.stacks
        batchable = stacks and proven_batchable(self.predict, specs, whole, by_contract=opened.independent)
        signature = Signature(
            kind="table" if table else "tensors",
            inputs=specs,
            outputs=tuple(self._output(name, array, specs, by_row=by_row) for name, array in answer.items()),
            batchable=batchable,
        )
        made_up_note = ("The example input is made up: give a sample to see real values.",)
        return Inspection(
            signature=signature,
            example=as_example(example_body(signature, example)),
            answer=answer_rows(signature, answer),
            task=opened.task or ("classification" if opened.labels else ""),
            details=opened.details,
            notes=(*opened.notes, *(() if sample else made_up_note)),
            load_ms=self._load_ms,
            predict_ms=predict_ms,
            batch_us=batch_curve(self.predict, whole) if batchable else {},
        )

    def _specs_of(self, sample: Sample | None) -> tuple[TensorSpec, ...]:
        """Inputs as the sample shows them, where the file does not say what it takes."""
        if sample is None or sample.kind == "value":
            raise InvalidModel("The file does not say what the model takes.", help=_SAMPLE_HELP)
        specs = []
        for name, array in sample.tensors.items():
            datatype = datatype_of(array)
            if array.dtype.kind == "f" and array.dtype.itemsize == DTYPES["FP64"].itemsize:
                datatype = self.opened.floats
            missing = self.opened.nullable and (array.dtype.kind in "fO")
            shape = (-1, *array.shape[1:])
            specs.append(TensorSpec(name=name or "input", datatype=datatype, shape=shape, nullable=missing))
        return tuple(specs)

    def _made_up(self, specs: tuple[TensorSpec, ...]) -> dict[str, Array]:
        """A small input that the model answers: free sizes are tried from small to large."""
        refusal: InferryError | None = None
        for size in MADE_UP_SIZES:
            inputs = made_up(specs, size=size)
            try:
                self.predict(inputs)
            except (InvalidInput, ModelFailed) as error:
                refusal = refusal or error
            else:
                return inputs
        assert refusal is not None
        raise InvalidModel(f"The model could not answer a made-up input. {refusal.message}", help=_SAMPLE_HELP)

    def _output(self, name: str, array: Array, specs: tuple[TensorSpec, ...], *, by_row: bool) -> TensorSpec:
        """An output: sizes are fixed where the file says so, or where no input's size but the first is free."""
        promised = {spec.name: spec for spec in self.opened.outputs}.get(name)
        if promised is not None and len(promised.shape) == array.ndim:
            return promised
        fixed = all(size >= 0 for spec in specs for size in spec.shape[1:])
        rest = array.shape[1:] if fixed else (-1,) * (array.ndim - 1)
        labels: tuple[Scalar, ...] = ()
        if name == self.opened.scores and array.ndim == 2 and array.shape[1] == len(self.opened.labels):
            labels, rest = tuple(self.opened.labels), array.shape[1:]
        shape = (-1 if by_row else len(array) if fixed else -1, *rest)
        return TensorSpec(name=name, datatype=datatype_of(array), shape=shape, labels=labels)


def stacked(inputs: Mapping[str, Array], dtype: Any = np.float32) -> Array:
    """The columns of a table as one matrix [rows, columns]; a lone matrix as it is. NaN is missing."""
    arrays = list(inputs.values())
    if len(arrays) == 1 and arrays[0].ndim > 1:
        return np.asarray(arrays[0], dtype=dtype)
    return np.column_stack([np.asarray(array, dtype=dtype) for array in arrays])
