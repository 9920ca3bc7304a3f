"""FastAPI as somebody writes it who counts microseconds: `async def`, orjson, no pydantic; raw bytes.

What takes milliseconds (an image) runs in a thread, so that the loop goes on reading.
"""

import numpy as np
import orjson
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from session import SHAPE, open_session

session = open_session()
app = FastAPI()


def run(x):
    return session.run(None, {"x": x})[-1]


@app.post("/predict")
async def predict(request: Request) -> Response:
    rows = orjson.loads(await request.body())["inputs"]
    answer = {"predictions": run(np.array(rows, dtype=np.float32))}
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


@app.post("/binary")
async def binary(request: Request) -> Response:
    x = np.frombuffer(await request.body(), dtype=np.float32).reshape(-1, *SHAPE)
    return Response(run(x).tobytes(), media_type="application/octet-stream")


@app.post("/image")
async def image(request: Request) -> Response:
    x = np.frombuffer(await request.body(), dtype=np.float32).reshape(-1, *SHAPE)
    return Response((await run_in_threadpool(run, x)).tobytes(), media_type="application/octet-stream")
