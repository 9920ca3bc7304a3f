"""The models of the race, made once into .bench/models with fixed seeds.

tiny: logistic regression on four numbers; mlp: 512-1024-1024-10 with ReLU; image: a MobileNet-v2-like
network with random weights, about 4 ms on one thread; table: gradient boosted trees (LightGBM) on the
30 named columns of scikit-learn's breast cancer data. All but the last are ONNX with one input "x".
"""

from __future__ import annotations

import subprocess
import sys
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.peers.environments import CACHE, environment

FOLDER = CACHE / "models" / sha256(Path(__file__).read_bytes()).hexdigest()[:12]  # other code, other models
FILES = {"tiny": "tiny.onnx", "mlp": "mlp.onnx", "image": "image.onnx", "table": "table.joblib"}
MLP = (512, 1024, 1024, 10)
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""MobileNet v2: expansion, channels, repeats, stride of the first."""
WIDTH = 0.6875
"""Of all channels; with it the network takes about 4 ms on one thread of the machine of docs/benchmarks.md."""
TRAIN_TABLE = """
import sys, joblib
from lightgbm import LGBMClassifier
from sklearn.datasets import load_breast_cancer
data = load_breast_cancer(as_frame=True)
frame = data.data.rename(columns=lambda name: name.replace(" ", "_"))
model = LGBMClassifier(n_estimators=100, num_leaves=31, n_jobs=1, random_state=0, verbose=-1)
joblib.dump(model.fit(frame, data.target), sys.argv[1] + "/table.joblib")
frame.tail(1).to_json(sys.argv[1] + "/table.json", orient="records")
frame.iloc[::40].to_csv(sys.argv[1] + "/table.csv", index=False)
"""


def model_file(name: str) -> Path:
    """The model's file, made when it is not there yet."""
    path = FOLDER / FILES[name]
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        if name == "table":  # in the environment that serves it
            command = [str(environment("table").python), "-c", TRAIN_TABLE, str(FOLDER)]
        else:  # in a process of its own: whoever measures maps no framework
            command = [sys.executable, "-m", "bench.peers.models", name, str(path)]
        subprocess.run(command, check=True)
    return path


def _tiny(path: Path) -> None:
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    x, y = load_iris(return_X_y=True)
    fitted = LogisticRegression(max_iter=500).fit(x, y)
    graph = to_onnx(fitted, x[:1].astype("float32"), options={"zipmap": False})
    graph.graph.input[0].name = "x"
    for node in graph.graph.node:
        node.input[:] = ["x" if name == "X" else name for name in node.input]
    path.write_bytes(graph.SerializeToString())


class _Graph:
    """An ONNX graph under construction: `tip` is the name of the last value."""

    def __init__(self) -> None:
        import numpy as np

        self.random = np.random.default_rng(0)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.tip = "x"

    def weight(self, shape: tuple[int, ...], fan_in: int, gain: float = 2.0) -> str:
        """Random numbers of a size that keeps the values' size from layer to layer (less where no ReLU follows)."""
        from onnx import numpy_helper

        values = (self.random.standard_normal(shape) * (gain / fan_in) ** 0.5).astype("float32")
        self.weights.append(numpy_helper.from_array(values, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def add(self, kind: str, *further: str, **attributes: Any) -> str:
        from onnx import helper

        made = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, [self.tip, *further], [made], **attributes))
        self.tip = made
        return made

    def convolve(
        self, channels: tuple[int, int], size: int, stride: int = 1, *, depthwise: bool = False, relu: bool = True
    ) -> None:
        into, out = channels
        groups = into if depthwise else 1
        kernel = self.weight((out, into // groups, size, size), into // groups * size * size, 2.0 if relu else 0.5)
        pads = [size // 2] * 4
        self.add("Conv", kernel, strides=[stride, stride], pads=pads, group=groups, kernel_shape=[size, size])
        if relu:
            self.add("Relu")

    def save(self, path: Path, shape: list[Any], outputs: int) -> None:
        from onnx import TensorProto, checker, helper

        self.nodes[-1].output[:] = ["y"]
        made = helper.make_graph(
            self.nodes, path.stem,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], outputs])],
            self.weights,
        )  # fmt: skip
        model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        checker.check_model(model)
        path.write_bytes(model.SerializeToString())


def _mlp(path: Path) -> None:
    graph = _Graph()
    for number, (into, out) in enumerate(pairwise(MLP)):
        if number:
            graph.add("Relu")
        graph.add("Gemm", graph.weight((into, out), into))
    graph.save(path, ["n", MLP[0]], MLP[-1])


def _image(path: Path) -> None:
    graph = _Graph()
    channels = int(32 * WIDTH)
    graph.convolve((3, channels), 3, 2)
    for expansion, full, repeats, first_stride in BLOCKS:
        out = int(full * WIDTH / 8) * 8
        for number in range(repeats):
            start, wide = graph.tip, channels * expansion
            stride = first_stride if number == 0 else 1
            if expansion > 1:
                graph.convolve((channels, wide), 1)
            graph.convolve((wide, wide), 3, stride, depthwise=True)
            graph.convolve((wide, out), 1, relu=False)
            if stride == 1 and channels == out:
                graph.add("Add", start)
            channels = out
    graph.convolve((channels, 1280), 1)
    graph.add("GlobalAveragePool")
    graph.add("Flatten")
    graph.add("Gemm", graph.weight((1280, 1000), 1280))
    graph.save(path, ["n", 3, 224, 224], 1000)


if __name__ == "__main__":
    {"tiny": _tiny, "mlp": _mlp, "image": _image}[sys.argv[1]](Path(sys.argv[2]))
