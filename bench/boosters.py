"""The boosters' part of bench.conversion, run in an environment that has their libraries.

    python -m bench.boosters

Data flow: a data set of scikit-learn -> fitted on two thirds by each library -> saved as its own file ->
measured as bench.conversion measures -> one JSON line a row on standard output.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from bench.conversion import data, measure, shown

Save = Callable[[Any, Any, Path], object]


def boosters() -> Iterator[tuple[str, str, str, str, Save]]:
    """Name, data set, runtime, file, and what fits and saves."""
    import catboost as cb
    import lightgbm as lgb
    import xgboost as xgb

    def x(estimator: Any) -> Save:
        return lambda rows, target, path: estimator.fit(rows, target).get_booster().save_model(path)

    def light(estimator: Any) -> Save:
        return lambda rows, target, path: estimator.fit(rows, target).booster_.save_model(path)

    def cat(estimator: Any) -> Save:
        return lambda rows, target, path: estimator.fit(rows, target).save_model(str(path))

    quiet = {"verbose": 0, "allow_writing_files": False, "iterations": 200, "random_seed": 0}
    many: dict[str, Any] = {"n_estimators": 100, "random_state": 0, "n_jobs": 1}
    yield "XGBoost, binary", "breast_cancer", "xgboost", "m.json", x(xgb.XGBClassifier(**many))
    yield "XGBoost, softmax", "digits", "xgboost", "m.ubj", x(xgb.XGBClassifier(**many))
    yield "XGBoost, regression", "diabetes", "xgboost", "m.json", x(xgb.XGBRegressor(**many))
    yield "XGBoost, Poisson", "diabetes", "xgboost", "m.json", x(xgb.XGBRegressor(objective="count:poisson", **many))
    yield "XGBoost, dart", "wine", "xgboost", "m.json", x(xgb.XGBClassifier(booster="dart", rate_drop=0.2, **many))
    yield "XGBoost, categories", "penguins", "xgboost", "m.json", x(xgb.XGBClassifier(enable_categorical=True, **many))
    yield "XGBoost, linear", "diabetes", "xgboost", "m.json", x(xgb.XGBRegressor(booster="gblinear", n_estimators=50))
    light_many = {**many, "verbose": -1}
    yield "LightGBM, binary", "breast_cancer", "lightgbm", "m.txt", light(lgb.LGBMClassifier(**light_many))
    yield "LightGBM, softmax", "digits", "lightgbm", "m.txt", light(lgb.LGBMClassifier(**light_many))
    yield "LightGBM, regression", "diabetes", "lightgbm", "m.txt", light(lgb.LGBMRegressor(**light_many))
    yield "LightGBM, gamma", "diabetes", "lightgbm", "m.txt", light(lgb.LGBMRegressor(objective="gamma", **light_many))
    yield "LightGBM, categories", "penguins", "lightgbm", "m.txt", light(lgb.LGBMClassifier(**light_many))
    yield "CatBoost, binary", "breast_cancer", "catboost", "m.cbm", cat(cb.CatBoostClassifier(**quiet))
    yield "CatBoost, softmax", "wine", "catboost", "m.cbm", cat(cb.CatBoostClassifier(**quiet))
    yield "CatBoost, regression", "diabetes", "catboost", "m.cbm", cat(cb.CatBoostRegressor(**quiet))
    yield (
        "CatBoost, Poisson",
        "diabetes",
        "catboost",
        "m.cbm",
        cat(cb.CatBoostRegressor(loss_function="Poisson", **quiet)),
    )
    yield (
        "CatBoost, categories",
        "penguins",
        "catboost",
        "m.cbm",
        cat(cb.CatBoostClassifier(cat_features=["species", "island"], **quiet)),
    )


def main() -> int:
    only = sys.argv[1] if len(sys.argv) > 1 else ""
    warnings.simplefilter("ignore")
    for name, source, runtime, entry, save in boosters():
        if only.lower() not in name.lower():
            continue
        features, target = data(source)
        if hasattr(features, "columns"):
            target = (target == target[0]).astype(int)
            texts = features.select_dtypes(exclude="number").columns
            if runtime != "catboost":
                features = features.astype(dict.fromkeys(texts, "category"))
        with tempfile.TemporaryDirectory() as folder:
            row = measure(name, source, runtime, entry, save, features, target, Path(folder))
        print(shown(row), file=sys.stderr, flush=True)
        print(msgspec.json.encode(row).decode(), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
