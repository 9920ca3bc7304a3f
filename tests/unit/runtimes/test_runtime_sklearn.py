"""scikit-learn models answer through the runtime what they answer in this process."""

from __future__ import annotations

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, KMeans
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.datasets import load_diabetes, load_iris, load_linnerud
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, OneClassSVM

from inferry.errors import InferryError, InvalidInput, InvalidModel
from inferry.runtimes.sklearn import SklearnRuntime
from inferry.types.columns import sample_of
from tests.support.inspections import example_of

IRIS = load_iris(as_frame=True)


def saved(tmp_path, model, name="model.joblib", **how):
    joblib.dump(model, tmp_path / name, **how)
    return tmp_path, name


def loaded(tmp_path, model, sample=None):
    folder, name = saved(tmp_path, model)
    inspection = SklearnRuntime().load(folder, name, {}, None).describe(sample)
    return inspection, SklearnRuntime().load(folder, name, {}, inspection.signature)


def table(frame):
    return sample_of(
        {name: column.astype(object).where(column.notna(), None).tolist() for name, column in frame.items()}
    )


def columns(frame, signature):
    kinds = {"FP64": float, "INT64": np.int64, "BOOL": bool, "BYTES": object}
    made = {}
    for spec in signature.inputs:
        column = frame[spec.name]
        if spec.datatype == "BYTES":
            column = column.astype(object).where(column.notna(), None)
        made[spec.name] = column.to_numpy(dtype=kinds[spec.datatype])
    return made


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(7)
    count = 160
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, count).astype(float),
            "fare": rng.normal(50, 10, count),
            "sex": rng.choice(["female", "male"], count),
            "port": rng.choice(["S", "C", "Q"], count),
            "rooms": rng.integers(1, 5, count),
            "vip": rng.random(count) > 0.5,
        }
    )
    frame.loc[::7, "age"] = np.nan
    frame.loc[::11, "port"] = np.nan
    target = np.where((frame.fare > 50) ^ (frame.sex == "male"), "yes", "no")
    return frame, target


@pytest.fixture(scope="module")
def mixed(people):
    frame, target = people
    steps = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "fare"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["port"]),
            ("strict", OneHotEncoder(), ["sex", "rooms"]),
            ("rest", "passthrough", ["vip"]),
        ]
    )
    return make_pipeline(steps, LogisticRegression(max_iter=500)).fit(frame, target)


def test_a_mixed_pipeline_answers_as_in_process(tmp_path, people, mixed):
    frame, target = people
    inspection, model = loaded(tmp_path, mixed, table(frame.assign(survived=target)))
    answer = model.predict(columns(frame, inspection.signature))
    assert answer["label"].tolist() == mixed.predict(frame).tolist()
    np.testing.assert_array_equal(answer["probabilities"], mixed.predict_proba(frame))


def test_a_mixed_pipeline_tells_its_columns(tmp_path, people, mixed):
    frame, target = people
    inspection, _ = loaded(tmp_path, mixed, table(frame.assign(survived=target)))
    spec = {spec.name: spec for spec in inspection.signature.inputs}
    assert inspection.signature.kind == "table"
    assert list(spec) == list(frame.columns)
    assert {name: one.datatype for name, one in spec.items()} == {
        "age": "FP64", "fare": "FP64", "sex": "BYTES", "port": "BYTES", "rooms": "INT64", "vip": "BOOL",
    }  # fmt: skip
    assert spec["sex"].categories == ("female", "male")
    assert spec["sex"].closed
    assert not spec["port"].closed
    assert spec["rooms"].categories == (1, 2, 3, 4)
    assert spec["age"].nullable
    assert spec["port"].nullable
    assert not spec["sex"].nullable
    assert inspection.task == "classification"
    assert inspection.signature.batchable
    assert inspection.signature.outputs[1].labels == ("no", "yes")
    assert any("survived" in note for note in inspection.notes)


def test_encoders_tell_the_columns_without_a_sample(tmp_path, mixed):
    inspection, _ = loaded(tmp_path, mixed)
    spec = {spec.name: spec for spec in inspection.signature.inputs}
    assert spec["sex"].datatype == "BYTES"
    assert spec["rooms"].datatype == "INT64"
    assert spec["age"].datatype == "FP64"
    assert inspection.answer[0]["label"] in {"yes", "no"}


def test_the_example_is_records_and_the_answer_names_labels(tmp_path, people, mixed):
    frame, _ = people
    inspection, _ = loaded(tmp_path, mixed, table(frame))
    assert len(example_of(inspection)) == 5
    assert example_of(inspection)[0]["age"] is None
    assert example_of(inspection)[1]["sex"] == frame.sex[1]
    assert inspection.answer[0]["probabilities"].keys() == {"no", "yes"}


def test_an_unknown_closed_category_is_the_callers_fault(tmp_path, people, mixed):
    frame, _ = people
    inspection, model = loaded(tmp_path, mixed, table(frame))
    inputs = columns(frame.head(1), inspection.signature)
    inputs["sex"] = np.array(["other"], dtype=object)
    with pytest.raises(InvalidInput, match="unknown categories"):
        model.predict(inputs)


def test_gradient_boosting_takes_missing_values_and_category_columns(tmp_path, people):
    frame, target = people
    frame = frame[["age", "fare", "port"]].astype({"port": "category"})
    fitted = HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=8).fit(frame, target)
    inspection, model = loaded(tmp_path, fitted, table(frame))
    spec = {spec.name: spec for spec in inspection.signature.inputs}
    assert all(one.nullable for one in spec.values())
    assert spec["port"].categories == ("C", "Q", "S")
    answer = model.predict(columns(frame, inspection.signature))
    np.testing.assert_array_equal(answer["probabilities"], fitted.predict_proba(frame))


def test_whole_numbers_become_floats_when_they_may_be_missing(tmp_path, people):
    frame, target = people
    fitted = HistGradientBoostingClassifier(max_iter=3).fit(frame[["rooms", "fare"]], target)
    inspection, _ = loaded(tmp_path, fitted, table(frame[["rooms", "fare"]]))
    assert [(one.datatype, one.nullable) for one in inspection.signature.inputs] == [("FP64", True)] * 2


@pytest.mark.parametrize("named", ["text", "review"])
def test_a_text_pipeline_takes_one_column_of_text(tmp_path, named):
    texts = ["good film", "bad film", "very good", "very bad"] * 5
    fitted = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, ["pos", "neg"] * 10)
    inspection, model = loaded(tmp_path, fitted, sample_of([{named: text} for text in texts]))
    assert [(spec.name, spec.datatype) for spec in inspection.signature.inputs] == [(named, "BYTES")]
    answer = model.predict({named: np.array([b"good", "bad"], dtype=object)})
    assert answer["label"].tolist() == fitted.predict(["good", "bad"]).tolist()
    unsampled, _ = loaded(tmp_path, fitted)
    assert unsampled.signature.inputs[0].name == "text"


MATRIX_MODELS = {
    "forest": RandomForestClassifier(5, n_jobs=2, random_state=0),
    "extra": ExtraTreesClassifier(5, random_state=0),
    "knn": KNeighborsClassifier(),
    "scaled svc": make_pipeline(StandardScaler(), CalibratedClassifierCV(SVC(), cv=2)),
    "search": GridSearchCV(make_pipeline(MinMaxScaler(), LogisticRegression()), {"logisticregression__C": [1.0]}, cv=2),
    "voting": VotingClassifier([("a", LogisticRegression(max_iter=500)), ("b", KNeighborsClassifier())], voting="soft"),
    "pca": make_pipeline(PCA(2), LogisticRegression()),
    "ordinal": make_pipeline(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), LogisticRegression()
    ),
}


@pytest.mark.parametrize("name", MATRIX_MODELS)
@pytest.mark.parametrize("names", [True, False], ids=["named", "unnamed"])
def test_numeric_models_answer_as_in_process(tmp_path, name, names):
    data = IRIS.data if names else IRIS.data.to_numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = clone(MATRIX_MODELS[name]).fit(data, IRIS.target_names[IRIS.target])
        expected, probabilities = fitted.predict(data), fitted.predict_proba(data)
    inspection, model = loaded(tmp_path, fitted)
    signature = inspection.signature
    if names:
        assert signature.kind == "table"
        inputs = {spec.name: IRIS.data[spec.name].to_numpy() for spec in signature.inputs}
    else:
        assert [(spec.name, spec.datatype, spec.shape) for spec in signature.inputs] == [("x", "FP64", (-1, 4))]
        inputs = {"x": data}
    answer = model.predict(inputs)
    assert answer["label"].tolist() == expected.tolist()
    np.testing.assert_allclose(answer["probabilities"], probabilities, rtol=1e-12)
    assert signature.outputs[1].labels == ("setosa", "versicolor", "virginica")
    assert signature.batchable


def test_a_sample_names_the_columns_of_a_model_fitted_on_arrays(tmp_path):
    fitted = LogisticRegression(max_iter=500).fit(IRIS.data.to_numpy(), IRIS.target)
    inspection, _ = loaded(tmp_path, fitted, table(IRIS.data.head()))
    assert [spec.name for spec in inspection.signature.inputs] == list(IRIS.data.columns)
    with pytest.raises(InvalidInput, match="5 columns, the model takes 4"):
        loaded(tmp_path, fitted, table(IRIS.frame.head()))


def test_a_matrix_is_a_sample_of_a_model_with_names(tmp_path):
    fitted = LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target)
    inspection, _ = loaded(tmp_path, fitted, sample_of(IRIS.data.head().to_numpy()))
    assert example_of(inspection)[0] == dict(IRIS.data.iloc[0])
    assert inspection.answer[0]["label"] == 0


def test_a_sample_without_a_column_is_refused_by_name(tmp_path):
    fitted = LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target)
    with pytest.raises(InvalidInput, match="no column 'petal width"):
        loaded(tmp_path, fitted, table(IRIS.data.iloc[:3, :3]))


def test_regressors_predict(tmp_path):
    data, target = load_diabetes(return_X_y=True, as_frame=True)
    fitted = GradientBoostingRegressor(n_estimators=5, random_state=0).fit(data, target)
    inspection, model = loaded(tmp_path, fitted, table(data))
    assert inspection.task == "regression"
    assert inspection.signature.outputs[0].name == "prediction"
    answer = model.predict(columns(data, inspection.signature))
    np.testing.assert_array_equal(answer["prediction"], fitted.predict(data))


def test_several_targets_stay_side_by_side(tmp_path):
    data, target = load_linnerud(return_X_y=True)
    inspection, model = loaded(tmp_path, LinearRegression().fit(data, target))
    assert inspection.signature.outputs[0].shape == (-1, 3)
    assert model.predict({"x": data})["prediction"].shape == (20, 3)


def test_a_multi_output_classifier_has_probabilities_for_each_target(tmp_path):
    targets = np.column_stack([IRIS.target, IRIS.target > 0])
    fitted = RandomForestClassifier(5, random_state=0).fit(IRIS.data.to_numpy(), targets)
    inspection, model = loaded(tmp_path, fitted)
    outputs = {spec.name: spec for spec in inspection.signature.outputs}
    assert outputs["label"].shape == (-1, 2)
    assert outputs["probabilities_0"].labels == (0, 1, 2)
    assert outputs["probabilities_1"].labels == (0, 1)
    answer = model.predict({"x": IRIS.data.to_numpy()})
    np.testing.assert_array_equal(answer["label"], fitted.predict(IRIS.data.to_numpy()))


@pytest.mark.parametrize("fitted", [SVC(), SGDClassifier(random_state=0), VotingClassifier([("a", SVC())])])
def test_a_classifier_without_probabilities_gives_labels(tmp_path, fitted):
    data = IRIS.data.to_numpy()
    inspection, model = loaded(tmp_path, fitted.fit(data, IRIS.target))
    assert [spec.name for spec in inspection.signature.outputs] == ["label"]
    assert model.predict({"x": data})["label"].tolist() == fitted.predict(data).tolist()


def test_the_label_is_the_models_own_and_not_an_argmax(tmp_path):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(40, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = SVC(probability=True, random_state=1).fit(data, rng.integers(0, 2, 40))
        expected = fitted.predict(data)
        assert (expected != fitted.classes_[fitted.predict_proba(data).argmax(axis=1)]).any()
    _, model = loaded(tmp_path, fitted)
    assert model.predict({"x": data})["label"].tolist() == expected.tolist()


def test_clusters_outliers_and_features(tmp_path):
    data = IRIS.data.to_numpy()
    inspection, _ = loaded(tmp_path, KMeans(3, n_init=1, random_state=0).fit(data))
    assert (inspection.task, inspection.signature.outputs[0].name) == ("clustering", "cluster")
    inspection, _ = loaded(tmp_path, make_pipeline(StandardScaler(), KMeans(3, n_init=1, random_state=0)).fit(data))
    assert inspection.task == "clustering"
    for fitted in (IsolationForest(n_estimators=5, random_state=0), OneClassSVM()):
        inspection, _ = loaded(tmp_path, fitted.fit(data))
        assert inspection.task == "outlier"
        assert [spec.name for spec in inspection.signature.outputs] == ["label", "score"]
    inspection, _ = loaded(tmp_path, make_pipeline(StandardScaler(), PCA(2)).fit(data))
    assert (inspection.task, inspection.signature.outputs[0].name) == ("transform", "features")
    assert inspection.signature.outputs[0].shape == (-1, 2)
    sparse = OneHotEncoder(handle_unknown="ignore").fit(data[:, :1])
    inspection, model = loaded(tmp_path, sparse)
    np.testing.assert_array_equal(
        model.predict({"x": data[:3, :1]})["features"], sparse.transform(data[:3, :1]).toarray()
    )


def test_column_selectors_and_text_columns_are_followed(tmp_path, people):
    frame, target = people
    frame = frame[["fare", "sex"]].assign(note="some words here")
    steps = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OrdinalEncoder(), ["sex"]),
        (TfidfVectorizer(), "note"),
    )
    fitted = make_pipeline(steps, LogisticRegression()).fit(frame, target)
    inspection, model = loaded(tmp_path, fitted)
    spec = {spec.name: spec for spec in inspection.signature.inputs}
    assert (spec["note"].datatype, spec["sex"].datatype, spec["fare"].datatype) == ("BYTES", "BYTES", "FP64")
    answer = model.predict(columns(frame, inspection.signature))
    assert answer["label"].tolist() == fitted.predict(frame).tolist()


def test_threads_of_an_estimator_are_switched_off(tmp_path):
    folder, name = saved(tmp_path, RandomForestClassifier(2, n_jobs=-1).fit(IRIS.data.to_numpy(), IRIS.target))
    model = SklearnRuntime().load(folder, name, {}, None)
    assert model.loaded.n_jobs == 1


@pytest.mark.parametrize("how", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)], ids=str)
def test_joblib_files_load_however_they_are_compressed(tmp_path, how):
    folder, name = saved(tmp_path, LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target), compress=how)
    assert SklearnRuntime().load(folder, name, {}, None).describe(None).task == "classification"


def test_pickle_and_skops_files_load(tmp_path, people, mixed):
    frame, _ = people
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(mixed))
    skops.io.dump(mixed, tmp_path / "m.skops")
    for name in ("m.pkl", "m.skops"):
        inspection = SklearnRuntime().load(tmp_path, name, {}, None).describe(table(frame))
        model = SklearnRuntime().load(tmp_path, name, {}, inspection.signature)
        answer = model.predict(columns(frame, inspection.signature))
        np.testing.assert_array_equal(answer["probabilities"], mixed.predict_proba(frame))


def test_a_class_beside_the_model_is_found(tmp_path):
    (tmp_path / "my_parts_1.py").write_text(
        "class Doubler:\n    def fit(self, x, y=None):\n        return self\n"
        "    def predict(self, x):\n        return x[:, 0] * 2\n    n_features_in_ = 2\n"
    )
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04cmy_parts_1\nDoubler\n)\x81.")
    inspection = SklearnRuntime().load(tmp_path, "m.pkl", {}, None).describe(None)
    assert inspection.signature.outputs[0].name == "prediction"


class OnlyHere:
    def predict(self, x):
        return x


def made_by_another_release(tmp_path):
    data = pickle.dumps(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target))
    import sklearn

    stamp = sklearn.__version__.encode()
    return data.replace(stamp, b"0" * (len(stamp) - 4) + b".9.9")


REFUSED = {
    "unfitted": (lambda _: pickle.dumps(make_pipeline(StandardScaler(), LogisticRegression())), "not fitted"),
    "dict": (lambda _: pickle.dumps({"model": 1, "columns": []}), "holds a dict with the keys 'model', 'columns'"),
    "frame": (lambda _: pickle.dumps(IRIS.data), "holds a DataFrame"),
    "class": (lambda _: pickle.dumps(LogisticRegression), "holds a LogisticRegression"),
    "cluster": (lambda _: pickle.dumps(DBSCAN().fit(IRIS.data)), "no predict method"),
    "main": (lambda _: b"\x80\x04c__main__\nSomething\n)\x81.", "'Something', which was defined in a script"),
    "module": (lambda _: b"\x80\x04cno_such_package.parts\nThing\n)\x81.", "module 'no_such_package'"),
    "attribute": (lambda _: b"\x80\x04csklearn.base\nNoSuchThing\n)\x81.", "'NoSuchThing' from the module"),
    "truncated": (
        lambda _: pickle.dumps(LogisticRegression(max_iter=500).fit(IRIS.data, IRIS.target))[:90],
        "truncated",
    ),
    "release": (made_by_another_release, "was saved with scikit-learn"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused_with_a_remedy(tmp_path, case):
    make, said = REFUSED[case]
    (tmp_path / "m.pkl").write_bytes(make(tmp_path))
    with pytest.raises(InvalidModel, match=said) as refusal:
        SklearnRuntime().load(tmp_path, "m.pkl", {}, None).describe(None)
    assert refusal.value.help or case == "cluster"
    assert str(tmp_path) not in refusal.value.sentence()


def test_what_a_model_raises_is_one_of_our_errors(tmp_path):
    _, model = loaded(tmp_path, LogisticRegression(max_iter=500).fit(IRIS.data.to_numpy(), IRIS.target))
    with pytest.raises(InvalidInput, match="NaN"):
        model.predict({"x": np.full((1, 4), np.nan)})
    with pytest.raises(InferryError, match="ValueError"):
        model.predict({"x": np.zeros((1, 3))})
