"""LiteRT files served as they are: with a signature and without, with free rows and of one, in whole numbers."""

from __future__ import annotations

import pytest

from tests.support.forge import Forged, served
from tests.support.refused import refused
from tests.support.zygotes import zygote_threads


def test_a_signature_with_free_rows(platform, forge):
    forged = forge.make("litert_digits")
    platform.deploy(forged.artifact, "litert-digits")
    served(platform, "litert-digits", forged)
    found = platform.cli("describe", "litert-digits")
    assert found["signature"]["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}]
    assert found["signature"]["batchable"] is True
    assert zygote_threads(platform, "litert") == 1


def test_plain_tensors_of_one_row(platform, forge):
    forged = Forged(forge.make("litert_digits").folder / "fixed")
    platform.deploy(forged.artifact, "litert-fixed")
    served(platform, "litert-fixed", forged)
    assert platform.cli("describe", "litert-fixed")["signature"]["inputs"][0]["shape"] == [1, 64]


def test_a_quantized_model_takes_whole_numbers_and_says_how(platform, forge):
    forged = Forged(forge.make("litert_digits").folder / "whole")
    deployed = platform.deploy(forged.artifact, "litert-whole")
    served(platform, "litert-whole", forged)
    assert any("is quantized: send round(value / 0.0039" in note for note in deployed["notes"])


def test_text_goes_in_and_out(platform, forge):
    forged = forge.make("litert_text")
    platform.deploy(forged.artifact, "litert-text")
    served(platform, "litert-text", forged)


def test_operations_of_full_tensorflow_are_refused(platform, forge):
    path = forge.make("litert_text").folder / "flex.tflite"
    refused(platform, path, "operations of full TensorFlow (Flex)", "TFLITE_BUILTINS only")


def flipped(data: bytes) -> bytes:
    changed = bytearray(data)
    for at in range(20, len(changed), 11):
        changed[at] ^= 0x55
    return bytes(changed)


BAD = {
    "cut in half": lambda data: data[: len(data) // 2],
    "only its head": lambda data: data[:16],
    "flipped bytes": flipped,
    "a table outside of the file": lambda data: b"\xff\xff\xff\x7f" + data[4:],
}


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_file_is_refused(platform, forge, tmp_path, case):
    path = tmp_path / "bad.tflite"
    path.write_bytes(BAD[case](forge.make("litert_digits").artifact.read_bytes()))
    refused(platform, path, "The LiteRT model cannot be loaded", "Copy or convert it again")
