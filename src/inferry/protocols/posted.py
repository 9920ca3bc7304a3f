"""Bodies for a package's own code, at the paths where the clients of its system send them.

    POST /predictions/NAME   /endpoints/NAME/invocations   /endpoints/NAME/score   /endpoints/NAME

A package of another serving system is given the body, its content type and what the client accepts, unchanged,
and its answer goes back as it wrote it. Other models read these bodies as `/predict/NAME` does.

Data flow: body -> Posted (a form's fields beside it) -> the handler -> Written -> reply body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from inferry.errors import InferryError, ModelFailed, UnsupportedMedia
from inferry.interfaces.codec import Call, Encoded
from inferry.protocols import answers
from inferry.protocols.files import FileCodec, FormCodec, read_form
from inferry.types.frames import CONTENT_JSON, CONTENT_NAMED, MEDIA_TYPE, Request
from inferry.types.posted import JSON, Posted, Written
from inferry.types.signature import Signature

TEXT = "text/plain; charset=utf-8"
Form = Callable[[InferryError], bytes]


class PostedCodec:
    """Hands bodies on as they came."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def decode(self, request: Request) -> Call:
        """A Call with the body. Raises InvalidInput for a form that is none."""
        posted = posted_of(request)
        if posted.media == "multipart/form-data":
            parts = tuple((part.name, part.data) for part in read_form(posted.body))
            posted = posted._replace(parts=parts)
        return Call(inputs=posted, rows=0)

    def encode(self, call: Call, outputs: Any) -> Encoded:  # noqa: ARG002
        """What the code wrote, or its JSON value."""
        if not isinstance(outputs, Written):
            return Encoded(CONTENT_JSON, 0, answers.write(answers.jsonable(outputs)))
        if outputs.content_type == JSON:
            return Encoded(CONTENT_JSON, 0, outputs.body)
        return Encoded(CONTENT_NAMED, 0, named(outputs.content_type, outputs.body))

    def refuse(self, error: InferryError) -> bytes:
        """The error in the door's form."""
        return self._form(error)


class OtherCodec(FileCodec):
    """The same doors for a model without code that reads bodies: JSON, files and forms, answered in plain JSON."""

    def __init__(self, signature: Signature, form: Form) -> None:
        super().__init__(signature)
        self._form = form
        self._forms = FormCodec(signature)

    def decode(self, request: Request) -> Call:
        """A Call from a request body. Raises InvalidInput."""
        if posted_of(request).media == "multipart/form-data":
            return self._forms.decode(request)
        return super().decode(request)

    def refuse(self, error: InferryError) -> bytes:
        """The error in the door's form."""
        return self._form(error)


class UnreadCodec(PostedCodec):
    """MLflow's `invocations` for a model that reads only what MLflow reads: refused in plain text, as MLflow does."""

    refuses_in = CONTENT_NAMED

    def decode(self, request: Request) -> Call:
        """Raises UnsupportedMedia."""
        raise UnsupportedMedia(
            f"This predictor does not read {posted_of(request).content_type[:80]!a}.",
            help="Send application/json or text/csv, in UTF-8.",
        )

    def refuse(self, error: InferryError) -> bytes:
        """One sentence of plain text."""
        return named(TEXT, error.sentence().encode(errors="replace"))


def named(content_type: str, body: bytes) -> bytes:
    """A body behind its content type. Raises ModelFailed for a type that is none."""
    media = content_type.encode("ascii", "replace")
    if not MEDIA_TYPE.fullmatch(media):
        raise ModelFailed(f"The model wrote a content type that is none: {content_type[:80]!a}.")
    return bytes((len(media),)) + media + body


def posted_of(request: Request) -> Posted:
    """The body with its content type and what is accepted."""
    content_type, _, accept = request.media.decode("latin-1").partition("\n")
    return Posted(bytes(request.body), content_type or JSON, accept)
