# /// script
# dependencies = ["bentoml", "scikit-learn==1.5.2", "pandas", "setuptools<81"]
# ///
"""A scikit-learn model saved by BentoML, as its store's folder."""

import os
import shutil
from pathlib import Path

os.environ |= {"BENTOML_HOME": str(Path("home").resolve()), "BENTOML_DO_NOT_TRACK": "True"}

import bentoml
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

rows, target = load_iris(return_X_y=True)
model = LogisticRegression(max_iter=1000).fit(rows[::2], target[::2])
saved = bentoml.sklearn.save_model("iris", model)
shutil.copytree(saved.path, "artifact")
loaded = bentoml.sklearn.load_model("iris")
held = rows[1::10]
np.savez("inputs.npz", x=held)
np.savez("expected.npz", label=loaded.predict(held), probabilities=loaded.predict_proba(held))
