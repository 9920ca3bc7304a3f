# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""Ten classes from a plain matrix, saved as UBJSON."""

import numpy as np
from sklearn.datasets import load_digits
from xgboost import XGBClassifier

rows, target = load_digits(return_X_y=True)
rows = rows.astype(np.float32)
model = XGBClassifier(n_estimators=15, max_depth=4).fit(rows[:1200], target[:1200])
model.save_model("artifact.ubj")
held = rows[1200:1230]
np.savez("inputs.npz", x=held)
np.savez("expected.npz", label=model.predict(held), probabilities=model.predict_proba(held))
