"""Bad predictions through the doors of TensorFlow Serving, KServe v1 and MLflow, one table.

Each case: exact status, the error form of the door, a sentence that says what to do, no leak, and
the next good request succeeds.
"""

from __future__ import annotations

import contextlib
import gzip
import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.conftest import GOOD_ROW, Target
from tests.support.refusals import Case

TABLE, TENSOR = "/v1/models/table:predict", "/v1/models/tensor:predict"
CLASSIFY, REGRESS = "/v1/models/table:classify", "/v1/models/table:regress"
INVOKE = "/endpoints/table/invocations"
ROW = [5.1, 3.5, 1.4, 0.2]
JSON, CSV = {"content-type": "application/json"}, {"content-type": "text/csv"}
HEADER = ",".join(GOOD_ROW)


def post(name: str, path: str, body: Any, status: int = 400, code: str = "invalid_input", **more: Any) -> Case:
    return Case(name, "POST", path, status, code, body, **more)


def row(**changes: Any) -> dict[str, Any]:
    return {"instances": [{**GOOD_ROW, **changes}]}


def frame(**changes: Any) -> dict[str, Any]:
    return {"dataframe_records": [{**GOOD_ROW, **changes}]}


def text(*lines: str) -> bytes:
    return "\n".join([HEADER, *lines]).encode()


ROUTES = [
    post("unknown model", "/v1/models/nobody:predict", row(), 404, "not_found"),
    post("unknown model, classify", "/v1/models/nobody:classify", {"examples": [{}]}, 404, "not_found"),
    post("unknown version", "/v1/models/table/versions/9:predict", row(), 404, "not_found"),
    post("a version that is no number", "/v1/models/table/versions/first:predict", row(), 404, "not_found"),
    post("an unknown label", "/v1/models/table/labels/canary:predict", row(), 404, "not_found"),
    post("an unknown verb", "/v1/models/table:generate", row(), 404, "not_found"),
    post("no verb", "/v1/models/table", row(), 405, "method_not_allowed"),
    post("an empty name", "/v1/models/:predict", row(), 404, "not_found"),
    post("up and out", "/v1/models/..%2f..%2fetc:predict", row(), 404, "not_found"),
    post("not UTF-8", "/v1/models/%ff%fe:predict", row(), 404, "not_found"),
    post("NUL", "/v1/models/table%00:predict", row(), 404, "not_found"),
    post("explain", "/v1/models/table:explain", row(), 501, "unsupported"),
    Case("GET of a prediction", "GET", TABLE, 405, "method_not_allowed"),
    Case("GET of an explanation", "GET", "/v1/models/table:explain", 405, "method_not_allowed"),
    Case("POST to all models", "POST", "/v1/models", 405, "method_not_allowed", b"{}"),
    Case("status of nobody", "GET", "/v1/models/nobody", 404, "not_found"),
    Case("status of a version that is not there", "GET", "/v1/models/table/versions/7", 404, "not_found"),
    Case("status of a label that is not there", "GET", "/v1/models/table/labels/canary", 404, "not_found"),
    Case("metadata of nobody", "GET", "/v1/models/nobody/metadata", 404, "not_found"),
    Case("no such part of a model", "GET", "/v1/models/table/weights", 404, "not_found"),
    Case("no such route", "GET", "/v1/secret", 404, "not_found"),
    post("unknown endpoint", "/endpoints/nobody/invocations", frame(), 404, "not_found", headers=JSON),
    post("no endpoint among several", "/invocations", frame(), 404, "not_found", headers=JSON),
    post("an empty endpoint", "/endpoints//invocations", frame(), 404, "not_found", headers=JSON),
    Case("GET of invocations", "GET", INVOKE, 405, "method_not_allowed"),
    Case("POST to ping", "POST", "/ping", 405, "method_not_allowed", b"{}"),
    Case("ping of nobody", "GET", "/endpoints/nobody/ping", 404, "not_found"),
]

KEYS = [
    post("no key", TABLE, row(), 401, "unauthorized", key=""),
    post("no key, classify", CLASSIFY, {"examples": []}, 401, "unauthorized", key=""),
    post("no key, explain", "/v1/models/table:explain", row(), 401, "unauthorized", key=""),
    post("no key, unknown model", "/v1/models/nobody:predict", row(), 401, "unauthorized", key=""),
    post("no key, invocations", INVOKE, frame(), 401, "unauthorized", key="", headers=JSON),
    post("no key, no endpoint", "/invocations", frame(), 401, "unauthorized", key="", headers=JSON),
    post("no key and a type that is not read", INVOKE, b"x", 401, "unauthorized", key="", headers={"content-type": "x/y"}),
    Case("no key, all models", "GET", "/v1/models", 401, "unauthorized", key=""),
    Case("no key, status", "GET", "/v1/models/table", 401, "unauthorized", key=""),
    Case("no key, metadata", "GET", "/v1/models/table/metadata", 401, "unauthorized", key=""),
    Case("no key, version", "GET", "/version", 401, "unauthorized", key=""),
    Case("no key, ping of an endpoint", "GET", "/endpoints/table/ping", 401, "unauthorized", key=""),
    post("a viewer predicts", TABLE, row(), 403, "forbidden", key="viewer"),
    post("a viewer invokes", INVOKE, frame(), 403, "forbidden", key="viewer", headers=JSON),
    post("a key for another endpoint", TABLE, row(), 403, "forbidden", key="limited"),
    post("a key for another endpoint, regress", REGRESS, {"examples": []}, 403, "forbidden", key="limited"),
    post("a key for another endpoint, invocations", INVOKE, frame(), 403, "forbidden", key="limited", headers=JSON),
    Case("a key for another endpoint, status", "GET", "/v1/models/table", 403, "forbidden", key="limited"),
    post("an expired key", TABLE, row(), 401, "unauthorized", key="expired"),
]  # fmt: skip

DEEP = 200_000
JUNK = {
    "malformed": b'{"instances": [', "empty": b"", "deep lists": b"[" * DEEP, "deep objects": b'{"inputs":' * DEEP,
    "null": b"null", "text": b'"hello"', "a list": b"[]", "not UTF-8": b'{"instances": ["\xff"]}', "NaN": b"NaN",
    "deep NaN": b'{"inputs":' + b"[" * DEEP + b"NaN" + b"]" * DEEP + b"}", "UTF-16": '{"inputs": 1}'.encode("utf-16"),
    "a huge integer": b'{"inputs": ' + b"1" * 5000 + b"}", "pickle": b"\x80\x04cos\nsystem\n.", "an empty object": b"{}",
}  # fmt: skip
BODIES = [
    post(f"{name}, {door}", path, body, code="BAD_REQUEST" if path == INVOKE else "invalid_input", headers=JSON)
    for door, path in (("predict", TABLE), ("predict a tensor", TENSOR), ("classify", CLASSIFY), ("invocations", INVOKE))
    for name, body in JUNK.items()
]  # fmt: skip

PREDICT = [
    post("both forms", TABLE, {**row(), "inputs": {}}),
    post("another signature", TABLE, {**row(), "signature_name": "other"}),
    post("no instances", TABLE, {"instances": []}),
    post("instances, an object", TABLE, {"instances": GOOD_ROW}),
    post("a typo", TABLE, row(agee=1)),
    post("text for a number", TABLE, row(age="41")),
    post("a list for a value", TABLE, row(age=[41])),
    post("unknown category", TABLE, row(job="astronaut")),
    post("base64 for a number", TABLE, row(age={"b64": "NDE="})),
    post("NaN where nothing may be missing", TABLE, row(income=float("nan"))),
    post("columns without lists", TABLE, {"inputs": GOOD_ROW}),
    post("columns of different length", TABLE, {"inputs": {**{n: [v] for n, v in GOOD_ROW.items()}, "age": [1, 2]}}),
    post("one row in place of rows", TENSOR, {"instances": ROW}),
    post("too few features", TENSOR, {"instances": [ROW[:3]]}),
    post("too few features in columns", TENSOR, {"inputs": [ROW[:3]]}),
    post("over FP32", TENSOR, {"inputs": [[1e39, 1, 1, 1]]}),
    post("NaN and 1e999", TENSOR, b'{"instances": [[NaN, 1e999, 1, 1]]}'),
    post("an unknown input", TENSOR, {"inputs": {"y": [ROW]}}),
    post("examples to predict", TABLE, {"examples": [GOOD_ROW]}),
    post("instances to classify", CLASSIFY, row()),
    post("no examples", CLASSIFY, {"examples": []}),
    post("examples, an object", CLASSIFY, {"examples": GOOD_ROW}),
    post("an example that lacks a feature", CLASSIFY, {"examples": [{"age": 1}]}),
    post("context, a list", CLASSIFY, {"examples": [GOOD_ROW], "context": []}),
    post("a classifier is no regression", REGRESS, {"examples": [GOOD_ROW]}),
    post("gzip garbage", TABLE, b"no gzip", headers={"content-encoding": "gzip"}),
    post("gzip of bad JSON", TABLE, gzip.compress(b"{"), headers={"content-encoding": "gzip"}),
    post("an unknown encoding", TABLE, row(), 415, "unsupported_media_type", headers={"content-encoding": "br"}),
    post("a time limit that is no number", TABLE, row(), headers={"inferry-timeout": "soon"}),
    post("a body over the limit", TABLE, b"", 413, "too_large", headers={"content-length": str(1 << 40)}),
]

MLFLOW = [
    post("two inputs", INVOKE, {**frame(), "instances": []}, code="BAD_REQUEST", headers=JSON),
    post("no form that is known", INVOKE, {"columns": [], "data": []}, code="BAD_REQUEST", headers=JSON),
    post("split, a list", INVOKE, {"dataframe_split": []}, code="BAD_REQUEST", headers=JSON),
    post("split without data", INVOKE, {"dataframe_split": {"columns": ["age"]}}, code="BAD_REQUEST", headers=JSON),
    post("records, an object", INVOKE, {"dataframe_records": GOOD_ROW}, code="BAD_REQUEST", headers=JSON),
    post("params, a list", INVOKE, {**frame(), "params": []}, code="BAD_REQUEST", headers=JSON),
    post("a short row", INVOKE, {"dataframe_split": {"columns": ["age", "job"], "data": [[1]]}}, headers=JSON),
    post("a missing column", INVOKE, {"dataframe_split": {"columns": ["age"], "data": [[1]]}}, headers=JSON),
    post("text for a number", INVOKE, frame(age="x"), headers=JSON),
    post("null where nothing may be missing", INVOKE, frame(income=None), headers=JSON),
    post("no rows", INVOKE, {"dataframe_records": []}, headers=JSON),
    post("unknown category", INVOKE, frame(job="astronaut"), headers=JSON),
    post("a bare row", "/endpoints/tensor/invocations", {"inputs": ROW}, headers=JSON),
    post("an empty CSV", INVOKE, b"", code="BAD_REQUEST", headers=CSV),
    post("CSV that is not UTF-8", INVOKE, b"age\n\xff", code="BAD_REQUEST", headers=CSV),
    post("CSV with an open quote", INVOKE, text('41,"3.5'), code="BAD_REQUEST", headers=CSV),
    post("CSV without rows", INVOKE, text(), headers=CSV),
    post("CSV with a short line", INVOKE, text("41,3.5"), code="BAD_REQUEST", headers=CSV),
    post("CSV that lacks columns", INVOKE, b"age\n41\n", headers=CSV),
    post("CSV with text for a number", INVOKE, text("x,3.5,nurse,True"), headers=CSV),
    post("CSV with an unknown category", INVOKE, text("41,3.5,astronaut,True"), headers=CSV),
    post("CSV with a gap", INVOKE, text("41,,nurse,True"), headers=CSV),
    post("CSV with NUL", INVOKE, text("41,3.5,nurse\0,True"), headers=CSV),
    post("JSON said to be CSV", INVOKE, frame(), headers=CSV),
    post("a gzip that is cut off", INVOKE, gzip.compress(json.dumps(frame()).encode())[:-9],
         headers=JSON | {"content-encoding": "gzip"}),
]  # fmt: skip

GROUPS = {"routes": ROUTES, "keys": KEYS, "bodies": BODIES, "predict": PREDICT, "mlflow": MLFLOW}


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{group}: {case.name}") for group, cases in GROUPS.items() for case in cases]
)
def test_a_bad_request_is_refused_and_costs_nobody_else(target: Target, case: Case) -> None:
    target.refuses(case)


def test_what_is_not_served_is_told_in_tensorflows_words(target: Target) -> None:
    for path, words in {
        "/v1/models/nobody:predict": "Servable not found for request: Latest(nobody).",
        "/v1/models/table/versions/9:classify": "Servable not found for request: Specific(table, 9).",
        "/v1/models/table/labels/canary:predict": "Unrecognized servable version label: canary.",
    }.items():
        assert target.refuses(post(path, path, row(), 404, "not_found"))["message"].startswith(words)


@pytest.mark.parametrize(
    "media",
    [
        "text/plain", "application/x-www-form-urlencoded", "application/vnd.apache.parquet",
        "application/json; charset=latin1", "application/json; format=pandas-split", "x" * 1000, "\xff",
    ],
)  # fmt: skip
def test_a_type_that_is_not_read_is_refused_in_plain_text_and_the_connection_lives(target: Target, media: str) -> None:
    body = json.dumps(frame()).encode()
    headers = {"content-type": media, "authorization": f"Bearer {target.platform.key}"}
    with contextlib.closing(HTTPConnection(urlsplit(target.platform.http).netloc, timeout=20)) as connection:
        connection.connect()
        connection.auto_open = 0
        for chunked in (False, True):
            connection.request("POST", INVOKE, iter([body]) if chunked else body, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            assert answer.status == 415
            assert answer.headers["content-type"] == "text/plain; charset=utf-8"
            assert "Send application/json or text/csv" in answer.read().decode()
        connection.request("POST", INVOKE, body, headers | JSON)
        assert json.loads(connection.getresponse().read())["predictions"] in (["no"], ["yes"])


def test_a_refusal_names_what_is_at_fault(target: Target) -> None:
    assert "'age'" in target.refuses(post("text", TABLE, row(age="41")))["message"]
    assert "'pilot'" in target.refuses(post("category", INVOKE, frame(job="astronaut"), headers=JSON))["message"]
    told = target.refuses(
        post("a typo", INVOKE, {"dataframe_split": {"columns": ["agee"], "data": [[1]]}}, headers=JSON)
    )
    assert "Did you mean 'age'?" in told["message"]
