"""Writes the model in MLflow's format, with its ONNX flavour, for `mlflow models serve`."""

import os
import sys

import mlflow.onnx
import onnx

mlflow.onnx.save_model(
    onnx.load(os.environ["BENCH_MODEL"]),
    sys.argv[1],
    onnx_execution_providers=["CPUExecutionProvider"],
    onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
    pip_requirements=[],
)
