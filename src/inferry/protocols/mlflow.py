"""MLflow's scoring protocol: a data frame or tensors in, `{"predictions": ...}` out.

A body has exactly one of

    {"dataframe_split": {"columns": ["age", "job"], "data": [[41, "clerk"], ...]}}
    {"dataframe_records": [{"age": 41, "job": "clerk"}, ...]}
    {"inputs": {"age": [41, ...], "job": ["clerk", ...]}}     or the lone input's array
    {"instances": [{"age": 41, "job": "clerk"}, ...]}          or the lone input's rows

and perhaps `params`, of which our models have none: they are looked at and passed over, as
MLflow does with those that a model does not have. So are columns that the model does not take.
The answer is what MLflow makes of a model's `predict`: the values of the one output, the labels of
a classifier, else one record a row. NaN, Infinity and -Infinity are read and written as such.

Data flow: body -> `Frames` -> Call; answer arrays -> JSON.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from inferry.errors import InferryError, InvalidInput, ModelFailed
from inferry.interfaces.codec import Call, Encoded
from inferry.protocols import answers, json_nan
from inferry.protocols.dataframes import Frames
from inferry.protocols.forms import mlflow_error
from inferry.protocols.rows import Read
from inferry.types.frames import CONTENT_JSON, Request
from inferry.types.signature import Signature

FORMS = ("dataframe_split", "dataframe_records", "inputs", "instances")

HINT = (
    "Send an object with exactly one of dataframe_split, dataframe_records, inputs and instances, "
    'such as {"dataframe_split": {"columns": [...], "data": [[...]]}}.'
)

UNSET = msgspec.UNSET


class BadForm(InvalidInput):
    """The body is none of the forms; MLflow has a word of its own for that."""


class _Split(msgspec.Struct, forbid_unknown_fields=True):
    data: list[list[Any]]
    columns: list[str | int | float | bool | None] | None = None
    index: Any = None


class _Body(msgspec.Struct):
    dataframe_split: _Split | msgspec.UnsetType = UNSET
    dataframe_records: list[dict[str, Any]] | msgspec.UnsetType = UNSET
    inputs: Any = UNSET
    instances: list[Any] | msgspec.UnsetType = UNSET
    params: dict[str, Any] | None = None


class MlflowCodec:
    """Reads JSON and writes predictions, for one signature."""

    def __init__(self, signature: Signature) -> None:
        self._open = signature.kind == "open"
        self._whole = msgspec.json.Decoder() if signature.whole else None
        self._frames = Frames(signature)
        self._decoder = msgspec.json.Decoder(_Body)

    def decode(self, request: Request) -> Call:
        """A Call from a request body. Raises InvalidInput."""
        inputs, rows = self._read(request.body)
        return Call(inputs=inputs, rows=rows)

    def _read(self, data: bytes | memoryview) -> Read:
        if self._whole is not None:
            return json_nan.parse(self._whole, data, HINT, self._frames.nan), 0
        try:
            body: _Body = json_nan.parse(self._decoder, data, HINT, self._frames.nan)
        except InvalidInput as error:
            raise BadForm(error.message, help=error.help) from None
        given = [form for form in FORMS if getattr(body, form) is not UNSET]
        if len(given) != 1:
            came = f"has {' and '.join(given)}" if given else "has no input"
            raise BadForm(f"The body {came}.", help=HINT)
        if body.dataframe_split is not UNSET:
            split = body.dataframe_split
            names = None if split.columns is None else [str(name) for name in split.columns]
            return self._frames.from_table(names, split.data)
        if body.dataframe_records is not UNSET:
            return self._frames.from_records(body.dataframe_records)
        if body.instances is not UNSET:
            return self._frames.from_instances(body.instances)
        return self._frames.from_inputs(body.inputs)

    def encode(self, call: Call, outputs: Any) -> Encoded:
        """The answer's body."""
        predictions = answers.jsonable(outputs) if self._open else _predictions(outputs, call.rows)
        return Encoded(CONTENT_JSON, 0, json_nan.write({"predictions": predictions}))

    def encode_many(self, calls: list[Call], outputs: Any) -> list[Encoded] | None:
        """The answers of calls that ran together; None unless there is one value for each row. Raises as `encode`
        does."""
        rows = sum([call.rows for call in calls])
        predictions = None if self._open else _predictions(outputs, rows)
        return (
            json_nan.write_parts(predictions, calls) if type(predictions) is list and len(predictions) == rows else None
        )

    def refuse(self, error: InferryError) -> bytes:
        """The error in MLflow's form."""
        return mlflow_error(error, "BAD_REQUEST" if isinstance(error, BadForm) else "")


def _predictions(outputs: dict[str, Any], rows: int) -> Any:
    """What the model's `predict` would have returned."""
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    if not arrays:
        raise ModelFailed("The model answered nothing.")
    if "label" in arrays:  # a classifier's own answer; its probabilities come from another method
        arrays = {"label": arrays["label"]}
    columns = {name: answers.values(array) for name, array in arrays.items()}
    if len(columns) == 1:
        return next(iter(columns.values()))
    if any(array.shape[:1] != (rows,) for array in arrays.values()):
        return columns
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
