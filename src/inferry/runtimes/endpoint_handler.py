"""Handlers of Hugging Face Inference Endpoints: class EndpointHandler(path) with __call__(data).

Data flow: handler.py imported -> EndpointHandler(folder) -> a request's object with "inputs" (and
"parameters"...) as it is, any other JSON value under "inputs" -> what the handler returns.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from inferry.errors import InvalidModel
from inferry.runtimes.handlers import Handle, HandlerRuntime, value_of
from inferry.runtimes.usercode import import_file
from inferry.types.posted import Posted


class EndpointHandlerRuntime(HandlerRuntime):
    """The runtime plugin "endpoint_handler"."""

    def open(self, artifact: Path, path: Path, options: dict[str, Any]) -> Handle:
        """Make the handler with the folder that holds the model."""
        made = getattr(import_file(artifact, path), "EndpointHandler", None)
        if made is None:
            raise InvalidModel("handler.py has no class EndpointHandler.", help="Copy the file again.")
        handler = made(path=str(path.parent))
        return Endpoint(handler)


class Endpoint:
    """A handler, for values and for HTTP bodies."""

    def __init__(self, handler: Handle) -> None:
        self._handler = handler

    def __call__(self, value: Any) -> Any:
        """The answer to one JSON value."""
        return self._handler(value if isinstance(value, dict) and "inputs" in value else {"inputs": value})

    def post(self, posted: Posted) -> Any:
        """JSON as its value, text as text, a picture as one where Pillow is there, all else as bytes."""
        if posted.is_json:
            return self(value_of(posted))
        if posted.media.startswith("text/"):
            return self(posted.body.decode("utf-8", "replace"))
        return self(_picture(posted.body) if posted.media.startswith("image/") else posted.body)


def _picture(data: bytes) -> Any:
    try:
        from PIL import Image
    except ModuleNotFoundError:
        return data
    return Image.open(io.BytesIO(data))
