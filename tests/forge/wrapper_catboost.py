# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""A CatBoostClassifier with text categories, saved by pickle."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
from catboost import CatBoostClassifier

random = np.random.default_rng(1)
rows = pd.DataFrame(
    {
        "city": random.choice(["Oslo", "Rome", "Lima", "Kyiv"], 600),
        "spent": np.where(random.random(600) < 0.2, np.nan, random.gamma(2, 40, 600)),
    }
)
target = np.where(rows.city == "Lima", "gold", np.where(rows.spent.fillna(90) > 120, "silver", "bronze"))
model = CatBoostClassifier(iterations=30, depth=4, verbose=0, cat_features=["city"], allow_writing_files=False)
model.fit(rows[:500], target[:500])
Path("artifact.pkl").write_bytes(pickle.dumps(model))
rows[:20].to_csv("sample.csv", index=False)
held = rows[500:540]
np.savez("inputs.npz", city=held.city.to_numpy().astype("U"), spent=held.spent.to_numpy())
np.savez("expected.npz", label=model.predict(held).ravel().astype("U"), probabilities=model.predict_proba(held))
