# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""Three named classes from categorical features by name, and a number that may be missing."""

import numpy as np
import pandas as pd
from catboost import CatBoostClassifier

random = np.random.default_rng(1)
rows = pd.DataFrame(
    {
        "city": random.choice(["Oslo", "Rome", "Lima", "Kyiv"], 600),
        "spent": np.where(random.random(600) < 0.2, np.nan, random.gamma(2, 40, 600)),
        "plan": random.choice(["free", "plus"], 600),
        "visits": random.integers(0, 30, 600).astype(float),
    }
)
target = np.where(rows.city == "Lima", "gold", np.where(rows.visits > 15, "silver", "bronze"))
model = CatBoostClassifier(iterations=40, depth=4, verbose=0, cat_features=["city", "plan"], allow_writing_files=False)
model.fit(rows[:500], target[:500])
model.save_model("artifact.cbm")
held = rows[500:540].copy()
held.iloc[:3, 0] = "Paris"
np.savez(
    "inputs.npz", **{name: held[name].to_numpy().astype("U" if name in {"city", "plan"} else float) for name in held}
)
np.savez("expected.npz", label=model.predict(held).ravel().astype("U"), probabilities=model.predict_proba(held))
