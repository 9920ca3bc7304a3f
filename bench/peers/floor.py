"""`python -m bench.peers.floor FILE SECONDS`: a bare loop over one session's `run`, printed as JSON."""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import onnxruntime

from bench.load import percentile


def main() -> None:
    """One row again and again, as fast as it goes."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    shape = [size if isinstance(size, int) else 1 for size in session.get_inputs()[0].shape]
    x = np.random.default_rng(0).random(shape).astype(np.float32)
    times: list[float] = []
    end = time.perf_counter() + float(sys.argv[2])
    while (begun := time.perf_counter()) < end:
        session.run(None, {"x": x})
        times.append(time.perf_counter() - begun)
    ordered = sorted(times)
    figures = {"p50": percentile(ordered, 0.5) * 1e3, "p99": percentile(ordered, 0.99) * 1e3}
    print(json.dumps({"rate": len(times) / sum(times), **figures}))


if __name__ == "__main__":
    main()
