"""Converting: which models have a converter, what it needs, and what its processes say.

Data flow: Detected -> `workbench`: the packages to lay beside the model's own; a process's work ->
`write_converted` -> a file -> `read_converted` on the other side of the sandbox, where only its form is
believed.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import msgspec

from inferry.errors import InferryError, InvalidModel
from inferry.types.bundle import Detected
from inferry.types.conversion import Converted
from inferry.types.text import first_line, raised

MAX_RESULT = 8 << 20
WORKBENCHES: dict[str, tuple[str, ...]] = {
    "sklearn": ("onnx>=1.16", "skl2onnx>=1.17"),
    "torch": ("onnx>=1.16", "onnxscript>=0.1"),
    "keras": ("onnx>=1.16", "tf2onnx>=1.16"),
    "tensorflow": ("onnx>=1.16", "tf2onnx>=1.16"),
    "xgboost": ("onnx>=1.16",),
    "lightgbm": ("onnx>=1.16",),
    "catboost": ("onnx>=1.16",),
}
"""Runtime -> what its converter needs beside the model's own packages."""
_BOOSTERS = ("onnxmltools>=1.12", "packaging")  # it imports packaging without asking for it
MORE = {"xgboost": _BOOSTERS, "lightgbm": _BOOSTERS}
"""Package among a scikit-learn model's own -> what else its converter needs."""


_CONVERTED = msgspec.json.Decoder(Converted)


def workbench(detected: Detected) -> tuple[str, ...]:
    """Requirement lines of the converter for this model; () when there is none."""
    lines = WORKBENCHES.get(detected.runtime, ())
    if detected.runtime != "sklearn":
        return lines
    return (*lines, *sorted({line for package in _own(detected) & MORE.keys() for line in MORE[package]}))


def kept_native(detected: Detected, device: str) -> str:
    """Why a model must stay in its own environment, whatever it computes by; "" when it need not."""
    if device != "cpu":
        return f"it computes on {device}, and a converted model on the CPU"
    if "pyarrow" in _own(detected) and find_spec("pyarrow") is None:
        return "its requirements name pyarrow, which reads Parquet and Arrow, and the platform's packages lack it"
    return ""


def _own(detected: Detected) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower() for line in detected.requirements}


def write_converted(path: Path, work: Callable[[], Converted]) -> None:
    """Do the work and write what came of it. Never raises: a model's code may raise anything."""
    try:
        done = work()
    except BaseException as error:  # noqa: BLE001  SystemExit too
        traceback.print_exc(file=sys.stderr)
        done = Converted(reason=first_line(error.message, 300) if isinstance(error, InferryError) else raised(error))
    draft = path.with_name(f"{path.name}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(msgspec.json.encode(done))
    draft.replace(path)


def read_converted(path: Path, exit_status: int = 0) -> Converted:
    """What was written. Raises InvalidModel when a process left nothing that can be read."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in its place must not hold us
        with os.fdopen(os.open(path, flags), "rb") as file:
            data = file.read(MAX_RESULT + 1)
        done = _CONVERTED.decode(data)
    except OSError:
        raise InvalidModel(f"its conversion {_ended(exit_status)}") from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidModel("its conversion left something that cannot be read") from error
    path.unlink()
    if any("/" in draft.file for draft in done.drafts):
        raise InvalidModel("its conversion left something that cannot be read")
    return msgspec.structs.replace(done, reason=first_line(done.reason, 300), where=first_line(done.where, 100))


def _ended(status: int) -> str:
    if status == -signal.SIGKILL:
        return "was killed, most often for using too much memory or processor time"
    if status == -signal.SIGXCPU:
        return "used more processor time than is allowed"
    return f"crashed with signal {-status}" if status < 0 else f"ended with status {status}"
