# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""Categories of pandas (text and numbers), and missing values, in LightGBM's text file."""

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier

random = np.random.default_rng(3)
rows = pd.DataFrame(
    {
        "spent": np.where(random.random(800) < 0.2, np.nan, random.gamma(2, 40, 800)),
        "city": pd.Categorical(random.choice(["Oslo", "Rome", "Lima", "Kyiv"], 800)),
        "visits": random.integers(0, 30, 800).astype(float),
        "plan": pd.Categorical(random.choice([10, 20, 35], 800)),
    }
)
target = ((rows.city == "Lima") & (rows.plan == 20) | (rows.spent.fillna(90) > 120)).astype(int)
model = LGBMClassifier(n_estimators=25, min_child_samples=5, min_data_per_group=5, cat_smooth=1, verbose=-1)
model.fit(rows[:700], target[:700])
model.booster_.save_model("artifact.txt")
held = rows[700:760].copy()
unknown = held.city.astype(object).to_numpy(copy=True)
unknown[:5] = "Paris"
held["city"] = pd.Categorical(unknown, categories=rows.city.cat.categories)
columns = {name: held[name].to_numpy() for name in ("spent", "visits")}
np.savez("inputs.npz", city=unknown.astype("U"), plan=held.plan.astype(float).to_numpy(), **columns)
np.savez("expected.npz", label=model.predict(held), probabilities=model.predict_proba(held))
