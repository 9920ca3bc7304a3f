# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""A binary XGBClassifier on a data frame with missing values, stopped early, saved as JSON."""

import numpy as np
from sklearn.datasets import load_breast_cancer
from xgboost import XGBClassifier

data = load_breast_cancer(as_frame=True)
rows = data.data.iloc[:, :8].rename(columns=lambda name: name.replace(" ", "_"))
rows = rows.mask(np.random.default_rng(0).random(rows.shape) < 0.1)
train, check, held = rows[:300], rows[300:420], rows[420:450]
model = XGBClassifier(n_estimators=200, max_depth=4, learning_rate=0.5, early_stopping_rounds=3)
model.fit(train, data.target[:300], eval_set=[(check, data.target[300:420])], verbose=False)
assert model.best_iteration + 1 < model.get_booster().num_boosted_rounds()
model.save_model("artifact.json")
np.savez("inputs.npz", **{name: held[name].to_numpy() for name in held})
np.savez("expected.npz", label=model.predict(held), probabilities=model.predict_proba(held))
