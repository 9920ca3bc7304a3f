# /// script
# dependencies = ["scikit-learn==1.7.2", "pandas", "pyarrow", "joblib", "numpy"]
# ///
"""A scikit-learn pipeline over a table with missing numbers and categories, and the same rows in every format."""

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

seed = np.random.default_rng(1)
rows = pd.DataFrame({"age": seed.integers(18, 90, 80).astype(float), "job": seed.choice(["clerk", "cook"], 80)})
rows.loc[::7, "age"] = np.nan
paid = np.where((rows["age"].fillna(40) > 50) ^ (rows["job"] == "cook"), "yes", "no")
model = make_pipeline(
    make_column_transformer((SimpleImputer(), ["age"]), (OneHotEncoder(handle_unknown="ignore"), ["job"])),
    LogisticRegression(),
).fit(rows, paid)

folder = Path("artifact")
folder.mkdir()
joblib.dump(model, folder / "model.joblib")
(folder / "requirements.txt").write_text("pyarrow\npandas\n")
rows["job"] = rows["job"].astype("category")
rows[:60].to_parquet("sample.parquet")
held = rows[60:].reset_index(drop=True)
held.to_parquet("rows.parquet")
held.to_csv("rows.csv", index=False)
table = pa.Table.from_pandas(held, preserve_index=False)
with pa.ipc.new_stream("rows.arrows", table.schema) as stream:
    stream.write_table(table)
with pa.ipc.new_file("rows.arrow", table.schema) as file:
    file.write_table(table)
np.savez("expected.npz", label=model.predict(held).astype("U"))
