# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""Three named classes by trees that are not symmetric; a missing value is above every border."""

import numpy as np
from catboost import CatBoostClassifier
from sklearn.datasets import load_wine

rows, target = load_wine(return_X_y=True)
rows = np.where(np.random.default_rng(0).random(rows.shape) < 0.1, np.nan, rows).astype(np.float32)
names = np.array(["barolo", "grignolino", "barbera"])[target]
model = CatBoostClassifier(
    iterations=20, depth=4, grow_policy="Lossguide", nan_mode="Max", verbose=0, allow_writing_files=False
)
model.fit(rows[::2], names[::2])
model.save_model("artifact.cbm")
held = rows[1::2]
np.savez("inputs.npz", x=held)
np.savez("expected.npz", label=model.predict(held).ravel().astype("U"), probabilities=model.predict_proba(held))
