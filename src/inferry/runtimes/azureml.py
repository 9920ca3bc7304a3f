"""Azure ML's scoring scripts: init() once, run(data) for each request.

Data flow: score.py imported with AZUREML_MODEL_DIR set to the folder -> init() -> a request's JSON as text ->
run -> what it returns. A run that inference-schema describes is given the body's values by name, and
one under `@rawhttp` a request with get_data() and get_json().
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from inferry.errors import InvalidInput, InvalidModel
from inferry.runtimes.answers import as_json
from inferry.runtimes.handlers import Handle, HandlerRuntime, readable, value_of
from inferry.runtimes.usercode import import_file
from inferry.types.posted import Posted, Written

RAW = "_inferry_raw"
REQUEST_MODULES = ("azureml.contrib.services.aml_request", "azureml_inference_server_http.api.aml_request")
RESPONSE_MODULES = ("azureml.contrib.services.aml_response", "azureml_inference_server_http.api.aml_response")


class AzureMlRuntime(HandlerRuntime):
    """The runtime plugin "azureml"."""

    def open(self, artifact: Path, path: Path, options: dict[str, Any]) -> Handle:
        """Import the script and call its init."""
        os.environ |= {
            "AZUREML_MODEL_DIR": str(artifact),
            "AZUREML_ENTRY_SCRIPT": path.name,
            "AML_APP_ROOT": str(path.parent),
        }
        lend_modules()
        module = import_file(artifact, path)
        run = getattr(module, "run", None)
        if not callable(run) or not callable(getattr(module, "init", None)):
            raise InvalidModel("The scoring script has no init and run.", help="Define init() and run(data).")
        module.init()
        return Run(run)


class Run:
    """A script's run, for values and for HTTP bodies."""

    def __init__(self, run: Any) -> None:
        self._run = run
        self._raw = getattr(run, RAW, False)
        self._described = _described(run)

    def __call__(self, value: Any) -> Any:
        """The answer to one request's JSON value."""
        return readable(self._answer(Posted(msgspec.json.encode(value)), value))

    def post(self, posted: Posted) -> Any:
        """The body as it came. A text that run returns goes as JSON, as Azure's server writes it."""
        answer = self._answer(posted, None)
        if isinstance(answer, bytes | bytearray):
            return Written(bytes(answer), "application/octet-stream")
        return answer if self._raw else Written(msgspec.json.encode(as_json(answer)))

    def _answer(self, posted: Posted, value: Any) -> Any:
        if self._raw:
            return answer_of(self._run(AMLRequest(posted)))
        if self._described:
            return answer_of(_by_name(self._run, value_of(posted) if value is None else value))
        return answer_of(self._run(posted.body.decode("utf-8", "replace")))


class AMLRequest:
    """A request as `@rawhttp` scripts read it: a body posted to the score route."""

    method = "POST"
    path = full_path = url = "/score"

    def __init__(self, posted: Posted) -> None:
        self._posted = posted
        self.content_type = posted.content_type
        self.headers = {"Content-Type": posted.content_type, "Accept": posted.accept}
        self.args: dict[str, str] = {}

    @property
    def data(self) -> bytes:
        """The body."""
        return self._posted.body

    @property
    def json(self) -> Any:
        """The body's value."""
        return value_of(self._posted)

    def get_data(self, *, as_text: bool = False, **_: Any) -> Any:
        """The body, as bytes or text."""
        return self._posted.body.decode() if as_text else self._posted.body

    def get_json(self, **_: Any) -> Any:
        """The body's value."""
        return value_of(self._posted)


class AMLResponse:
    """An answer with a status, as scripts make them."""

    def __init__(self, message: Any, status_code: int = 200, *_: Any, **__: Any) -> None:
        self.message, self.status_code = message, status_code


def rawhttp(function: Any) -> Any:
    """Mark a run that takes the request, not its body."""
    setattr(function, RAW, True)
    return function


def lend_modules() -> None:
    """The two modules of Azure's server that scripts import, where the server is not installed."""
    for names, things in ((REQUEST_MODULES, {"AMLRequest": AMLRequest, "rawhttp": rawhttp}),
                          (RESPONSE_MODULES, {"AMLResponse": AMLResponse})):  # fmt: skip
        for name in names:
            parts = name.split(".")
            if parts[0] not in sys.modules and importlib.util.find_spec(parts[0]) is not None:
                continue
            for end in range(1, len(parts) + 1):
                sys.modules.setdefault(".".join(parts[:end]), _package(".".join(parts[:end])))
            vars(sys.modules[name]).update(things)


def _package(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = []
    return module


def answer_of(value: Any) -> Any:
    """What run returned. Raises InvalidInput for an answer of the script's that refuses the request."""
    if isinstance(value, AMLResponse):
        if 400 <= value.status_code < 500:
            raise InvalidInput(f"The model refuses this input: {str(value.message)[:200]}")
        value = value.message
    return value


def _described(run: Any) -> bool:
    if "inference_schema" not in sys.modules:
        return False
    from inference_schema.schema_util import is_schema_decorated

    return bool(is_schema_decorated(run))


def _by_name(run: Any, value: Any) -> Any:
    if not isinstance(value, dict):
        raise InvalidInput("The model takes an object with a value for each of its parameters.")
    return run(**value)
