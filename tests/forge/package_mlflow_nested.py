# /// script
# dependencies = ["mlflow-skinny==3.17.2", "pandas", "numpy", "cloudpickle"]
# ///
"""An MLflow folder whose rows hold lists: a signature that is neither a table nor tensors."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from mlflow.types.schema import Array


class Sums(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [float(sum(values)) for values in model_input["values"]]


signature = ModelSignature(Schema([ColSpec(Array(DataType.double), "values"), ColSpec("string", "name")]))
mlflow.pyfunc.save_model(
    "artifact",
    python_model=Sums(),
    signature=signature,
    pip_requirements=["mlflow-skinny==3.17.2", "cloudpickle", f"numpy=={np.__version__}"],
)
rows = [{"values": [1.5, 2.0], "name": "a"}, {"values": [4.0], "name": "b"}]
said = mlflow.pyfunc.load_model("artifact").predict(pd.DataFrame(rows))
Path("asked.json").write_text(json.dumps({"rows": rows, "said": said}))
