"""A declaration meets a model: layout, size and names are found, what does not fit is said or left aside."""

from __future__ import annotations

import base64
import io
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from inferry.bundles.detect import detect
from inferry.bundles.inspector import inspect
from inferry.bundles.verdict import read_result
from inferry.errors import InferryError, InvalidInput
from inferry.types.signature import ImageSpec
from tests.support.inspections import example_of
from tests.unit.media.test_wav import riff

VIT = {
    "do_resize": True,
    "size": {"height": 4, "width": 4},
    "do_normalize": True,
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


def model(folder, shape=("n", 3, 4, 4), axes=(2, 3), datatype=TensorProto.FLOAT, output="logits"):
    """The mean of each channel: ONNX, [n, 3, 4, 4] -> [n, 3]."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], [output], axes=list(axes), keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "means",
        [helper.make_tensor_value_info("x", datatype, shape)],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, (shape[0], *(side for at, side in enumerate(shape) if at and at not in axes)))],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(made, str(folder / "model.onnx"))


def described(folder, sample=None, **files):
    """The Inspection with these files beside the model; a value that is no text is written as JSON."""
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("_json", ".json").replace("_txt", ".txt")).write_text(text)
    path = None
    if sample is not None:
        path = folder.parent / "sample"
        path.write_bytes(sample)
    inspect(folder, "model.onnx", "onnx", {}, path, folder.parent / "result.json")
    return read_result(folder.parent / "result.json")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "artifact").mkdir()
    return tmp_path / "artifact"


def red() -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(kept, "PNG")
    return kept.getvalue()


def test_the_size_is_the_model_s_own_where_none_is_declared(folder):
    model(folder)
    found = described(folder, red(), preprocessing_json={"image": {}})
    assert found.signature.inputs[0].image == ImageSpec(height=4, width=4)
    assert found.answer == [{"logits": [1.0, 0.0, 0.0]}]
    assert base64.b64decode(example_of(found)["inputs"]["b64"]) == red()
    assert found.signature.batchable
    assert found.notes == ()


def test_without_a_sample_a_picture_is_made_up(folder):
    model(folder)
    found = described(folder, preprocessing_json={"image": {"resize": 4}})
    assert found.notes == ("The example file is made up: give a sample to see real values.",)
    assert base64.b64decode(example_of(found)["inputs"]["b64"]).startswith(b"\x89PNG")


def test_the_layout_and_the_datatype_are_the_model_s(folder):
    model(folder, shape=("n", 4, 4, 3), axes=(1, 2), datatype=TensorProto.UINT8)
    found = described(folder, red(), preprocessing_json={"image": {"scale": 1, "resize": 4}})
    assert found.signature.inputs[0].image.layout == "NHWC"
    assert found.answer == [{"logits": [255.0, 0.0, 0.0]}]


def test_a_model_for_any_size_gets_pictures_as_they_come(folder):
    model(folder, shape=("n", 3, "h", "w"))
    found = described(folder, red(), preprocessing_json={"image": {"layout": "NCHW"}})
    assert found.signature.inputs[0].image == ImageSpec()


def test_hugging_face_s_files(folder):
    model(folder)
    names = {"id2label": {"0": "red", "1": "green", "2": "blue"}}
    found = described(folder, red(), preprocessor_config_json=VIT, config_json=names)
    label, probabilities = found.signature.outputs
    assert (label.name, probabilities.name, probabilities.labels) == (
        "label",
        "probabilities",
        ("red", "green", "blue"),
    )
    assert found.answer[0]["label"] == "red"
    assert found.answer[0]["probabilities"]["red"] == pytest.approx(np.e / (np.e + 2 / np.e), abs=1e-5)
    assert found.task == "classification"


def test_labels_alone_name_the_scores_without_a_softmax(folder):
    model(folder)
    found = described(folder, labels_txt="red\ngreen\nblue\n")
    assert [spec.name for spec in found.signature.outputs] == ["label", "logits"]
    assert set(found.answer[0]["logits"]) == {"red", "green", "blue"}
    assert found.signature.inputs[0].image is None


def test_others_files_that_do_not_fit_are_left_aside(folder):
    model(folder)
    found = described(
        folder, preprocessor_config_json={**VIT, "size": {"height": 9, "width": 9}}, labels_txt="only\ntwo\n"
    )
    assert found.signature.inputs[0].image is None
    assert [spec.name for spec in found.signature.outputs] == ["logits"]
    assert found.notes[-1].startswith("preprocessor_config.json was left aside:")


WRONG = {
    "size": ({"image": {"resize": 9}}, None, "The model does not take what preprocessing.json declares."),
    "layout": ({"image": {"resize": 4, "layout": "NHWC"}}, None, "The model does not take what preprocessing.json declares."),
    "channels": ({"image": {"mode": "L"}}, None, "preprocessing.json declares L in NCHW, which is 1 channels, but the model's input 'x' is [-1, 3, 4, 4]."),
    "name": ({"image": {"input": "y"}}, None, "preprocessing.json declares a picture, but which of the model's inputs it is for is not clear: it takes x."),
    "classes": ({"classes": {"labels": ["a"]}}, None, "preprocessing.json names 1 classes, but no output of the model has that many scores."),
    "a sound": ({"audio": {"rate": 8000}}, None, "The model does not take what preprocessing.json declares."),
    "no declaration": ({}, red(), "The sample is a picture or a sound, but nothing says how it becomes the model's input."),
    "a sound for a picture": ({"image": {}}, riff(1, 1, 8000, 16, b"\0" * 8), "The picture is in no format that is read here."),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_does_not_fit_is_said(folder, kind):
    declared, sample, message = WRONG[kind]
    model(folder)
    with pytest.raises(InferryError) as caught:
        described(folder, sample, preprocessing_json=declared)
    assert caught.value.message.startswith(message)
    assert caught.value.help


def test_a_model_in_an_environment_of_its_own_gets_pillow_for_pictures(folder):
    (folder / "model.py").write_text("def predict(x):\n    return x\n")
    (folder / "requirements.txt").write_text("tinynet==1.0\n")
    assert detect(folder).requirements == ("tinynet==1.0",)
    (folder / "preprocessing.json").write_text('{"image": {}}')
    assert detect(folder).requirements == ("tinynet==1.0", "pillow>=10.3")
    (folder / "requirements.txt").write_text("Pillow==11.0\n")
    assert detect(folder).requirements == ("Pillow==11.0",)
    (folder / "requirements.txt").unlink()
    assert detect(folder).requirements == ()


def test_a_cut_off_sample_is_told(folder):
    model(folder)
    with pytest.raises(InvalidInput, match="cut off or damaged"):
        described(folder, red()[:50], preprocessing_json={"image": {}})
