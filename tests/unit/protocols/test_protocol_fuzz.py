"""Whatever bytes arrive, a codec answers with a Call or with an error of ours."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from inferry.errors import InferryError
from inferry.interfaces.codec import Call
from inferry.protocols.mlflow import MlflowCodec
from inferry.protocols.mlflow_csv import CsvCodec
from inferry.protocols.oip import OipCodec
from inferry.protocols.plain import PlainCodec
from inferry.protocols.tfs import PredictCodec
from inferry.protocols.tfs_examples import CLASSIFY, REGRESS, ExamplesCodec
from inferry.types.signature import DATATYPES, Signature
from tests.support.protocol_cases import EVERY, PERSON, request

NAMES = st.sampled_from(["x", "age", "job", "text", "vector", "v", "k", "inputs", "b64", "outputs", *PERSON])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=6),
    max_leaves=20,
)  # fmt: skip
PARAMETERS = st.none() | st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "content_type", "binary_data_output"]),
    st.integers(-2, 40) | SCALARS | st.just("base64"),
    max_size=2,
)
TENSOR = st.fixed_dictionaries(
    {
        "name": NAMES,
        "datatype": st.sampled_from(DATATYPES) | st.text(max_size=3),
        "shape": st.lists(st.integers(-2, 5) | st.integers(), max_size=4),
    },
    optional={"data": JSON | st.lists(SCALARS, max_size=6), "parameters": PARAMETERS},
)  # fmt: skip
OUTPUT = st.fixed_dictionaries({"name": NAMES}, optional={"parameters": PARAMETERS})
OIP_BODY = st.fixed_dictionaries(
    {"inputs": st.lists(TENSOR, max_size=3)},
    optional={
        "id": SCALARS, "parameters": PARAMETERS,
        "outputs": st.none() | st.lists(OUTPUT, max_size=2),
    },
)  # fmt: skip
FORMS = st.dictionaries(
    st.sampled_from(
        ["instances", "inputs", "dataframe_split", "dataframe_records", "examples", "context", "params",
         "signature_name"]
    ),
    JSON
    | st.lists(st.dictionaries(NAMES, JSON, max_size=7), max_size=3)
    | st.fixed_dictionaries(
        {"data": st.lists(st.lists(JSON, max_size=3), max_size=3)}, optional={"columns": st.lists(NAMES, max_size=4)}
    ),
    min_size=1,
    max_size=2,
)  # fmt: skip
CSV = st.lists(
    st.lists(NAMES | SCALARS.map(str) | st.sampled_from(["", "NA", '"', '"a,b"', "1e999"]), max_size=7).map(",".join),
    max_size=4,
).map("\n".join)


def classify(signature: Signature) -> ExamplesCodec:
    return ExamplesCodec(signature, CLASSIFY)


def regress(signature: Signature) -> ExamplesCodec:
    return ExamplesCodec(signature, REGRESS)


KINDS = (OipCodec, PlainCodec, PredictCodec, MlflowCodec, CsvCodec)
FORMED = (PredictCodec, classify, regress, MlflowCodec)
CODECS = [(kind, name) for kind in KINDS for name in EVERY]


def attempt(codec: Any, body: bytes | memoryview, json_size: int = 0) -> None:
    refused: InferryError | None = None
    try:
        call = codec.decode(replace(request(b"", json_size=json_size), body=body))
        assert isinstance(call, Call)
        assert call.rows >= 0
        if not isinstance(codec, ExamplesCodec):  # they answer with an output of the signature
            codec.encode(call, call.inputs)  # an echo: whatever came in can be written or is refused
    except InferryError as error:
        refused = error
    if refused:
        told = json.loads(codec.refuse(refused))
        assert told.get("error") or told["message"]


def attempt_all(kinds: Iterable[Any], body: bytes | memoryview, json_size: int = 0) -> None:
    """With every signature: making up a body takes most of the time, and reading it next to none."""
    for kind in kinds:
        for name, signature in EVERY.items():
            try:
                attempt(kind(signature), body, json_size)
            except BaseException:
                note(f"{kind.__name__} of {name}")
                raise


@given(st.binary(max_size=80), st.sampled_from([0, 0, 10, 200]))
def test_any_bytes(body: bytes, json_size: int) -> None:
    attempt_all(KINDS, body, json_size)


@settings(max_examples=200)
@given(JSON)
def test_any_json(value: Any) -> None:
    attempt_all(KINDS, json.dumps(value).encode())


@settings(max_examples=400)
@given(FORMS)
def test_anything_under_the_keys_of_a_form(value: Any) -> None:
    attempt_all(FORMED, json.dumps(value).encode())


@given(JSON | FORMS, st.sampled_from([b"", b"age,job\n1,clerk\n", b"\xff", b"[NaN]"]))
def test_anything_in_shared_memory(value: Any, other: bytes) -> None:
    attempt_all(KINDS, memoryview(other or json.dumps(value).encode()))


@settings(max_examples=200)
@given(CSV)
def test_anything_that_looks_like_csv(text: str) -> None:
    attempt_all([CsvCodec], text.encode(errors="surrogatepass"))


@settings(max_examples=500)
@given(OIP_BODY, st.binary(max_size=40), st.booleans())
def test_anything_shaped_like_a_request(body: Any, raw: bytes, binary: bool) -> None:
    head = json.dumps(body).encode()
    attempt_all([OipCodec], head + raw if binary else head, len(head) if binary else 0)


@pytest.mark.parametrize("depth", [50, 400, 990, 1500, 5000])
@pytest.mark.parametrize(("kind", "name"), CODECS)
def test_any_depth(kind: Any, name: str, depth: int) -> None:
    attempt(kind(EVERY[name]), b"[" * depth + b"1" + b"]" * depth)
    attempt(kind(EVERY[name]), b'{"inputs":' * depth + b"1" + b"}" * depth)
    attempt(kind(EVERY[name]), b'{"inputs":' * depth + b"NaN" + b"}" * depth)
    attempt(kind(EVERY[name]), b'{"a":' * depth)
    nested = b"[" * depth + b"1" + b"]" * depth
    attempt(kind(EVERY[name]), b'{"inputs":[{"name":"x","datatype":"FP32","shape":[1,4],"data":' + nested + b"}]}")
