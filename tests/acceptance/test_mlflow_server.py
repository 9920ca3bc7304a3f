"""The same requests to a real `mlflow models serve` and to us: what one answers, the other answers.

A model file of scikit-learn -> saved in MLflow's format and served by MLflow, deployed here -> each body
to both. MLflow lives in an environment of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import models, processes
from tests.support.forge import Forge
from tests.support.mlflow_server import PACKAGES
from tests.support.platform import Platform

SAVE = """
import sys
import joblib, mlflow, pandas
model, rows = joblib.load(sys.argv[1]), pandas.read_csv(sys.argv[2])
signature = mlflow.models.infer_signature(rows, model.predict(rows))
mlflow.sklearn.save_model(model, sys.argv[3], signature=signature, serialization_format="cloudpickle")
"""
NAMES = ["age", "income", "job", "member"]
ROWS = [[41, 3.5, "nurse", True], [25, 1.5, "clerk", False], [61, 5.5, "pilot", True]]
RECORDS = [dict(zip(NAMES, row, strict=True)) for row in ROWS]
JSON, CSV = "application/json", "text/csv"

SAME = [
    ("split", JSON, {"dataframe_split": {"columns": NAMES, "data": ROWS}}),
    ("split with an index", JSON, {"dataframe_split": {"columns": NAMES, "index": [7, 8, 9], "data": ROWS}}),
    ("split in another order", JSON, {"dataframe_split": {"columns": NAMES[::-1], "data": [r[::-1] for r in ROWS]}}),
    ("split with one more", JSON, {"dataframe_split": {"columns": [*NAMES, "x"], "data": [[*r, 1] for r in ROWS]}}),
    ("records", JSON, {"dataframe_records": RECORDS}),
    ("records with one more", JSON, {"dataframe_records": [{**record, "x": 1} for record in RECORDS]}),
    ("a whole number for a double", JSON, {"dataframe_records": [{**RECORDS[0], "income": 3}]}),
    ("inputs", JSON, {"inputs": {name: [record[name] for record in RECORDS] for name in NAMES}}),
    ("inputs of one row", JSON, {"inputs": RECORDS[0]}),
    ("instances", JSON, {"instances": RECORDS}),
    ("params", JSON, {"dataframe_records": RECORDS, "params": {"unknown": 1}}),
    ("something unknown beside it", JSON, {"dataframe_records": RECORDS, "unknown": 1}),
    ("a charset", JSON + "; charset=utf-8", {"dataframe_records": RECORDS}),
    ("CSV", CSV, "age,income,job,member\n41,3.5,nurse,True\n25,1.5,clerk,False\n"),
    ("CSV in another order", CSV, "job,member,income,age\r\nnurse,true,3.5,41\r\n"),
    ("CSV with row numbers", CSV, ",age,income,job,member\n0,41,3.5,nurse,True\n"),
]
REFUSED = [
    ("nothing", JSON, {}),
    ("two forms", JSON, {"inputs": {}, "instances": []}),
    ("a bare list", JSON, ROWS),
    ("not JSON", JSON, "{"),
    ("split, a list", JSON, {"dataframe_split": ROWS}),
    ("split without data", JSON, {"dataframe_split": {"columns": NAMES}}),
    ("split with an unknown part", JSON, {"dataframe_split": {"columns": NAMES, "data": ROWS, "dtype": 1}}),
    ("records, an object", JSON, {"dataframe_records": RECORDS[0]}),
    ("a missing column", JSON, {"dataframe_records": [{"age": 41}]}),
    ("an empty CSV", CSV, ""),
    ("CSV that lacks columns", CSV, "age\n41\n"),
    ("plain text", "text/plain", "41"),
    ("another charset", JSON + "; charset=latin1", {"dataframe_records": RECORDS}),
    ("a format parameter", JSON + "; format=pandas-split", {"dataframe_records": RECORDS}),
]


@pytest.fixture(scope="module")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory, model_dir: Path, forge: Forge) -> Iterator[str]:
    """Where MLflow serves the model."""
    folder = tmp_path_factory.mktemp("mlflow")
    python = forge.python(PACKAGES)
    trained = models.jobs(model_dir)
    saved = folder / "saved"
    subprocess.run(
        [python, "-c", SAVE, trained, trained.with_suffix(".csv"), saved], check=True, timeout=180, cwd=folder
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["models", "serve", "-m", str(saved), "-p", str(port), "-h", "127.0.0.1", "--env-manager", "local"]
    server = subprocess.Popen(
        [python, "-m", "mlflow", *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env={**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"},
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        processes.wait_until(lambda: answers(url) or server.poll() is not None, 120, "mlflow serves")
        yield url
    finally:
        processes.kill({server.pid, *processes.tree(server.pid)})
        server.wait(20)


def answers(url: str) -> bool:
    """Whether somebody listens there."""
    try:
        return httpx.get(f"{url}/ping").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def ours(platform: Platform, model_dir: Path) -> str:
    trained = models.jobs(model_dir)
    platform.deploy(trained, "as-mlflow", sample=trained.with_suffix(".csv"))
    return "as-mlflow"


def ask(url: str, media: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, str) else json.dumps(body)
    return httpx.post(url, content=content.encode(), headers={"content-type": media, **headers}, timeout=60)


@pytest.mark.slow
def test_we_answer_what_mlflow_answers(mlflow_url: str, platform: Platform, ours: str) -> None:
    key = {"authorization": f"Bearer {platform.key}"}
    for name, media, body in SAME:
        theirs = ask(f"{mlflow_url}/invocations", media, body)
        mine = ask(f"{platform.http}/endpoints/{ours}/invocations", media, body, **key)
        assert (name, theirs.status_code, mine.status_code) == (name, 200, 200), (theirs.text, mine.text)
        assert (name, mine.json()) == (name, theirs.json())
    for name, media, body in REFUSED:
        theirs = ask(f"{mlflow_url}/invocations", media, body)
        mine = ask(f"{platform.http}/endpoints/{ours}/invocations", media, body, **key)
        assert (name, mine.status_code) == (name, theirs.status_code), (theirs.text, mine.text)
        assert mine.headers["content-type"] == theirs.headers["content-type"], name
        if mine.status_code == 400:
            assert (name, mine.json()["error_code"]) == (name, theirs.json()["error_code"])
            assert mine.json()["message"]
    for path in ("/ping", "/health", f"/endpoints/{ours}/ping", "/version"):
        assert httpx.get(platform.http + path, headers=key).status_code == 200
