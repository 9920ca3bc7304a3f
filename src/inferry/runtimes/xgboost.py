"""XGBoost models saved as JSON or UBJSON.

Data flow: file -> Booster -> inputs from its feature names, types and categories; the objective
says whether it classifies -> `predict`: float32 matrix -> what XGBClassifier or XGBRegressor answers.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from inferry.errors import InvalidModel
from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.runtimes.boosting import category, classified, matrix, number, numbered
from inferry.runtimes.tensors import Array
from inferry.types.signature import Scalar, TensorSpec
from inferry.types.text import first_line

_PLACE = re.compile(r"^\[[\d:]+\] \S+:\d+: ")  # the time and the line of C++ before each message
_BINARY = {"binary:logistic", "binary:hinge"}


class _Values(msgspec.Struct):
    """A column's categories: numbers, or the bytes of all texts with where each begins."""

    values: list[Scalar] = []
    offsets: list[int] | None = None


class _Known(msgspec.Struct):
    enc: list[_Values] = []


class _Trees(msgspec.Struct):
    cats: _Known = msgspec.field(default_factory=_Known)


class _Booster(msgspec.Struct):
    model: _Trees = msgspec.field(default_factory=_Trees)
    gbtree: _Booster | None = None


class _Learner(msgspec.Struct):
    gradient_booster: _Booster


class _File(msgspec.Struct):
    """What of a model's JSON says which categories there are (XGBoost 3.1 and later)."""

    learner: _Learner


class XgboostRuntime(ArrayRuntime):
    """The runtime plugin "xgboost"."""

    imports: ClassVar[tuple[str, ...]] = ("xgboost",)

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """As many trees as early stopping found best, as the wrappers for scikit-learn do."""
        import xgboost

        booster = xgboost.Booster({"nthread": options.get("threads", 1)})
        try:
            booster.load_model(bytearray(path.read_bytes()))
        except xgboost.core.XGBoostError as error:
            said = first_line(_PLACE.sub("", str(error)))
            raise InvalidModel(
                f"The file is not a whole XGBoost model: {said}", help="Save or copy it again."
            ) from error
        learner = msgspec.json.decode(booster.save_config())["learner"]
        objective, linear = learner["objective"]["name"], learner["gradient_booster"]["name"] == "gblinear"
        specs, known = _inputs(booster)
        best = booster.attr("best_iteration")
        rounds = (0, int(best) + 1) if best is not None and not linear else (0, 0)
        kind = "margin" if objective == "multi:softmax" else "value"

        def call(inputs: dict[str, Array]) -> dict[str, Array]:
            rows = numbered(inputs, known, np.float32)
            if linear:
                scores = booster.predict(xgboost.DMatrix(rows), output_margin=kind == "margin", validate_features=False)
            else:
                scores = booster.inplace_predict(rows, rounds, predict_type=kind, validate_features=False)
            if kind == "margin":
                scores = np.exp(scores - scores.max(axis=1, keepdims=True))
                scores /= scores.sum(axis=1, keepdims=True)
            if objective in _BINARY and scores.ndim == 2:  # several labels a row
                return {"label": (scores > 0.5).astype(np.int64), "probabilities": scores}
            return classified(scores) if classes else {"prediction": scores}

        classes = 2 if objective in _BINARY else int(learner["learner_model_param"]["num_class"])
        return Opened(
            call=call,
            inputs=specs,
            table=bool(booster.feature_names),
            labels=range(classes),
            task="classification" if classes else "regression",
            independent=True,
            native={"booster": booster, "rounds": rounds[1], "values": _by_place(booster, known), "classes": classes},
            details={"objective": objective, "rounds": booster.num_boosted_rounds()},
        )


def file_of(booster: Any) -> Any:
    """The model as its file has it. Releases before 3 write NaN and Infinity, which JSON has not."""
    return json.loads(bytes(booster.save_raw("json")))


def _inputs(booster: Any) -> tuple[list[TensorSpec], dict[str, list[Scalar]]]:
    """The inputs, and the values of the categorical columns. Without values in the file a category is a number."""
    names, kinds = booster.feature_names, booster.feature_types or []
    if not names:
        return [matrix(booster.num_features(), "FP32")], {}
    known: dict[str, list[Scalar]] = {}
    if "c" in kinds:
        model = msgspec.convert(file_of(booster), _File).learner.gradient_booster
        columns = (model.gbtree or model).model.cats.enc
        known = {name: _values(column) for name, column in zip(names, columns, strict=False) if column.values}
    specs = []
    for name, kind in zip(names, kinds or ["float"] * len(names), strict=True):
        if name in known:
            specs.append(category(name, known[name], closed=True))
        else:
            specs.append(TensorSpec(name=name, datatype="BOOL", shape=(-1,)) if kind == "i" else number(name))
    return specs, known


def _by_place(booster: Any, known: dict[str, list[Scalar]]) -> dict[int, list[Scalar]]:
    return {at: known[name] for at, name in enumerate(booster.feature_names or ()) if name in known}


def _values(column: _Values) -> list[Scalar]:
    if column.offsets is None:
        return column.values
    text = bytes(value & 255 for value in column.values)  # type: ignore[operator]
    return [text[start:end].decode() for start, end in pairwise(column.offsets)]
