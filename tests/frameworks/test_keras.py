"""Keras models served as they are: answers equal to Keras's own, and nothing of a file is run."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.support.forge import served
from tests.support.refused import refused
from tests.support.zygotes import zygote_threads


def test_a_keras_file_answers_as_keras_does(platform, forge):
    forged = forge.make("keras_digits")
    deployed = platform.deploy(forged.artifact, "keras-digits", "--native")
    served(platform, "keras-digits", forged)
    found = platform.cli("describe", "keras-digits")
    assert deployed["version"] == 1
    assert found["signature"]["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 8, 8, 1]}]
    assert found["signature"]["batchable"] is True
    assert zygote_threads(platform, "keras") == 1
    assert not (platform.sockets / ".keras").exists()


@pytest.mark.parametrize("name", ["whole.h5", "whole"])
def test_a_whole_model_in_hdf5_answers_as_keras_does(platform, forge, tmp_path, name):
    forged = forge.make("keras_digits")
    path = shutil.copy(forged.folder / "whole.h5", tmp_path / name)
    endpoint = f"keras-{name.replace('.', '-')}"
    platform.deploy(path, endpoint, "--native")
    served(platform, endpoint, forged)


def test_a_model_takes_text_and_numbers_and_gives_two_outputs(platform, forge):
    forged = forge.make("keras_mixed")
    platform.deploy(forged.artifact, "keras-mixed")
    served(platform, "keras-mixed", forged)
    body = {"inputs": {"numbers": [[5.1, 3.5, 1.4, 0.2]], "size": [["small"]]}}
    (row,) = platform.predict("keras-mixed", body)["predictions"]
    np.testing.assert_allclose(row["species"], forged.arrays("expected")["species"][0], rtol=1e-4)


@pytest.mark.parametrize("name", ["artifact.keras", "whole.h5"])
def test_files_of_keras_2_are_served_by_tf_keras(platform, forge, name):
    forged = forge.make("keras_old")
    endpoint = f"keras-old-{name.replace('.', '-')}"
    deployed = platform.deploy(forged.folder / name, endpoint, "--native")
    served(platform, endpoint, forged)
    assert "Keras 2.15.0 saved the model; tf-keras, which is Keras 2, serves it." in deployed["notes"]


BAD = {
    "lambda.keras": "has a Lambda layer, which is Python code inside the file and is not run",
    "lambda.h5": "has a Lambda layer, which is Python code inside the file and is not run",
    "escaped.h5": "has a Lambda layer, which is Python code inside the file and is not run",
    "custom.keras": "uses 'Twice', which Keras does not have",
    "custom.h5": "Twice', which Keras does not have",
}


@pytest.mark.parametrize("name", BAD)
def test_code_of_the_models_own_is_refused(platform, forge, name):
    refused(platform, forge.make("keras_hostile").folder / name, BAD[name], "model.export(FOLDER)")


def test_weights_alone_are_refused(platform, forge):
    path = forge.make("keras_digits").folder / "only.weights.h5"
    refused(platform, path, "weights only", 'model.save("model.keras")')


CUT = {"artifact.keras": "corrupt or truncated", "whole.h5": "cannot be loaded"}


@pytest.mark.parametrize("name", CUT)
def test_a_file_cut_short_is_refused(platform, forge, tmp_path, name):
    data = (forge.make("keras_digits").folder / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: len(data) * 9 // 10])
    refused(platform, path, CUT[name])


def test_a_memory_limit_that_tensorflow_does_not_fit_in_is_refused(platform, forge):
    path = forge.make("keras_digits").artifact
    refused(platform, path, "the limit of 1000 MB", "inferry deploy --memory", arguments=("--memory", "1000"))
