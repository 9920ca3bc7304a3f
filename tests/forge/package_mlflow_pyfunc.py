# /// script
# dependencies = ["mlflow-skinny==3.17.2", "pandas", "numpy", "cloudpickle"]
# ///
"""An MLflow folder of a person's own PythonModel with an artifact and a tensor signature."""

from pathlib import Path

import mlflow
import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec


class Scaled(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.weights = np.load(context.artifacts["weights"])

    def predict(self, context, model_input, params=None):
        return {"scaled": model_input * self.weights, "total": model_input.sum(axis=1)}


np.save("weights.npy", np.arange(1, 5, dtype=np.float32))
signature = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 4))]))
mlflow.pyfunc.save_model(
    "artifact",
    python_model=Scaled(),
    artifacts={"weights": "weights.npy"},
    signature=signature,
    pip_requirements=["mlflow-skinny==3.17.2", "cloudpickle", f"numpy=={np.__version__}"],
)
held = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
said = mlflow.pyfunc.load_model("artifact").predict(held)
np.savez("inputs.npz", input=held)
np.savez("expected.npz", **said)
Path("weights.npy").unlink()
