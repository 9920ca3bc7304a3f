"""Routes: which targets are predictions, and through which door each comes.

Data flow: a request's target -> `prediction` -> its door, endpoint and version, or None for
all other routes; `door_of` -> the door whose form an error takes, for any target. Looked at
only for heads that are not remembered.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from inferry.types import frames

NAME = rb"(?P<name>[^/?]+)"
OIP = rb"/v2/models/" + NAME + rb"(?:/versions/(?P<version>[^/?]+))?/infer"
TFS = rb"/v1/models/(?P<name>[^/?:]+)(?:/versions/(?P<version>[^/?:]+)|/labels/(?:latest|stable))?(?::|%3[Aa])"
MLFLOW = rb"(?:/endpoints/" + NAME + rb")?/invocations"

PREDICTIONS = tuple(
    (re.compile(path + rb"(?:\?.*)?"), door)
    for path, door in (
        (rb"/predict/" + NAME, frames.DOOR_PLAIN),
        (OIP, frames.DOOR_OIP),
        (TFS + rb"predict", frames.DOOR_PREDICT),
        (TFS + rb"classify", frames.DOOR_CLASSIFY),
        (TFS + rb"regress", frames.DOOR_REGRESS),
        (MLFLOW, frames.DOOR_MLFLOW),
        (rb"/predictions/" + NAME + rb"(?:/(?P<version>[^/?]+))?", frames.DOOR_PREDICTIONS),
        (rb"/endpoints/" + NAME + rb"/score", frames.DOOR_SCORE),
        (rb"/endpoints/" + NAME, frames.DOOR_HANDLER),
        (rb"/v1/chat/completions", frames.DOOR_CHAT),
        (rb"/v1/completions", frames.DOOR_COMPLETIONS),
        (rb"/v1/embeddings", frames.DOOR_EMBEDDINGS),
    )
)

FAMILIES = tuple(
    (re.compile(path), door)
    for path, door in (
        (rb"/v2", frames.DOOR_OIP),
        (rb"/v1/(?:chat/completions|completions|embeddings)(?:[/?]|$)", frames.DOOR_CHAT),
        (rb"/v1(?:[/?]|$)", frames.DOOR_PREDICT),
        (rb"(?:/endpoints/[^/?]*)?/(?:invocations|ping)(?:\?|$)", frames.DOOR_MLFLOW),
        (rb"/(?:version|health)(?:\?|$)", frames.DOOR_MLFLOW),
        (rb"/predictions/", frames.DOOR_PREDICTIONS),
        (rb"/endpoints/[^/?]+/score(?:\?|$)", frames.DOOR_SCORE),
        (rb"/endpoints/[^/?]+(?:\?|$)", frames.DOOR_HANDLER),
    )
)

MEDIA = {
    b"": frames.DOOR_MLFLOW,
    b"application/json": frames.DOOR_MLFLOW,
    b"text/csv": frames.DOOR_MLFLOW_CSV,
}

FILES = {
    b"multipart/form-data": frames.DOOR_FORM,
    b"text/csv": frames.DOOR_CSV,
    b"application/octet-stream": frames.DOOR_FILE,
    b"application/vnd.apache.parquet": frames.DOOR_FILE,
    b"application/vnd.apache.arrow.stream": frames.DOOR_FILE,
    b"application/vnd.apache.arrow.file": frames.DOOR_FILE,
}
"""The doors of bodies that are no JSON, at `/predict`."""


class Target(NamedTuple):
    """What a prediction's target names; an empty endpoint is the only one there is (or, at OpenAI's doors,
    named by the body), an empty version the default."""

    door: int
    endpoint: bytes
    version: bytes


def prediction(url: bytes) -> Target | None:
    """The prediction that a target asks for, None when it is none."""
    for pattern, door in PREDICTIONS:
        match = pattern.fullmatch(url)
        if match is not None:
            named = match.groupdict()
            version = unquote_to_bytes(named.get("version") or b"")[:16]
            if version == b"0" and door != frames.DOOR_OIP:
                version = b""  # TensorFlow Serving's clients mean the default by it
            return Target(door, unquote_to_bytes(named.get("name") or b"")[:64], version)
    return None


def door_of(url: bytes) -> int:
    """The door that a target belongs to, for the form of errors."""
    for pattern, door in FAMILIES:
        if pattern.match(url):
            return door
    return frames.DOOR_PLAIN


def file_door(content_type: bytes) -> int:
    """The door for a body of this type at `/predict`: plain JSON, as long as the type does not say otherwise."""
    media = content_type.partition(b";")[0].strip().lower()
    if media.startswith((b"image/", b"audio/")):
        return frames.DOOR_FILE
    return FILES.get(media, frames.DOOR_PLAIN)


def media_door(content_type: bytes) -> int:
    """The door for a body of this type under `invocations`; what MLflow does not read is for a package's own code."""
    media, *parameters = (part.strip() for part in content_type.lower().split(b";"))
    if any(parameter not in (b"charset=utf-8", b"") for parameter in parameters):
        return frames.DOOR_INVOKE
    return MEDIA.get(media, frames.DOOR_INVOKE)
