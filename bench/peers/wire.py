"""What goes over the wire: one row in the form that a server reads, and the numbers out of its answer.

Row (numbers and shape, or named columns) -> Form -> body and headers; answer -> a flat list of the
model's last output, whatever the form, so that all servers can be compared before any is timed.
No numpy here: the process that measures maps none of the libraries whose memory it measures.
"""

from __future__ import annotations

import json
import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import httpx

Form = Callable[["Row"], tuple[bytes, dict[str, str]]]
JSON = {"content-type": "application/json"}
BYTES = {"content-type": "application/octet-stream"}
LENGTH = "inference-header-content-length"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of input: numbers of a shape, or (a table) numbers by column name."""

    numbers: tuple[float, ...] = ()
    shape: tuple[int, ...] = ()
    columns: dict[str, float] | None = None

    def nested(self) -> Any:
        """The numbers as nested lists, the row alone in its batch."""
        lists: list[Any] = list(self.numbers)
        for size in reversed(self.shape):
            lists = [lists[at : at + size] for at in range(0, len(lists), size)]
        return lists

    def floats(self) -> bytes:
        """The numbers as little-endian float32."""
        return array("f", self.numbers).tobytes()


def random_row(*shape: int) -> Row:
    """Numbers from 0 to 1 with six decimals, the same at each call."""
    source = random.Random(7)
    return Row(numbers=tuple(round(source.random(), 6) for _ in range(prod(shape))), shape=shape)


def rows(row: Row) -> tuple[bytes, dict[str, str]]:
    """{"inputs": [[...]]}"""
    return json.dumps({"inputs": row.nested()}).encode(), JSON


def records(row: Row) -> tuple[bytes, dict[str, str]]:
    """[{"column": number, ...}]"""
    return json.dumps([row.columns]).encode(), JSON


def raw(row: Row) -> tuple[bytes, dict[str, str]]:
    """The bytes of the numbers and nothing else."""
    return row.floats(), BYTES


def upload(row: Row) -> tuple[bytes, dict[str, str]]:
    """A form with the bytes as an uploaded file."""
    request = httpx.Request("POST", "http://server", files={"file": ("image", row.floats())})
    return request.read(), {"content-type": request.headers["content-type"]}


def oip(row: Row) -> tuple[bytes, dict[str, str]]:
    """Open Inference Protocol, JSON."""
    tensor = {"name": "x", "datatype": "FP32", "shape": (1, *row.shape), "data": row.numbers}
    return json.dumps({"inputs": [tensor]}).encode(), JSON


def oip_binary(row: Row) -> tuple[bytes, dict[str, str]]:
    """Open Inference Protocol with the binary tensor extension, both ways."""
    content = row.floats()
    sized = {"binary_data_size": len(content)}
    tensor = {"name": "x", "datatype": "FP32", "shape": (1, *row.shape), "parameters": sized}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + content, {**BYTES, LENGTH: str(len(head))}


def read(answer: httpx.Response) -> list[float]:
    """The numbers of the model's last output."""
    if LENGTH in answer.headers:
        size = int(answer.headers[LENGTH])
        last = json.loads(answer.content[:size])["outputs"][-1]["parameters"]["binary_data_size"]
        return list(array("f", answer.content[-last:]))
    if "json" in answer.headers.get("content-type", "json"):
        return numbers(answer.json())
    return list(array("f", answer.content))


def numbers(value: Any) -> list[float]:
    """The numbers in a JSON answer of any of the servers, in order, flat."""
    match value:
        case int() | float():
            return [float(value)]
        case list():
            return [number for item in value for number in numbers(item)]
        case {"predictions": inner} | {"probabilities": inner} | {"data": inner}:
            return numbers(inner)
        case {"outputs": [*_, last]}:
            return numbers(last)
        case dict():
            return [number for item in value.values() for number in numbers(item)]
    raise ValueError(f"no numbers in {value!r}")


def agree(ours: list[float], theirs: list[float]) -> bool:
    """Whether two answers are the same within what float32 and its text lose."""
    return len(ours) == len(theirs) > 0 and all(
        abs(a - b) <= 1e-5 + 1e-4 * abs(b) for a, b in zip(ours, theirs, strict=True)
    )
