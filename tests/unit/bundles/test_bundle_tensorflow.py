"""Keras, SavedModel, LiteRT and OpenVINO files: what detection reads in them, and what it refuses."""

from __future__ import annotations

import pytest

from inferry.bundles.detect import detect
from inferry.errors import InvalidModel
from tests.support.tensorflow_bytes import INDEX, SERVING, graph, hdf5, heap, ir, keras, layer, saved

CLASS = b"class Model:\n    def predict(self, inputs):\n        return inputs\n"


def placed(tmp_path, files):
    folder = tmp_path / "artifact"
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


SERVED = {
    "keras": ({"m.keras": keras(layer("Dense"))}, "keras", "m.keras", ("keras>=3.15.1", "tensorflow")),
    "keras without extension": ({"m": keras(layer("Dense"))}, "keras", "m", ("keras>=3.15.1", "tensorflow")),
    "keras 2": ({"m.keras": keras(layer("Dense"), version="2.15.0")}, "keras", "m.keras", ("tensorflow", "tf-keras")),
    "keras with a loss of the person's own": (
        {"m.keras": keras(compile_config=layer("MyLoss", "__main__"))}, "keras", "m.keras",
        ("keras>=3.15.1", "tensorflow"),
    ),
    "hdf5": (
        {"m.h5": hdf5(b"model_config", heap(b"3.4.1"), heap(b'{"class_name": "Dense"}'))}, "keras", "m.h5",
        ("keras>=3.4.1", "tensorflow"),
    ),
    "hdf5 of nobody knows whom": ({"m.h5": hdf5(b"model_config")}, "keras", "m.h5", ("keras>=3", "tensorflow")),
    "saved model": (
        {"saved_model.pb": SERVING, "variables/variables.index": INDEX}, "tensorflow", "", ("tensorflow>=2.21.0",),
    ),
    "saved model below": (
        {"net/saved_model.pb": SERVING, "net/variables/variables.index": INDEX, "README.md": b"# read me"},
        "tensorflow", "net", ("tensorflow>=2.21.0",),
    ),
    "numbered": (
        {f"{n}/{name}": data for n in (9, 10)
         for name, data in {"saved_model.pb": SERVING, "variables/variables.index": INDEX}.items()},
        "tensorflow", "10", ("tensorflow>=2.21.0",),
    ),
    "a frozen graph of TensorFlow 1": (
        {"saved_model.pb": saved(graph("serving_default", version="1.15.0-rc3", saver=False))}, "tensorflow", "",
        ("tensorflow>=1.15.0",),
    ),
    "saved model and a pin": (
        {"saved_model.pb": saved(graph("x", saver=False)), "requirements.txt": b"tensorflow==2.20.0\n"}, "tensorflow",
        "", ("tensorflow==2.20.0",),
    ),
    "saved model in a Python project": ({"net/saved_model.pb": SERVING, "model.py": CLASS}, "python", "model.py", ()),
    "tflite": ({"m.tflite": b"\x1c\0\0\0TFL3" + b"\0" * 64}, "litert", "m.tflite", ("ai-edge-litert",)),
    "openvino": (
        {"m.xml": ir((0, 8), (8, 8)), "m.bin": b"\x80\x04" + b"." * 14}, "openvino", "m.xml", ("openvino>=2025.3.0",),
    ),
    "openvino without weights": ({"m.xml": ir(made_by="custom")}, "openvino", "m.xml", ("openvino",)),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVED)
def test_models_are_recognised_with_what_they_need(tmp_path, case):
    files, runtime, entry, requirements = SERVED[case]
    found = detect(placed(tmp_path, files))
    assert (found.runtime, found.entry, found.requirements) == (runtime, entry, requirements)


def test_the_highest_version_is_served_and_the_others_are_named(tmp_path):
    files = {f"digits/{n}/saved_model.pb": saved(graph("predict", saver=False)) for n in (2, 10, 9)}
    found = detect(placed(tmp_path, files))
    assert found.entry == "digits/10"
    assert "'digits/10'" in found.why
    assert found.notes == ("Version 10 of the folder is served, the highest; 2, 9 is not.",)


def test_the_signature_and_the_tags_to_serve_are_chosen_from_the_file(tmp_path):
    both = saved(graph("train", tags=("train",), saver=False), graph("b", "serving_default", "a", saver=False))
    found = detect(placed(tmp_path / "both", {"saved_model.pb": both}))
    assert found.options == {"signature": "serving_default", "tags": ["serve"]}
    lone = saved(graph("greet", "__saved_model_init_op", saver=False))
    assert detect(placed(tmp_path / "lone", {"saved_model.pb": lone})).options["signature"] == "greet"


SHORT = {"m.xml": ir((0, 8), (8, 8)), "m.bin": b"\0" * 15}
REFUSED = {
    "keras with a lambda layer": ({"m.keras": keras(layer("Lambda"))}, "has a Lambda layer, which is Python code"),
    "keras with a lambda inside": (
        {"m.keras": keras(layer("Wrapper", inner=[{"class_name": "__lambda__"}]))}, "has a Lambda layer",
    ),
    "keras with a layer of the person's own": (
        {"m.keras": keras(layer("Twice", "mine"), layer("Dense"))}, "uses 'Twice', which Keras does not have",
    ),
    "keras that names a module to import": ({"m.keras": keras(layer("system", "os"))}, "uses 'system'"),
    "keras with a damaged configuration": ({"m.keras": keras(config="{")}, r"config\.json is damaged"),
    "keras with a list for a configuration": ({"m.keras": keras(config="[]")}, r"config\.json is damaged"),
    "keras nested very deeply": ({"m.keras": keras(config='{"a":' * 50_000)}, r"config\.json is damaged"),
    "keras without a model": ({"m.keras": keras(config="{}")}, "without a model in it"),
    "keras cut in half": ({"m.keras": keras(layer("Dense"))[:-40]}, "corrupt or truncated"),
    "hdf5 weights": ({"m.weights.h5": hdf5(b"layers")}, "weights only, or with other data"),
    "hdf5 with a lambda layer": (
        {"m.h5": hdf5(b"model_config", b'{"class_name": "Lambda"}')}, "has a Lambda layer",
    ),
    "saved model cut in half": ({"saved_model.pb": SERVING[:-9]}, "corrupt or truncated"),
    "saved model of noise": ({"saved_model.pb": bytes(range(7, 256))}, "corrupt or truncated"),
    "saved model that is empty": ({"saved_model.pb": b""}, "is empty"),
    "saved model of no graph": ({"saved_model.pb": saved()}, "holds 0 graphs for serving"),
    "saved model without its weights": ({"saved_model.pb": SERVING}, r"weights \(the folder variables\) were not given"),
    "saved model as text": ({"saved_model.pbtxt": b"meta_graphs {}"}, "in text form"),
    "saved model without a signature": (
        {"saved_model.pb": saved(graph("__saved_model_init_op", saver=False))}, "has no signature to serve",
    ),
    "saved model with several signatures": (
        {"saved_model.pb": saved(graph("b", "a", saver=False))}, "no serving_default, but 2 signatures: 'a', 'b'",
    ),
    "two saved models": (
        {f"{name}/saved_model.pb": SERVING for name in ("a", "b")}, "holds 2 SavedModels: 'a', 'b'",
    ),
    "numbered in two models": (
        {f"{name}/1/saved_model.pb": SERVING for name in ("a", "b")}, "holds 2 SavedModels: 'a/1', 'b/1'",
    ),
    "openvino of an old version": ({"m.xml": ir(version="7")}, "in version 7 of the format; 10 and 11"),
    "openvino with a document type": (
        {"m.xml": ir(before='<!DOCTYPE net [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>')}, "declares a document type",
    ),
    "openvino cut in half": ({"m.xml": ir((0, 8))[:-30]}, "truncated OpenVINO model"),
    "openvino without its weights": ({"m.xml": ir((0, 8))}, "keeps its weights in 'm.bin', which was not given"),
    "openvino with short weights": (SHORT, "weights 'm.bin' are truncated"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused_before_an_environment_is_built(tmp_path, case):
    files, said = REFUSED[case]
    with pytest.raises(InvalidModel, match=said) as refusal:
        detect(placed(tmp_path, files))
    assert refusal.value.help
    assert str(tmp_path) not in refusal.value.sentence()
