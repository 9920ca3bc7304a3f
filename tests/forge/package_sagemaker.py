# /// script
# dependencies = ["scikit-learn==1.6.1", "joblib", "sagemaker-inference==1.10.1"]
# ///
"""A SageMaker model.tar.gz with code/inference.py; answered by its own functions in this process."""

import json
import sys
import tarfile
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

SCRIPT = """
import json
import os

import joblib
import numpy as np


def model_fn(model_dir):
    return joblib.load(os.path.join(model_dir, "model.joblib"))


def input_fn(body, content_type):
    if content_type != "application/json":
        raise ValueError(content_type)
    return np.array(json.loads(body)["instances"])


def predict_fn(data, model):
    return model.predict_proba(data)


def output_fn(prediction, accept):
    return json.dumps({"predictions": prediction.tolist()}), accept
"""

rows, target = load_iris(return_X_y=True)
model = RandomForestClassifier(10, random_state=0).fit(rows[::2], target[::2])
code = Path("work/code")
code.mkdir(parents=True)
(code / "inference.py").write_text(SCRIPT)
joblib.dump(model, "work/model.joblib")
with tarfile.open("artifact.tar.gz", "w:gz") as archive:
    for path in ("model.joblib", "code"):
        archive.add(f"work/{path}", path)
held = rows[1::10]
sys.path.insert(0, str(code))
import inference  # noqa: E402 - the script as it was packed
from sagemaker_inference import content_types, decoder  # noqa: E402

assert decoder.decode(json.dumps([[1.0]]), content_types.JSON).tolist() == [[1.0]]
body = json.dumps({"instances": held.tolist()})
said, _ = inference.output_fn(
    inference.predict_fn(inference.input_fn(body, "application/json"), inference.model_fn("work")), "application/json"
)
Path("sample.json").write_text(json.dumps({"instances": held[:2].tolist()}))
np.savez("inputs.npz", instances=held)
np.savez("expected.npz", predictions=np.array(json.loads(said)["predictions"]))
