"""What a converter needs, and what is believed of what its process leaves."""

from __future__ import annotations

import os

import pytest

from inferry.bundles.converting import kept_native, read_converted, workbench, write_converted
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected
from inferry.types.conversion import Converted, Draft, Feed, Plan

PLAN = Plan(feeds=(Feed(name="X", columns=("x",), dtype="float64"),), answers={"label": "output_label"})


@pytest.mark.parametrize(
    ("runtime", "requirements", "wanted"),
    [
        ("sklearn", ("scikit-learn==1.5.2", "pandas"), {"onnx", "skl2onnx"}),
        ("sklearn", ("scikit-learn", "xgboost>=2"), {"onnx", "skl2onnx", "onnxmltools", "packaging"}),
        ("sklearn", ("scikit-learn", "LightGBM==4.0", "xgboost"), {"onnx", "skl2onnx", "onnxmltools", "packaging"}),
        ("sklearn", ("scikit-learn", "my-lightgbm-tools"), {"onnx", "skl2onnx"}),
        ("torch", ("torch>=2.13",), {"onnx", "onnxscript"}),
        ("keras", ("tensorflow", "keras"), {"onnx", "tf2onnx"}),
        ("tensorflow", ("tensorflow==2.15.1",), {"onnx", "tf2onnx"}),
        ("xgboost", ("xgboost>=2",), {"onnx"}),
        ("lightgbm", ("lightgbm>=4,<5", "pandas"), {"onnx"}),
        ("catboost", ("catboost",), {"onnx"}),
        ("python", ("scikit-learn",), set()),
        ("onnx", (), set()),
    ],
)
def test_a_converter_needs_its_packages(runtime, requirements, wanted):
    lines = workbench(Detected(runtime=runtime, entry="m", requirements=requirements))
    assert {line.partition(">")[0] for line in lines} == wanted


def test_a_model_on_a_gpu_stays_there():
    detected = Detected(runtime="torch", entry="m.pt", requirements=("torch",))
    assert kept_native(detected, "cuda") == "it computes on cuda, and a converted model on the CPU"
    assert kept_native(detected, "cpu") == ""


def test_what_was_found_is_read_back_once(tmp_path):
    done = Converted(converter="c 1", drafts=(Draft(file="draft-0.onnx", plan=PLAN),), rows=7)
    write_converted(tmp_path / "c", lambda: done)
    assert read_converted(tmp_path / "c") == done
    with pytest.raises(InvalidModel):
        read_converted(tmp_path / "c")


def raises(error):
    raise error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (InvalidModel("it has none"), "it has none"),
        (KeyError("gone"), "KeyError: 'gone'"),
        (SystemExit(3), "SystemExit: 3"),
        (OSError(2, "no", "/home/someone/secret"), "FileNotFoundError: [Errno 2] no: 'secret'"),
    ],
)
def test_whatever_is_raised_is_a_reason(tmp_path, error, said):
    write_converted(tmp_path / "c", lambda: raises(error))
    assert read_converted(tmp_path / "c").reason == said


@pytest.mark.parametrize(
    ("status", "said"),
    [(-9, "was killed, most often for using too much memory or processor time"), (-6, "crashed with signal 6"),
     (-24, "used more processor time than is allowed"), (3, "ended with status 3")],
)  # fmt: skip
def test_a_dead_process_is_a_reason(tmp_path, status, said):
    with pytest.raises(InvalidModel) as error:
        read_converted(tmp_path / "none", status)
    assert error.value.message == f"its conversion {said}"


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[1]", b'{"chosen": "x"}', b"[" * 100_000, b" " * (9 << 20),
     b'{"drafts": [{"file": "../../x", "plan": {"feeds": [], "answers": {}}}]}'],
)  # fmt: skip
def test_a_forged_result_is_refused(tmp_path, data):
    (tmp_path / "c").write_bytes(data)
    with pytest.raises(InvalidModel, match="cannot be read"):
        read_converted(tmp_path / "c")


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "c").symlink_to("/etc/hostname")
    with pytest.raises(InvalidModel):
        read_converted(tmp_path / "c")


def test_a_pipe_does_not_hold_the_reader(tmp_path):
    os.mkfifo(tmp_path / "c")
    with pytest.raises(InvalidModel):
        read_converted(tmp_path / "c")
