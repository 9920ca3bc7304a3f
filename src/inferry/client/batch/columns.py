"""Rows -> a request's body, and an answer -> columns, by the endpoint's signature.

Data flow: Rows -> arrays, each input's -> binary tensors (Open Inference Protocol); an open model's rows go as JSON.
Back: named outputs -> columns whose names the signature alone decides, so that they are the same in every part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from inferry.client import tensors
from inferry.client.batch.source import Rows
from inferry.client.results import jsonable, label_text
from inferry.errors import InternalError, InvalidInput
from inferry.types.signature import Signature, TensorSpec

FLOATS = ("FP16", "FP32", "FP64", "BF16")
WHOLE = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
PREDICTION, ERROR = "prediction", "error"


@dataclass(frozen=True, kw_only=True)
class Body:
    """What is posted: below the endpoint's name in `path`."""

    path: str
    content: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Column:
    """A column of the output. `output`: whose; `place`: which of its columns, -1 for all; `kind`: its datatype."""

    name: str
    output: str
    place: int
    kind: str


def plan(signature: Signature) -> tuple[Column, ...]:
    """The columns of an endpoint's answers: named outputs, probabilities by their label, places of short vectors."""
    if signature.kind == "open":
        return (Column(PREDICTION, "", -1, "JSON"),)
    found: list[Column] = []
    for spec in signature.outputs:
        width = spec.shape[1] if len(spec.shape) == 2 else 0
        if spec.labels and width in (-1, len(spec.labels)):
            names = [f"probability_{label_text(label)}" for label in spec.labels]
        elif len(spec.shape) == 2 and 1 < width <= 64:
            names = [f"{spec.name}_{place}" for place in range(width)]
        else:
            kind = spec.datatype if len(spec.shape) == 1 or width == 1 else "JSON"
            found.append(Column(free(spec.name), spec.name, -1, kind))
            continue
        found += [Column(free(name), spec.name, place, spec.datatype) for place, name in enumerate(names)]
    return tuple(found)


def free(name: str) -> str:
    """A column's name that is not the errors'."""
    return f"{name}_" if name == ERROR else name


def encode(name: str, rows: Rows, signature: Signature) -> Body:
    """The request for rows. Raises InvalidInput for what fits no input."""
    if signature.kind == "open":
        content = msgspec.json.encode(records(rows), enc_hook=jsonable)
        return Body(path=f"/predict/{name}", content=content, headers={"content-type": "application/json"})
    specs = {spec.name: spec for spec in signature.inputs}
    content, json_size = tensors.encode(inputs_of(rows, signature), specs)
    headers = {"content-type": "application/octet-stream" if json_size else "application/json"}
    if json_size:
        headers["inference-header-content-length"] = str(json_size)
    return Body(path=f"/v2/models/{name}/infer", content=content, headers=headers)


def records(rows: Rows) -> list[Any]:
    """Rows as JSON has them."""
    if rows.columns is None:
        return rows.values or []
    names = list(rows.columns)
    cells = zip(*(tolist(column) for column in rows.columns.values()), strict=True)
    return [dict(zip(names, line, strict=True)) for line in cells]


def inputs_of(rows: Rows, signature: Signature) -> dict[str, Any]:
    """Each input's cells."""
    specs = signature.inputs
    columns = rows.columns if rows.columns is not None else spread(rows.values or [], specs)
    missing = [spec.name for spec in specs if spec.name not in columns]
    if not missing:
        return {spec.name: typed(columns[spec.name], spec) for spec in specs}
    if len(specs) == 1 and signature.kind == "tensors":
        spec = specs[0]
        if len(columns) == 1:
            return {spec.name: typed(next(iter(columns.values())), spec)}
        return {spec.name: np.column_stack([typed(column, spec) for column in columns.values()])}
    raise InvalidInput(
        f"The rows have no {', '.join(missing[:10])}.", help=f"The model takes {', '.join(s.name for s in specs)}."
    )


def spread(values: list[Any], specs: tuple[TensorSpec, ...]) -> dict[str, Sequence[Any]]:
    """Values one by one -> cells by name: of objects by their names, of all else for the only input."""
    if all(isinstance(value, dict) for value in values):
        names = list(dict.fromkeys(name for value in values for name in value))
        return {name: [value.get(name) for value in values] for name in names}
    if len(specs) == 1:
        return {specs[0].name: values}
    if all(isinstance(value, list) and len(value) == len(specs) for value in values):
        return {spec.name: [value[place] for value in values] for place, spec in enumerate(specs)}
    raise InvalidInput(
        "The rows do not fit the model's inputs.", help=f"The model takes {', '.join(s.name for s in specs)}."
    )


def typed(cells: Sequence[Any], spec: TensorSpec) -> Any:
    """Cells as the input has them: texts of numbers are read; what is none stays, for the server to point at."""
    if isinstance(cells, np.ndarray):
        return cells
    if spec.datatype == "BYTES":
        return objects([None if cell == "" and spec.nullable else cell for cell in cells])
    if any(isinstance(cell, str) for cell in cells):
        read = numbers(cells, spec.datatype)
        if read is not None:
            return read
        cells = [number(cell, spec.datatype) if isinstance(cell, str) else cell for cell in cells]
    if spec.datatype in FLOATS and any(cell is None for cell in cells) and spec.nullable:
        cells = [math.nan if cell is None else cell for cell in cells]
    try:
        made = np.asarray(cells)
    except ValueError as error:
        raise InvalidInput(f"The rows have no common shape for {spec.name!r}.", help="Mend the rows.") from error
    return objects(list(cells)) if made.dtype.kind in "USO" else made


def numbers(cells: Sequence[Any], datatype: str) -> Any:
    """Texts that are all numbers, as an array; None when they are not."""
    if datatype == "BOOL" or not all(type(cell) is str for cell in cells):
        return None
    try:
        return np.array(list(map(float, cells))) if datatype in FLOATS else np.array(list(map(int, cells)), "int64")
    except (ValueError, OverflowError):
        return None


def number(text: str, datatype: str) -> Any:
    """A cell of a text file in the type of its input, as it is when it cannot be."""
    text = text.strip()
    if not text:
        return None
    try:
        if datatype == "BOOL":
            return {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
        return int(text) if datatype in WHOLE else float(text)
    except ValueError:
        return text


def objects(cells: list[Any]) -> Any:
    """An array of any values, of one dimension."""
    made = np.empty(len(cells), dtype=object)
    made[:] = cells
    return made


def decode(
    body: bytes, json_size: int, size: int, columns: tuple[Column, ...], signature: Signature
) -> list[Sequence[Any]]:
    """An answer's cells, column by column: arrays of numbers, else plain values. Raises InternalError unless each has
    one for every row."""
    cells: list[Sequence[Any]]
    if signature.kind == "open":
        said = msgspec.json.decode(body)
        cells = [said["predictions"]] if isinstance(said, dict) and isinstance(said.get("predictions"), list) else [[]]
    else:
        outputs = tensors.decode(body, json_size)
        cells = [cells_of(outputs.get(column.output), column) for column in columns]
    if any(len(column) != size for column in cells):
        raise InternalError(
            "The model did not answer one prediction for each row.", help="Such a model cannot score files."
        )
    return cells


def cells_of(array: Any, column: Column) -> Sequence[Any]:
    """The cells of a column in its output."""
    if array is None:
        return []
    if column.place >= 0:
        array = array[:, column.place].copy()
    elif array.ndim == 2 and array.shape[1] == 1:
        array = array.reshape(-1)
    if array.dtype == "float16":
        array = array.astype("float32")  # the same numbers, and known to all that writes them
    return array if array.ndim == 1 and array.dtype.kind in "biuf" else tolist(array)


def tolist(cells: Sequence[Any]) -> list[Any]:
    """Plain values."""
    return cells.tolist() if isinstance(cells, np.ndarray) else list(cells)
