# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""A linear booster for regression."""

import numpy as np
from sklearn.datasets import load_diabetes
from xgboost import XGBRegressor

rows, target = load_diabetes(return_X_y=True, as_frame=True)
model = XGBRegressor(booster="gblinear", n_estimators=20).fit(rows[:400], target[:400])
model.save_model("artifact.ubj")
held = rows[400:]
np.savez("inputs.npz", **{name: held[name].to_numpy() for name in held})
np.savez("expected.npz", prediction=model.predict(held))
