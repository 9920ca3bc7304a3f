# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""An XGBClassifier with text categories and missing values, saved by joblib."""

import joblib
import numpy as np
import pandas as pd
from xgboost import XGBClassifier

random = np.random.default_rng(7)
rows = pd.DataFrame(
    {
        "city": pd.Categorical(random.choice(["Oslo", "Rome", "Lima", "Kyiv"], 600)),
        "visits": random.integers(0, 30, 600).astype(float),
        "spent": np.where(random.random(600) < 0.2, np.nan, random.gamma(2, 40, 600)),
    }
)
target = ((rows.city == "Lima") & (rows.visits > 9) | (rows.spent.fillna(90) > 120)).astype(int)
model = XGBClassifier(n_estimators=20, max_depth=4, enable_categorical=True).fit(rows[:500], target[:500])
joblib.dump(model, "artifact.joblib")
rows[:20].to_csv("sample.csv", index=False)
held = rows[500:540]
columns = {name: held[name].to_numpy() for name in ("visits", "spent")}
np.savez("inputs.npz", city=held.city.to_numpy().astype("U"), **columns)
np.savez("expected.npz", label=model.predict(held), probabilities=model.predict_proba(held))
