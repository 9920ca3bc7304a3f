"""Models that serve as ONNX: only when every answer, label and refusal stays what it was natively."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import compose, ensemble, impute, linear_model, pipeline, preprocessing, tree
from sklearn.datasets import load_iris, load_wine

from tests.support.forge import Forge, binary_answers, served
from tests.support.platform import CommandFailed, Platform

CUSTOM = """
from sklearn.base import BaseEstimator, TransformerMixin


class Halver(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X / 2
"""

ABORTING = (
    CUSTOM.replace("class Halver", "class Aborter")
    .replace("        return X / 2", "        if np.isinf(X).any():\n            {act}\n        return X / 2")
    .replace("from sklearn.base", "import os\n\nimport numpy as np\nfrom sklearn.base")
)


def with_module(folder: Path, name: str, source: str, make: Any) -> Path:
    """A folder with a joblib file and the module that its class comes from."""
    folder.mkdir()
    (folder / f"{name}.py").write_text(source)
    sys.path.insert(0, str(folder))
    try:
        module = __import__(name)
        rows, target = load_iris(return_X_y=True)
        joblib.dump(make(module).fit(rows, target), folder / "model.joblib")
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(name, None)
    return folder


def sample(folder: Path, rows: Any) -> Path:
    np.save(folder / "sample.npy", rows)
    return folder / "sample.npy"


@pytest.fixture(scope="module")
def wine(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same scaled random forest, converted and native."""
    folder = tmp_path_factory.mktemp("wine")
    rows, target = load_wine(return_X_y=True)
    model = pipeline.make_pipeline(preprocessing.StandardScaler(), ensemble.RandomForestClassifier(60, random_state=0))
    joblib.dump(model.fit(rows[::2], np.array(["a", "b", "c"], dtype=object)[target[::2]]), folder / "wine.joblib")
    example = sample(folder, rows[::2])
    return {
        "model": model,
        "rows": rows[1::2],
        "file": folder / "wine.joblib",
        "sample": example,
        "converted": platform.deploy(folder / "wine.joblib", "wine", sample=example),
        "native": platform.deploy(folder / "wine.joblib", "wine-native", "--native", sample=example),
    }


def test_an_equal_model_serves_as_onnx_and_says_so(platform: Platform, wine: dict[str, Any]) -> None:
    made = wine["converted"]["conversion"]
    assert wine["converted"]["runtime"] == "onnx"
    assert (made["serves"], made["runtime"], made["reason"]) == ("onnx", "sklearn", "")
    assert made["speed_up"] > 5
    assert made["rows"] > 200
    assert made["largest"] <= 1e-5
    assert made["converter"].startswith("skl2onnx ")
    assert any(note.startswith("Converted to ONNX: equal on ") for note in wine["converted"]["notes"])
    assert platform.cli("describe", "wine")["conversion"] == made
    assert "from sklearn by skl2onnx" in platform.run("describe", "wine").stdout


def test_its_callers_see_the_native_signature_and_answers(platform: Platform, wine: dict[str, Any]) -> None:
    assert wine["converted"]["signature"] == wine["native"]["signature"]
    one, other = (platform.call("GET", f"/v2/models/{name}").json() for name in ("wine", "wine-native"))
    assert (one["inputs"], one["outputs"]) == (other["inputs"], other["outputs"])
    got, native = (binary_answers(platform, name, {"x": wine["rows"]}) for name in ("wine", "wine-native"))
    assert got["label"].tolist() == native["label"].tolist() == wine["model"].predict(wine["rows"]).tolist()
    assert got["probabilities"].dtype == native["probabilities"].dtype
    np.testing.assert_allclose(got["probabilities"], native["probabilities"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_it_takes_and_refuses_what_the_native_model_does_in_the_same_words(
    platform: Platform, wine: dict[str, Any], value: float
) -> None:
    rows = wine["rows"][:2].copy()
    rows[1, 3] = value
    answers = []
    for name in ("wine", "wine-native"):
        head = b'{"inputs":[{"name":"x","datatype":"FP64","shape":[2,13],"parameters":{"binary_data_size":208}}]}'
        headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
        answer = platform.call("POST", f"/v2/models/{name}/infer", content=head + rows.tobytes(), headers=headers)
        refusal = answer.status_code != 200
        told = answer.text.replace("wine-native", "wine") if refusal else answer.json()["outputs"][0]
        answers.append((answer.status_code, told))
    assert answers[0] == answers[1]
    assert answers[0][0] == (200 if np.isnan(value) else 400)  # scalers and forests take missing values


def test_its_replica_runs_in_the_platforms_own_environment(platform: Platform, wine: dict[str, Any]) -> None:
    (converted,), (native,) = (platform.cli("describe", name)["replicas"]["pids"] for name in ("wine", "wine-native"))
    maps = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in (converted, native)}
    assert "/onnxruntime/" in maps[converted]
    assert "/sklearn/" not in maps[converted]
    assert "/sklearn/" in maps[native]
    command = Path(f"/proc/{converted}/cmdline").read_bytes().split(b"\0")[0].decode()
    assert not Path(command).is_relative_to(platform.home / "envs")
    version = platform.call("GET", "/v1/models/wine/versions/1", control=True).json()
    assert version["manifest"].get("environment", {}).get("digest", "platform") == "platform"
    paths = {entry["path"] for entry in version["manifest"]["files"]}
    assert {"artifact/wine.joblib", "converted/model.onnx"} <= paths


def test_the_same_bytes_are_the_same_version_and_native_is_another(platform: Platform, wine: dict[str, Any]) -> None:
    again = platform.deploy(wine["file"], "wine", sample=wine["sample"])
    assert (again["version"], again["unchanged"]) == (1, True)
    native = platform.deploy(wine["file"], "wine", "--native", sample=wine["sample"])
    assert (native["version"], native["runtime"], native["conversion"]["serves"]) == (2, "sklearn", "native")
    back = platform.deploy(wine["file"], "wine", "--convert=require", sample=wine["sample"])
    assert (back["version"], back["runtime"], back["new_version"]) == (1, "onnx", False)


def test_a_table_keeps_its_columns_and_its_missing_cells(platform: Platform, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"age": random.integers(18, 80, 90), "income": random.normal(40, 9, 90).round(2)})
    frame.loc[::7, "income"] = np.nan
    frame["job"] = random.choice(["clerk", "nurse", "pilot"], 90)
    columns = compose.make_column_transformer(
        (pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()), ["age", "income"]),
        (preprocessing.OneHotEncoder(handle_unknown="ignore"), ["job"]),
    )  # fmt: skip
    model = pipeline.make_pipeline(columns, ensemble.RandomForestRegressor(30, random_state=0))
    joblib.dump(model.fit(frame, frame.age * 2.0), tmp_path / "m.joblib")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    deployed = platform.deploy(tmp_path / "m.joblib", "earners", "--convert=require", sample=tmp_path / "rows.csv")
    assert {one["name"]: one.get("nullable", False) for one in deployed["signature"]["inputs"]}["income"]
    rows = [{"age": 40, "income": None, "job": "nurse"}, {"age": 61, "income": 33.5, "job": "astronaut"}]
    got = [row["prediction"] for row in platform.predict("earners", rows)["predictions"]]
    np.testing.assert_allclose(got, model.predict(pd.DataFrame(rows).astype({"income": float})), rtol=1e-4)


def test_a_model_of_ones_own_classes_serves_natively_and_says_why(platform: Platform, tmp_path: Path) -> None:
    folder = with_module(
        tmp_path / "own", "halver", CUSTOM, lambda m: pipeline.make_pipeline(m.Halver(), linear_model.Ridge())
    )
    deployed = platform.deploy(folder, "own")
    said = "Served natively, not as ONNX: there is no converter for Halver."
    assert deployed["runtime"] == "sklearn"
    assert said in deployed["notes"]
    assert platform.predict("own", {"inputs": [[5.1, 3.5, 1.4, 0.2]]})["predictions"]
    with pytest.raises(CommandFailed, match="there is no converter for Halver") as error:
        platform.deploy(folder, "own-required", "--convert=require")
    assert error.value.code == 1
    assert platform.call("GET", "/v1/models/own-required/versions", control=True).status_code == 404


def test_a_model_that_is_not_equal_serves_natively_and_says_where(platform: Platform, tmp_path: Path) -> None:
    rows, target = load_iris(return_X_y=True)
    parts = [("a", linear_model.LogisticRegression(max_iter=500)), ("b", tree.DecisionTreeClassifier(random_state=0))]
    model = ensemble.VotingClassifier(parts, voting="soft").fit(rows[::2], target[::2])
    joblib.dump(model, tmp_path / "m.joblib")
    deployed = platform.deploy(tmp_path / "m.joblib", "votes", sample=sample(tmp_path, rows[::2]))
    assert deployed["runtime"] == "sklearn"
    assert any(
        note.startswith("Served natively, not as ONNX: not equal: label differs in") for note in deployed["notes"]
    )
    assert binary_answers(platform, "votes", {"x": rows})["label"].tolist() == model.predict(rows).tolist()


@pytest.mark.parametrize(("act", "said"), [("os.abort()", "crashed with signal"), ("os._exit(3)", "status 3")])
def test_a_conversion_that_crashes_costs_the_conversion_only(
    platform: Platform, tmp_path: Path, act: str, said: str
) -> None:
    folder = with_module(
        tmp_path / "own", "aborter", ABORTING.format(act=act),
        lambda m: pipeline.make_pipeline(m.Aborter(), linear_model.Ridge()),
    )  # fmt: skip
    example = sample(tmp_path, load_iris().data[:20])
    deployed = platform.deploy(folder, f"crash-{len(said)}", sample=example)
    assert deployed["runtime"] == "sklearn"
    assert any("not as ONNX: its conversion" in note and said in note for note in deployed["notes"]), deployed["notes"]


def test_a_model_of_another_runtime_cannot_be_required_as_onnx(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("def predict(x):\n    return [1]\n")
    with pytest.raises(CommandFailed, match="there is no converter for the runtime python"):
        platform.deploy(tmp_path / "model.py", "plain", "--convert=require")


# LightGBM compares in 64 bits, its converter writes thresholds in 32: rows at the thresholds tell. CatBoost takes rows
# that are wider than those it has seen, its graph does not.
BOOSTERS = {"catboost_wrapper": "sklearn", "xgboost_wrapper": "onnx", "lightgbm_wrapper": "sklearn"}


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_booster_in_a_wrapper_answers_the_same_whatever_serves(platform: Platform, forge: Forge, name: str) -> None:
    forged, endpoint = forge.make(name), name.replace("_", "-")
    deployed = platform.deploy(forged.artifact, endpoint, sample=forged.sample, timeout=900)
    assert deployed["runtime"] == BOOSTERS[name], deployed["notes"]
    if BOOSTERS[name] == "sklearn":
        assert any("not as ONNX: not equal: " in note for note in deployed["notes"])
    served(platform, endpoint, forged)
