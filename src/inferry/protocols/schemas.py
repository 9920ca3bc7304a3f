"""Schemas: JSON Schemas of what an endpoint takes and answers, from its signature.

Data flow: TensorSpec -> schema of one value (its type, categories, null) -> of a row, a
column, a record -> of a body in each form that the plain door takes. No numpy here.
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.signature import DATATYPES, Signature, TensorSpec

JSON = dict[str, Any]


_FILE: JSON = {
    "type": "object",
    "properties": {"b64": {"type": "string", "contentEncoding": "base64", "description": "The file in base64"}},
    "required": ["b64"],
    "additionalProperties": False,
}


def value_schema(spec: TensorSpec) -> JSON:
    """One value of an input or output."""
    if spec.datatype == "BYTES":
        schema: JSON = {"type": "string"}
    elif spec.datatype == "BOOL":
        schema = {"type": "boolean"}
    elif spec.datatype.startswith(("INT", "UINT")):
        bits = int(spec.datatype.lstrip("UINT"))
        low, high = (0, 2**bits - 1) if spec.datatype[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        schema = {"type": "integer", "minimum": low, "maximum": high}
    else:
        schema = {"type": "number"}
    if spec.closed and spec.categories:
        schema = {"enum": [*spec.categories, *([None] if spec.nullable else [])]}
    else:
        if spec.nullable:
            schema["type"] = [schema["type"], "null"]
        if spec.categories:
            schema["examples"] = list(spec.categories[:10])
    return schema


def array_schema(spec: TensorSpec, shape: tuple[int, ...]) -> JSON:
    """Nested lists of a shape, -1 being any size."""
    schema = value_schema(spec)
    for size in reversed(shape):
        schema = {"type": "array", "items": schema}
        if size >= 0:
            schema |= {"minItems": size, "maxItems": size}
    return schema


def row_schema(spec: TensorSpec) -> JSON:
    """What one row holds for an input: a lone value needs no list around it."""
    if spec.takes_files:
        tensor = msgspec.structs.replace(spec, image=None, audio=None)
        return {"anyOf": [_FILE, row_schema(tensor)]}
    shape = spec.shape
    if not shape or shape[0] not in (-1, 1):
        return array_schema(spec, shape)
    if shape[1:] == (1,):
        return {"anyOf": [value_schema(spec), array_schema(spec, (1,))]}
    return array_schema(spec, shape[1:])


def column_schema(spec: TensorSpec) -> JSON:
    """All rows of an input: the array itself, or a flat list where a row is one value."""
    if spec.takes_files:
        files = {"type": "array", "items": _FILE, "minItems": 1}
        return {"anyOf": [files, array_schema(spec, spec.shape)]}
    if len(spec.shape) == 2 and spec.shape[1] == 1:
        return {"anyOf": [array_schema(spec, (-1,)), array_schema(spec, spec.shape)]}
    return array_schema(spec, spec.shape)


def _record(signature: Signature, of: Any) -> JSON:
    return {
        "type": "object",
        "properties": {spec.name: of(spec) for spec in signature.inputs},
        "required": [spec.name for spec in signature.inputs],
        "additionalProperties": False,
    }


def body_schema(signature: Signature) -> JSON:
    """A body of `POST /predict/{endpoint}` in any of its forms."""
    if signature.kind == "open":
        return {"description": "Any JSON value"}
    record = _record(signature, row_schema)
    forms: list[JSON] = [
        {"title": "Records", "type": "array", "items": record, "minItems": 1},
        {"title": "Columns", **_record(signature, column_schema)},
        {"title": "One record", **record},
    ]
    if len(signature.inputs) == 1:
        spec = signature.inputs[0]
        forms += [{"title": "Rows", **column_schema(spec)}, {"title": "One row", **row_schema(spec)}]
        if len(spec.shape) == 1:
            forms.append({"title": "Rows of one", "type": "array", "items": array_schema(spec, (1,)), "minItems": 1})
    else:
        row = {
            "type": "array",
            "prefixItems": [row_schema(spec) for spec in signature.inputs],
            "minItems": len(signature.inputs),
            "maxItems": len(signature.inputs),
        }
        forms += [{"title": "Rows", "type": "array", "items": row, "minItems": 1}, {"title": "One row", **row}]
    inner = {"anyOf": forms}
    wrapped = [
        {"title": f"Under {key!r}", "type": "object", "properties": {key: inner}, "required": [key], "maxProperties": 1}
        for key in ("inputs", "instances")
    ]
    return {"anyOf": [*forms, *wrapped]}


def answer_schema(signature: Signature) -> JSON:
    """The answer of the plain door."""
    predictions: JSON = {"description": "Whatever the model returned"}
    if signature.kind != "open":
        prediction = {"type": "object", "properties": {spec.name: _output(spec) for spec in signature.outputs}}
        predictions = {"type": "array", "items": prediction, "description": "One per row, in the order of the request"}
    return {
        "type": "object",
        "required": ["model", "version", "predictions"],
        "properties": {"model": {"type": "string"}, "version": {"type": "integer"}, "predictions": predictions},
    }


def _output(spec: TensorSpec) -> JSON:
    # NaN and missing text are answered as null
    spec = msgspec.structs.replace(spec, closed=False, nullable=spec.datatype[0] in "BF" and spec.datatype != "BOOL")
    if spec.json:
        return {"description": "A JSON value"}
    if spec.labels:
        number: JSON = {"type": ["number", "null"]}
        names = [_label(label) for label in spec.labels]
        if spec.top:  # only the likeliest are named
            return {"type": "object", "additionalProperties": number, "maxProperties": spec.top}
        return {"type": "object", "properties": dict.fromkeys(names, number), "required": names}
    if spec.shape[1:] == (1,):
        return value_schema(spec)
    return row_schema(spec)


def _label(label: Any) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def infer_request_schema(signature: Signature) -> JSON:
    """The JSON of an Open Inference Protocol request."""
    names = [spec.name for spec in signature.inputs]
    tensor: JSON = {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"enum": names} if names else {"type": "string"},
            "datatype": {"enum": list(DATATYPES)},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
            "data": {"type": "array", "description": "Row-major, flat or nested"},
            "parameters": {"type": "object"},
        },
    }
    return {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": tensor},
            "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
            "parameters": {"type": "object"},
        },
    }


def infer_response_schema() -> JSON:
    """The JSON of an Open Inference Protocol answer."""
    tensor = {"type": "object", "required": ["name", "datatype", "shape"]}
    return {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": tensor},
        },
    }
