"""Large ONNX models: weights stay mapped from their file, and are packed behind the first answers where that pays."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from inferry.runtimes import onnx

WIDTH = 1536
ROWS = np.random.default_rng(1).normal(size=(4, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> Path:
    """A model with 9 MB of weights beside its graph."""
    folder = tmp_path_factory.mktemp("wide")
    values = np.random.default_rng(0).normal(0, WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in "xy"]
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "wide", ends[:1], ends[1:], [numpy_helper.from_array(values, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, folder / "model.onnx", save_as_external_data=True, location="weights.bin")
    return folder


def load(folder: Path, gain: float):
    return onnx.OnnxRuntime().load(folder, "model.onnx", {"packing_gain": gain}, None)


def mapped() -> bool:
    return "weights.bin" in Path("/proc/self/maps").read_text()


def test_packing_is_measured_for_large_models_only(wide, tmp_path):
    assert load(wide, 0).describe(None).packing_gain > 0
    small = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "small",
        *([helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2])] for name in "xy"),
    )  # fmt: skip
    save(helper.make_model(small, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "model.onnx")
    assert load(tmp_path, 0).describe(None).packing_gain == 0


def test_weights_that_are_not_worth_packing_stay_those_of_the_file(wide):
    model = load(wide, 1.0)
    assert mapped()
    np.testing.assert_allclose(model.predict({"x": ROWS})["y"], load(wide, 0).predict({"x": ROWS})["y"], atol=1e-5)
    assert mapped()


def test_weights_are_packed_behind_the_first_answer(wide, monkeypatch):
    monkeypatch.setattr(onnx, "BEHIND_S", 0.3)
    model = load(wide, 2.0)
    assert mapped()
    first = model.predict({"x": ROWS})["y"]
    until = time.monotonic() + 60
    while mapped() and time.monotonic() < until:
        time.sleep(0.05)
    assert not mapped(), "the packed copy answers, and the file is let go"
    np.testing.assert_allclose(model.predict({"x": ROWS})["y"], first, atol=1e-5)


def test_a_session_that_cannot_be_packed_goes_on_as_it_is(wide, monkeypatch):
    monkeypatch.setattr(onnx, "BEHIND_S", 0.0)

    def refuse(*_: object, packed: bool = True, **__: object):
        if packed:
            raise onnx.InvalidModel("no memory", help="none")
        return real(wide / "model.onnx", 1, packed=False)

    real = onnx.open_session
    monkeypatch.setattr(onnx, "open_session", refuse)
    model = load(wide, 2.0)
    time.sleep(0.3)
    assert model.predict({"x": ROWS})["y"].shape == (4, WIDTH)
