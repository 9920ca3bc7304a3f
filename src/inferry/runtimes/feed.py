"""Feed: the columns of a request in the form an estimator was fitted with.

Data flow: named columns (or the one tensor "x") -> by the estimator's kind: a text array, a
plain matrix, or a pandas DataFrame with the right dtypes. The choice depends only on the
estimator and the signature, so inspector and replica always make the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from inferry.errors import InvalidModel
from inferry.runtimes.encoders import is_vectorizer, known_columns
from inferry.runtimes.estimators import nested
from inferry.runtimes.tensors import Array, as_text
from inferry.types.signature import TensorSpec

Feed = Callable[[Mapping[str, Array]], Any]

_BY_NAME = {"ColumnTransformer", "FunctionTransformer", "DictVectorizer"}


def reads_text(loaded: Any) -> bool:
    """Whether the first step is a text vectorizer: the input is one text a row."""
    while hasattr(loaded, "steps"):
        loaded = loaded.steps[0][1]
    inner = getattr(loaded, "best_estimator_", None)
    return is_vectorizer(loaded) or (inner is not None and reads_text(inner))


def feed_for(loaded: Any, specs: Sequence[TensorSpec], *, table: bool) -> Feed:
    """What turns a request's arrays into the estimator's X."""
    if not table:
        name = specs[0].name
        return (lambda inputs: as_text(inputs[name])) if specs[0].datatype == "BYTES" else lambda inputs: inputs[name]
    names = [spec.name for spec in specs]
    if reads_text(loaded):
        return lambda inputs: _blank_missing(as_text(inputs[names[0]]))
    if all(spec.datatype != "BYTES" for spec in specs) and not needs_frame(loaded):
        return lambda inputs: np.column_stack([inputs[name] for name in names])
    return _frames(loaded, specs)


def needs_frame(loaded: Any) -> bool:
    """A matrix gives the same answer when everything inside is scikit-learn's own and none picks by name."""
    return any(
        not type(part).__module__.startswith("sklearn.")
        or type(part).__name__ in _BY_NAME
        or getattr(part, "_sklearn_output_config", None)
        for part in nested(loaded)
    )


def _blank_missing(texts: Array) -> Array:
    if any(text is None for text in texts):
        return np.array(["" if text is None else text for text in texts], dtype=object)
    return texts


def _frames(loaded: Any, specs: Sequence[TensorSpec]) -> Feed:
    try:
        import pandas as pd
    except ModuleNotFoundError:
        raise InvalidModel(
            "The model takes named columns of several types, which needs pandas.",
            help="Add pandas to the requirements.txt beside it.",
        ) from None
    names = [spec.name for spec in specs]
    known = known_columns(loaded, names)
    # Readers of CSV and Parquet give NaN for missing text, so that is what pipelines were fitted on.
    missing = {spec.name: known[spec.name].missing if spec.name in known else np.nan for spec in specs}
    texts = [spec.name for spec in specs if spec.datatype == "BYTES"]
    categorical = [name for name in texts if name not in known] if texts and _wants_categories(loaded) else []
    if len({spec.datatype for spec in specs}) == 1 and not texts:
        index = pd.Index(names)
        return lambda inputs: pd.DataFrame(np.column_stack([inputs[name] for name in names]), columns=index)

    def feed(inputs: Mapping[str, Array]) -> Any:
        columns: dict[str, Any] = {name: inputs[name] for name in names}
        for name in texts:
            text = as_text(columns[name])
            if any(value is None for value in text):
                text = np.array([missing[name] if value is None else value for value in text], dtype=object)
            columns[name] = pd.Categorical(text) if name in categorical else text
        return pd.DataFrame(columns, copy=False)

    return feed


def _wants_categories(loaded: Any) -> bool:
    """LightGBM and XGBoost want pandas categories, and map them by value to those they were fitted on."""
    return any(
        type(part).__module__.startswith("lightgbm.")
        or (type(part).__module__.startswith("xgboost.") and hasattr(part, "get_booster") and _keeps_categories(part))
        for part in nested(loaded)
    )


def _keeps_categories(part: Any) -> bool:
    """XGBoost before 3.1 took each table's own numbering of its categories, which no single request has."""
    booster = part.get_booster()
    if "c" not in (booster.feature_types or ()):
        return False
    if not hasattr(booster, "get_categories") or booster.get_categories().empty():
        raise InvalidModel(
            "The model was trained on categories that are not kept in it, so that text cannot be told apart.",
            help="Train and save it with XGBoost 3.1 or later, or encode the categories in a Pipeline.",
        )
    return True
