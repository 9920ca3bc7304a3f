"""The peer of the first look: the same joblib file behind FastAPI, in the style of its documentation.

{"inputs": [[four numbers], ...]} -> {"predictions": [{"label": ..., "probabilities": {...}}, ...]}
"""

import os

import joblib
from fastapi import FastAPI
from pydantic import BaseModel

model = joblib.load(os.environ["BENCH_MODEL"])
app = FastAPI()


class Rows(BaseModel):
    """The request."""

    inputs: list[list[float]]


class Prediction(BaseModel):
    """The answer to one row."""

    label: int
    probabilities: dict[str, float]


class Answer(BaseModel):
    """The answer to all rows."""

    predictions: list[Prediction]


@app.post("/predict")
def predict(rows: Rows) -> Answer:
    """A plain function, so that FastAPI runs it in a thread and the loop stays free."""
    names = [str(kind) for kind in model.classes_]
    return Answer(
        predictions=[
            Prediction(
                label=int(model.classes_[row.argmax()]), probabilities=dict(zip(names, row.tolist(), strict=True))
            )
            for row in model.predict_proba(rows.inputs)
        ]
    )
