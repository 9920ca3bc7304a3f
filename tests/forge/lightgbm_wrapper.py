# /// script
# dependencies = ["scikit-learn", "joblib", "pandas", "lightgbm"]
# ///
"""A lightgbm classifier in its scikit-learn wrapper."""

import joblib
import numpy as np
from lightgbm import LGBMClassifier as Model
from sklearn.datasets import load_breast_cancer

rows, target = load_breast_cancer(return_X_y=True)
model = Model(n_estimators=40, verbose=-1, random_state=0).fit(rows[::2], target[::2])
joblib.dump(model, "artifact.joblib")
np.save("sample.npy", rows[::2][:200])
np.savez("inputs.npz", x=rows[1::2])
held = rows[1::2]
np.savez("expected.npz", label=model.predict(held), probabilities=model.predict_proba(held))
