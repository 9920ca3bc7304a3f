"""Devices through a real platform whose driver library is a stand-in: placement, shares, refusals."""

import os

import pytest

from tests.support import fake_nvml, models
from tests.support.platform import CommandFailed

SEES = (
    "import os\n\n"
    "class Sees:\n"
    "    def predict(self, inputs):\n"
    "        return {'gpus': [os.environ.get('CUDA_VISIBLE_DEVICES', 'unset')] * len(inputs['x'])}\n"
)


@pytest.fixture
def sees(tmp_path):
    return models.python_file(tmp_path / "models", "sees", SEES), models.column_sample(tmp_path, "x", [1, 2])


def with_driver(tmp_path, **how):
    driver = str(fake_nvml.write(tmp_path / "driver", **how))
    return {"PYTHONPATH": os.pathsep.join(filter(None, (driver, os.environ.get("PYTHONPATH"))))}


def gpus_of(platform, endpoint):
    return platform.predict(endpoint, [{"x": 1}])["predictions"][0]["gpus"]


def test_replicas_are_placed_on_gpus_by_their_shares(start_platform, tmp_path, sees):
    model, sample = sees
    platform = start_platform(env=with_driver(tmp_path))
    listed = platform.cli("runtimes")
    assert [gpu["id"] for gpu in listed["devices"]["gpus"]] == ["GPU-aaaa", "GPU-bbbb"]
    assert "cuda:1 (NVIDIA H100, 81559 MB)" in listed["devices_words"]
    platform.deploy(model, "half", "--device", "cuda", "--gpus", "0.5", sample=sample)
    assert gpus_of(platform, "half") == "GPU-aaaa"
    platform.deploy(model, "whole", "--device", "cuda", "--gpus", "1", sample=sample)
    assert gpus_of(platform, "whole") == "GPU-bbbb"
    platform.deploy(model, "none", "--device", "cpu", sample=sample)
    assert gpus_of(platform, "none") == ""
    platform.deploy(model, "shared", "--device", "cuda", sample=sample)
    assert gpus_of(platform, "shared") in {"GPU-aaaa", "GPU-bbbb"}
    with pytest.raises(CommandFailed, match=r"No GPU has room for a share of 0\.75"):
        platform.deploy(model, "more", "--device", "cuda", "--gpus", "0.75", sample=sample)
    assert "more" not in {endpoint["name"] for endpoint in platform.cli("endpoints")["endpoints"]}
    platform.cli("delete", "whole", "--yes")
    platform.deploy(model, "more", "--device", "cuda", "--gpus", "0.75", sample=sample)
    assert gpus_of(platform, "more") == "GPU-bbbb"


def test_a_device_that_is_not_there_is_refused_with_what_was_found(start_platform, tmp_path, sees):
    model, sample = sees
    platform = start_platform(env=with_driver(tmp_path, fail="init"))
    for device in ("cuda", "tpu"):
        with pytest.raises(CommandFailed) as refusal:
            platform.deploy(model, "sees", "--device", device, sample=sample)
        assert f"There is no {device} device here. Found: cpu (" in refusal.value.stdout
    assert platform.cli("models")["models"] == []


def test_runtimes_says_what_is_served(platform):
    rows = {row["name"]: row for row in platform.cli("runtimes")["runtimes"]}
    assert rows["onnx"]["ready"]
    assert rows["sklearn"]["packages"] == ["scikit-learn"]
    assert all(row["takes"] and row["ready"] and not row["plugin"] for row in rows.values())
    said = platform.run("runtimes").stdout
    assert "Devices: cpu (" in said
    assert "scikit-learn" in said
