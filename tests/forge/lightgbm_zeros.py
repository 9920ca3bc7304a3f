# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""Gamma regression by a model that takes zeros as missing, with rows where it decides."""

import lightgbm as lgb
import numpy as np
from sklearn.datasets import load_diabetes

rows, target = load_diabetes(return_X_y=True)
rows = np.where(np.random.default_rng(0).random(rows.shape) < 0.2, 0.0, rows)
parameters = {"objective": "gamma", "zero_as_missing": True, "min_data_in_leaf": 5, "verbose": -1}
booster = lgb.train(parameters, lgb.Dataset(rows[:400], target[:400]), 20)
booster.save_model("artifact.txt")
held = rows[400:].copy()
trees = booster.trees_to_dataframe().dropna(subset=["threshold"])
for at, (feature, threshold) in enumerate(zip(trees.split_feature, trees.threshold, strict=True)):
    held[at % len(held), int(feature.removeprefix("Column_"))] = threshold
held[0, :4] = [1e-36, -1e-36, np.nan, -0.0]
np.savez("inputs.npz", x=held)
np.savez("expected.npz", prediction=booster.predict(held))
