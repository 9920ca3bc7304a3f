"""Trains the models of the demo, the docs and the tests on real data that ships inside packages.

packages' data -> fitted model -> a model file (joblib, ONNX or a Python folder) and a CSV sample
               -> held-out rows with their true labels, and the same model's answers in this process

Run it to get the files alone: `python examples/train.py DIR`.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A model file with what it takes to check the endpoint made from it.

    `rows`: held-out inputs as a client sends them; `truth`: their labels; `label`: the output that
    holds the answer; `local`: answers of the same file in this process.
    """

    name: str
    file: Path
    sample: Path | None
    rows: Any
    truth: np.ndarray
    label: str
    local: Callable[[], np.ndarray]

    def accuracy(self, answers: Any) -> float:
        """The share of answers that are the truth."""
        return float(np.mean(np.asarray(answers).astype(str) == self.truth.astype(str)))


def package_file(package: str, path: str) -> Path:
    """A data file inside an installed package, found without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"the package {package} is not installed")
    return Path(spec.origin).parent / path


def penguins(into: Path, *, version: int = 1) -> Trained:
    """The sex of a penguin from two categorical and five numeric columns: a scikit-learn pipeline.

    Version 1 is a logistic regression, version 2 gradient boosting over the same columns.
    """
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = pd.read_csv(package_file("palmerpenguins", "data/penguins.csv")).dropna()
    rows, held_out, labels, truth = train_test_split(
        table.drop(columns="sex"), table["sex"], test_size=0.3, random_state=2, stratify=table["sex"]
    )
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["species", "island"]), remainder=StandardScaler()
    )
    estimator = (
        LogisticRegression(C=0.05) if version == 1 else GradientBoostingClassifier(n_estimators=40, random_state=0)
    )
    model = make_pipeline(columns, estimator).fit(rows, labels.to_numpy(dtype=object))
    file, sample = into / f"penguins-v{version}.joblib", into / "penguins.csv"
    joblib.dump(model, file)
    held_out.drop_duplicates(["species", "island"]).to_csv(sample, index=False)
    return Trained(
        name="penguins", file=file, sample=sample, rows=held_out.reset_index(drop=True),
        truth=truth.to_numpy(dtype=object), label="label", local=lambda: model.predict(held_out),
    )  # fmt: skip


def digits(into: Path) -> Trained:
    """Handwritten digits, 8 x 8 pixels: a small neural network as an ONNX file."""
    import onnxruntime
    from skl2onnx import to_onnx
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier

    pixels, labels = load_digits(return_X_y=True)
    train, held_out, answers, truth = train_test_split(
        (pixels / 16).astype(np.float32), labels, test_size=0.25, random_state=0, stratify=labels
    )
    model = MLPClassifier((32,), max_iter=60, learning_rate_init=0.01, tol=1e-2, random_state=0).fit(train, answers)
    graph = to_onnx(model, initial_types=_floats("pixels", 64), options={"zipmap": False})
    file = into / "digits.onnx"
    file.write_bytes(graph.SerializeToString())

    def local() -> np.ndarray:
        session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
        return np.asarray(session.run(["label"], {"pixels": held_out})[0])

    return Trained(
        name="digits", file=file, sample=None, rows={"pixels": held_out}, truth=truth, label="label", local=local
    )


def sentiment() -> Trained:
    """Rules over word lists, as a Python class with its own requirements. The held-out rows are
    words and phrases that a person rated (the AFINN list)."""
    ratings = package_file("afinn", "data/AFINN-111.txt").read_text(encoding="utf-8").splitlines()
    words, points = zip(*(line.split("\t") for line in ratings), strict=True)
    truth = np.array(["positive" if int(p) > 0 else "negative" if int(p) < 0 else "neutral" for p in points])
    folder = HERE / "sentiment_rules"
    rows = pd.DataFrame({"text": list(words)})

    def local() -> np.ndarray:
        spec = importlib.util.spec_from_file_location("sentiment_model", folder / "model.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"{folder} holds no model.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        model = module.Sentiment()
        model.load()
        return np.asarray(model.predict({"text": words})["label"])

    return Trained(
        name="sentiment", file=folder, sample=HERE / "sentences.csv", rows=rows, truth=truth, label="label", local=local
    )


def iris(into: Path) -> Path:
    """The smallest useful model: a logistic regression on four numbers, as a joblib file."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    numbers, kinds = load_iris(return_X_y=True)
    file = into / "iris.joblib"
    joblib.dump(LogisticRegression(max_iter=500).fit(numbers, kinds), file)
    return file


def iris_onnx(into: Path) -> Path:
    """The same as an ONNX file with one input, `x`."""
    from skl2onnx import to_onnx

    model = joblib.load(iris(into))
    file = into / "iris.onnx"
    graph = to_onnx(model, initial_types=_floats("x", 4), options={"zipmap": False})
    file.write_bytes(graph.SerializeToString())
    return file


def _floats(name: str, columns: int) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import FloatTensorType

    return [(name, FloatTensorType([None, columns]))]


def main(into: Path) -> None:
    """Write every file of the quickstart into a folder."""
    into.mkdir(parents=True, exist_ok=True)
    made = [penguins(into, version=1), penguins(into, version=2), digits(into)]
    for path in [*(one.file for one in made), made[0].sample, iris(into), iris_onnx(into)]:
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
