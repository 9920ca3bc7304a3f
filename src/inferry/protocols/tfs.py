"""TensorFlow Serving's REST Predict, which is KServe v1's predict too.

    {"instances": [...]}  row form: one element a row     -> {"predictions": [...]}
    {"inputs": ...}       column form: whole arrays       -> {"outputs": ...}

Of a model with one output the answer holds bare values, of one with several an object for each
row, or an object of arrays. `signature_name` may be "serving_default": there is no other.
Bytes come as {"b64": "..."}; so are answered those that are not UTF-8, and all of an output
whose name ends in `_bytes`. NaN, Infinity and -Infinity are read and written as such.

Data flow: body -> `Rows` (the usual row form: `QuickRows`) -> Call, which keeps the form that was asked in;
answer arrays -> rows or columns -> JSON.
"""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InferryError, InvalidInput, ModelFailed
from inferry.interfaces.codec import Call, Encoded
from inferry.protocols import answers, json_nan, tensors
from inferry.protocols.forms import tfs_error
from inferry.protocols.quick import QuickRows
from inferry.protocols.rows import Rows
from inferry.protocols.tensors import Array
from inferry.types.frames import CONTENT_JSON, Request
from inferry.types.signature import Signature

SIGNATURES = ("", "serving_default")

HINT = 'Send {"instances": [...]} with one element for each row, or {"inputs": {...}} with an array for each input.'

BY_COLUMN: dict[str, Any] = {"by_column": True}


class _Body(msgspec.Struct):
    instances: list[Any] | msgspec.UnsetType = msgspec.UNSET
    inputs: Any = msgspec.UNSET
    signature_name: str | None = None


class PredictCodec:
    """Reads and writes Predict bodies for one signature."""

    def __init__(self, signature: Signature) -> None:
        self._open = signature.kind == "open"
        self._rows = Rows(signature)
        self._quick = QuickRows(signature, ("instances",), bare=False)
        self._decoder = msgspec.json.Decoder(_Body)

    def decode(self, request: Request) -> Call:
        """A Call from a request body. Raises InvalidInput."""
        read = self._quick.read(request.body)
        if read is not None:
            return Call(*read)
        body: _Body = json_nan.parse(self._decoder, request.body, HINT, self._rows.nan)
        check_signature(body.signature_name)
        options: dict[str, Any] = {}
        if body.instances is msgspec.UNSET:
            if body.inputs is msgspec.UNSET:
                raise InvalidInput("The body has neither 'instances' nor 'inputs'.", help=HINT)
            inputs, rows = self._rows.by_column(body.inputs)
            options = BY_COLUMN
        elif body.inputs is msgspec.UNSET:
            inputs, rows = self._rows.by_row(body.instances)
        else:
            raise InvalidInput("The body has both 'instances' and 'inputs'.", help=HINT)
        return Call(inputs=inputs, rows=rows, options=options)

    def encode(self, call: Call, outputs: Any) -> Encoded:
        """The answer's body, in the form that was asked in."""
        by_column = call.options is BY_COLUMN
        if self._open:
            answer = answers.jsonable(outputs)
        elif not outputs:
            raise ModelFailed("The model answered nothing.")
        else:
            arrays = {name: np.asarray(value) for name, value in outputs.items()}
            answer = _whole(arrays) if by_column else _by_row(arrays, call.rows)
        body = {"outputs" if by_column else "predictions": answer}
        return Encoded(CONTENT_JSON, 0, json_nan.write(body))

    def encode_many(self, calls: list[Call], outputs: Any) -> list[Encoded] | None:
        """The answers of calls that ran together; None when one asked in the column form. Raises as `encode` does."""
        if self._open or any(call.options is BY_COLUMN or call.rows < 1 for call in calls):
            return None
        arrays = {name: np.asarray(value) for name, value in outputs.items()}
        return json_nan.write_parts(_by_row(arrays, sum([call.rows for call in calls])), calls)

    def refuse(self, error: InferryError) -> bytes:
        """The error in TensorFlow Serving's form."""
        return tfs_error(error)


def check_signature(name: str | None) -> None:
    """Refuse any signature but the default one."""
    if name and name not in SIGNATURES:
        raise InvalidInput(
            f"Serving signature name: {name[:60]!r} not found in signature def.",
            help="Leave signature_name out, or send 'serving_default'.",
        )


def _whole(arrays: dict[str, Array]) -> Any:
    """The one output's values, or all outputs' by name."""
    columns = {name: _values(name, array) for name, array in arrays.items()}
    return columns if len(columns) > 1 else next(iter(columns.values()))


def _by_row(arrays: dict[str, Array], rows: int) -> list[Any]:
    """One element for each row; the lone element of a model without rows is its whole answer."""
    if rows < 1:
        return [_whole(arrays)]
    for name, array in arrays.items():
        if not array.shape or array.shape[0] != rows:
            raise InvalidInput(
                f"Output {name!r} has the shape {tensors.show_shape(array.shape)}: that is not one value for each row.",
                help="Ask in the column form, with 'inputs'.",
            )
    columns = [_values(name, array) for name, array in arrays.items()]
    if len(columns) == 1:
        lone: list[Any] = columns[0]
        return lone
    return [dict(zip(arrays, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(name: str, array: Array) -> Any:
    """An output as nested lists."""
    if not (name.endswith("_bytes") and array.dtype.kind in "OSU"):
        return answers.values(array)
    encoded = [{"b64": base64.b64encode(tensors.to_bytes(element)).decode()} for element in array.reshape(-1).tolist()]
    return tensors.objects(encoded).reshape(array.shape).tolist()
