"""scikit-learn models: any fitted estimator or pipeline, and what looks like one.

Data flow: artifact file -> fitted object -> `describe`: columns from its feature names, its
encoders and the sample; outputs by its role -> `predict`: columns -> matrix or data frame
-> its own `predict` (never an argmax of ours), `predict_proba`, `transform`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_limits

from inferry.errors import InferryError, InvalidInput, InvalidModel, ModelFailed
from inferry.runtimes.estimators import Call, calls_of, open_estimator, task_of, unfitted
from inferry.runtimes.feed import feed_for
from inferry.runtimes.once import Once
from inferry.runtimes.proof import answer_example, batch_curve, proven_batchable
from inferry.runtimes.table import Shape, shape_inputs
from inferry.runtimes.tensors import Array, answer_rows, as_output, datatype_of, example_body, head, rows_of
from inferry.types.sample import Sample
from inferry.types.signature import Inspection, Scalar, Signature, TensorSpec, as_example
from inferry.types.text import first_line, raised

MAX_TRIED = 256  # columns to try one by one without a value
_USERS_FAULT = ("unknown categories", "unknown category", "contains NaN", "infinity", "too large for dtype")


class SklearnRuntime:
    """The runtime plugin "sklearn"."""

    imports: ClassVar[tuple[str, ...]] = (
        "joblib", "pandas", "sklearn.compose", "sklearn.ensemble", "sklearn.linear_model", "sklearn.pipeline",
        "sklearn.preprocessing",
    )  # fmt: skip
    borrows: ClassVar[bool] = False
    computes_beside: ClassVar[bool] = False

    def load(
        self,
        artifact: Path,
        entry: str,
        options: dict[str, Any],
        signature: Signature | None,
    ) -> SklearnModel:
        """Unpickle and check. Only ever called inside the sandbox. Option `threads`: for one prediction (1)."""
        started = time.perf_counter()
        if options.get("threads", 1) > 1:
            threadpool_limits(options["threads"])
        return SklearnModel(open_estimator(artifact, entry), signature, started)


class SklearnModel:
    """A fitted estimator, how it is fed and which of its methods answer. `loaded`: the estimator itself."""

    def __init__(self, loaded: Any, signature: Signature | None, started: float) -> None:
        self.loaded = loaded
        self._task = task_of(loaded)
        self._once = Once(loaded)
        self._calls = calls_of(loaded, self._task)
        if signature:
            self._use(signature.inputs, table=signature.kind == "table")
            named = {spec.name for spec in signature.outputs}
            self._calls = {
                name: call
                for name, call in self._calls.items()
                if name in named or any(other.startswith(f"{name}_") for other in named)
            }
        self._load_ms = (time.perf_counter() - started) * 1000

    def _use(self, specs: tuple[TensorSpec, ...], *, table: bool) -> None:
        self._feed = feed_for(self.loaded, specs, table=table)

    def predict(self, inputs: dict[str, Array]) -> dict[str, Array]:
        """Every output that the signature names, from the estimator's own methods."""
        answers: dict[str, Array] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                fed = self._feed(inputs)
                for name, call in self._calls.items():
                    self._once.output()
                    answers.update(_named(name, call(fed)))
            except InferryError:
                raise
            except NotFittedError as error:
                raise unfitted(self.loaded) from error
            except Exception as error:
                if isinstance(error, ValueError) and any(words in str(error) for words in _USERS_FAULT):
                    raise InvalidInput(f"The model refuses this input: {first_line(error)}") from error
                raise ModelFailed(f"The model raised {raised(error)}") from error
            finally:
                self._once.forget()
        return answers

    def describe(self, sample: Sample | None) -> Inspection:
        """Signature from the estimator and the sample, tried on the sample's first rows."""
        shaped = shape_inputs(self.loaded, sample)
        self._use(shaped.specs, table=shaped.table)
        self._drop_failing(head(shaped.inputs))
        shaped = self._with_missing(shaped)
        inputs = head(shaped.inputs)
        started = time.perf_counter()
        answer = answer_example(self.predict, inputs)
        predict_ms = (time.perf_counter() - started) * 1000
        signature = Signature(
            kind="table" if shaped.table else "tensors",
            inputs=shaped.specs,
            outputs=self._output_specs(answer, rows_of(inputs)),
            batchable=proven_batchable(self.predict, shaped.specs, shaped.inputs, by_contract=True),
        )
        return Inspection(
            signature=signature,
            example=as_example(example_body(signature, inputs)),
            answer=answer_rows(signature, answer),
            task=self._task,
            details={"estimator": type(self.loaded).__name__},
            notes=shaped.notes,
            load_ms=self._load_ms,
            predict_ms=predict_ms,
            batch_us=batch_curve(self.predict, shaped.inputs) if signature.batchable else {},
        )

    def _drop_failing(self, inputs: dict[str, Array]) -> None:
        """Some estimators offer `predict_proba` and then refuse (SVC without probability, hard voting)."""
        optional = [name for name in self._calls if name in {"probabilities", "score"}]
        for name in optional:
            call: Call = self._calls.pop(name)
            answer_example(self.predict, inputs)
            self._calls[name] = call
            try:
                self.predict(inputs)
            except InferryError:
                del self._calls[name]

    def _with_missing(self, shaped: Shape) -> Shape:
        """A column is nullable when a row without it still gets an answer."""
        if not shaped.table:
            return shaped
        example = head(shaped.inputs)
        tried: dict[str, Array] = {}
        for spec in shaped.specs:
            column = None if spec.nullable else _without(spec, example)
            if column is not None:
                tried[spec.name] = column
        if self._answers({**example, **tried}):
            gone = set(tried)
        elif len(tried) <= MAX_TRIED:
            gone = {name for name, column in tried.items() if self._answers({**example, name: column})}
        else:
            gone = set()
        specs = tuple(_nullable(spec) if spec.name in gone else spec for spec in shaped.specs)
        inputs = {
            spec.name: shaped.inputs[spec.name].astype(np.float64)
            if spec.datatype == "FP64"
            else shaped.inputs[spec.name]
            for spec in specs
        }
        self._use(specs, table=True)
        return Shape(specs, inputs, table=True, notes=shaped.notes)

    def _answers(self, inputs: dict[str, Array]) -> bool:
        try:
            answer = self.predict(inputs)
        except InferryError:
            return False
        return not any(array.dtype.kind == "f" and np.isnan(array).any() for array in answer.values())

    def _output_specs(self, answer: Mapping[str, Array], rows: int) -> tuple[TensorSpec, ...]:
        specs = []
        for name, array in answer.items():
            if len(array) != rows:
                raise InvalidModel(f"The model answered {len(array)} values for {rows} rows in {name!r}.")
            labels = self._labels(name, array)
            specs.append(
                TensorSpec(name=name, datatype=datatype_of(array), shape=(-1, *array.shape[1:]), labels=labels)
            )
        return tuple(specs)

    def _labels(self, name: str, array: Array) -> tuple[Scalar, ...]:
        classes = getattr(self.loaded, "classes_", None)
        _, _, number = name.partition("probabilities_")
        if number and isinstance(classes, list):
            classes = classes[int(number)]
        if not name.startswith("probabilities") or classes is None or array.ndim != 2:
            return ()
        labels = as_output(classes, "classes_").tolist()
        return tuple(labels) if len(labels) == array.shape[1] else ()


def _named(name: str, value: Any) -> dict[str, Array]:
    """One output, or one for each target of a multi-output classifier's list of probabilities."""
    if hasattr(value, "toarray"):
        value = value.toarray()
    if name == "probabilities" and isinstance(value, list):
        return {f"{name}_{at}": as_output(part, name) for at, part in enumerate(value)}
    return {name: as_output(value, name)}


def _without(spec: TensorSpec, example: Mapping[str, Array]) -> Array | None:
    """The example column with nothing in its first row; None where the type has no nothing."""
    if spec.datatype not in {"FP64", "INT64", "BYTES"} or (spec.datatype == "INT64" and spec.categories):
        return None
    column = example[spec.name].astype(object if spec.datatype == "BYTES" else np.float64)
    column[0] = None if spec.datatype == "BYTES" else np.nan
    return column


def _nullable(spec: TensorSpec) -> TensorSpec:
    """Whole numbers have no "missing": such a column is FP64."""
    datatype = "BYTES" if spec.datatype == "BYTES" else "FP64"
    return msgspec.structs.replace(spec, datatype=datatype, nullable=True)
