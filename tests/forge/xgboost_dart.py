# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""Counts by a dart booster, which drops trees, with a base score and missing values."""

import numpy as np
import xgboost as xgb
from sklearn.datasets import load_diabetes

rows, target = load_diabetes(return_X_y=True)
rows = np.where(np.random.default_rng(0).random(rows.shape) < 0.1, np.nan, rows).astype(np.float32)
parameters = {"booster": "dart", "objective": "count:poisson", "rate_drop": 0.3, "base_score": 90.0, "seed": 1}
booster = xgb.train(parameters, xgb.DMatrix(rows[:400], target[:400]), 20)
booster.save_model("artifact.ubj")
np.savez("inputs.npz", x=rows[400:])
np.savez("expected.npz", prediction=booster.predict(xgb.DMatrix(rows[400:])))
