# /// script
# dependencies = ["numpy"]
# ///
"""A Triton repository with one model of the Python backend in two versions; the answers are numpy's own."""

from pathlib import Path

import numpy as np

CONFIG = """
# written by hand, as people do
name: "mixed"
backend: "python"
max_batch_size: 8
input [
  { name: "VALUES", data_type: TYPE_FP32, dims: [ 3 ] },
  { name: "WORDS", data_type: TYPE_STRING, dims: [ 1 ] }
]
output [
  { name: "SUM" data_type: TYPE_FP64 dims: [ 1 ] },
  { name: "LOUD" data_type: TYPE_STRING dims: [ 1 ] }
]
parameters { key: "factor" value: { string_value: "2.5" } }
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching { }
"""
MODEL = """
import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.factor = float(config["parameters"]["factor"]["string_value"])
        assert config["input"][0]["dims"] == [3] and config["max_batch_size"] == 8
        self.dtype = pb_utils.triton_string_to_numpy(pb_utils.get_output_config_by_name(config, "SUM")["data_type"])

    def execute(self, requests):
        responses = []
        for request in requests:
            values = pb_utils.get_input_tensor_by_name(request, "VALUES").as_numpy()
            words = pb_utils.get_input_tensor_by_name(request, "WORDS").as_numpy()
            assert len(values) <= 8
            if b"bad" in words.ravel().tolist():
                responses.append(pb_utils.InferenceResponse(error=pb_utils.TritonError("a bad word")))
                continue
            loud = np.array([word.decode().upper().encode() for word in words.ravel()], dtype=object)
            total = (values.sum(axis=1, keepdims=True) * self.factor).astype(self.dtype)
            responses.append(
                pb_utils.InferenceResponse(
                    [pb_utils.Tensor("SUM", total), pb_utils.Tensor("LOUD", loud.reshape(-1, 1))]
                )
            )
        return responses
"""
folder = Path("artifact/mixed")
for version in (1, 3):
    (folder / str(version)).mkdir(parents=True)
    (folder / str(version) / "model.py").write_text(MODEL if version == 3 else "raise RuntimeError('an old version')\n")
(folder / "config.pbtxt").write_text(CONFIG)
draw = np.random.default_rng(0)
values = draw.normal(size=(20, 3)).astype(np.float32)
words = np.array([[f"word {n}"] for n in range(20)])
np.savez("inputs.npz", VALUES=values, WORDS=words)
np.savez("expected.npz", SUM=values.sum(axis=1, keepdims=True) * 2.5, LOUD=np.char.upper(words))
