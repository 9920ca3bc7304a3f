# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""Two classes from a plain matrix."""

import numpy as np
from catboost import CatBoostClassifier
from sklearn.datasets import load_breast_cancer

rows, target = load_breast_cancer(return_X_y=True)
rows = rows.astype(np.float32)
model = CatBoostClassifier(iterations=30, depth=4, verbose=0, allow_writing_files=False).fit(rows[:450], target[:450])
model.save_model("artifact.cbm")
held = rows[450:490]
held[0, :5] = np.nan
np.savez("inputs.npz", x=held)
np.savez("expected.npz", label=model.predict(held), probabilities=model.predict_proba(held))
