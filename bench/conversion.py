"""What converting to ONNX gains, and whether it ever answers wrongly: the table of docs/benchmarks.md.

    python -m bench.conversion [--write docs/tasks/conversion.md]

Data flow: a data set of scikit-learn -> fitted on two thirds -> saved, and loaded by the runtime that would
serve it -> converted and checked as `inferry deploy` does, on a sample of 100 rows -> what serves then
answers the held-out rows, which must be the native answers: labels the same, numbers within the tolerance.
The files of gradient boosters are measured by bench.boosters, in an environment of theirs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import msgspec
import numpy as np

from inferry import plugins
from inferry.errors import InferryError
from inferry.policy.equality import compare
from inferry.policy.speed import faster
from inferry.runtimes.conversion import convert
from inferry.runtimes.conversion_check import check
from inferry.runtimes.onnx import OnnxRuntime
from inferry.runtimes.tensors import from_sample
from inferry.types.conversion import ATOL, RTOL
from inferry.types.sample import Sample

BEGIN, END = "<!-- bench.conversion -->", "<!-- /bench.conversion -->"
SAMPLE_ROWS = 100
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Row:
    """One line of the table. `wrong`: held-out rows that what serves answers otherwise than natively."""

    model: str
    data: str
    native_us: float
    onnx_us: float
    largest: float
    verdict: str
    wrong: int
    seconds: float

    @property
    def gain(self) -> float:
        return self.native_us / self.onnx_us if self.onnx_us else 1.0

    @property
    def served_gain(self) -> float:
        return self.gain if self.verdict == "onnx" else 1.0


def data(name: str) -> tuple[Any, Any]:
    """Features and target."""
    if name == "penguins":
        import pandas as pd

        from examples.train import package_file

        table = pd.read_csv(package_file("palmerpenguins", "data/penguins.csv"))
        table = table.dropna(subset=["sex"])
        return table.drop(columns="sex"), table["sex"].to_numpy(dtype=object)
    if name == "words":
        from examples.train import package_file

        lines = package_file("afinn", "data/AFINN-111.txt").read_text(encoding="utf-8").splitlines()
        words, points = zip(*(line.split("\t") for line in lines), strict=True)
        return np.array(words, dtype=object), np.array([int(point) > 0 for point in points]).astype(int)
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")(return_X_y=True)


def models() -> Iterator[tuple[str, str, Callable[[], Any]]]:
    """Name, data set, and the estimator to fit."""
    from sklearn import (
        calibration,
        cluster,
        decomposition,
        ensemble,
        feature_extraction,
        gaussian_process,
        impute,
        linear_model,
        naive_bayes,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )
    from sklearn.compose import make_column_selector as those
    from sklearn.compose import make_column_transformer

    pipe, scale = pipeline.make_pipeline, preprocessing.StandardScaler
    yield "LogisticRegression", "iris", lambda: linear_model.LogisticRegression(max_iter=500)
    yield "LogisticRegression", "digits", lambda: pipe(scale(), linear_model.LogisticRegression(max_iter=500))
    yield "RidgeClassifier", "wine", lambda: pipe(scale(), linear_model.RidgeClassifier())
    yield "SGDClassifier", "breast_cancer", lambda: pipe(scale(), linear_model.SGDClassifier(random_state=0))
    yield "LinearRegression", "diabetes", linear_model.LinearRegression
    yield "Lasso", "diabetes", lambda: pipe(scale(), linear_model.Lasso(alpha=0.1))
    yield (
        "PolynomialFeatures, Ridge",
        "diabetes",
        lambda: pipe(preprocessing.PolynomialFeatures(2), linear_model.Ridge()),
    )
    yield "DecisionTreeClassifier", "wine", lambda: tree.DecisionTreeClassifier(random_state=0)
    yield "RandomForestClassifier", "digits", lambda: ensemble.RandomForestClassifier(100, random_state=0)
    yield "RandomForestRegressor", "diabetes", lambda: ensemble.RandomForestRegressor(100, random_state=0)
    yield (
        "scaler, RandomForestClassifier",
        "wine",
        lambda: pipe(scale(), ensemble.RandomForestClassifier(100, random_state=0)),
    )
    yield "ExtraTreesClassifier", "breast_cancer", lambda: ensemble.ExtraTreesClassifier(100, random_state=0)
    yield "GradientBoostingClassifier", "breast_cancer", lambda: ensemble.GradientBoostingClassifier(random_state=0)
    yield "GradientBoostingRegressor", "diabetes", lambda: ensemble.GradientBoostingRegressor(random_state=0)
    yield (
        "HistGradientBoostingClassifier",
        "breast_cancer",
        lambda: ensemble.HistGradientBoostingClassifier(random_state=0),
    )
    yield "HistGradientBoostingRegressor", "diabetes", lambda: ensemble.HistGradientBoostingRegressor(random_state=0)
    yield "AdaBoostClassifier", "wine", lambda: ensemble.AdaBoostClassifier(random_state=0)
    yield "BaggingClassifier", "wine", lambda: ensemble.BaggingClassifier(random_state=0)
    yield "VotingClassifier", "iris", lambda: ensemble.VotingClassifier(
        [("a", linear_model.LogisticRegression(max_iter=500)), ("b", tree.DecisionTreeClassifier(random_state=0))],
        voting="soft",
    )  # fmt: skip
    yield "StackingRegressor", "diabetes", lambda: ensemble.StackingRegressor(
        [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4, random_state=0))]
    )  # fmt: skip
    yield "SVC", "digits", lambda: pipe(scale(), svm.SVC())
    yield "SVR", "diabetes", lambda: pipe(scale(), svm.SVR())
    yield "LinearSVC", "breast_cancer", lambda: pipe(scale(), svm.LinearSVC(random_state=0))
    yield "CalibratedClassifierCV", "breast_cancer", lambda: calibration.CalibratedClassifierCV(
        pipe(scale(), svm.LinearSVC(random_state=0))
    )  # fmt: skip
    yield "KNeighborsClassifier", "iris", neighbors.KNeighborsClassifier
    yield "KNeighborsRegressor", "diabetes", neighbors.KNeighborsRegressor
    yield (
        "MLPClassifier",
        "digits",
        lambda: pipe(scale(), neural_network.MLPClassifier((64,), max_iter=200, random_state=0)),
    )
    yield (
        "MLPRegressor",
        "diabetes",
        lambda: pipe(scale(), neural_network.MLPRegressor(hidden_layer_sizes=(32,), max_iter=500, random_state=0)),
    )
    yield "GaussianNB", "iris", naive_bayes.GaussianNB
    yield "GaussianProcessRegressor", "diabetes", lambda: gaussian_process.GaussianProcessRegressor(alpha=1.0)
    yield "IsolationForest", "breast_cancer", lambda: ensemble.IsolationForest(random_state=0)
    yield "KMeans", "digits", lambda: cluster.KMeans(10, n_init=1, random_state=0)
    yield "PCA", "digits", lambda: pipe(scale(), decomposition.PCA(8))
    table = make_column_transformer(
        (pipe(impute.SimpleImputer(), scale()), those(dtype_include="number")),
        (preprocessing.OneHotEncoder(handle_unknown="ignore"), those(dtype_exclude="number")),
    )  # fmt: skip
    yield "table, LogisticRegression", "penguins", lambda: pipe(table, linear_model.LogisticRegression(max_iter=500))
    yield "table, RandomForestClassifier", "penguins", lambda: pipe(
        table, ensemble.RandomForestClassifier(100, random_state=0)
    )  # fmt: skip
    yield "TfidfVectorizer, LogisticRegression", "words", lambda: pipe(
        feature_extraction.text.TfidfVectorizer(), linear_model.LogisticRegression()
    )  # fmt: skip


def sample_of(rows: Any) -> Sample:
    if hasattr(rows, "columns"):
        columns = {name: rows[name].to_numpy() for name in rows.columns}
        columns = {
            name: np.array([None if value != value else value for value in column], dtype=object)
            if column.dtype.kind not in "fiub" else column
            for name, column in columns.items()
        }  # fmt: skip
        return Sample(kind="table", tensors=columns)
    if rows.dtype.kind == "O":
        return Sample(kind="table", tensors={"text": rows})
    return Sample(kind="tensors", tensors={"": rows})


def fitted(make: Callable[[], Any]) -> Callable[[Any, Any, Path], object]:
    return lambda rows, target, path: joblib.dump(make().fit(rows, target), path)


def measure(
    name: str, source: str, kind: str, entry: str, save: Callable[[Any, Any, Path], object], features: Any, target: Any,
    folder: Path,
) -> Row:  # fmt: skip
    """One line. `save` fits on rows and target, and leaves the model at a path; `kind`: the runtime that serves it."""
    from sklearn.model_selection import train_test_split

    train, held, answers, _ = train_test_split(features, target, test_size=0.33, random_state=0)
    save(train, answers, folder / entry)
    sample, runtime = sample_of(train[:SAMPLE_ROWS]), plugins.load("inferry.runtimes", kind)
    described = runtime().load(folder, entry, {}, None).describe(sample)
    native = runtime().load(folder, entry, {}, described.signature)
    signature, native_us = described.signature, described.batch_us.get("1", 0.0)
    started = time.perf_counter()
    try:
        made = convert(kind, native, signature, sample, folder)
        done = check(folder, made.drafts, signature)
    except InferryError as error:
        return Row(name, source, native_us, 0.0, 0.0, error.message, 0, time.perf_counter() - started)
    seconds = time.perf_counter() - started
    onnx_us = done.batch_us.get("1", 0.0)
    verdict = done.reason or faster(described.batch_us, done.batch_us) or "onnx"
    wrong = 0
    if verdict == "onnx":
        draft = made.drafts[done.chosen]
        served = OnnxRuntime().load(folder, draft.file, {"plan": draft.plan}, signature)
        rows = from_sample(signature.inputs, sample_of(held))
        for at in range(len(next(iter(rows.values())))):
            row = {key: array[at : at + 1] for key, array in rows.items()}
            wrong += bool(compare(native.predict(row), served.predict(row), RTOL, ATOL).difference)
    return Row(name, source, native_us, onnx_us, done.largest, verdict, wrong, seconds)


def table(rows: list[Row]) -> str:
    lines = [
        "| model | data | native, us | ONNX, us | faster | largest difference | serves |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        onnx, gain = (f"{row.onnx_us:.0f}", f"{row.gain:.1f}") if row.onnx_us else ("", "")
        largest = f"{row.largest:.1e}" if row.onnx_us else ""
        why = textwrap.shorten(row.verdict, 120, placeholder="...")
        verdict = "ONNX" if row.verdict == "onnx" else f"native: {why}"
        lines.append(f"| {row.model} | {row.data} | {row.native_us:.0f} | {onnx} | {gain} | {largest} | {verdict} |")
    converted = [row for row in rows if row.verdict == "onnx"]
    lines += [
        "",
        (
            f"{len(converted)} of {len(rows)} serve as ONNX; the median of these is "
            f"{statistics.median(row.gain for row in converted):.1f} times faster, the median of all "
            f"{statistics.median(row.served_gain for row in rows):.1f} times. "
            f"Wrong answers on held-out rows: {sum(row.wrong for row in rows)}."
        ),
    ]
    return "\n".join(lines)


def shown(row: Row) -> str:
    """As it appears while the bench runs."""
    return (
        f"{row.model:<36} {row.data:<14} {row.native_us:8.0f} {row.onnx_us:8.0f} {row.gain:6.1f}x {row.largest:8.1e} "
        f"{row.wrong} wrong {row.seconds:5.1f} s  {row.verdict}"
    )


def boosters(only: str) -> list[Row]:
    """The rows of bench.boosters."""
    from bench.peers.environments import environment

    command = [str(environment("boosters").python), "-W", "ignore", "-m", "bench.boosters", only]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True
    )
    return [msgspec.json.decode(line, type=Row) for line in done.stdout.splitlines() if line.startswith("{")]


def put(path: Path, text: str, begin: str, end: str) -> None:
    """Put text into a page, between its marks."""
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    path.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=Path, help="Put the table into this page, between its marks.")
    parser.add_argument("--only", default="", help="Only models whose name has this in it.")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name, source, make in models():
        if asked.only.lower() in name.lower():
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measure(name, source, "sklearn", "m.joblib", fitted(make), *data(source), Path(folder)))
            print(shown(rows[-1]), flush=True)
    rows += boosters(asked.only)
    text = table(rows)
    print(text)
    if asked.write:
        put(asked.write, text, BEGIN, END)
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
