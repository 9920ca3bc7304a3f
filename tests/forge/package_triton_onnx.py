# /// script
# dependencies = ["numpy", "onnx", "onnxruntime"]
# ///
"""A Triton model folder of the ONNX Runtime backend, whose policy asks for version 2 of 3."""

from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, save

for version in (1, 2, 3):
    weights = numpy_helper.from_array(np.full((4, 2), version, np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [weights],
    )
    folder = Path("artifact") / str(version)
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    save(model, folder / "model.onnx")
Path("artifact/config.pbtxt").write_text(
    'platform: "onnxruntime_onnx"\nmax_batch_size: 16\n'
    'input { name: "x" data_type: TYPE_FP32 dims: 4 }\noutput { name: "y" data_type: TYPE_FP32 dims: 2 }\n'
    "version_policy: { specific: { versions: [1, 2] } }\n"
)
held = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
np.savez("inputs.npz", x=held)
np.savez("expected.npz", y=onnxruntime.InferenceSession("artifact/2/model.onnx").run(None, {"x": held})[0])
