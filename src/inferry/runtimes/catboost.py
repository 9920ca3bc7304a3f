"""CatBoost models in CatBoost's own format (.cbm).

Data flow: file -> CatBoost -> inputs from its feature names and kinds; class names of its own ->
`predict`: matrix, or cells where some are text -> what CatBoostClassifier or CatBoostRegressor answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from inferry.errors import InvalidModel
from inferry.runtimes.arrays import ArrayRuntime, Opened, stacked
from inferry.runtimes.boosting import are_places, matrix, number
from inferry.runtimes.tensors import Array, as_text
from inferry.types.signature import TensorSpec


class CatboostRuntime(ArrayRuntime):
    """The runtime plugin "catboost"."""

    imports: ClassVar[tuple[str, ...]] = ("catboost",)

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Categorical features are text, and never missing, as CatBoost has it."""
        import catboost

        opened = catboost.CatBoost()
        opened.load_model(str(path), format="cbm")
        classes = [label.item() if isinstance(label, np.generic) else label for label in opened.classes_]
        model = catboost.CatBoostClassifier() if classes else catboost.CatBoostRegressor()
        model.load_model(str(path), format="cbm")
        if model.get_embedding_feature_indices():
            raise InvalidModel(
                "The model takes embeddings as features, which a table does not hold.",
                help="Wrap it in a Python class with predict.",
            )
        cats, texts = model.get_cat_feature_indices(), model.get_text_feature_indices()
        names, threads = model.feature_names_, options.get("threads", 1)
        table = bool(cats or texts) or not are_places(names, "")

        def pool(inputs: Mapping[str, Array]) -> Any:
            if not (cats or texts):
                return catboost.Pool(stacked(inputs, np.float32))
            rows = np.column_stack([as_text(array) if array.dtype.kind == "O" else array for array in inputs.values()])
            return catboost.Pool(rows, cat_features=cats, text_features=texts)

        def call(inputs: dict[str, Array]) -> dict[str, Array]:
            rows = pool(inputs)
            if not classes:
                return {"prediction": model.predict(rows, thread_count=threads)}
            label = np.asarray(model.predict(rows, thread_count=threads))
            label = label[:, 0] if label.shape[1:] == (1,) else label
            return {"label": label, "probabilities": model.predict_proba(rows, thread_count=threads)}

        columns = [_text(name) if at in {*cats, *texts} else number(name) for at, name in enumerate(names)]
        return Opened(
            call=call,
            inputs=columns if table else [matrix(len(names), "FP32")],
            table=table,
            labels=classes,
            task="classification" if classes else "regression",
            independent=True,
            native={"model": model, "classes": classes},
            details={"trees": model.tree_count_},
        )


def _text(name: str) -> TensorSpec:
    return TensorSpec(name=name, datatype="BYTES", shape=(-1,))
