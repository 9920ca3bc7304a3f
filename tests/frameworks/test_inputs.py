"""Files as inputs, through every door: pictures, sounds, tables, forms; and a file as an answer."""

from __future__ import annotations

import base64
import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.forge import Forged, served
from tests.support.platform import Platform

CATS = {"281", "282", "285"}


@pytest.fixture(scope="module")
def photos(forge, platform) -> Forged:
    """EfficientNet-Lite0 served as `cats`."""
    forged = forge.make("efficientnet_lite0")
    made = platform.deploy(forged.artifact, "cats", sample=forged.folder / "chelsea.png")
    spec = made["signature"]["inputs"][0]
    assert spec["image"]["shortest_edge"] == 256
    assert [one["name"] for one in made["signature"]["outputs"]] == ["label", "probabilities"]
    assert made["signature"]["batchable"]
    return forged


def is_cat(prediction) -> bool:
    return prediction["label"] in CATS and set(list(prediction["probabilities"])[:3]) == CATS


def labels(photos: Forged, *rows: int) -> list[str]:
    """What torch says of the photos, by default of the cat and the rocket."""
    found = photos.arrays("expected")["label"].tolist()
    return [found[row] for row in rows or (0, 2)]


def test_the_example_is_the_sample_and_its_answer_names_the_cat(photos, platform):
    example = platform.call("GET", "/endpoints/cats").json()["example"]
    assert set(example["inputs"]) == {"b64"}
    assert is_cat(platform.predict("cats", example)["predictions"][0])


def test_raw_tensors_still_answer_as_torch_does(photos, platform):
    served(platform, "cats", photos, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("media", ["image/png", "image/jpeg", "application/octet-stream"])
def test_a_posted_photo_is_seen(photos, platform, media):
    data = (photos.folder / "chelsea.png").read_bytes()
    answer = platform.call("POST", "/predict/cats", content=data, headers={"content-type": media})
    assert answer.status_code == 200, answer.text
    assert is_cat(answer.json()["predictions"][0])


def test_a_chunked_body_too(photos, platform):
    data = (photos.folder / "chelsea.png").read_bytes()
    answer = platform.call(
        "POST", "/predict/cats", content=iter([data[:1000], data[1000:]]), headers={"content-type": "image/png"}
    )
    assert is_cat(answer.json()["predictions"][0])


def test_the_tensor_is_what_torchvision_makes(photos, platform):
    """Posted photos answer within a small tolerance of torch on torchvision's tensors."""
    expected = photos.arrays("expected")
    for row, name in enumerate(["chelsea.png", "coffee.png", "rocket.jpg"]):
        body = json.dumps({"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"},
                                       "data": [base64.b64encode((photos.folder / name).read_bytes()).decode()]}]})  # fmt: skip
        answer = platform.call("POST", "/v2/models/cats/infer", content=body)
        outputs = {one["name"]: one["data"] for one in answer.json()["outputs"]}
        assert outputs["label"] == [expected["label"][row]]
        np.testing.assert_allclose(outputs["probabilities"], expected["probabilities"][row], rtol=1e-3, atol=1e-5)


def test_every_json_form_and_a_form_of_many_photos(photos, platform):
    names = ["chelsea.png", "coffee.png", "rocket.jpg"]
    files = [(photos.folder / name).read_bytes() for name in names]
    b64 = [{"b64": base64.b64encode(data).decode()} for data in files]
    wanted = labels(photos, 0, 1, 2)

    def said(answer) -> list[str]:
        return [row["label"] for row in answer["predictions"]]

    for one in (b64[0], [b64[0]], {"image": b64[0]}, [{"image": b64[0]}], {"inputs": b64[0]}):
        assert said(platform.predict("cats", one)) == wanted[:1]
    for many in (b64, {"image": b64}, [{"image": one} for one in b64], {"instances": b64}):
        assert said(platform.predict("cats", many)) == wanted
    kserve = platform.call("POST", "/v1/models/cats:predict", json={"instances": b64})
    assert [row["label"] for row in kserve.json()["predictions"]] == wanted
    columns = platform.call("POST", "/v1/models/cats:predict", json={"inputs": {"image": b64}})
    assert columns.json()["outputs"]["label"] == wanted
    mlflow = platform.call("POST", "/endpoints/cats/invocations", json={"inputs": b64})
    assert mlflow.json() == {"predictions": wanted}
    form = platform.call(
        "POST", "/predict/cats", files=[("f", (name, data)) for name, data in zip(names, files, strict=True)]
    )
    assert said(form.json()) == wanted


@pytest.mark.parametrize("binary", [True, False])
def test_tritonclient_sends_photos_as_bytes(photos, platform, binary):
    import tritonclient.http as triton

    files = np.array([(photos.folder / name).read_bytes() for name in ("chelsea.png", "rocket.jpg")], dtype=object)
    one = triton.InferInput("image", [2], "BYTES")
    if binary:
        one.set_data_from_numpy(files, binary_data=True)
    else:
        one.set_data_from_numpy(np.array([base64.b64encode(data) for data in files], dtype=object), binary_data=False)
    with triton.InferenceServerClient(platform.http.removeprefix("http://"), network_timeout=60) as client:
        answer = client.infer("cats", [one], headers={"authorization": f"Bearer {platform.key}"})
    assert [text.decode() for text in answer.as_numpy("label")] == labels(photos)
    assert answer.as_numpy("probabilities").shape == (2, 1000)


def test_tritonclient_by_grpc(photos, platform):
    import tritonclient.grpc as triton

    one = triton.InferInput("image", [1], "BYTES")
    one.set_data_from_numpy(np.array([(photos.folder / "chelsea.png").read_bytes()], dtype=object))
    with triton.InferenceServerClient(platform.grpc) as client:
        answer = client.infer("cats", [one], headers={"authorization": f"Bearer {platform.key}"})
    assert answer.as_numpy("label")[0].decode() in CATS


def test_the_command_line_and_the_sdk_post_files(photos, platform):
    import inferry

    path = photos.folder / "chelsea.png"
    assert is_cat(platform.cli("predict", "cats", "-d", f"@{path}")["predictions"][0])
    with inferry.connect(platform.control, platform.key) as client:
        cats = client.endpoint("cats")
        assert is_cat(cats.predict(path)[0])
        assert is_cat(cats.predict(path.read_bytes())[0])
        assert [row["label"] for row in cats.predict([path, photos.folder / "rocket.jpg"])] == labels(photos)


def test_an_answer_as_csv(photos, platform):
    data = (photos.folder / "chelsea.png").read_bytes()
    answer = platform.call(
        "POST", "/predict/cats", content=data, headers={"content-type": "image/png", "accept": "text/csv"}
    )
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    head, row = answer.text.splitlines()
    assert head.split(",")[:2] == ["label", f"probabilities.{labels(photos)[0]}"]
    assert row.split(",")[0] == labels(photos)[0]


WRONG = {
    "a cut off photo": (lambda data: data[:5000], "image/png", 400, "The picture is cut off or damaged."),
    "no photo": (lambda data: b"%PDF-1.7", "image/png", 415, "This model takes a picture, but the file is a pdf file."),
    "nothing known": (lambda data: b"\0\1\2\3", "image/png", 415, "This model takes a picture, but the file is none that is known here."),
    "a form that ends early": (lambda data: b"--x\r\ncontent-disposition: form-data; name=f\r\n\r\nabc", "multipart/form-data; boundary=x", 400, "The form is cut off."),
    "bad base64": (lambda data: b'{"b64": "%%%"}', "application/json", 400, "Row 1, input 'image': expected a file in base64."),
    "one bad of two": (
        lambda data: json.dumps([{"b64": base64.b64encode(data).decode()}, {"b64": base64.b64encode(data[:999]).decode()}]).encode(),
        "application/json", 400, "The picture of row 2 is cut off or damaged.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_with_a_file_is_said(photos, platform, kind):
    change, media, status, message = WRONG[kind]
    data = change((photos.folder / "chelsea.png").read_bytes())
    answer = platform.call("POST", "/predict/cats", content=data, headers={"content-type": media})
    assert (answer.status_code, answer.json()["error"]["message"]) == (status, message)


def test_one_document_tells_that_files_are_taken(photos, platform):
    document = platform.call("GET", "/endpoints/cats/openapi.json").json()
    body = document["paths"]["/predict/cats"]["post"]["requestBody"]["content"]
    assert {"application/json", "image/png", "multipart/form-data"} <= body.keys()
    assert document["x-inferry-signature"]["inputs"][0]["image"]["crop"] == [224, 224]


SOUND = '''
import numpy as np


class Loudness:
    """The loudness of each sound: its root mean square."""

    batchable = True

    def predict(self, waves: np.ndarray):
        return {"rms": np.sqrt((waves.astype("float64") ** 2).mean(axis=1)).astype("float32")}
'''


def wav(rate: int, samples: np.ndarray) -> bytes:
    data = (samples * 32767).astype("<i2").tobytes()
    head = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(data))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + head
        + b"data"
        + struct.pack("<I", len(data))
        + data
    )


def test_a_sound_is_resampled_for_the_model(platform: Platform, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.py").write_text(SOUND)
    (tmp_path / "model/preprocessing.json").write_text('{"audio": {"rate": 8000}}')
    sound = tmp_path / "sound.wav"
    sound.write_bytes(wav(44100, 0.5 * np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)))
    made = platform.deploy(tmp_path / "model", "loud", sample=sound)
    assert made["signature"]["inputs"][0]["audio"] == {"rate": 8000}
    answer = platform.call("POST", "/predict/loud", content=sound.read_bytes(), headers={"content-type": "audio/wav"})
    assert answer.json()["predictions"][0]["rms"] == pytest.approx(0.5 / 2**0.5, rel=1e-3)
    raw = platform.predict("loud", {"inputs": [[0.5, -0.5]]})
    assert raw["predictions"] == [{"rms": 0.5}]
    wrong = platform.call(
        "POST", "/predict/loud", content=sound.read_bytes()[:99], headers={"content-type": "audio/wav"}
    )
    assert (wrong.status_code, wrong.json()["error"]["message"].partition(":")[0]) == (400, "The sound is cut off")


PAINTER = '''
# /// script
# dependencies = ["pillow"]
# ///
import io

from PIL import Image


def predict(colour: dict) -> bytes:
    """A small picture of one colour."""
    kept = io.BytesIO()
    Image.new("RGB", (4, 3), tuple(colour["rgb"])).save(kept, "PNG")
    return kept.getvalue()
'''


def test_a_model_answers_a_file(platform: Platform, tmp_path: Path):
    (tmp_path / "painter.py").write_text(PAINTER)
    platform.deploy(tmp_path / "painter.py", "painter")
    answer = platform.call("POST", "/predict/painter", json={"rgb": [255, 0, 0]})
    assert answer.headers["content-type"] == "image/png"
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.size, picture.getpixel((0, 0))) == ((4, 3), (255, 0, 0))
    shell = platform.run("predict", "painter", "-d", '{"rgb": [0, 0, 255]}', "--json")
    assert base64.b64decode(json.loads(shell.stdout)["predictions"]).startswith(b"\x89PNG")
    inside = platform.call("POST", "/v1/models/painter:predict", json={"instances": {"rgb": [1, 2, 3]}}).json()
    assert "error" in inside or base64.b64decode(inside["predictions"]["b64"]).startswith(b"\x89PNG")


UNTRUE = {
    "another size": ({"image": {"resize": 100}}, "The model does not take what preprocessing.json declares."),
    "another number of channels": ({"image": {"mode": "L"}}, "preprocessing.json declares L in NCHW, which is 1 channels"),
    "other classes": ({"classes": {"labels": ["a", "b"]}}, "preprocessing.json names 2 classes, but no output of the model"),
    "an unknown key": ({"image": {"sise": 1}}, "preprocessing.json has the unknown key 'sise' in image."),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNTRUE)
def test_a_declaration_that_does_not_fit_leaves_no_version(photos, platform, tmp_path, kind):
    declared, message = UNTRUE[kind]
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.onnx").write_bytes((photos.artifact / "model.onnx").read_bytes())
    (folder / "preprocessing.json").write_text(json.dumps(declared))
    result = platform.run("deploy", str(folder), "--name", "untrue", "--json")
    assert result.returncode == 1
    assert json.loads(result.stdout)["error"]["message"].startswith(message)
    assert "untrue" not in {one["name"] for one in platform.cli("models")["models"]}


def test_parquet_and_arrow_where_pyarrow_is(forge, platform, tmp_path):
    forged = forge.make("tables")
    platform.deploy(forged.artifact, "people", sample=forged.folder / "sample.parquet")
    expected = forged.arrays("expected")["label"].tolist()
    for name, media in (("rows.parquet", "application/vnd.apache.parquet"), ("rows.arrows", "application/vnd.apache.arrow.stream"),
                        ("rows.arrow", "application/octet-stream"), ("rows.csv", "text/csv")):  # fmt: skip
        data = (forged.folder / name).read_bytes()
        answer = platform.call("POST", "/predict/people", content=data, headers={"content-type": media})
        assert answer.status_code == 200, (name, answer.text)
        assert [row["label"] for row in answer.json()["predictions"]] == expected, name
    cut = platform.call("POST", "/predict/people", content=(forged.folder / "rows.parquet").read_bytes()[:200],
                        headers={"content-type": "application/vnd.apache.parquet"})  # fmt: skip
    assert (cut.status_code, cut.json()["error"]["message"]) == (400, "The table is cut off or damaged.")
    shell = platform.cli("predict", "people", "-d", f"@{forged.folder / 'rows.parquet'}")
    assert [row["label"] for row in shell["predictions"]] == expected
    other = platform.call(
        "POST", "/predict/cats", content=b"PAR1", headers={"content-type": "application/vnd.apache.parquet"}
    )
    assert other.status_code in (404, 415)
