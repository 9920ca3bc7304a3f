# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""An LGBMClassifier with classes of text and text categories, saved by joblib."""

import joblib
import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier

random = np.random.default_rng(3)
rows = pd.DataFrame(
    {
        "spent": np.where(random.random(800) < 0.2, np.nan, random.gamma(2, 40, 800)),
        "city": pd.Categorical(random.choice(["Oslo", "Rome", "Lima", "Kyiv"], 800)),
    }
)
target = np.where(rows.city == "Lima", "gold", np.where(rows.spent.fillna(90) > 120, "silver", "bronze"))
model = LGBMClassifier(n_estimators=20, min_child_samples=5, verbose=-1).fit(rows[:700], target[:700])
joblib.dump(model, "artifact.joblib")
rows[:20].to_csv("sample.csv", index=False)
held = rows[700:740]
np.savez("inputs.npz", spent=held.spent.to_numpy(), city=held.city.to_numpy().astype("U"))
np.savez("expected.npz", label=model.predict(held).astype("U"), probabilities=model.predict_proba(held))
