"""Model files for tests: the examples' trained models, and small ones with a chosen behaviour."""

from __future__ import annotations

from pathlib import Path

from examples import train

IRIS_ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
IRIS_KINDS = [0, 2]  # what every iris model here says to these rows

iris = train.iris
iris_onnx = train.iris_onnx
penguins = train.penguins


def python_file(into: Path, name: str, body: str) -> Path:
    """A Python model file from the text of its module."""
    into.mkdir(parents=True, exist_ok=True)
    file = into / f"{name}.py"
    file.write_text(body)
    return file


def constant(into: Path, value: int) -> Path:
    """A class that answers `value` for each row: versions of it differ in nothing else."""
    return python_file(
        into,
        f"constant_{value}",
        f"class Constant:\n    def predict(self, inputs):\n        return {{'value': [{value}] * len(inputs['x'])}}\n",
    )


def sleeper(into: Path) -> Path:
    """A class that sleeps as long as its first row says, in seconds, then answers it."""
    return python_file(
        into,
        "sleeper",
        "import time\n\n"
        "class Sleeper:\n"
        "    def predict(self, inputs):\n"
        "        time.sleep(float(inputs['seconds'][0]))\n"
        "        return {'slept': list(inputs['seconds'])}\n",
    )


def column_sample(into: Path, column: str, values: list[object]) -> Path:
    """A CSV of one column, so that a Python model gets a signature."""
    into.mkdir(parents=True, exist_ok=True)
    file = into / f"{column}.csv"
    file.write_text("\n".join([column, *map(str, values)]) + "\n")
    return file


def with_requirements(into: Path, package: str, version: str) -> Path:
    """A folder model that answers which version of a package its environment holds."""
    folder = into / f"{package}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text(f"{package}=={version}\n")
    (folder / "model.py").write_text(
        "from importlib.metadata import version\n\n"
        "class Versions:\n"
        "    def load(self):\n"
        f"        self.version = version({package!r})\n\n"
        "    def predict(self, inputs):\n"
        "        return {'version': [self.version] * len(inputs['x'])}\n"
    )
    return folder


def jobs(into: Path) -> Path:
    """A table model whose categorical column takes what it saw and nothing else; its sample lies beside it."""
    import joblib
    import pandas as pd
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    rows = pd.DataFrame(
        {
            "age": [25, 47, 33, 61, 52, 38],
            "income": [1.5, 3.25, 2.0, 5.5, 4.0, 2.75],
            "job": ["clerk", "nurse", "pilot", "pilot", "nurse", "clerk"],
            "member": [True, False, True, True, False, False],
        }
    )
    columns = make_column_transformer((OneHotEncoder(), ["job"]), remainder="passthrough")
    file = into / "jobs.joblib"
    joblib.dump(make_pipeline(columns, LogisticRegression()).fit(rows, ["no", "yes", "no", "yes", "yes", "no"]), file)
    rows.to_csv(file.with_suffix(".csv"), index=False)
    return file


def doubler(into: Path) -> Path:
    """An ONNX model that doubles a matrix of any size."""
    from onnx import TensorProto, helper

    shape = ["rows", "columns"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubler",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    into.mkdir(parents=True, exist_ok=True)
    file = into / "doubler.onnx"
    file.write_bytes(model.SerializeToString())
    return file
