"""LightGBM models in LightGBM's text format.

Data flow: file -> Booster, and the head of the file -> inputs from its feature names and pandas categories;
the objective says whether it classifies -> `predict`: float64 matrix -> what LGBMClassifier or LGBMRegressor answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from inferry.errors import InvalidModel
from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.runtimes.boosting import are_places, category, classified, matrix, number, numbered
from inferry.runtimes.tensors import Array

_CLASSIFIES = {"binary", "multiclass", "multiclassova"}


class LightgbmRuntime(ArrayRuntime):
    """The runtime plugin "lightgbm"."""

    imports: ClassVar[tuple[str, ...]] = ("lightgbm",)

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Categories that pandas had are taken by their values; an unknown one is missing, as in LightGBM."""
        import lightgbm

        booster = lightgbm.Booster(model_file=str(path), params={"verbosity": -1})
        head = read_head(path)
        objective = head.get("objective", "").partition(" ")[0]
        names = booster.feature_name()
        known = dict(_categories(names, head.get("feature_infos", ""), booster.pandas_categorical or []))
        table = bool(known) or not are_places(names, "Column_")
        columns = [category(name, known[name], closed=False) if name in known else number(name) for name in names]
        classes = max(2, int(head["num_class"])) if objective in _CLASSIFIES else 0
        threads = options.get("threads", 1)

        def call(inputs: dict[str, Array]) -> dict[str, Array]:
            scores = booster.predict(numbered(inputs, known, np.float64), num_threads=threads)
            return classified(scores) if classes else {"prediction": scores}

        return Opened(
            call=call,
            inputs=columns if table else [matrix(len(names), "FP64")],
            table=table,
            labels=range(classes),
            task="classification" if classes else "regression",
            independent=True,
            native={
                "booster": booster,
                "values": {at: known[name] for at, name in enumerate(names) if name in known},
                "classes": classes,
            },
            details={"objective": head.get("objective", "custom"), "rounds": booster.current_iteration()},
        )


def read_head(path: Path) -> dict[str, str]:
    """The lines `key=value` before the first tree."""
    found: dict[str, str] = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("Tree="):
                break
            key, _, value = line.rstrip("\n").partition("=")
            found[key] = value
    return found


def _categories(names: list[str], infos: str, values: list[list[Any]]) -> list[tuple[str, list[Any]]]:
    """The categorical columns with their values: `infos` has [min:max] for a number, a:b:c for categories."""
    if not values:
        return []
    columns = [name for name, info in zip(names, infos.split(" "), strict=False) if info[:1] not in {"[", "n"}]
    if len(columns) != len(values):
        raise InvalidModel(
            f"The file has the values of {len(values)} categorical columns, and does not say which they are.",
            help="Save the LGBMClassifier or LGBMRegressor itself with joblib, and deploy that.",
        )
    return list(zip(columns, values, strict=True))
