# /// script
# dependencies = ["scikit-learn", "joblib", "pandas", "catboost"]
# ///
"""A catboost classifier in its scikit-learn wrapper."""

import joblib
import numpy as np
from catboost import CatBoostClassifier as Model
from sklearn.datasets import load_breast_cancer

rows, target = load_breast_cancer(return_X_y=True)
model = Model(iterations=40, verbose=0, random_seed=0, allow_writing_files=False).fit(rows[::2], target[::2])
joblib.dump(model, "artifact.joblib")
np.save("sample.npy", rows[::2][:200])
np.savez("inputs.npz", x=rows[1::2])
held = rows[1::2]
np.savez("expected.npz", label=model.predict(held), probabilities=model.predict_proba(held))
