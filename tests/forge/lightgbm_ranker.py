# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""A ranker on named columns."""

import numpy as np
import pandas as pd
from lightgbm import LGBMRanker

random = np.random.default_rng(5)
rows = pd.DataFrame(random.normal(size=(600, 4)), columns=["price", "stars", "distance", "age"])
target = np.clip((rows.stars - rows.price + random.normal(size=600)).round(), 0, 3).astype(int)
model = LGBMRanker(n_estimators=20, verbose=-1).fit(rows, target, group=[20] * 30)
model.booster_.save_model("artifact.txt")
held = pd.DataFrame(random.normal(size=(20, 4)), columns=rows.columns)
np.savez("inputs.npz", **{name: held[name].to_numpy() for name in held})
np.savez("expected.npz", prediction=model.predict(held))
