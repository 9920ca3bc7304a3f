"""Files at the doors: the same photo however it comes, forms taken apart, and no bytes that break a codec."""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from PIL import Image

from inferry.errors import InferryError, InvalidInput, UnsupportedMedia
from inferry.interfaces.codec import Call
from inferry.media.stage import Stage, Staged, bare, needed, tensor_of
from inferry.protocols.files import CsvRowsCodec, FileCodec, FormCodec, read_form
from inferry.protocols.mlflow import MlflowCodec
from inferry.protocols.oip import OipCodec
from inferry.protocols.plain import PlainCodec
from inferry.protocols.tfs import PredictCodec
from inferry.types import frames
from inferry.types.signature import AudioSpec, Classes, ImageSpec, Signature, TensorSpec
from tests.support.protocol_cases import OPEN, PEOPLE, PERSON, read, request, spec

LOGITS = TensorSpec(name="logits", datatype="FP32", shape=(-1, 3))
PHOTO = Signature(
    kind="tensors",
    batchable=True,
    inputs=(TensorSpec(name="image", datatype="FP32", shape=(-1, 3, 4, 4), image=ImageSpec(height=4, width=4)),),
    outputs=(
        TensorSpec(name="label", datatype="BYTES", shape=(-1,)),
        TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 3), labels=("cat", "dog", "fox"), top=2),
    ),
    classes=Classes(scores=LOGITS, softmax=True),
)
BOTH = Signature(
    kind="tensors",
    inputs=(
        TensorSpec(name="photo", datatype="UINT8", shape=(-1, 2, 2, 1), image=ImageSpec(mode="L", scale=1, height=2, width=2, layout="NHWC")),
        TensorSpec(name="zoom", datatype="FP32", shape=(-1, 1)),
    ),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 1)),),
)  # fmt: skip
SOUND = Signature(
    kind="tensors",
    inputs=(TensorSpec(name="wave", datatype="FP32", shape=(-1, 6), audio=AudioSpec(rate=8000)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(-1, 1)),),
)


def photo(shade: int = 51) -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (5, 4), (shade, shade, shade)).save(kept, "PNG")
    return kept.getvalue()


def b64(data: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(data).decode()}


def form(*parts: tuple[str, bytes], boundary: bytes = b"--xyz") -> bytes:
    body = b""
    for name, data in parts:
        head = b'content-disposition: form-data; name="%s"; filename="a.png"\r\ncontent-type: image/png' % name.encode()
        body += boundary + b"\r\n" + head + b"\r\n\r\n" + data + b"\r\n"
    return body + boundary + b"--\r\n"


def oip(data: list[Any], **parameters: Any) -> Any:
    tensor = {"name": "image", "datatype": "BYTES", "shape": [len(data)], "data": data}
    return {"inputs": [{**tensor, "parameters": parameters}] if parameters else [tensor]}


ONE = {
    "bare base64": (PlainCodec, b64(photo())),
    "wrapped": (PlainCodec, {"inputs": b64(photo())}),
    "named": (PlainCodec, {"image": b64(photo())}),
    "a list": (PlainCodec, [b64(photo())]),
    "records": (PlainCodec, [{"image": b64(photo())}]),
    "columns": (PlainCodec, {"image": [b64(photo())]}),
    "a file": (FileCodec, photo()),
    "JSON where a file may be": (FileCodec, b64(photo())),
    "a form": (FormCodec, form(("whatever", photo()))),
    "instances": (PredictCodec, {"instances": [b64(photo())]}),
    "named instances": (PredictCodec, {"instances": [{"image": b64(photo())}]}),
    "inputs": (PredictCodec, {"inputs": {"image": [b64(photo())]}}),
    "MLflow": (MlflowCodec, {"inputs": [b64(photo())]}),
    "MLflow records": (MlflowCodec, {"dataframe_records": [{"image": b64(photo())}]}),
    "OIP": (OipCodec, oip([base64.b64encode(photo()).decode()], content_type="base64")),
    "OIP, plain text": (OipCodec, oip([base64.b64encode(photo()).decode()])),
}


@pytest.mark.parametrize("form_", ONE)
def test_one_photo_is_one_row_in_every_form(form_):
    kind, body = ONE[form_]
    call = Staged(kind(PHOTO), Stage(PHOTO)).decode(request(body))
    assert call.rows == 1
    assert call.inputs["image"].shape == (1, 3, 4, 4)
    assert call.inputs["image"].dtype == np.float32
    np.testing.assert_allclose(call.inputs["image"], 0.2)


def test_binary_bytes_and_raw_tensors():
    codec, data = Staged(OipCodec(PHOTO), Stage(PHOTO)), photo()
    raw = struct.pack("<I", len(data)) + data
    head = json.dumps(
        {
            "inputs": [
                {"name": "image", "datatype": "BYTES", "shape": [1, 1], "parameters": {"binary_data_size": len(raw)}}
            ]
        }
    ).encode()
    np.testing.assert_allclose(codec.decode(request(head + raw, len(head))).inputs["image"], 0.2)
    tensor = np.full((2, 3, 4, 4), 0.7, np.float32)
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "image",
                    "datatype": "FP32",
                    "shape": [2, 3, 4, 4],
                    "parameters": {"binary_data_size": tensor.nbytes},
                }
            ]
        }
    ).encode()
    for _ in range(2):  # the second time by the remembered structure
        np.testing.assert_array_equal(codec.decode(request(head + tensor.tobytes(), len(head))).inputs["image"], tensor)
    np.testing.assert_allclose(
        Staged(PlainCodec(PHOTO), Stage(PHOTO)).decode(request(tensor.tolist())).inputs["image"], tensor
    )


def test_the_answer_names_the_likeliest_classes():
    codec = Staged(PlainCodec(PHOTO), Stage(PHOTO))
    call = codec.decode(request([b64(photo()), b64(photo())]))
    answer = read(codec.encode(call, {"logits": np.array([[0, 3, 1], [5, 5, 9]], np.float32)}))
    assert [row["label"] for row in answer["predictions"]] == ["dog", "fox"]
    assert [list(row["probabilities"]) for row in answer["predictions"]] == [["dog", "fox"], ["fox", "cat"]]
    assert answer["predictions"][0]["probabilities"]["dog"] == pytest.approx(np.exp(3) / (1 + np.exp(3) + np.exp(1)))
    oip_answer = read(Staged(OipCodec(PHOTO), Stage(PHOTO)).encode(call, {"logits": np.zeros((2, 3), np.float32)}))
    assert [one["shape"] for one in oip_answer["outputs"]] == [[2], [2, 3]]


def test_the_model_s_own_signature_is_found_again():
    assert bare(PHOTO).outputs == (LOGITS,)
    assert needed(PHOTO)
    assert not needed(bare(msgspec.structs.replace(PHOTO, inputs=())))


def test_a_form_with_a_part_for_each_input():
    codec = Staged(FormCodec(BOTH), Stage(BOTH))
    call = codec.decode(request(form(("photo", photo(9)), ("zoom", b"2.5"))))
    assert call.inputs["photo"].tolist() == [[[[9], [9]], [[9], [9]]]]
    assert call.inputs["photo"].dtype == np.uint8
    assert call.inputs["zoom"].tolist() == [[2.5]]
    many = codec.decode(request(form(("photo", photo(9)), ("photo", photo(8)), ("zoom", b"[1, 2]"))))
    assert many.inputs["zoom"].tolist() == [[1], [2]]
    named = Staged(PlainCodec(BOTH), Stage(BOTH)).decode(request([{"photo": b64(photo(9)), "zoom": 1}]))
    assert named.inputs["photo"].shape == (1, 2, 2, 1)


def test_a_short_sound_is_filled_with_silence_and_a_long_one_refused():
    head = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)

    def sound(count: int) -> bytes:
        data = struct.pack("<h", 16384) * count
        return (
            b"RIFF"
            + struct.pack("<I", 36 + len(data))
            + b"WAVEfmt \x10\0\0\0"
            + head
            + b"data"
            + struct.pack("<I", len(data))
            + data
        )

    codec = Staged(FileCodec(SOUND), Stage(SOUND))
    assert codec.decode(request(sound(4))).inputs["wave"].tolist() == [[0.5, 0.5, 0.5, 0.5, 0, 0]]
    with pytest.raises(InvalidInput, match="has 7 samples at 8000 a second, but the model takes 6"):
        codec.decode(request(sound(7)))


def test_an_open_model_gets_the_bytes():
    assert FileCodec(OPEN).decode(request(photo())).inputs == photo()
    assert FormCodec(OPEN).decode(request(form(("a", b"x"), ("b", b"y")))).inputs == [b"x", b"y"]


def test_csv_rows_are_answered_as_plain_json_is():
    head = ",".join(PERSON)
    row = ",".join(str(value) for value in PERSON.values())
    codec = CsvRowsCodec(PEOPLE)
    call = codec.decode(request(f"{head}\n{row}\n".encode()))
    assert (call.rows, call.name) == (1, "fraud")
    assert read(codec.encode(call, {"label": np.array(["no"], dtype=object)}))["predictions"] == [{"label": "no"}]


def test_an_answer_as_csv():
    codec = PlainCodec(PEOPLE)
    call = codec.decode(replace(request(PERSON), flags=frames.FLAG_CSV))
    outputs = {"label": np.array(['a,"b"'], dtype=object), "score": np.array([[1.5, np.nan]])}
    made = codec.encode(call, outputs)
    assert made.content == frames.CONTENT_CSV
    assert made.body.decode() == 'label,score\r\n"a,""b""","[1.5,null]"\r\n'


def test_an_answer_that_is_a_file():
    call = Call(inputs={}, rows=0)
    made = PlainCodec(OPEN).encode(call, photo())
    assert (made.content, made.body) == (frames.CONTENT_PNG, photo())
    lone = np.array([photo(), None], dtype=object)[:1]
    assert PlainCodec(PEOPLE).encode(call, {"y": lone}).content == frames.CONTENT_PNG
    assert read(PlainCodec(OPEN).encode(call, b"\0\xff"))["predictions"] == {"b64": "AP8="}


WRONG = {
    "a table where pictures go": (PHOTO, FileCodec, b"PAR1....", 415, "Parquet and Arrow need the package pyarrow"),
    "a sound where pictures go": (PHOTO, FileCodec, b"RIFF....WAVE", 415, "This model takes a picture, but the file is a wav file."),
    "a picture for a table": (PEOPLE, FileCodec, photo(), 415, "This model takes no files."),
    "a file for two inputs": (BOTH, FileCodec, photo(), 400, "This model takes more than one file."),
    "no file": (PHOTO, FileCodec, b"\xfe\xfe", 415, "This model takes a picture, but the file is none that is known here."),
    "nothing": (PHOTO, FileCodec, b"", 400, "The body is empty."),
    "no form": (PHOTO, FormCodec, b"hello", 400, "The body is not a form."),
    "an empty form": (PHOTO, FormCodec, b"--x--\r\n", 400, "The form has no parts."),
    "a part without a name": (PHOTO, FormCodec, b"--x\r\n\r\n\r\nabc\r\n--x--\r\n", 400, "A part of the form has no name."),
    "too many parts": (PHOTO, FormCodec, form(*[("a", b"")] * 1025), 400, "The form has over 1024 parts."),
    "another name": (BOTH, FormCodec, form(("foto", photo()), ("zoom", b"1")), 400, "There is no input 'foto'."),
    "not a file": (PHOTO, PlainCodec, b'[{"b64": 3}]', 400, "Row 1, input 'image': expected a file in base64."),
    "text that is not base64": (PHOTO, OipCodec, json.dumps(oip(["%%"])).encode(), 400, "A file came as text that is not base64."),
    "files in two columns": (PHOTO, OipCodec, json.dumps({"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1, 2], "data": ["a", "b"]}]}).encode(), 400,
                             "Input 'image' has the shape [1, 2] of files"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_said(kind, monkeypatch):
    signature, codec, body, status, message = WRONG[kind]
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InferryError) as caught:
        Staged(codec(signature), Stage(signature)).decode(request(body))
    assert (caught.value.status, caught.value.message[: len(message)]) == (status, message)
    assert caught.value.help


def test_files_of_different_sizes_cannot_share_a_request():
    free = TensorSpec(name="image", datatype="FP32", shape=(-1, 3, -1, -1), image=ImageSpec())
    kept = io.BytesIO()
    Image.new("RGB", (3, 3)).save(kept, "PNG")
    with pytest.raises(InvalidInput, match="different sizes"):
        tensor_of([photo(), kept.getvalue()], free)


def test_a_form_is_taken_apart_exactly():
    data = b"\r\n--xy\r\n--xyzz\x00"
    assert [tuple(part) for part in read_form(form(("a", data), ("ü", b""), boundary=b"--xyzzy"))] == [
        ("a", data),
        ("ü", b""),
    ]


CODECS = (FileCodec, FormCodec, CsvRowsCodec, PlainCodec, OipCodec, PredictCodec, MlflowCodec)
SIGNATURES = (PHOTO, BOTH, SOUND, PEOPLE, OPEN, Signature(kind="tensors", inputs=(spec("x", "BYTES"),)))
VALUES = st.recursive(
    st.none() | st.integers(-3, 3) | st.text(max_size=4) | st.sampled_from([b64(photo()), b64(b"PNG"), {"b64": "%"}, {"b64": None}]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["image", "photo", "zoom", "wave", "b64", "instances", "inputs", "dataframe_records"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
TENSORS = st.fixed_dictionaries({
    "inputs": st.lists(st.fixed_dictionaries({
        "name": st.sampled_from(["image", "photo", "zoom", "wave", "x"]),
        "datatype": st.sampled_from(["BYTES", "FP32"]),
        "shape": st.lists(st.integers(0, 3), max_size=3),
        "data": st.lists(st.text(max_size=4) | st.just(base64.b64encode(photo()).decode()), max_size=3),
    }), max_size=2),
})  # fmt: skip
BODIES = (
    st.binary(max_size=40)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | TENSORS.map(lambda value: json.dumps(value).encode())
    | st.lists(st.tuples(st.sampled_from(["photo", "zoom", "image", "a"]), st.binary(max_size=9) | st.just(photo())), max_size=3).map(lambda parts: form(*parts))
    | st.tuples(st.integers(0, 300), st.binary(max_size=4)).map(lambda cut: form(("image", photo()))[: cut[0]] + cut[1])
)  # fmt: skip


@given(st.sampled_from(CODECS), st.sampled_from(SIGNATURES), BODIES)
def test_whatever_comes_there_is_a_call_or_a_sentence(codec, signature, body):
    try:
        call = Staged(codec(signature), Stage(signature)).decode(request(body))
    except InferryError as error:
        assert error.message
    else:
        assert isinstance(call, Call)


def test_pyarrow_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnsupportedMedia, match="need the package pyarrow"):
        FileCodec(PEOPLE).decode(request(b"PAR1 and so on"))
