"""SageMaker's inference scripts: model_fn, input_fn, predict_fn, output_fn, or transform_fn.

Data flow: inference.py imported -> model_fn(folder) -> for each request: its JSON as text -> input_fn ->
predict_fn -> output_fn -> what that body says. A function that the script does not define does what
SageMaker's own images do: JSON to an array, the model's predict or call, the array to JSON.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np

from inferry.errors import InvalidInput, InvalidModel, UnsupportedMedia
from inferry.runtimes.answers import as_json
from inferry.runtimes.handlers import Handle, HandlerRuntime, called, json_or_text, readable, written
from inferry.runtimes.usercode import import_file
from inferry.types.posted import ANY, CSV, JSON, NPY, Posted

TEXTS = (JSON, CSV, "text/plain")


class SagemakerRuntime(HandlerRuntime):
    """The runtime plugin "sagemaker"."""

    def open(self, artifact: Path, path: Path, options: dict[str, Any]) -> Handle:
        """Import the script and load its model from the artifact's folder, as /opt/ml/model."""
        os.environ |= {"SM_MODEL_DIR": str(artifact), "SAGEMAKER_PROGRAM": path.name}
        module = import_file(artifact, path)
        load = getattr(module, "model_fn", None)
        model = called(load, str(artifact), None) if load else default_model(artifact)
        return Script(module, model)


class Script:
    """A script's functions, in SageMaker's order."""

    def __init__(self, module: ModuleType, model: Any) -> None:
        self._model = model
        self._transform = getattr(module, "transform_fn", None)
        self._input = getattr(module, "input_fn", default_input)
        self._predict = getattr(module, "predict_fn", default_predict)
        self._output = getattr(module, "output_fn", default_output)

    def __call__(self, value: Any) -> Any:
        """The answer to one request's JSON value."""
        body = msgspec.json.encode(value).decode()
        if self._transform is not None:
            return said(called(self._transform, self._model, body, JSON, JSON, None))
        data = called(self._input, body, JSON, None)
        return said(called(self._output, called(self._predict, data, self._model, None), JSON, None))

    def post(self, posted: Posted) -> Any:
        """The body as it came, by its content type; text types as text, as SageMaker's images do."""
        body = posted.body.decode("utf-8", "replace") if posted.media in TEXTS else posted.body
        accept = JSON if posted.accept in ANY else posted.accept
        if self._transform is not None:
            return sent(called(self._transform, self._model, body, posted.content_type, accept, None), accept)
        data = called(self._input, body, posted.content_type, None)
        return sent(called(self._output, called(self._predict, data, self._model, None), accept, None), accept)


def default_model(folder: Path) -> Any:
    """What the PyTorch image does without model_fn: the one TorchScript file."""
    found = [path for path in sorted(folder.iterdir()) if path.suffix in {".pt", ".pth"}]
    if len(found) != 1:
        raise InvalidModel(
            "The inference script has no model_fn.",
            help="Define model_fn(model_dir), which loads and returns the model.",
        )
    import torch

    return torch.jit.load(str(found[0]), map_location="cpu").eval()


def default_input(body: str | bytes, content_type: str) -> Any:
    """JSON, CSV or NPY as an array. Raises InvalidInput for another type."""
    kind = content_type.partition(";")[0].strip().lower()
    text = body.decode() if isinstance(body, bytes) and kind != NPY else body
    if kind == JSON:
        return np.array(json.loads(text))
    if kind == CSV:
        assert isinstance(text, str)
        return np.genfromtxt(io.StringIO(text), dtype=np.float32, delimiter=",")
    if kind == NPY and isinstance(body, bytes):
        return np.load(io.BytesIO(body), allow_pickle=False)
    raise InvalidInput(f"The script has no input_fn, and {kind[:60]!a} is not read without one.")


def default_predict(data: Any, model: Any) -> Any:
    """The model's own predict, or the model called: a torch module in evaluation, without gradients."""
    if not hasattr(model, "forward"):
        return model.predict(data) if hasattr(model, "predict") else model(data)
    import torch

    with torch.no_grad():
        given = data if isinstance(data, torch.Tensor) else torch.tensor(np.asarray(data, dtype=np.float32))
        return model(given)


def default_output(prediction: Any, accept: str) -> Any:
    """Arrays and tensors as lists, or as CSV or NPY. Raises UnsupportedMedia for another type."""
    values = as_json(prediction)
    kind = accept.partition(";")[0].strip().lower()
    if kind == CSV:
        rows = np.atleast_1d(np.array(values))
        return "".join(f"{','.join(map(str, row))}\n" for row in rows.reshape(len(rows), -1).tolist())
    if kind == NPY:
        made = io.BytesIO()
        np.save(made, np.array(values), allow_pickle=False)
        return made.getvalue()
    if kind == JSON or "*" in kind:
        return values
    raise UnsupportedMedia(f"The script has no output_fn, and {kind[:60]!a} is not written without one.")


def sent(answer: Any, accept: str) -> Any:
    """What output_fn answered, as the body of its content type."""
    if hasattr(answer, "response") and hasattr(answer, "mimetype"):
        body = answer.response[0] if isinstance(answer.response, list) else answer.response
        return written(body, str(answer.mimetype or accept))
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], str):
        return written(answer[0], answer[1])
    return written(answer, accept.partition(",")[0].strip())


def said(answer: Any) -> Any:
    """What output_fn answered: a body, a body with its content type, or SageMaker's Response."""
    if hasattr(answer, "response") and hasattr(answer, "mimetype"):
        answer = answer.response[0] if isinstance(answer.response, list) else answer.response
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], str):
        answer = answer[0]
    return json_or_text(answer) if isinstance(answer, str) else readable(answer)
