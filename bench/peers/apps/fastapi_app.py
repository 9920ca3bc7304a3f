"""FastAPI in the style of its documentation: `def` routes, pydantic models, `UploadFile` for an image."""

import numpy as np
from fastapi import FastAPI, UploadFile
from pydantic import BaseModel
from session import SHAPE, open_session

session = open_session()
app = FastAPI()


class Rows(BaseModel):
    """The request."""

    inputs: list[list[float]]


class Answer(BaseModel):
    """The answer."""

    predictions: list[list[float]]


@app.post("/predict")
def predict(rows: Rows) -> Answer:
    outputs = session.run(None, {"x": np.array(rows.inputs, dtype=np.float32)})
    return Answer(predictions=outputs[-1].tolist())


@app.post("/image")
def image(file: UploadFile) -> Answer:
    pixels = np.frombuffer(file.file.read(), dtype=np.float32).reshape(1, *SHAPE)
    return Answer(predictions=session.run(None, {"x": pixels})[-1].tolist())
