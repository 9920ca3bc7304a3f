"""Inspector: load a model once, in the sandbox, and write down what it is.

Data flow: artifact, sample -> the runtime plugin's `load` and `describe` -> a JSON file
with the Inspection or the error; `read_result` on the other side of the sandbox reads it
back, believing nothing but its form.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

from inferry import errors, plugins
from inferry.bundles.samples import parse
from inferry.errors import InferryError, InvalidModel, ModelFailed
from inferry.types.signature import Inspection
from inferry.types.text import first_line, raised

MAX_RESULT = 8 << 20

_KINDS = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, InferryError) and kind is not InferryError
}


class _Error(msgspec.Struct, frozen=True):
    code: str
    message: str
    help: str = ""


class _Result(msgspec.Struct, frozen=True, omit_defaults=True):
    inspection: Inspection | None = None
    error: _Error | None = None


def inspect(
    artifact: Path, entry: str, runtime: str, options: dict[str, Any], sample_path: Path | None, result_path: Path
) -> None:
    """Describe a model and write the result. Never raises: called in a process made for it."""
    try:
        sample = parse(sample_path) if sample_path else None
        model = plugins.load("inferry.runtimes", runtime)().load(artifact, entry, options, None)
        result = _Result(inspection=model.describe(sample))
        data = msgspec.json.encode(result)
        if len(data) > MAX_RESULT:
            raise InvalidModel("The model's example and answer are too large to keep.", help="Give a smaller sample.")
    except BaseException as error:  # noqa: BLE001  a model's code may raise anything, SystemExit too
        traceback.print_exc(file=sys.stderr)
        data = msgspec.json.encode(_Result(error=_told(error)))
    _write(result_path, data)


def _told(error: BaseException) -> _Error:
    if isinstance(error, ModelFailed):
        message = f"The model could not answer the example. {error.message}"
        return _Error(InvalidModel.code, first_line(message, 400), error.help)
    if isinstance(error, InferryError):
        return _Error(error.code, first_line(error.message, 400), first_line(error.help, 400))
    if isinstance(error, MemoryError):
        return _Error(
            InvalidModel.code, "The model ran out of memory while loading.", "Allow it more memory (memory_mb)."
        )
    if isinstance(error, SystemExit):
        return _Error(InvalidModel.code, "The model's code ended the process while loading.")
    return _Error(InvalidModel.code, f"The model cannot be loaded: {raised(error)}")


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)


def read_result(path: Path, exit_status: int = 0) -> Inspection:
    """What the inspector wrote, or the error it wrote. `exit_status` as of subprocess: -N for signal N."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            data = file.read(MAX_RESULT + 1)
    except OSError:
        raise _died(exit_status) from None
    if len(data) > MAX_RESULT:
        raise InvalidModel("The inspector's result is too large.")
    try:
        result = msgspec.json.decode(data, type=_Result)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidModel("The inspector's result cannot be read.") from error
    if result.error:
        kind = _KINDS.get(result.error.code, InvalidModel)
        raise kind(first_line(result.error.message, 400), help=first_line(result.error.help, 400))
    if result.inspection is None:
        raise _died(exit_status)
    return result.inspection


def _died(exit_status: int) -> InvalidModel:
    if exit_status == -signal.SIGKILL:
        how = "it was killed, most often for using too much memory"
    elif exit_status == -signal.SIGXCPU:
        how = "it used more processor time than is allowed"
    elif exit_status < 0:
        how = f"it crashed with signal {-exit_status}"
    else:
        how = f"it ended with status {exit_status}"
    return InvalidModel(
        f"The model could not be loaded: {how}.", help="See the log, and check that it loads on your own machine."
    )
