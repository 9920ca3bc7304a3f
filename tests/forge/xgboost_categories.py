# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""Text categories, a truth value, whole numbers and missing values in one data frame."""

import numpy as np
import pandas as pd
from xgboost import XGBClassifier

random = np.random.default_rng(7)
rows = pd.DataFrame(
    {
        "city": pd.Categorical(random.choice(["Oslo", "Rome", "Lima", "Kyiv"], 600)),
        "member": random.random(600) < 0.4,
        "visits": random.integers(0, 30, 600),
        "spent": np.where(random.random(600) < 0.2, np.nan, random.gamma(2, 40, 600)),
    }
)
target = ((rows.city == "Lima") & rows.member | (rows.spent.fillna(90) > 120)).astype(int)
rows.loc[random.random(600) < 0.1, "city"] = np.nan
model = XGBClassifier(n_estimators=20, max_depth=4, enable_categorical=True, tree_method="hist")
model.fit(rows[:500], target[:500])
model.save_model("artifact.json")
held = rows[500:550].dropna(subset=["city"])
columns = {name: held[name].to_numpy() for name in ("member", "spent")}
np.savez("inputs.npz", city=held.city.to_numpy().astype("U"), visits=held.visits.to_numpy().astype(float), **columns)
np.savez("expected.npz", label=model.predict(held), probabilities=model.predict_proba(held))
