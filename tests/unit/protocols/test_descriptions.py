"""What an endpoint says of itself: metadata, configuration, OpenAPI, docs page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from inferry.errors import NotFound
from inferry.protocols import metadata, pages
from inferry.protocols.openapi import openapi
from inferry.protocols.plain import PlainCodec
from inferry.types.signature import DATATYPES, Signature, as_example
from tests.support.protocol_cases import COLUMNS_2D, EVERY, IRIS, OPEN, PEOPLE, PERSON, TWO, request, spec


def test_model_metadata_lists_the_signature() -> None:
    assert metadata.model_metadata("iris", [1, 2], IRIS, "onnx") == {
        "name": "iris",
        "versions": ["1", "2"],
        "platform": "inferry_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]},
        ],
    }
    assert metadata.model_metadata("m", [1], OPEN, "python")["inputs"] == []


def test_server_metadata_names_the_extensions() -> None:
    assert "binary_tensor_data" in metadata.server_metadata("0.1.0")["extensions"]


def test_model_config_leaves_out_the_batch_dimension_only_when_it_can() -> None:
    stacked = metadata.model_config("m", COLUMNS_2D, "onnx")
    assert stacked["max_batch_size"] > 0
    assert stacked["input"][0] == {"name": "age", "data_type": "TYPE_FP32", "dims": [1]}
    assert stacked["input"][1]["data_type"] == "TYPE_STRING"
    flat = metadata.model_config("m", IRIS, "onnx")
    assert flat["max_batch_size"] == 0
    assert flat["input"][0]["dims"] == [-1, 4]


def test_servable_metadata_tells_the_signature_in_tensorflows_words() -> None:
    told = metadata.servable_metadata("people", 3, PEOPLE)
    assert told["model_spec"] == {"name": "people", "signature_name": "", "version": "3"}
    default = told["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert default["inputs"]["job"] == {
        "dtype": "DT_STRING",
        "tensor_shape": {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False},
        "name": "job:0",
    }
    assert [default["inputs"][name]["dtype"] for name in PERSON] == [
        "DT_DOUBLE", "DT_STRING", "DT_INT64", "DT_BOOL", "DT_DOUBLE", "DT_STRING",
    ]  # fmt: skip
    assert default["outputs"]["probabilities"]["dtype"] == "DT_FLOAT"
    assert default["method_name"] == "tensorflow/serving/predict"
    assert metadata.servable_metadata("m", 1, OPEN)["metadata"]["signature_def"]["signature_def"][
        "serving_default"]["inputs"] == {}  # fmt: skip


def document(signature: Signature, example: Any = None, answer: Any = None) -> dict[str, Any]:
    made = openapi("fraud", 3, signature, as_example(example), answer, "http://127.0.0.1:8000")
    return msgspec.json.decode(msgspec.json.encode(made))


def test_openapi_holds_the_real_example_and_the_answer() -> None:
    made = document(PEOPLE, [PERSON], {"model": "fraud", "version": 3, "predictions": []})
    operation = made["paths"]["/predict/fraud"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["example"] == [PERSON]
    assert operation["responses"]["200"]["content"]["application/json"]["example"]["model"] == "fraud"
    assert {"400", "401", "404", "413", "429", "503", "504"} <= operation["responses"].keys()
    assert made["security"] == [{"key": []}]
    assert made["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert {"/v2/models/fraud", "/v2/models/fraud/ready", "/v2/models/fraud/infer"} <= made["paths"].keys()


def test_openapi_tells_categories_and_nulls() -> None:
    records = document(PEOPLE)["components"]["schemas"]["Input"]["anyOf"][0]
    columns = records["items"]["properties"]
    assert columns["job"] == {"enum": ["clerk", "baker"]}
    assert columns["income"] == {"type": ["number", "null"]}
    assert columns["member"] == {"type": "boolean"}
    assert columns["visits"]["maximum"] == 2**63 - 1
    assert records["items"]["required"] == list(PERSON)


@pytest.mark.parametrize("name", EVERY)
def test_openapi_refers_only_to_what_it_holds(name: str) -> None:
    made = document(EVERY[name])
    for found in re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(made)):
        assert found in made["components"]["schemas"]


BODIES: list[tuple[Signature, Any]] = [
    (PEOPLE, [PERSON]), (PEOPLE, PERSON), (PEOPLE, [list(PERSON.values())]), (PEOPLE, list(PERSON.values())),
    (PEOPLE, {name: [value] for name, value in PERSON.items()}), (PEOPLE, {"inputs": [PERSON]}),
    (IRIS, [[1, 2, 3, 4]]), (IRIS, [1, 2, 3, 4]), (IRIS, {"x": [[1, 2, 3, 4]]}), (IRIS, {"x": [1, 2, 3, 4]}),
    (IRIS, [[1, 2, 3]]), (IRIS, [[1, 2, 3, "4"]]), (PEOPLE, [{**PERSON, "job": "king"}]), (PEOPLE, [{"age": 1}]),
    (TWO, [["a", [1, 2, 3]]]), (TWO, {"text": "a", "vector": [1, 2, 3]}), (TWO, {"text": ["a"], "vector": [[1, 2]]}),
    (COLUMNS_2D, {"age": [1], "job": ["x"]}), (COLUMNS_2D, [{"age": 1, "job": "x"}]), (COLUMNS_2D, [[1, "x"]]),
    (OPEN, {"any": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("signature", "body"), BODIES)
def test_the_schema_takes_what_the_codec_takes(signature: Signature, body: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = document(signature)["components"]["schemas"]["Input"]
    try:
        PlainCodec(signature).decode(request(body))
        taken = True
    except Exception:
        taken = False
    assert jsonschema.Draft202012Validator(schema).is_valid(body) == taken


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_has_a_schema(datatype: str) -> None:
    signature = Signature(kind="tensors", inputs=(spec("x", datatype),), outputs=(spec("y", datatype),))
    properties = document(signature)["components"]["schemas"]["Input"]["anyOf"][1]["properties"]
    assert properties["x"]["items"]["type"] in ("boolean", "integer", "number", "string")


@pytest.mark.parametrize(
    ("name", "kind"), [("docs.html", "text/html"), ("docs.js", "text/javascript"), ("docs.css", "text/css")]
)
def test_assets_are_served_by_name(name: str, kind: str) -> None:
    content_type, data = pages.asset(name)
    assert content_type == f"{kind}; charset=utf-8"
    assert data.decode()


@pytest.mark.parametrize("name", ["", "../pages.py", "docs.html/", "x" * 500, "/etc/passwd"])
def test_nothing_else_is_an_asset(name: str) -> None:
    with pytest.raises(NotFound):
        pages.asset(name)


def test_the_page_obeys_its_own_policy() -> None:
    html = pages.asset("docs.html")[1].decode()
    script = pages.asset("docs.js")[1].decode()
    assert re.findall(r'(?:src|href)="([^"]+)"', html) == [
        "/docs-assets/docs.css",
        "./openapi.json",
        "/docs-assets/docs.js",
    ]
    assert "<style" not in html
    assert not re.search(r"\son\w+=|\sstyle=|<script>", html)
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|localStorage|\.style\b", script
    )
    assert "url(" not in pages.asset("docs.css")[1].decode()
    for used in re.findall(r"""\$\("([\w-]+)"\)""", script):
        assert f'id="{used}"' in html


@pytest.mark.skipif(shutil.which("node") is None, reason="node checks the script's syntax")
def test_the_script_parses(tmp_path: Path) -> None:
    file = tmp_path / "docs.js"
    file.write_bytes(pages.asset("docs.js")[1])
    assert subprocess.run(["node", "--check", str(file)], check=False).returncode == 0
