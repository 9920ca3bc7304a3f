"""Bad predictions, one table: routes, keys, JSON, signatures, binary tensors, compression.

Each case: exact status and code, the error form of the door, a sentence that says what to do, no
leak, and the next good request succeeds.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from functools import cache
from typing import Any

import pytest

from tests.acceptance.conftest import GOOD_ROW, Target
from tests.support.refusals import Case

TABLE, TENSOR, OIP = "/predict/table", "/predict/tensor", "/v2/models/tensor/infer"
ROW = [5.1, 3.5, 1.4, 0.2]
DEEP = 200_000


def row(**changes: Any) -> list[dict[str, Any]]:
    return [{**GOOD_ROW, **changes}]


def tensor(**changes: Any) -> dict[str, Any]:
    """An infer body with one JSON tensor; a change to `...` leaves the field out."""
    fields = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": ROW, **changes}
    return {"inputs": [{name: value for name, value in fields.items() if value is not ...}]}


def column(name: str, datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data}


def columns(**changes: Any) -> dict[str, Any]:
    good = {"age": ("INT64", [41]), "income": ("FP64", [3.5]), "job": ("BYTES", ["nurse"]), "member": ("BOOL", [True])}
    return {"inputs": [column(name, *value) for name, value in {**good, **changes}.items() if value]}


def binary(raw: bytes, *, size: Any = None, length: Any = None, **fields: Any) -> dict[str, Any]:
    """Body and headers of an infer request whose tensor lies behind the JSON."""
    parameters = {"binary_data_size": len(raw) if size is None else size}
    head = json.dumps(tensor(data=..., parameters=parameters, **fields)).encode()
    headers = {"inference-header-content-length": str(len(head) if length is None else length)}
    return {"body": head + raw, "headers": headers}


def post(name: str, path: str, body: Any, status: int = 400, code: str = "invalid_input", **more: Any) -> Case:
    return Case(name, "POST", path, status, code, body, **more)


FLOATS = struct.pack("<4f", *ROW)
TEXT = {"path": "/v2/models/table/infer"}


def text_column(raw: bytes, rows: int = 1) -> dict[str, Any]:
    """The table's infer request with its BYTES column in binary."""
    body = columns(job=None)
    body["inputs"].append(
        {"name": "job", "datatype": "BYTES", "shape": [rows], "parameters": {"binary_data_size": len(raw)}}
    )
    head = json.dumps(body).encode()
    return {"body": head + raw, "headers": {"inference-header-content-length": str(len(head))}}


ROUTES = [
    post("unknown endpoint", "/predict/nobody", [ROW], 404, "not_found"),
    post("unknown model", "/v2/models/nobody/infer", tensor(), 404, "not_found"),
    post("unknown version", "/v2/models/tensor/versions/9/infer", tensor(), 404, "not_found"),
    post("a version that is no number", "/v2/models/tensor/versions/latest/infer", tensor(), 404, "not_found"),
    post("unknown route", "/predict/tensor/now", [ROW], 404, "not_found"),
    post("a verb that is no infer", "/v2/models/tensor/explain", tensor(), 405, "method_not_allowed"),
    Case("no such route", "GET", "/admin", 404, "not_found"),
    Case("no such route of the protocol", "GET", "/v2/models", 404, "not_found"),
    Case("no such part of a model", "GET", "/v2/models/tensor/weights", 404, "not_found"),
    Case("metadata of nobody", "GET", "/v2/models/nobody", 404, "not_found"),
    Case("metadata of a version that is not there", "GET", "/v2/models/tensor/versions/7", 404, "not_found"),
    Case("openapi of nobody", "GET", "/endpoints/nobody/openapi.json", 404, "not_found"),
    Case("an asset outside the pages", "GET", "/docs-assets/..%2fforms.py", 404, "not_found"),
    Case("GET of a prediction", "GET", TABLE, 405, "method_not_allowed"),
    Case("PUT of a prediction", "PUT", TABLE, 405, "method_not_allowed", b"{}"),
    Case("DELETE of an infer", "DELETE", OIP, 405, "method_not_allowed"),
    Case("POST to metadata", "POST", "/v2/models/tensor", 405, "method_not_allowed", b"{}"),
    Case("POST to health", "POST", "/v2/health/ready", 405, "method_not_allowed", b"{}"),
    Case("DELETE of an endpoint on this port", "DELETE", "/endpoints/table", 405, "method_not_allowed"),
    Case("POST to metrics", "POST", "/metrics", 405, "method_not_allowed", b"{}"),
    Case("PATCH of the root", "PATCH", "/", 405, "method_not_allowed", b"{}"),
    Case("the control API is not on this port", "GET", "/v1/keys", 404, "not_found"),
]

NAMES = [
    post(f"endpoint name {name}", f"/predict/{wire}", [ROW], 404, "not_found")
    for name, wire in {
        "up and out": "..%2f..%2fetc%2fpasswd", "dots": "%2e%2e", "upper case": "Tensor", "slash": "a%2fb",
        "NUL": "tensor%00", "64 characters": "a" * 64, "a thousand": "a" * 1000, "not UTF-8": "%ff%fe",
        "bad escape": "%zz", "newline": "a%0d%0ab",
    }.items()
] + [
    post(f"model name {name}", f"/v2/models/{wire}/infer", tensor(), 404, "not_found")
    for name, wire in {"up and out": "..%2f..%2fx", "upper case": "TENSOR", "NUL": "a%00", "64 characters": "b" * 64}.items()
] + [
    Case("an empty model name", "GET", "/v2/models//ready", 404, "not_found"),
    post("an empty endpoint name", "/predict/", [ROW], 404, "not_found"),
    Case("a docs page up and out", "GET", "/endpoints/..%2f..%2fpepper", 404, "not_found"),
]  # fmt: skip

KEYS = [
    post("no key", TABLE, row(), 401, "unauthorized", key=""),
    post("no key, infer", OIP, tensor(), 401, "unauthorized", key=""),
    Case("no key, metadata", "GET", "/v2/models/tensor", 401, "unauthorized", key=""),
    Case("no key, metrics", "GET", "/metrics", 401, "unauthorized", key=""),
    Case("no key, openapi", "GET", "/endpoints/table/openapi.json", 401, "unauthorized", key=""),
    Case("no key, unknown route", "GET", "/v2/secret", 401, "unauthorized", key=""),
    post("no key and an unknown endpoint", "/predict/nobody", row(), 401, "unauthorized", key=""),
    post("a wrong key", TABLE, row(), 401, "unauthorized", key="inf_aaaaaaaa_" + "x" * 43),
    post("a key of another kind", TABLE, row(), 401, "unauthorized", key="sk-" + "x" * 5000),
    post("wrong scheme", TABLE, row(), 401, "unauthorized", key="", headers={"authorization": "Basic YTpi"}),
    post("an empty key", TABLE, row(), 401, "unauthorized", key="", headers={"authorization": "Bearer "}),
    post("bytes for a key", TABLE, row(), 401, "unauthorized", key="", headers={"authorization": "Bearer \xff\xfe"}),
    post("a revoked key", TABLE, row(), 401, "unauthorized", key="revoked"),
    post("an expired key", OIP, tensor(), 401, "unauthorized", key="expired"),
    Case("an expired key, metadata", "GET", "/v2/models/tensor", 401, "unauthorized", key="expired"),
    post("a viewer predicts", TABLE, row(), 403, "forbidden", key="viewer"),
    post("a viewer infers", OIP, tensor(), 403, "forbidden", key="viewer"),
    post("a key for another endpoint", TABLE, row(), 403, "forbidden", key="limited"),
    Case("a key for another endpoint, metadata", "GET", "/v2/models/table", 403, "forbidden", key="limited"),
    Case("an invoker reads metrics", "GET", "/metrics", 403, "forbidden", key="invoker"),
]

JSON = [
    post(f"{name}, {door}", path, body)
    for door, path in (("plain", TABLE), ("plain tensor", TENSOR), ("infer", OIP))
    for name, body in {
        "malformed": b'[{"age": 41,', "empty": b"", "blank": b" \r\n ", "deep lists": b"[" * DEEP,
        "deep and closed": b"[" * DEEP + b"]" * DEEP, "deep objects": b'{"a":' * DEEP, "null": b"null",
        "text": b'"hello"', "trailing garbage": b"[] []", "not UTF-8": b'[{"age": "\xff\xfe"}]',
        "NUL": b'[{"age": 41\x00}]', "UTF-16": '[{"age": 41}]'.encode("utf-16"), "pickle": b"\x80\x04cos\nsystem\n.",
        "a URL": b'"http://127.0.0.1/x"', "a huge integer": b"1" * 5000, "true": b"true", "an empty object": b"{}",
        "an empty list": b"[]", "two levels of nothing": b"[[]]",
    }.items()
]  # fmt: skip

PLAIN = [
    post("NaN", TABLE, b'[{"age": 41, "income": NaN, "job": "nurse", "member": true}]'),
    post("Infinity", TABLE, b'[{"age": 41, "income": Infinity, "job": "nurse", "member": true}]'),
    post("minus Infinity", TENSOR, b"[[-Infinity, 1, 1, 1]]"),
    post("1e999", TABLE, b'[{"age": 41, "income": 1e999, "job": "nurse", "member": true}]'),
    post("1e999 in a tensor", TENSOR, b"[[1e999, 1, 1, 1]]"),
    post("over FP32", TENSOR, b"[[1e39, 1, 1, 1]]"),
    post("lone surrogate", TABLE, b'[{"age": 41, "income": 1, "job": "\\ud800", "member": true}]'),
    post("NUL in text", TABLE, b'[{"age": 41, "income": 1, "job": "nurse\\u0000", "member": true}]'),
    post("wrong name", TABLE, [{**{n: v for n, v in GOOD_ROW.items() if n != "age"}, "agee": 41}]),
    post("missing column", TABLE, [{name: value for name, value in GOOD_ROW.items() if name != "age"}]),
    post("extra column", TABLE, row(height=180)),
    post("missing in the second row", TABLE, [GOOD_ROW, {"age": 1}]),
    post("a name of a million characters", TABLE, row(**{"a" * 1_000_000: 1})),
    post("unknown category", TABLE, row(job="astronaut")),
    post("a long unknown category", TABLE, row(job="x" * 100_000)),
    post("text for a number", TABLE, row(age="41")),
    post("text for a float", TABLE, row(income="high")),
    post("true for a number", TABLE, row(age=True)),
    post("a number for true", TABLE, row(member=1)),
    post("a fraction for a whole number", TABLE, row(age=41.5)),
    post("a number for text", TABLE, row(job=7)),
    post("null where nothing may be missing", TABLE, row(income=None)),
    post("null for a category", TABLE, row(job=None)),
    post("a list for a value", TABLE, row(age=[41])),
    post("an object for a value", TABLE, row(age={"value": 41})),
    post("an integer over 64 bits", TABLE, row(age=2**63)),
    post("an integer of 400 digits", TABLE, row(age=10**400)),
    post("a float of 400 digits", TABLE, row(income=10**400)),
    post("short row", TABLE, [[41, 3.5, "nurse"]]),
    post("long row", TABLE, [[41, 3.5, "nurse", True, 1]]),
    post("mixed rows and records", TABLE, [GOOD_ROW, [41, 3.5, "nurse", True]]),
    post("columns of different length", TABLE, {"age": [1, 2], "income": [1.0], "job": ["nurse"], "member": [True]}),
    post("half a record, half columns", TABLE, {**GOOD_ROW, "age": [41]}),
    post("ragged rows", TENSOR, [ROW, ROW[:3]]),
    post("too few features", TENSOR, [ROW[:3]]),
    post("too many features", TENSOR, [[*ROW, 1.0]]),
    post("one level too deep", TENSOR, [[[*ROW]]]),
    post("a scalar in place of a row", TENSOR, [ROW, 1.0]),
    post("text in a tensor", TENSOR, [["5.1", 3.5, 1.4, 0.2]]),
    post("a bool in a tensor", TENSOR, [[True, 3.5, 1.4, 0.2]]),
    post("null in a tensor", TENSOR, [[None, 3.5, 1.4, 0.2]]),
    post("wrong name of a tensor", TENSOR, {"y": [ROW]}),
    post("zero columns", TENSOR, [[], []]),
    post("a top-level number", TENSOR, b"41"),
]

INFER = [
    post("no inputs", OIP, {}),
    post("empty inputs", OIP, {"inputs": []}),
    post("inputs that are no list", OIP, {"inputs": "x"}),
    post("a top-level list", OIP, [1]),
    post("wrong name", OIP, tensor(name="y")),
    post("a name that is no text", OIP, tensor(name=7)),
    post("input twice", OIP, {"inputs": tensor()["inputs"] * 2}),
    post("unknown datatype", OIP, tensor(datatype="FP31")),
    post("wrong datatype", OIP, tensor(datatype="INT64", data=[1, 2, 3, 4])),
    post("a datatype that would narrow", OIP, tensor(datatype="FP64")),
    post("text for FP32", OIP, tensor(data=["a", "b", "c", "d"])),
    post("BYTES for FP32", OIP, tensor(datatype="BYTES", data=["a", "b", "c", "d"])),
    post("wrong rank", OIP, tensor(shape=[4])),
    post("rank 3", OIP, tensor(shape=[1, 1, 4])),
    post("rank 40", OIP, tensor(shape=[1] * 39 + [4])),
    post("wrong shape", OIP, tensor(shape=[2, 2])),
    post("shape and data differ", OIP, tensor(shape=[2, 4])),
    post("ragged data", OIP, tensor(shape=[2, 4], data=[ROW, ROW[:3]])),
    post("negative dimension", OIP, tensor(shape=[-1, 4])),
    post("no rows", OIP, tensor(shape=[0, 4], data=[])),
    post("shape product over 64 bits", OIP, tensor(shape=[2**31, 2**31, 4])),
    post("shape product that wraps to 4", OIP, tensor(shape=[2**62, 4, 2**62])),
    post("a dimension over 64 bits", OIP, tensor(shape=[10**30, 4])),
    post("a fraction in the shape", OIP, tensor(shape=[1.5, 4])),
    post("a shape that is no list", OIP, tensor(shape=4)),
    post("no shape", OIP, tensor(shape=...)),
    post("no data", OIP, tensor(data=...)),
    post("NaN", OIP, b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [NaN, 1, 1, 1]}]}'),
    post("1e999", OIP, b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1e999, 1, 1, 1]}]}'),
    post("unknown output", OIP, {**tensor(), "outputs": [{"name": "z"}]}),
    post("outputs that are no list", OIP, {**tensor(), "outputs": 3}),
    post("shared memory", OIP, tensor(data=..., parameters={"shared_memory_region": "r", "shared_memory_byte_size": 16})),
    post("shared memory for an output", OIP, {
        **tensor(), "outputs": [{"name": "label", "parameters": {"shared_memory_region": "r"}}]}),
    post("an id that is no text", OIP, {**tensor(), "id": 7}),
    post("parameters that are no object", OIP, tensor(parameters=[1])),
    post("a missing column", "/v2/models/table/infer", columns(age=None)),
    post("an unknown column", "/v2/models/table/infer", columns(height=("FP64", [1.8]))),
    post("an unknown category", "/v2/models/table/infer", columns(job=("BYTES", ["astronaut"]))),
    post("bool for a number", "/v2/models/table/infer", columns(age=("INT64", [True]))),
    post("an integer over 64 bits", "/v2/models/table/infer", columns(age=("INT64", [2**63]))),
    post("a negative UINT64", "/v2/models/table/infer", columns(age=("UINT64", [-1]))),
    post("columns of different length", "/v2/models/table/infer", columns(age=("INT64", [41, 42]))),
    post("base64 that is none", "/v2/models/table/infer", {"inputs": [
        *columns(job=None)["inputs"],
        {"name": "job", "datatype": "BYTES", "shape": [1], "data": ["%%%"], "parameters": {"content_type": "base64"}}]}),
]  # fmt: skip

BINARY = [
    post("JSON length over the body", OIP, **binary(FLOATS, length=10_000)),
    post("JSON length that cuts the JSON", OIP, **binary(FLOATS, length=20)),
    post("negative JSON length", OIP, **binary(FLOATS, length=-1)),
    post("JSON length over 64 bits", OIP, **binary(FLOATS, length=2**64 + 5)),
    post("JSON length that is no number", OIP, **binary(FLOATS, length="0x10")),
    post("JSON length with a sign", OIP, **binary(FLOATS, length="+10")),
    post("size over the bytes", OIP, **binary(FLOATS, size=64)),
    post("size under the bytes", OIP, **binary(FLOATS, size=12)),
    post("negative size", OIP, **binary(FLOATS, size=-16)),
    post("size that is no number", OIP, **binary(FLOATS, size="16")),
    post("size true", OIP, **binary(FLOATS, size=True)),
    post("size over 64 bits", OIP, **binary(FLOATS, size=2**64 + 16)),
    post("missing bytes", OIP, **binary(FLOATS[:-1])),
    post("bytes of one row for two", OIP, **binary(FLOATS, shape=[2, 4])),
    post("trailing bytes", OIP, **binary(FLOATS + b"\0" * 4, size=16)),
    post("a shape bomb", OIP, **binary(FLOATS, shape=[2**31, 2**31, 4])),
    post("a shape that wraps to 16 bytes", OIP, **binary(FLOATS, shape=[2**62 + 1, 4])),
    post("a negative pair of dimensions", OIP, **binary(FLOATS, shape=[-1, -4])),
    post("no rows in binary", OIP, **binary(b"", shape=[0, 4])),
    post("data and bytes at once", OIP, **(binary(FLOATS) | {
        "body": json.dumps(tensor(parameters={"binary_data_size": 16})).encode() + FLOATS,
        "headers": {"inference-header-content-length": str(len(json.dumps(tensor(parameters={"binary_data_size": 16}))))},
    })),
    post("binary without its header", OIP, binary(FLOATS)["body"]),
    post("BYTES length past the end", **TEXT, **text_column(struct.pack("<I", 500) + b"nurse")),
    post("BYTES length of 4 GB", **TEXT, **text_column(struct.pack("<I", 2**32 - 1) + b"nurse")),
    post("BYTES length cut off", **TEXT, **text_column(b"\x05\0")),
    post("BYTES with bytes left", **TEXT, **text_column(struct.pack("<I", 5) + b"nurse" + b"\0" * 4)),
    post("BYTES with too few elements", **TEXT, **text_column(struct.pack("<I", 5) + b"nurse", rows=100_000_000)),
    post("BYTES that are no known category", **TEXT, **text_column(struct.pack("<I", 2) + b"\xff\xfe")),
]  # fmt: skip


@cache
def bomb() -> bytes:
    return gzip.compress(b"[" + b" " * (300 << 20), compresslevel=1)


GOOD = json.dumps(row()).encode()

ENCODINGS = [
    post("gzip garbage", TABLE, b"this is no gzip", headers={"content-encoding": "gzip"}),
    post("gzip of an empty body", TABLE, b"", headers={"content-encoding": "gzip"}),
    post("gzip that is cut off", TABLE, gzip.compress(GOOD)[:-9], headers={"content-encoding": "gzip"}),
    post("gzip with a wrong checksum", TABLE, gzip.compress(GOOD)[:-8] + b"\0" * 8, headers={"content-encoding": "gzip"}),
    post("gzip with bytes behind it", TABLE, gzip.compress(GOOD) + b"more", headers={"content-encoding": "gzip"}),
    post("gzip of bad JSON", TABLE, gzip.compress(b"{"), headers={"content-encoding": "gzip"}),
    post("deflate garbage", OIP, b"\xff" * 40, headers={"content-encoding": "deflate"}),
    post("deflate that is cut off", OIP, zlib.compress(b"[" * 999)[:-6], headers={"content-encoding": "deflate"}),
    post("a gzip bomb", TABLE, bomb, 413, "too_large", headers={"content-encoding": "gzip"}),
    post("a gzip bomb to infer", OIP, bomb, 413, "too_large", headers={"content-encoding": "gzip"}),
    post("unknown encoding", TABLE, GOOD, 415, "unsupported_media_type", headers={"content-encoding": "br"}),
    post("two encodings", TABLE, GOOD, 415, "unsupported_media_type", headers={"content-encoding": "gzip, gzip"}),
    post("unknown encoding to infer", OIP, tensor(), 415, "unsupported_media_type", headers={"content-encoding": "zstd"}),
    post("a time limit that is no number", TABLE, GOOD, headers={"inferry-timeout": "soon"}),
    post("a time limit of zero", OIP, tensor(), headers={"inferry-timeout": "0"}),
    post("an endless time limit", TABLE, GOOD, headers={"inferry-timeout": "inf"}),
]  # fmt: skip

GROUPS = {
    "routes": ROUTES, "names": NAMES, "keys": KEYS, "json": JSON, "plain": PLAIN, "infer": INFER,
    "binary": BINARY, "encodings": ENCODINGS,
}  # fmt: skip


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{group}: {case.name}") for group, cases in GROUPS.items() for case in cases]
)
def test_a_bad_request_is_refused_and_costs_nobody_else(target: Target, case: Case) -> None:
    target.refuses(case)


def test_of_a_key_given_twice_the_last_value_counts(target: Target) -> None:
    twice = b'[{"age": "no number", "income": 3.5, "job": "nurse", "member": true, "age": 41}]'
    case = Case("duplicate key", "POST", TABLE, 200, "", twice)
    answer = target.send(case)
    assert answer is not None
    assert answer.status == 200, answer.body
    assert answer.json() == target.platform.predict("table", row())


def test_nan_in_a_binary_tensor_is_data(target: Target) -> None:
    raw = struct.pack("<4f", float("nan"), 3.5, 1.4, 0.2)
    answer = target.send(Case("binary NaN", "POST", OIP, 200, "", **binary(raw)))
    assert answer is not None
    assert answer.status == 200, answer.body


def test_a_refusal_names_what_is_at_fault(target: Target) -> None:
    assert "'age'" in target.refuses(post("text for a number", TABLE, row(age="41")))["message"]
    words = target.refuses(post("unknown category", TABLE, row(job="astronaut")))
    assert "'astronaut'" in words["message"]
    assert "'pilot'" in words["help"]
    assert "'income'" in target.refuses(post("a typo", TABLE, row(incom=1)))["help"]
