# /// script
# dependencies = ["scikit-learn==1.3.2", "numpy==1.26.4", "pandas"]
# ///
"""A pipeline pickled by scikit-learn 1.3.2 with NumPy 1.26.4."""

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

random = np.random.default_rng(4)
rows = pd.DataFrame({"age": random.integers(18, 80, 400).astype(float), "city": random.choice(["Oslo", "Rome"], 400)})
target = np.where((rows.age > 50) ^ (rows.city == "Rome"), "yes", "no")
columns = ColumnTransformer([("age", StandardScaler(), ["age"]), ("city", OneHotEncoder(), ["city"])])
model = make_pipeline(columns, RandomForestClassifier(n_estimators=10, random_state=0)).fit(rows[:350], target[:350])
joblib.dump(model, "artifact.joblib")
rows[:20].to_csv("sample.csv", index=False)
held = rows[350:]
np.savez("inputs.npz", age=held.age.to_numpy(), city=held.city.to_numpy().astype("U"))
np.savez("expected.npz", label=model.predict(held).astype("U"), probabilities=model.predict_proba(held))
