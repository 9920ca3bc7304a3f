# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""multi:softmax, which answers labels only, trained by the plain API."""

import numpy as np
import xgboost as xgb
from sklearn.datasets import load_wine

rows, target = load_wine(return_X_y=True)
order = np.random.default_rng(0).permutation(len(rows))
train, held = order[:140], order[140:]
parameters = {"objective": "multi:softmax", "num_class": 3, "max_depth": 3}
booster = xgb.train(parameters, xgb.DMatrix(rows[train], target[train]), 10)
booster.save_model("artifact.json")
matrix = xgb.DMatrix(rows[held])
scores = np.exp(booster.predict(matrix, output_margin=True))
np.savez("inputs.npz", x=rows[held].astype(np.float32))
np.savez(
    "expected.npz",
    label=booster.predict(matrix).astype(np.int64),
    probabilities=scores / scores.sum(axis=1, keepdims=True),
)
