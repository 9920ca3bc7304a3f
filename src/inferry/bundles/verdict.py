"""Verdict: what the inspector wrote, read on the other side of the sandbox.

Data flow: a file that model code could have forged -> its size and form are checked, nothing
else is believed -> the Inspection, or the error it carries. No numpy here: control reads it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec

from inferry import errors
from inferry.errors import InferryError, InvalidModel
from inferry.types.signature import Inspection
from inferry.types.text import first_line

MAX_RESULT = 8 << 20

_KINDS = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, InferryError) and kind is not InferryError
}


class Problem(msgspec.Struct, frozen=True):
    """Why a model was refused."""

    code: str
    message: str
    help: str = ""


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the two."""

    inspection: Inspection | None = None
    error: Problem | None = None


_RESULT = msgspec.json.Decoder(Result)


def read_result(path: Path, exit_status: int = 0) -> Inspection:
    """What the inspector wrote, or the error it wrote. `exit_status` as of subprocess: -N for signal N."""
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in its place must not hold us
        with os.fdopen(os.open(path, flags), "rb") as file:
            data = file.read(MAX_RESULT + 1)
    except OSError:
        raise _died(exit_status) from None
    if len(data) > MAX_RESULT:
        raise InvalidModel("The inspector's result is too large.")
    try:
        result = _RESULT.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidModel("The inspector's result cannot be read.") from error
    if result.error:
        kind = _KINDS.get(result.error.code, InvalidModel)
        raise kind(first_line(result.error.message, 400), help=first_line(result.error.help, 400))
    if result.inspection is None:
        raise _died(exit_status)
    return result.inspection


def _died(exit_status: int) -> InvalidModel:
    if exit_status == -signal.SIGKILL:
        how = "it was killed, most often for using too much memory or processor time"
    elif exit_status == -signal.SIGXCPU:
        how = "it used more processor time than is allowed"
    elif exit_status < 0:
        how = f"it crashed with signal {-exit_status}"
    else:
        how = f"it ended with status {exit_status}"
    return InvalidModel(
        f"The model could not be loaded: {how}.", help="See the log, and check that it loads on your own machine."
    )
