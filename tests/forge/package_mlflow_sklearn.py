# /// script
# dependencies = ["mlflow-skinny==3.17.2", "scikit-learn==1.6.1", "pandas", "skops"]
# ///
"""An MLflow folder of the sklearn flavor: columns of all types with missing values; answered by MLflow itself."""

import mlflow
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

draw = np.random.default_rng(0)
rows = pd.DataFrame(
    {
        "age": draw.integers(18, 80, 200),
        "income": draw.normal(40, 10, 200).round(2),
        "job": draw.choice(["clerk", "nurse", "pilot"], 200),
    }
)
rows.loc[3, "income"] = np.nan
target = np.where(rows["income"].fillna(40) + rows["age"] > 85, "yes", "no")
shape = ColumnTransformer(
    [("numbers", SimpleImputer(), ["age", "income"]), ("words", OneHotEncoder(handle_unknown="ignore"), ["job"])]
)
model = make_pipeline(shape, LogisticRegression(max_iter=1000)).fit(rows[:150], target[:150])
signature = mlflow.models.infer_signature(rows[4:150], model.predict(rows[4:150]))
mlflow.sklearn.save_model(
    model, "artifact", signature=signature, input_example=rows[:3], serialization_format="cloudpickle"
)
held = rows[150:]
said = mlflow.pyfunc.load_model("artifact").predict(held)
np.savez("inputs.npz", age=held["age"].to_numpy(), income=held["income"].to_numpy(), job=held["job"].to_numpy(str))
np.savez("expected.npz", output=np.array(said, dtype=str))
