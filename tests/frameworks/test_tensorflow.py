"""SavedModels served as they are: numbered version folders, text, a lone signature of any name."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.support.forge import binary_answers, served
from tests.support.refused import refused
from tests.support.zygotes import zygote_threads


def test_the_highest_numbered_version_answers_as_keras_does(platform, forge):
    forged = forge.make("tensorflow_versions")
    platform.deploy(forged.artifact, "tf-versions", "--native")
    served(platform, "tf-versions", forged)
    found = platform.cli("describe", "tf-versions")
    assert found["signature"]["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]
    assert found["signature"]["outputs"] == [{"name": "output_0", "datatype": "FP32", "shape": [-1, 10]}]
    assert zygote_threads(platform, "tensorflow") == 1


def test_clients_of_tensorflow_serving_get_the_same(platform, forge):
    forged = forge.make("tensorflow_versions")
    platform.deploy(forged.artifact / "10", "tf-one", "--native")
    body = {"instances": forged.arrays("inputs")["pixels"].tolist()}
    answer = platform.call("POST", "/v1/models/tf-one:predict", json=body)
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(answer.json()["predictions"], forged.arrays("expected")["output_0"], atol=1e-5)


def test_text_goes_in_and_out(platform, forge):
    forged = forge.make("tensorflow_text")
    platform.deploy(forged.artifact, "tf-text", "--native")
    served(platform, "tf-text", forged)


def test_a_saved_model_of_keras_2_is_served_by_a_newer_tensorflow(platform, forge):
    forged = forge.make("keras_old")
    platform.deploy(forged.folder / "saved", "tf-old", "--native")
    answer = binary_answers(platform, "tf-old", forged.arrays("inputs"))
    np.testing.assert_allclose(answer["digit"], forged.arrays("expected")["output"], rtol=1e-4, atol=1e-5)


CUT = {
    "saved_model.pb": "saved_model.pb is corrupt or truncated",
    "variables/variables.index": "cannot be loaded",
    "variables/variables.data-00000-of-00001": "cannot be loaded",
}


@pytest.mark.parametrize("name", CUT)
def test_a_saved_model_cut_short_is_refused(platform, forge, tmp_path, name):
    folder = shutil.copytree(forge.make("tensorflow_versions").artifact / "10", tmp_path / "cut")
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    refused(platform, folder, CUT[name])


def test_an_operation_that_tensorflow_does_not_have_is_named(platform, forge, tmp_path):
    folder = shutil.copytree(forge.make("tensorflow_text").artifact, tmp_path / "custom")
    graph = (folder / "saved_model.pb").read_bytes()
    assert b"StringJoin" in graph
    (folder / "saved_model.pb").write_bytes(graph.replace(b"StringJoin", b"MyOwnJoins"))
    refused(platform, folder, "uses the operation 'MyOwnJoins'", "TensorFlow's own operations")
