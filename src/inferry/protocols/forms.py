"""Forms: an error in the body form of the door that was spoken to.

Data flow: InferryError -> bytes. The gateway uses these for what it refuses itself, the
codecs for what a replica refuses, so both look the same to a client. Light on purpose:
no numpy here.
"""

from __future__ import annotations

import msgspec

from inferry.errors import InferryError


def oip_error(error: InferryError) -> bytes:
    """The Open Inference Protocol's form: one sentence under `error`."""
    return msgspec.json.encode({"error": error.sentence()})


def plain_error(error: InferryError) -> bytes:
    """The form of the plain door and the control API: a code, a sentence and what to do."""
    body = {"code": error.code, "message": error.message}
    if error.help:
        body["help"] = error.help
    return msgspec.json.encode({"error": body})
