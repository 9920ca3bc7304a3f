"""The public tritonclient builds requests that we read and reads answers that we write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inferry.protocols import tensors
from inferry.protocols.oip import OipCodec
from inferry.types.signature import DATATYPES, Signature
from tests.support.protocol_cases import CLASS_ANSWER, IRIS, TWO, request, spec

http = pytest.importorskip("tritonclient.http")


def ask(codec: OipCodec, inputs: list[Any], answer: Any, outputs: Any = None, **more: Any) -> tuple[Any, Any]:
    """One request through the client's own writer and reader."""
    body, json_size = http.InferenceServerClient.generate_request_body(inputs, outputs=outputs, **more)
    call = codec.decode(request(body, json_size=json_size or 0))
    encoded = codec.encode(call, answer)
    result = http.InferenceServerClient.parse_response_body(encoded.body, header_length=encoded.json_size or None)
    return call, result


def sent(name: str, array: np.ndarray, datatype: str, binary: bool) -> Any:
    made = http.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


X = np.array([[5.1, 3.5, 1.4, 0.2], [6, 2, 4, 1]], np.float32)


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_both_modes_both_ways(binary_in: bool, binary_out: bool | None) -> None:
    names = ["probabilities", "label"]
    outputs = None if binary_out is None else [http.InferRequestedOutput(n, binary_data=binary_out) for n in names]
    call, result = ask(OipCodec(IRIS), [sent("x", X, "FP32", binary_in)], CLASS_ANSWER, outputs, request_id="42")
    np.testing.assert_array_equal(call.inputs["x"], X)
    np.testing.assert_array_equal(result.as_numpy("probabilities"), CLASS_ANSWER["probabilities"])
    labels = result.as_numpy("label").tolist()
    assert [label.decode() if isinstance(label, bytes) else label for label in labels] == ["no", "yes"]
    assert result.get_response()["id"] == "42"
    assert result.get_response()["model_version"] == "3"


def test_one_request_may_mix_both() -> None:
    text = np.array(["a", "é"], dtype=object)
    vector = np.arange(6, dtype=np.float32).reshape(2, 3)
    answer = {"y": np.ones((2, 1), np.float32), "z": np.zeros((2, 2), np.float32)}
    outputs = [http.InferRequestedOutput("y", binary_data=True), http.InferRequestedOutput("z", binary_data=False)]
    inputs = [sent("text", text, "BYTES", True), sent("vector", vector, "FP32", False)]
    call, result = ask(OipCodec(TWO), inputs, answer, outputs, parameters={"own": 1})
    assert call.inputs["text"].tolist() == ["a", "é"]
    np.testing.assert_array_equal(call.inputs["vector"], vector)
    np.testing.assert_array_equal(result.as_numpy("y"), answer["y"])
    np.testing.assert_array_equal(result.as_numpy("z"), answer["z"])


@pytest.mark.parametrize("datatype", [name for name in DATATYPES if name != "BF16"])
def test_every_datatype_in_binary(datatype: str) -> None:
    both = (spec("t", datatype, (-1, 2)),)
    values: Any = [["a", "bé"], ["", "\x00"]] if datatype == "BYTES" else [[0, 1], [1, 0]]
    array = np.array(values, dtype=tensors.DTYPES[datatype])
    call, result = ask(
        OipCodec(Signature(kind="tensors", inputs=both, outputs=both)), [sent("t", array, datatype, True)], {"t": array}
    )
    np.testing.assert_array_equal(call.inputs["t"], array)
    back = result.as_numpy("t")
    if datatype == "BYTES":
        back = np.array([[element.decode() for element in row] for row in back], dtype=object)
    np.testing.assert_array_equal(back, array)


def test_bf16_in_binary() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    both = (spec("t", "BF16"),)
    codec = OipCodec(Signature(kind="tensors", inputs=both, outputs=both))
    made = http.InferInput("t", [2], "BF16")
    made.set_data_from_numpy(np.array([0.1, -2.5], bfloat16))
    call, result = ask(codec, [made], {"t": np.array([0.1, -2.5], np.float32)})
    assert call.inputs["t"].dtype == np.float32
    np.testing.assert_array_equal(call.inputs["t"], np.array([0.1, -2.5], bfloat16).astype(np.float32))
    np.testing.assert_array_equal(result.as_numpy("t").astype(np.float32), call.inputs["t"])
