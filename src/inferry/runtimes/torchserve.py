"""TorchServe's handlers: a module's handle(data, context), a class of its own, or one built in.

Data flow: the archive's folder and manifest -> Context -> the handler imported beside our modules `ts...` (the real
ones, where the model's environment has torchserve) -> initialize -> a request's JSON as rows -> handle -> answer.

A body becomes rows as TorchServe's clients mean them: {"instances": [...]} has a row for each, an object of "data"
or "body" is a row itself, anything else is the row's body. {"b64": ...} stands for bytes.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from inferry.errors import InvalidModel, ModelFailed
from inferry.runtimes import torchserve_handlers as built_in
from inferry.runtimes.handlers import Handle, HandlerRuntime, readable, unpacked, value_of, written
from inferry.runtimes.usercode import import_file
from inferry.types.posted import JSON, Posted

OWN = {
    "base_handler": built_in.BaseHandler,
    "vision_handler": built_in.VisionHandler,
    "image_classifier": built_in.ImageClassifier,
    "image_segmenter": built_in.ImageSegmenter,
    "object_detector": built_in.ObjectDetector,
}
_ROW = {"data", "body"}


class TorchServeRuntime(HandlerRuntime):
    """The runtime plugin "torchserve". Options: what detection read in the manifest."""

    def open(self, artifact: Path, path: Path, options: dict[str, Any]) -> Handle:
        """Import the handler and let it load the model."""
        context = Context(path, options["manifest"], options["settings"])
        lend_modules()
        if options["handler"] in OWN:
            handler = OWN[options["handler"]]()
            handler.initialize(context)
            return Rows(handler.handle, context)
        module = import_file(path, path / options["handler"])
        return Rows(entry_of(module, options["function"], context), context)


class Metrics:
    """Takes what handlers measure. Inferry's own metrics are at its own door."""

    def __getattr__(self, name: str) -> Callable[..., Metrics]:
        return lambda *_, **__: self


class Context:
    """What a handler is told: of its model, and of the request."""

    def __init__(self, folder: Path, manifest: dict[str, Any], settings: Any) -> None:
        self.manifest = manifest
        self.model_yaml_config = settings if isinstance(settings, dict) else {}
        self.model_name = manifest["model"].get("modelName", "")
        self.system_properties = {
            "model_dir": str(folder), "gpu_id": None, "batch_size": 1, "server_name": "Inferry",
            "server_version": "0.12.0", "limit_max_image_pixels": True,
        }  # fmt: skip
        self.metrics = Metrics()
        self.request_ids: dict[int, str] = {0: ""}
        self.explain = False
        self._status: tuple[int, str] = (200, "")
        self._asked = JSON
        self.content_type = ""

    def begin(self, content_type: str) -> None:
        """A request comes, with a body of this type."""
        self._asked, self.content_type = content_type, ""
        self.set_response_status()

    def get_request_id(self, _index: int = 0) -> str:
        """Empty: Inferry's own id is in its logs."""
        return ""

    def get_request_header(self, _index: int, key: str, *_: Any) -> str | None:
        """The header that is handed on: the body's type."""
        return {"content-type": self._asked}.get(key.lower())

    def get_all_request_header(self, _index: int) -> dict[str, str]:
        """The header that is handed on: the body's type."""
        return {"Content-Type": self._asked}

    def set_response_content_type(self, _index: int, value: str) -> None:
        """The type of an answer that is text or bytes; others go as JSON."""
        self.content_type = str(value)

    def set_response_header(self, _index: int, _key: str, _value: str) -> None:
        """Answers go with Inferry's headers."""

    def set_response_status(self, code: int = 200, phrase: str = "", *_: Any, **__: Any) -> None:
        """A status other than 2xx makes the request fail with its phrase."""
        self._status = code, phrase

    set_all_response_status = set_response_status

    def get_response_status(self, _index: int = 0) -> tuple[int, str]:
        """What was set."""
        return self._status


class Rows:
    """handle, for one request's JSON."""

    def __init__(self, handle: Callable[[Any, Context], Any], context: Context) -> None:
        self._handle, self._context = handle, context

    def __call__(self, value: Any) -> Any:
        """The answer; a list of them for {"instances": [...]}. Raises ModelFailed when rows and answers differ."""
        rows, many = rows_of(value)
        self._context.begin(JSON)
        read = [readable(answer) for answer in self._answers(rows)]
        return read if many else read[0]

    def post(self, posted: Posted) -> Any:
        """One row: JSON as its value, a form as its fields, anything else as bytes."""
        if posted.parts is not None:
            row: dict[str, Any] = dict(posted.parts)
        else:
            row = {"body": value_of(posted) if posted.is_json else posted.body}
        self._context.begin(posted.content_type)
        (answer,) = self._answers([row])
        kind = "text/plain; charset=utf-8" if isinstance(answer, str) else "application/octet-stream"
        return written(answer, self._context.content_type or kind)

    def _answers(self, rows: list[dict[str, Any]]) -> list[Any]:
        self._context.request_ids = dict.fromkeys(range(len(rows)), "")
        answers = self._handle(rows, self._context)
        code, phrase = self._context.get_response_status()
        if not 200 <= code < 300:
            raise ModelFailed(f"The model answered status {code}: {str(phrase)[:200]}")
        if not isinstance(answers, list | tuple) or len(answers) != len(rows):
            raise ModelFailed(f"The handler answered no list of {len(rows)}, as it was given {len(rows)}.")
        return list(answers)


def rows_of(value: Any) -> tuple[list[dict[str, Any]], bool]:
    """A body as the list that a handler is given, and whether it is of many rows."""
    if isinstance(value, dict) and set(value) == {"instances"} and isinstance(value["instances"], list):
        return [_row(one) for one in value["instances"]], True
    if isinstance(value, list) and value and all(isinstance(one, dict) and one and set(one) <= _ROW for one in value):
        return [_row(one) for one in value], True
    return [_row(value)], False


def _row(value: Any) -> dict[str, Any]:
    if isinstance(value, dict) and value and set(value) <= _ROW:
        return {name: unpacked(item) for name, item in value.items()}
    return {"body": unpacked(value)}


def entry_of(module: ModuleType, function: str, context: Context) -> Callable[[Any, Context], Any]:
    """The handler, ready. Raises InvalidModel when the module has none, or more than one."""
    entry: Any = getattr(module, function or "handle", None)
    if function and not callable(entry):
        raise InvalidModel(f"The handler has no function {function[:60]!a}.", help="Pack the archive again.")
    if callable(entry):
        entry(None, context)  # as TorchServe does: the first call loads the model
        return entry  # type: ignore[no-any-return]
    found = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    found = [one for one in found if callable(getattr(one, "handle", None))]
    leaves = [one for one in found if not any(one in other.__mro__[1:] for other in found)]
    if len(leaves) != 1:
        names = ", ".join(one.__name__ for one in leaves) or "none"
        raise InvalidModel(
            f"The handler's file must have one function or class with handle, and has {names}.",
            help="Keep one class with handle(data, context) in it.",
        )
    handler = leaves[0]()
    if hasattr(handler, "initialize"):
        handler.initialize(context)
    return handler.handle  # type: ignore[no-any-return]


def lend_modules() -> None:
    """`ts` and its modules that handlers import, where torchserve is not installed."""
    if "ts" in sys.modules or importlib.util.find_spec("ts") is not None:
        return
    modules = {name: ModuleType(name) for name in ("ts", "ts.torch_handler", "ts.utils", "ts.handler_utils")}
    for module in modules.values():
        module.__path__ = []
    for name, handler in OWN.items():
        modules[f"ts.torch_handler.{name}"] = _module(f"ts.torch_handler.{name}", **{handler.__name__: handler})
    modules["ts.context"] = _module("ts.context", Context=Context)
    modules["ts.utils.util"] = _module(
        "ts.utils.util", load_label_mapping=built_in.load_label_mapping, map_class_to_label=built_in.map_class_to_label,
        list_classes_from_module=built_in.list_classes_from_module, PredictionException=PredictionException,
    )  # fmt: skip
    modules["ts.handler_utils.timer"] = _module("ts.handler_utils.timer", timed=lambda function: function)
    sys.modules.update(modules)


class PredictionException(Exception):
    """What handlers raise with a status of their own."""

    def __init__(self, message: str, error_code: int = 500) -> None:
        super().__init__(message)
        self.message, self.error_code = message, error_code


def _module(name: str, **things: Any) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(things)
    return module
