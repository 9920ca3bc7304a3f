"""OpenVINO models served as they are, in full precision, with their weights beside them."""

from __future__ import annotations

import shutil

import pytest

from tests.support.forge import served
from tests.support.refused import refused
from tests.support.zygotes import zygote_threads


def test_a_graph_with_free_rows_answers_as_openvino_does(platform, forge):
    forged = forge.make("openvino_digits")
    platform.deploy(forged.artifact, "openvino-digits", "--threads", "2")
    served(platform, "openvino-digits", forged)
    found = platform.cli("describe", "openvino-digits")
    assert found["signature"]["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]
    assert found["signature"]["batchable"] is True
    assert zygote_threads(platform, "openvino") == 1
    assert not (platform.sockets / "intel").exists(), "OpenVINO's telemetry was imported"


BAD = {
    "without its .bin": (lambda folder: (folder / "digits.bin").unlink(), "'digits.bin', which was not given"),
    "with a short .bin": (lambda folder: cut(folder / "digits.bin"), "weights 'digits.bin' are truncated"),
    "cut in half": (lambda folder: cut(folder / "digits.xml"), "truncated OpenVINO model"),
    "with a layer that nobody knows": (
        lambda folder: change(folder / "digits.xml", b'type="MatMul"', b'type="MatMux"'), "cannot be loaded",
    ),
    "with an entity bomb": (
        lambda folder: change(folder / "digits.xml", b"<net ", b'<!DOCTYPE x [<!ENTITY a "b">]><net '),
        "declares a document type",
    ),
}  # fmt: skip


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def change(path, old, new):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


@pytest.mark.parametrize("case", BAD)
def test_a_model_that_is_not_whole_is_refused(platform, forge, tmp_path, case):
    damage, said = BAD[case]
    folder = shutil.copytree(forge.make("openvino_digits").artifact, tmp_path / "bad")
    damage(folder)
    refused(platform, folder, said)
