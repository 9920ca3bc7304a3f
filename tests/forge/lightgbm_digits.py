# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""Ten classes from a plain matrix."""

import numpy as np
from lightgbm import LGBMClassifier
from sklearn.datasets import load_digits

rows, target = load_digits(return_X_y=True)
model = LGBMClassifier(n_estimators=10, verbose=-1).fit(rows[:1200], target[:1200])
model.booster_.save_model("artifact.txt")
held = rows[1200:1230]
np.savez("inputs.npz", x=held)
np.savez("expected.npz", label=model.predict(held), probabilities=model.predict_proba(held))
