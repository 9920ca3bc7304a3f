"""Plain JSON: what people type at `POST /predict/{endpoint}`, and answers people read.

A body is one of these, as it is or under the single key "inputs" (or "instances"):

    [{"age": 41, "job": "clerk"}, ...]      records: one object a row, keys in any order
    [[41, "clerk"], ...]                    rows: one list a row, in the signature's order
    {"age": [41, ...], "job": ["clerk"...]} columns, or named arrays
    {"age": 41, "job": "clerk"}             one record
    [41, "clerk"] or [5.1, 3.5, 1.4, 0.2]   one row
    [[[...]]]                               the array itself, for a model with one input
    41                                      a value, for a model with one value a row

The signature decides between them: a dict whose values have the depth of one row is a
record, one level deeper it is columns. For a model that takes a single value a row (one
column, or one input of shape [-1, 1]) a bare list of values is a column: n values, n rows;
such inputs take and give a value in place of a list of one. An open signature takes any
JSON value.

Data flow: body -> `unwrap` -> nested lists by input name -> `flatten` + `read_cells` ->
arrays -> Call with `rows`; answer arrays -> `predictions`, one object a row -> JSON. Rows of numbers
and records of plain values, which is most of what comes, go the short way of `quick`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from types import GenericAlias
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InferryError, InvalidInput
from inferry.interfaces.codec import Call, Encoded
from inferry.media.kinds import CONTENTS, HEAD, kind_of
from inferry.protocols import answers, csv_answer, tensors
from inferry.protocols.cells import (
    LISTS,
    decode_b64,
    flatten,
    is_file,
    list_names,
    locate,
    pack_columns,
    parse,
    read_cells,
    read_files,
    shown,
    takes_null,
    unknown_name,
)
from inferry.protocols.forms import plain_error
from inferry.protocols.plans import keep
from inferry.protocols.predictions import Predictions
from inferry.protocols.quick import WRAPPERS, QuickRows
from inferry.protocols.tensors import Array
from inferry.types.frames import CONTENT_CSV, CONTENT_JSON, FLAG_CSV, Request
from inferry.types.signature import Signature, TensorSpec

AS_CSV: dict[str, Any] = {"csv": True}


class PlainCodec:
    """Reads and writes plain JSON for one signature."""

    def __init__(self, signature: Signature) -> None:
        self._signature = signature
        self._open = signature.kind == "open"
        self._whole = signature.whole
        self._word = "column" if signature.kind == "table" else "input"
        self._specs = signature.inputs
        self._names = frozenset(spec.name for spec in signature.inputs)
        self._predictions = Predictions(signature)
        self._quick = QuickRows(signature)
        self._by_row = all(tensors.by_row(spec) for spec in signature.inputs)
        self._decoder = msgspec.json.Decoder()
        self._heads: dict[tuple[str, str], bytes] = {}
        self._flat: Any = None
        if signature.inputs and all(spec.shape == (-1,) for spec in signature.inputs):
            lists = tuple(LISTS[spec.datatype, takes_null(spec, spec.datatype)] for spec in signature.inputs)
            self._flat = GenericAlias(tuple, lists)
        self.hint = _hint(signature)

    def decode(self, request: Request) -> Call:
        """A Call from a request body. Raises InvalidInput."""
        read = self._quick.read(request.body)
        if read is not None:
            return self.call(request, read)
        value = self._unwrap(parse(self._decoder, request.body, self.hint))
        return self.call(request, (value, 0) if self._open else self.arrays(self._named(value)))

    def call(self, request: Request, read: tuple[Any, int]) -> Call:
        """The Call of a request whose inputs and rows were read."""
        inputs, rows = read
        return Call(
            inputs=inputs,
            rows=rows,
            name=request.name,
            version=request.version,
            options=AS_CSV if request.flags & FLAG_CSV else {},
        )

    def arrays(self, named: dict[str, Any]) -> tuple[dict[str, Array], int]:
        """The checked arrays of all inputs and their rows, from nested lists by input name."""
        inputs = self._columns(named) if self._flat else None
        inputs = inputs or {spec.name: self._array(named[spec.name], spec) for spec in self._specs}
        return inputs, tensors.count_rows(self._signature, inputs)

    def _unwrap(self, value: Any) -> Any:
        if type(value) is dict and len(value) == 1 and not self._whole:
            (key,) = value
            # an input may itself be called "inputs"
            if key in WRAPPERS and (key not in self._names or type(value[key]) is dict):
                return value[key]
        return value

    def _named(self, value: Any) -> dict[str, Any]:
        """Nested lists, row dimension first, by input name."""
        lone = self._specs[0] if len(self._specs) == 1 else None
        if type(value) is dict and not _is_value(value, lone):
            return self.from_dict(value)
        if type(value) is not list:
            if lone:
                return {lone.name: lift(value, lone)}
            raise InvalidInput(f"The body is {shown(value)}, not rows.", help=self.hint)
        if not value and self._by_row:
            raise InvalidInput("The body has no rows.", help=self.hint)
        if value and type(value[0]) is dict and not (is_file(value[0], lone) or decode_b64(value[0]) is not None):
            return self.from_records(value)
        if lone and not (len(lone.shape) == 1 and _depth(value) == 2):
            return {lone.name: lift(value, lone)}
        return self.from_rows(value if value and type(value[0]) is list else [value])

    def from_dict(self, value: dict[str, Any]) -> dict[str, Any]:
        """Named arrays, columns, or one record: told apart by how deep the values are."""
        self.check_names(value, "")
        single: list[str] = []
        many: list[str] = []
        for spec in self._specs:
            if tensors.by_row(spec):
                (single if _is_row(value[spec.name], spec) else many).append(spec.name)
        if single and many:
            raise InvalidInput(
                f"One record or many? {list_names(single)} came as one value, {list_names(many)} as a list.",
                help="Send one value for each, or an equally long list for each.",
            )
        if single:
            return {spec.name: lift(value[spec.name], spec) for spec in self._specs}
        if self._signature.kind == "table":
            self._check_lengths(value)
        return value

    def _check_lengths(self, columns: dict[str, list[Any]]) -> None:
        first = columns[self._specs[0].name]
        for name, column in columns.items():
            if len(column) != len(first):
                raise InvalidInput(
                    f"Column {name!r} has {len(column)} values, column {self._specs[0].name!r} has {len(first)}.",
                    help="Send equally long columns.",
                )

    def from_records(self, records: list[Any]) -> dict[str, Any]:
        """Nested lists by input name, from one object a row."""
        if not self._by_row:
            if len(records) == 1:
                return self.from_dict(records[0])
            raise InvalidInput("This model takes one record at a time.", help=self.hint)
        for index, record in enumerate(records):
            if type(record) is not dict:
                raise InvalidInput(f"Row {index + 1}: expected an object, got {shown(record)}.", help=self.hint)
            if record.keys() != self._names:
                self.check_names(record, f"Row {index + 1}: ")
        return {spec.name: [record[spec.name] for record in records] for spec in self._specs}

    def from_rows(self, rows: list[Any]) -> dict[str, Any]:
        """Nested lists by input name, from one list a row in the signature's order."""
        size = len(self._specs)
        if not self._by_row and len(rows) > 1:
            raise InvalidInput("This model takes one row at a time.", help=self.hint)
        for index, row in enumerate(rows):
            if type(row) is not list:
                raise InvalidInput(f"Row {index + 1}: expected a list, got {shown(row)}.", help=self.hint)
            if len(row) != size:
                raise InvalidInput(
                    f"Row {index + 1} has {len(row)} values, but the model takes {size}: {list_names(self._order())}.",
                    help=self.hint,
                )
        if not self._by_row:
            return dict(zip(self._order(), rows[0], strict=True))
        return {name: list(column) for name, column in zip(self._order(), zip(*rows, strict=True), strict=True)}

    def _order(self) -> Iterable[str]:
        return [spec.name for spec in self._specs]

    def check_names(self, given: dict[str, Any], where: str) -> None:
        """Refuse names that the signature does not have, and missing ones."""
        missing = [name for name in self._order() if name not in given]
        for name in given:
            if name not in self._names:
                error = unknown_name(self._word, name, missing or self._order())
                raise InvalidInput(where + error.message, help=error.help)
        if missing:
            plural = "s" * (len(missing) > 1)
            raise InvalidInput(f"{where}Missing {self._word}{plural}: {list_names(missing)}.", help=self.hint)

    def _columns(self, named: dict[str, Any]) -> dict[str, Array] | None:
        """All columns of a table in one strict conversion; None when a value needs a closer look."""
        try:
            columns = msgspec.convert([named[spec.name] for spec in self._specs], self._flat)
            if not all(columns):
                return None
            return pack_columns(self._specs, columns, self._word)
        except (msgspec.ValidationError, OverflowError, struct.error):
            return None

    def _array(self, value: Any, spec: TensorSpec) -> Array:
        """The checked array of one input."""
        shape = spec.shape
        if type(value) is list and value and is_file(value[0], spec):
            files = read_files(value, locate(spec, (len(value),), self._word))
            return tensors.fit(files, "BYTES", spec, column=False)
        single = tensors.one_a_row(spec) and type(value) is list and _depth(value) == 1
        cells, found = flatten(value, shape[:1] if single else shape, f"{self._word.capitalize()} {spec.name!r}")
        if single:
            found = (len(cells), 1)
        if tensors.by_row(spec) and not found[0]:
            raise InvalidInput("The request has no rows.", help=self.hint)
        array = read_cells(cells, spec, locate(spec, found, self._word)).reshape(found)
        return tensors.fit(array, spec.datatype, spec, column=False)

    def encode(self, call: Call, outputs: Any) -> Encoded:
        """The answer's body: JSON, the file itself when the model answered one, or CSV when that was asked for."""
        file = lone_file(outputs)
        if file is not None:
            return file
        predictions = answers.jsonable(outputs) if self._open else self._predictions.rows(call.rows, outputs)
        if call.options is AS_CSV:
            return Encoded(CONTENT_CSV, 0, csv_answer.write(predictions))
        return self._written(call, predictions)

    def encode_many(self, calls: list[Call], outputs: Any) -> list[Encoded] | None:
        """The answers of calls that ran together; None when one is to be CSV, or may be a file."""
        if any(np.asarray(value).dtype == object for value in outputs.values()):
            return None
        if any(call.options is AS_CSV for call in calls):
            return None
        rows = sum([call.rows for call in calls])
        predictions, written, start = self._predictions.rows(rows, outputs), [], 0
        if len(predictions) != rows:
            return None
        for call in calls:
            written.append(self._written(call, predictions[start : start + call.rows]))
            start += call.rows
        return written

    def _written(self, call: Call, predictions: Any) -> Encoded:
        head = self._heads.get((call.name, call.version)) or self._head(call.name, call.version)
        return Encoded(CONTENT_JSON, 0, b"%b%b}" % (head, answers.write(predictions)))

    def _head(self, name: str, version: str) -> bytes:
        """What stands in front of the predictions of all answers of a version."""
        told = int(version) if version.isdecimal() and len(version) < 19 else version
        head = answers.write({"model": name, "version": told})[:-1] + b',"predictions":'
        keep(self._heads, (name, version), head)
        return head

    def refuse(self, error: InferryError) -> bytes:
        """The error in the plain form."""
        return plain_error(error)


def lone_file(outputs: Any) -> Encoded | None:
    """The answer of a model that answered one file and nothing else; None for any other."""
    if type(outputs) is dict and len(outputs) == 1:
        (outputs,) = outputs.values()
        if not isinstance(outputs, np.ndarray) or outputs.dtype != object or outputs.size != 1:
            return None
        outputs = outputs.reshape(-1)[0]
    if type(outputs) is not bytes:
        return None
    content = CONTENTS.get(kind_of(outputs[:HEAD]))
    return None if content is None else Encoded(content, 0, outputs)


def _depth(value: Any) -> int:
    """How many lists deep the first value is."""
    depth = 0
    while type(value) is list:
        depth += 1
        if not value:
            break
        value = value[0]
    return depth


def _is_value(value: Any, lone: TensorSpec | None) -> bool:
    """Whether a dict is the lone input's value: bytes in base64."""
    return lone is not None and (is_file(value, lone) or decode_b64(value) is not None)


def _is_row(value: Any, spec: TensorSpec) -> bool:
    """Whether a value is one row of the input, not an array of rows."""
    if type(value) is list and value and is_file(value[0], spec):
        return False
    return _depth(value) < (1 if tensors.one_a_row(spec) else len(spec.shape))


def lift(value: Any, spec: TensorSpec) -> Any:
    """Give a bare row its row dimension; leave everything else as it is."""
    return [value] if tensors.by_row(spec) and _is_row(value, spec) else value


def _hint(signature: Signature) -> str:
    """What to send, made from the signature."""
    if signature.kind == "open":
        return "Send any JSON value."
    words = {"BOOL": "true", "BYTES": '"text"'}
    if len(signature.inputs) == 1 and len(signature.inputs[0].shape) > 1:
        return f"Send an array of the shape {tensors.show_shape(signature.inputs[0].shape)}, -1 being any size."
    fields = [f'"{spec.name}": {_example(spec, words.get(spec.datatype, "0"))}' for spec in signature.inputs[:8]]
    rest = ", ..." if len(signature.inputs) > 8 else ""
    return f"Send records like [{{{', '.join(fields)}{rest}}}]."


def _example(spec: TensorSpec, word: str) -> str:
    depth = len(spec.shape) - (1 if tensors.by_row(spec) else 0) - (1 if tensors.one_a_row(spec) else 0)
    return "[" * depth + (f"{word}, ..." if depth else word) + "]" * depth
