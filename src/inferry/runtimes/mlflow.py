"""MLflow models of any flavor, as MLflow's own Python functions.

Data flow: folder -> mlflow.pyfunc.load_model -> its signature: columns as a table, tensors as tensors (none: the
sample's) -> the input example as the sample, when none was given -> `predict`: columns -> data frame, tensors ->
arrays -> what the model's predict returns, as named outputs. A signature of nested values takes any JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from inferry.errors import InferryError, InvalidModel
from inferry.runtimes.arrays import ArrayModel, Opened
from inferry.runtimes.handlers import HandlerModel
from inferry.runtimes.tensors import DTYPES, Array, from_sample, head
from inferry.runtimes.usercode import told
from inferry.types.columns import sample_of
from inferry.types.sample import Sample
from inferry.types.signature import Inspection, Signature, TensorSpec

COLUMNS = {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64",
           "string": "BYTES", "binary": "BYTES", "datetime": "BYTES"}  # fmt: skip
MISSING = {"FP32": np.nan, "FP64": np.nan, "BYTES": None}


class MlflowRuntime:
    """The runtime plugin "mlflow"."""

    imports: ClassVar[tuple[str, ...]] = ()
    borrows: ClassVar[bool] = False
    computes_beside: ClassVar[bool] = False

    def load(
        self, artifact: Path, entry: str, options: dict[str, Any], signature: Signature | None
    ) -> MlflowModel | HandlerModel:
        """Load the folder with MLflow. Only ever called inside the sandbox."""
        started = time.perf_counter()
        folder = artifact / entry
        os.environ |= {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_TRACKING_URI": "file:/nowhere",
        }
        with told("loading"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mlflow.pyfunc

            model = mlflow.pyfunc.load_model(str(folder))
        schema = model.metadata.get_input_schema()
        fields = schema.to_dict() if schema is not None else []
        specs = specs_of(fields)
        load_ms = (time.perf_counter() - started) * 1000
        if specs is None:
            return HandlerModel(model.predict, load_ms, whole=False)
        kinds = {name: field.get("type", "") for name, field in zip([s.name for s in specs], fields, strict=True)}
        call = Call(model.predict, kinds, names=any("name" in field for field in fields))
        if signature is not None:
            call.table, call.known = signature.kind == "table", bool(specs)
        opened = Opened(
            call=call,
            inputs=specs,
            table=bool(fields) and fields[0].get("type") != "tensor",
            floats="FP64",
            nullable=True,
            details={"flavors": ", ".join(sorted(model.metadata.flavors))},
        )
        return MlflowModel(opened, signature, load_ms, lambda: example_of(model, folder))


class Call:
    """A model's predict, fed by named arrays."""

    def __init__(self, predict: Any, kinds: dict[str, str], *, names: bool) -> None:
        self._predict = predict
        self._kinds = kinds
        self._names = names
        self.table = bool(kinds) and "tensor" not in kinds.values()
        self.known = bool(kinds)

    def __call__(self, inputs: dict[str, Array]) -> Any:
        """What MLflow answers to a data frame, an array or arrays by name."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._predict(self._shaped(inputs))

    def _shaped(self, inputs: dict[str, Array]) -> Any:
        if not self.table:
            lone = len(inputs) == 1 and not (self.known and self._names)
            return next(iter(inputs.values())) if lone else inputs
        import pandas as pd

        columns = {name: self._column(name, array) for name, array in inputs.items()}
        frame = pd.DataFrame(columns)
        if self.known and not self._names:
            frame.columns = pd.RangeIndex(len(columns))
        return frame

    def _column(self, name: str, array: Array) -> Any:
        import pandas as pd

        kind = self._kinds.get(name)
        if kind == "datetime":
            return pd.to_datetime(pd.Series(array))
        return [text if text is None else text.encode() for text in array] if kind == "binary" else array


class MlflowModel(ArrayModel):
    """An ArrayModel whose columns may be missing where the model answers without them."""

    def __init__(self, opened: Opened, signature: Signature | None, load_ms: float, example: Any) -> None:
        super().__init__(opened, signature, load_ms)
        self._call: Any = opened.call
        self._example = example

    def describe(self, sample: Sample | None) -> Inspection:
        """With the model's own input example, when there is no sample."""
        notes = self.opened.notes
        if sample is None:
            sample = self._example()
            notes += ("The example is the model's own input example.",) if sample is not None else ()
        specs = tuple(self.opened.inputs)
        if not specs:
            if sample is None:
                raise InvalidModel(
                    "The MLmodel file has no signature and no input example.",
                    help="Give a sample with a few rows: inferry deploy FOLDER --sample FILE.",
                )
            self._call.table = sample.kind == "table"
        elif sample is not None and self._call.table:
            specs = self._with_missing(specs, head(from_sample(specs, sample)))
        self.opened = dataclasses.replace(self.opened, inputs=specs, notes=notes)
        return super().describe(sample)

    def _with_missing(self, specs: Sequence[TensorSpec], rows: dict[str, Array]) -> tuple[TensorSpec, ...]:
        """A column is nullable when rows without it still get an answer: first all such columns, then each alone."""
        tried = [spec.name for spec in specs if spec.datatype in MISSING]
        gone = set(tried) if self._answers(specs, rows, tried) else {
            name for name in tried[:256] if self._answers(specs, rows, [name])
        }  # fmt: skip
        return tuple(
            TensorSpec(
                name=spec.name, datatype=spec.datatype, shape=spec.shape, nullable=spec.name in gone or spec.nullable
            )
            for spec in specs
        )

    def _answers(self, specs: Sequence[TensorSpec], rows: dict[str, Array], gone: list[str]) -> bool:
        datatypes = {spec.name: spec.datatype for spec in specs}
        holed = dict(rows)
        for name in gone:
            holed[name] = rows[name].astype(DTYPES[datatypes[name]])
            holed[name][0] = MISSING[datatypes[name]]
        try:
            self.predict(holed)
        except InferryError:
            return False
        return True


def specs_of(fields: list[dict[str, Any]]) -> tuple[TensorSpec, ...] | None:
    """Input specs of a schema as MLflow writes it; () without one, None for nested values (arrays, objects, maps)."""
    specs = []
    for at, field in enumerate(fields):
        name = str(field.get("name", at))
        if field.get("type") == "tensor":
            tensor = field["tensor-spec"]
            datatype = datatype_named(str(tensor["dtype"]))
            if datatype is None:
                return None
            name = name if "name" in field or len(fields) > 1 else "input"
            specs.append(TensorSpec(name=name, datatype=datatype, shape=tuple(tensor["shape"])))
        elif field.get("type") in COLUMNS:
            optional = field.get("required") is False
            specs.append(TensorSpec(name=name, datatype=COLUMNS[field["type"]], shape=(-1,), nullable=optional))
        else:
            return None
    return tuple(specs)


def datatype_named(dtype: str) -> str | None:
    """The protocol's name of a numpy dtype."""
    with contextlib.suppress(TypeError):
        wanted = np.dtype(dtype)
        if wanted.kind in "USO":
            return "BYTES"
        return next((name for name, known in DTYPES.items() if known == wanted), None)
    return None


def example_of(model: Any, folder: Path) -> Sample | None:
    """The input example that was saved with the model."""
    if not model.metadata.saved_input_example_info:
        return None
    try:
        example = model.metadata.load_input_example(str(folder))
    except Exception:  # noqa: BLE001  an example is only a convenience: a sample can be given
        return None
    if hasattr(example, "to_dict") and hasattr(example, "columns"):
        example = {str(name): column.tolist() for name, column in example.items()}
    try:
        return sample_of(example)
    except InferryError:
        return None
