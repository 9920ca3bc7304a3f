"""FastAPI in the style of its documentation for a table: pydantic rows -> data frame -> predict_proba.

The row's class has the model's own column names, as a person would write them out.
"""

import os

import joblib
import pandas as pd
from fastapi import FastAPI
from pydantic import BaseModel, create_model

model = joblib.load(os.environ["BENCH_MODEL"])
app = FastAPI()
Row = create_model("Row", **dict.fromkeys(model.feature_name_, (float, ...)))


class Answer(BaseModel):
    """The answer: for each row its label and the probability of each class."""

    labels: list[int]
    probabilities: list[list[float]]


@app.post("/predict")
def predict(rows: list[Row]) -> Answer:
    frame = pd.DataFrame([row.model_dump() for row in rows])
    probabilities = model.predict_proba(frame)
    return Answer(labels=model.classes_[probabilities.argmax(axis=1)].tolist(), probabilities=probabilities.tolist())
