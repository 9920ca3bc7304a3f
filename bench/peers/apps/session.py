"""The same onnxruntime session for every peer: one thread, as Inferry's."""

import os

import onnxruntime

SHAPE = tuple(int(size) for size in os.environ.get("BENCH_SHAPE", "4").split(","))
BATCH = int(os.environ.get("BENCH_BATCH", "1"))


def open_session():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options, providers=["CPUExecutionProvider"])
