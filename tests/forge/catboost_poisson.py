# /// script
# dependencies = ["catboost", "lightgbm", "pandas", "scikit-learn", "xgboost-cpu"]
# ///
"""A regressor of counts: the wrapper answers the exponent of the raw score."""

import numpy as np
import pandas as pd
from catboost import CatBoostRegressor

random = np.random.default_rng(2)
rows = pd.DataFrame(random.normal(size=(500, 3)), columns=["height", "slope", "rain"])
target = random.poisson(np.exp(rows.height.clip(-2, 2)))
model = CatBoostRegressor(loss_function="Poisson", iterations=40, depth=4, verbose=0, allow_writing_files=False)
model.fit(rows, target)
model.save_model("artifact.cbm")
held = pd.DataFrame(random.normal(size=(20, 3)), columns=rows.columns)
np.savez("inputs.npz", **{name: held[name].to_numpy() for name in held})
np.savez("expected.npz", prediction=model.predict(held))
