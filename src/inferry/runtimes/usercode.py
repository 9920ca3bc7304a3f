"""User code: import a person's file, find the model in it, give it what it asks for.

Data flow: path -> module -> a class with `predict` or a function `predict`; its annotation
-> the form of its argument (array, dict, frame, records) -> a request's arrays in that form.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from inferry.errors import InferryError, InvalidModel, ModelFailed
from inferry.runtimes.answers import as_json
from inferry.runtimes.tensors import plain
from inferry.types.text import raised

PREFERRED = ("Model", "Predictor")
_HELP = "Write a class with a method predict(self, inputs), or a function predict(inputs)."


def import_file(artifact: Path, path: Path) -> ModuleType:
    """The module in `path`; files beside it can be imported by it."""
    if path.is_dir():
        raise InvalidModel("The folder has no Python file that was named as its entry.", help=_HELP)
    for folder in dict.fromkeys((str(artifact), str(path.parent))):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    taken = path.stem in sys.modules or path.stem in sys.stdlib_module_names or not path.stem.isidentifier()
    name = f"served_{path.stem}" if taken else path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise InvalidModel("The entry is not a Python file.", help=_HELP)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up by name
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def told(doing: str) -> Iterator[None]:
    """Errors of user code: one line to the client, the traceback to the log."""
    try:
        yield
    except InferryError:
        raise
    except ModuleNotFoundError as error:
        traceback.print_exc(file=sys.stderr)
        raise InvalidModel(
            f"The model needs the Python module {error.name!r}, which its environment does not have.",
            help=f"Name its package in a requirements.txt beside the file, or put {error.name}.py there.",
        ) from error
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        raise InvalidModel(f"The model raised {raised(error)} while {doing}.") from error


def parts(values: Iterator[Any]) -> Iterator[Any]:
    """What a model yields, part by part; its errors are told like those of any other call."""
    try:
        for value in values:
            yield as_json(value)
    except InferryError:
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        raise ModelFailed(f"The model raised {raised(error)}") from error


def find_model(module: ModuleType, wanted: str | None) -> Any:
    """The class or function that predicts. InvalidModel when there is none or more than one."""
    classes = {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and callable(getattr(value, "predict", None))
    }
    if wanted is not None:
        if wanted not in classes:
            raise InvalidModel(f"The file has no class {wanted!r} with a predict method.", help=_HELP)
        return classes[wanted]
    for name in PREFERRED:
        if name in classes:
            return classes[name]
    # A base class of another one is not the model itself.
    leaves = [one for one in classes.values() if not any(one in other.__mro__[1:] for other in classes.values())]
    if len(leaves) == 1:
        return leaves[0]
    if leaves:
        names = ", ".join(sorted(one.__name__ for one in leaves))
        raise InvalidModel(
            f"The file has several classes with predict: {names}.", help='Call the one to serve "Model".'
        )
    function = getattr(module, "predict", None)
    if not inspect.isroutine(function):
        raise InvalidModel("The Python file has nothing to serve.", help=_HELP)
    return function


def form_of(call: Callable[..., Any]) -> str:
    """What the argument's annotation asks for: array, dict, frame, records, or "" for no wish."""
    if inspect.iscoroutinefunction(call):
        raise InvalidModel("predict is async, which is not served.", help="Make it a plain function.")
    parameters = [
        parameter
        for parameter in inspect.signature(call).parameters.values()
        if parameter.kind not in {parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY}
    ]
    required = [one for one in parameters if one.default is one.empty and one.kind is not one.VAR_POSITIONAL]
    if not parameters or len(required) > 1:
        raise InvalidModel(f"predict must take one argument, not {len(required)}.", help=_HELP)
    note = parameters[0].annotation
    words = "" if note is parameters[0].empty else note if isinstance(note, str) else _spelled(note)
    if "DataFrame" in words:
        return "frame"
    if ("ndarray" in words and not words.lower().startswith(("dict", "mapping"))) or "NDArray" in words:
        return "dict" if "ict[" in words or "Mapping[" in words else "array"
    head = words.rpartition(".")[2] if "[" not in words else words.partition("[")[0].rpartition(".")[2]
    return {"dict": "dict", "mapping": "dict", "list": "records", "sequence": "records"}.get(head.lower(), "")


def _spelled(note: Any) -> str:
    return note.__name__ if isinstance(note, type) and not hasattr(note, "__args__") else str(note)


def shape_input(inputs: Any, form: str, kind: str) -> Any:
    """A request's inputs in the form that predict asks for."""
    if kind == "open" and not _are_arrays(inputs):
        return _from_json(inputs, form)
    columns: Mapping[str, Any] = inputs
    if form == "frame":
        return _frame(columns)
    if form == "records":
        rows = {name: plain(array) for name, array in columns.items()}
        if len(rows) == 1 and kind != "table":
            return next(iter(rows.values()))
        return [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=False)]
    lone = len(columns) == 1 and kind != "table"
    if form == "array":
        return next(iter(columns.values())) if lone else np.column_stack(list(columns.values()))
    return next(iter(columns.values())) if lone and form != "dict" else dict(columns)


def _are_arrays(inputs: Any) -> bool:
    return isinstance(inputs, dict) and bool(inputs) and all(isinstance(one, np.ndarray) for one in inputs.values())


def _from_json(value: Any, form: str) -> Any:
    if form == "frame":
        return _frame(value if isinstance(value, list) or not _is_record(value) else [value])
    if form == "array":
        return np.asarray(value)
    return value


def _is_record(value: Any) -> bool:
    return isinstance(value, dict) and not any(isinstance(one, list) for one in value.values())


def _frame(data: Any) -> Any:
    import pandas as pd

    return pd.DataFrame(data)
