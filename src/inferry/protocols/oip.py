"""Open Inference Protocol v2: JSON, the binary tensor extension, and any mix of the two.

Data flow of a request: body[:json_size] is JSON that names inputs; each gives its `data`
(flat or nested) or a `binary_data_size`, taken in order from the bytes behind the JSON ->
array of the declared datatype and shape -> `fit` to the signature -> Call. The answer goes
the other way; each output is JSON or binary as the client asked, per output
(`binary_data`) or for all (`binary_data_output`). The JSON of a request whose inputs are all
binary, or long lists of numbers, is read once and remembered by its bytes without the id; so is that of an answer.

JSON has no NaN or infinity: such tokens are refused in a request and written as null in an
answer (binary tensors carry them exactly). BYTES that are not UTF-8 are written to JSON in
base64 with the parameter `content_type: base64`, which is read too. For an open signature a
request's tensors become a dict of arrays; an answer that is no dict of arrays becomes one
tensor `output`, and a value that no tensor can hold becomes its JSON text as BYTES.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InferryError, InvalidInput
from inferry.interfaces.codec import Call, Encoded
from inferry.protocols import answers, tensors
from inferry.protocols.cells import flatten, locate, pack, parse, read_cells
from inferry.protocols.forms import oip_error
from inferry.protocols.named import NamedTensors
from inferry.protocols.numbers import LONG, MOST, Numbers, cut
from inferry.protocols.oip_answers import Answer, Written, binary_writer, json_writer
from inferry.protocols.plans import PLAIN, Plan, Plans
from inferry.protocols.tensors import DTYPES, FLOATS, Array
from inferry.types.frames import CONTENT_BINARY, CONTENT_JSON, Request
from inferry.types.signature import Signature, TensorSpec


class _Input(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class _Numbers(_Input):
    data: list[float] | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Body(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    outputs: list[_Output] | None = None
    parameters: dict[str, Any] | None = None


class _NumbersBody(_Body):
    inputs: list[_Numbers]  # type: ignore[assignment]


NOTHING = memoryview(b"")
_ID = re.compile(rb'"id"\s*:\s*"([ !#-\[\]-~]*)"')
NO_LISTS: list[bytes] = []

HINT = (
    'Send {"inputs": [{"name": "...", "datatype": "FP32", "shape": [1, 4], "data": [...]}]}; '
    "GET /v2/models/NAME lists the model's inputs."
)


class OipCodec:
    """Reads and writes Open Inference Protocol bodies for one signature.

    `borrow`: binary inputs may be views of the body, which holds as long as the call does.
    """

    def __init__(self, signature: Signature, *, borrow: bool = False) -> None:
        self._tensors = NamedTensors(signature)
        self._borrow = borrow
        self._what = {spec.name: f"Input {spec.name!r}" for spec in signature.inputs}
        self._decoder = msgspec.json.Decoder(_Body)
        self._numbers = msgspec.json.Decoder(_NumbersBody)
        # Flat lists of numbers are read straight into floats, as long as that is what clients send.
        self._only_numbers = bool(signature.inputs) and all(spec.datatype in FLOATS for spec in signature.inputs)
        self._flat = self._only_numbers
        self._long = Numbers()
        self._plans = Plans(self._tensors)
        self._listed = Plans(self._tensors)
        self._heads: dict[Any, bytes] = {}

    def decode(self, request: Request) -> Call:
        """A Call from a request body. Raises InvalidInput."""
        body, raw, size = request.body, NOTHING, request.json_size
        structure, id, lists = b"", "", NO_LISTS
        if size:
            if size > len(body):
                raise InvalidInput(
                    f"Inference-Header-Content-Length is {size}, but the body has only {len(body)} bytes.",
                    help="Give the length of the JSON part.",
                )
            whole = bytes(body[:size])
            structure, plan = whole, self._plans.get(whole)
            if plan is None:
                structure, id = cut_id(whole)
                plan = self._plans.get(structure)
            if plan is not None and plan.size == len(body) - size:
                call = _call(request, read_quick(plan, body, size), plan.rows, id, plan.wanted, plan.binary)
                call.alike, call.views = plan.alike, True
                return call
            body, raw = whole, memoryview(body)[size:]
        elif LONG <= len(body) <= MOST and self._flat:
            structure, lists = cut(bytes(body))
            structure, id = cut_id(structure)
            plan = self._listed.get(structure)
            quick = None if plan is None else self._long.arrays(plan.quick, lists)
            if plan is not None and quick is not None:
                call = _call(request, quick, plan.rows, id, plan.wanted, plan.binary)
                call.alike = plan.alike
                return call
        head = self._parse(body)
        inputs, left = self._read(head.inputs, raw)
        if left:
            raise InvalidInput(
                f"{left} bytes of binary data belong to no input.",
                help="Make the binary_data_size of all inputs add up.",
            )
        rows = self._tensors.rows(inputs)
        binary = _flag(head.parameters, "binary_data_output", False)
        wanted = tuple([self._wanted(output, binary) for output in head.outputs]) if head.outputs else ()
        plans = self._plans_of(head, structure, id, lists) if structure else None
        if plans is not None:
            given = [(tensor.name, tensor.datatype) for tensor in head.inputs]
            plans.remember(structure, given, inputs, rows, wanted, binary=binary)
        return _call(request, inputs, rows, head.id or "", wanted, binary)

    def _plans_of(self, head: _Body, structure: bytes, id: str, lists: list[bytes]) -> Plans | None:
        """Where to remember a structure; None when there is more to its requests than data of the same size, and an
        id."""
        if (head.id or "") != id or (not lists and any(tensor.data is not None for tensor in head.inputs)):
            return None
        if not lists and not id:
            return self._plans
        try:
            told = self._decoder.decode(structure)
        except msgspec.DecodeError:  # a list was cut in two
            return None
        if told.id:  # what was cut is another one
            return None
        if not lists:
            return self._plans
        whole = len(lists) == len(told.inputs) and all(tensor.data == [] for tensor in told.inputs)
        return self._listed if whole else None

    def _parse(self, body: bytes | memoryview) -> _Body:
        if self._flat:
            try:
                return self._numbers.decode(body)
            except (msgspec.DecodeError, ValueError, RecursionError):
                pass  # another form, or an error that the other decoder tells
        head: _Body = parse(self._decoder, body, HINT)
        if self._only_numbers:
            self._flat = all(tensor.data and type(tensor.data[0]) is not list for tensor in head.inputs)
        return head

    def _read(self, given: list[_Input], raw: memoryview) -> tuple[dict[str, Array], int]:
        """The named arrays, and how many bytes of `raw` none of them took."""
        inputs: dict[str, Array] = {}
        at = 0
        for tensor in given:
            name = tensor.name
            if name in inputs:
                raise InvalidInput(f"Input {name!r} is given twice.", help="Give each input once.")
            spec = self._tensors.input(name, tensor.datatype)
            size = _binary_size(tensor)
            what = self._what.get(name) or f"Input {name!r}"
            if size is None:
                array = _read_json(tensor, spec, what)
            else:
                array = tensors.read_raw(
                    tensor.datatype, tensor.shape, _slice(raw, at, size, name), what, borrow=self._borrow
                )
                at += size
            inputs[name] = self._tensors.fit(array, tensor.datatype, spec, raw=size is not None)
        self._tensors.check_complete(inputs)
        return inputs, len(raw) - at

    def _wanted(self, output: _Output, binary: bool) -> tuple[str, bool]:
        self._tensors.check_output(output.name)
        if output.parameters and "shared_memory_region" in output.parameters:
            raise InvalidInput("Shared memory is not offered.", help="Ask for the output in JSON or in binary.")
        return output.name, _flag(output.parameters, "binary_data", binary)

    def encode(self, call: Call, outputs: Any) -> Encoded:
        """The answer's body: JSON, followed by the binary outputs if any was asked for so."""
        together = self.encode_many([call], outputs) if call.binary and call.rows else None
        if together is not None:
            return together[0]
        named = self._tensors.outputs(outputs)
        written: list[Written] = []
        blobs: list[bytes] = []
        for name, binary in call.wanted or [(name, call.binary) for name in named]:
            array, datatype = self._tensors.output(named, name)
            output = Written(name, datatype, array.shape)
            if binary:
                blobs.append(tensors.write_raw(datatype, array))
                output.parameters = {"binary_data_size": len(blobs[-1])}
            else:
                _write_json(array, output)
            written.append(output)
        json = answers.write(Answer(call.name, call.version, written, call.id))
        if not blobs:
            return Encoded(CONTENT_JSON, 0, json)
        return Encoded(CONTENT_BINARY, len(json), b"".join((json, *blobs)))

    def encode_many(self, calls: list[Call], outputs: Any) -> list[Encoded] | None:
        """The answers of calls that ran together; None unless each wants all outputs, in the same way, and these are
        numbers with a row for each of theirs."""
        binary, rows = calls[0].binary, 0
        for call in calls:
            if call.wanted or call.binary is not binary:
                return None
            rows += call.rows
        named = self._tensors.outputs(outputs)
        found = [(name, *self._tensors.output(named, name)) for name in named]
        for _, array, datatype in found:
            if datatype not in PLAIN or array.dtype != DTYPES[datatype] or array.shape[:1] != (rows,):
                return None
        write = binary_writer(found, self._heads) if binary else json_writer(found)
        written, start = [], 0
        for call in calls:
            written.append(write(call, start))
            start += call.rows
        return written

    def refuse(self, error: InferryError) -> bytes:
        """The error in the protocol's form."""
        return oip_error(error)


def cut_id(structure: bytes) -> tuple[bytes, str]:
    """A structure without the text of the first id that stands there plainly, and that."""
    found = _ID.search(structure)
    if found is None:
        return structure, ""
    return structure[: found.start(1)] + structure[found.end(1) :], found[1].decode()


def read_quick(plan: Plan, body: bytes | memoryview, at: int) -> dict[str, Array]:
    """The arrays of a known structure, whose data begins at `at`, as views of the body."""
    inputs = {}
    for name, dtype, size, shape in plan.quick:
        inputs[name] = np.ndarray(shape, dtype, body, at)
        at += size
    return inputs


def _call(
    request: Request, inputs: dict[str, Array], rows: int, id: str, wanted: tuple[tuple[str, bool], ...], binary: bool
) -> Call:
    return Call(inputs, rows, id, request.name, request.version, wanted, binary)


def _flag(parameters: dict[str, Any] | None, name: str, default: bool) -> bool:
    return default if parameters is None else bool(parameters.get(name, default))


def _binary_size(tensor: _Input) -> int | None:
    """The input's binary_data_size, None when its data is in the JSON."""
    size = None if tensor.parameters is None else tensor.parameters.get("binary_data_size")
    if size is None:
        if tensor.data is None:
            raise InvalidInput(
                f"Input {tensor.name!r} has no data.", help="Give `data`, or `parameters.binary_data_size` and bytes."
            )
        return None
    if tensor.data is not None:
        raise InvalidInput(f"Input {tensor.name!r} has both data and binary_data_size.", help="Give one of them.")
    if type(size) is not int or size < 0:
        raise InvalidInput(f"Input {tensor.name!r} has a binary_data_size that is no size.", help="Give its bytes.")
    return size


def _slice(raw: memoryview, at: int, size: int, name: str) -> memoryview:
    if size > len(raw) - at:
        raise InvalidInput(
            f"Input {name!r} has a binary_data_size of {size}, but only {len(raw) - at} bytes are left in the body.",
            help="Send the JSON's length as Inference-Header-Content-Length and all tensors behind the JSON.",
        )
    return raw[at : at + size]


def _read_json(tensor: _Input, spec: TensorSpec, what: str) -> Array:
    """The array of an input whose data is in the JSON, flat or nested."""
    shape, cells = tuple(tensor.shape), tensor.data
    assert cells is not None
    plain = type(tensor) is _Numbers and tensor.datatype in FLOATS and not spec.closed
    if plain and cells and len(cells) == math.prod(shape) and min(shape, default=1) > 0:
        try:
            return pack(cells, tensor.datatype, nulls=False, shape=shape)
        except (OverflowError, struct.error):
            pass  # one is out of range: below it is named
    size = tensors.count(shape, what)
    if cells and type(cells[0]) is list and len(shape) > 1:
        cells, nested = flatten(cells, shape, what)
        if nested != shape:
            raise InvalidInput(
                f"{what} declares the shape {tensors.show_shape(shape)}, but its data is {tensors.show_shape(nested)}.",
                help="Make the shape match the data.",
            )
    if len(cells) != size:
        raise InvalidInput(
            f"{what} declares the shape {tensors.show_shape(shape)}, which is {size} values, but has {len(cells)}.",
            help="Make the shape match the data.",
        )
    if tensor.parameters and tensor.parameters.get("content_type") == "base64" and tensor.datatype == "BYTES":
        cells = [_from_base64(cell, what) for cell in cells]
        return tensors.objects(cells).reshape(shape)
    return read_cells(cells, spec, locate(spec, shape, "input"), tensor.datatype).reshape(shape)


def _from_base64(cell: Any, what: str) -> str | bytes:
    try:
        return tensors.text_or_bytes(base64.b64decode(cell, validate=True))
    except (TypeError, ValueError, binascii.Error):
        raise InvalidInput(
            f"{what} holds a value that is not base64.", help="Encode it, or drop content_type."
        ) from None


def _write_json(array: Array, output: Written) -> None:
    if array.dtype.kind not in "OSU":
        output.data = array.reshape(-1).tolist()
        return
    elements = array.reshape(-1).tolist()
    texts = [
        None if e is None else e if type(e) is str else tensors.text_or_bytes(tensors.to_bytes(e)) for e in elements
    ]
    if any(isinstance(text, bytes) for text in texts):
        output.parameters = {"content_type": "base64"}
        texts = [base64.b64encode(tensors.to_bytes(element)).decode() for element in elements]
    output.data = texts
