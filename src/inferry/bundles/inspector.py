"""Inspector: load a model once, in the sandbox, and write down what it is.

Data flow: artifact, sample -> the runtime plugin's `load` and `describe` -> a JSON file
with the Inspection or the error; `verdict.read_result`, on the other
side of the sandbox, reads it back.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import msgspec

from inferry import plugins
from inferry.bundles.samples import media_file, parse
from inferry.bundles.verdict import MAX_RESULT, Problem, Result
from inferry.errors import InferryError, InvalidModel, ModelFailed
from inferry.media.declaration import find
from inferry.media.describe import describe
from inferry.types.text import first_line, raised


def inspect(
    artifact: Path, entry: str, runtime: str, options: dict[str, Any], sample_path: Path | None, result_path: Path
) -> None:
    """Describe a model and write the result. Never raises: called in a process made for it."""
    try:
        file = media_file(sample_path) if sample_path else None
        sample = parse(sample_path) if sample_path and file is None else None
        declared = find(artifact, entry)
        model = plugins.load("inferry.runtimes", runtime)().load(artifact, entry, options, None)
        result = Result(inspection=describe(model, declared, sample, file))
        data = msgspec.json.encode(result)
        if len(data) > MAX_RESULT:
            raise InvalidModel("The model's example and answer are too large to keep.", help="Give a smaller sample.")
    except BaseException as error:  # noqa: BLE001  a model's code may raise anything, SystemExit too
        traceback.print_exc(file=sys.stderr)
        data = msgspec.json.encode(Result(error=_told(error)))
    _write(result_path, data)


def _told(error: BaseException) -> Problem:
    if isinstance(error, ModelFailed):
        message = f"The model could not answer the example. {error.message}"
        return Problem(InvalidModel.code, first_line(message, 400), error.help)
    if isinstance(error, InferryError):
        return Problem(error.code, first_line(error.message, 400), first_line(error.help, 400))
    if isinstance(error, MemoryError):
        return Problem(
            InvalidModel.code,
            "The model ran out of memory while loading.",
            "Allow it more: inferry deploy --memory MB.",
        )
    if isinstance(error, SystemExit):
        return Problem(InvalidModel.code, "The model's code ended the process while loading.")
    return Problem(InvalidModel.code, f"The model cannot be loaded: {raised(error)}")


def _write(path: Path, data: bytes) -> None:
    draft = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(data)
    draft.replace(path)
