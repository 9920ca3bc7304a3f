"""Every error Inferry raises on purpose, with what its reader should do next.

Data flow: any room raises one of these -> the door that was spoken to (HTTP route
family, CLI, SDK) writes `status`, `code` and `message` in its own form. Nothing else
of an exception ever reaches a client: an unexpected one becomes `InternalError`.

`status` is the HTTP status as a plain number, `grpc` the gRPC status code.
"""

from __future__ import annotations


class InferryError(Exception):
    """Base of all errors we raise. `message` says what is wrong, `help` what to do.

    `advice` is the help of a kind of error, for where nothing nearer to the case can be said.
    """

    code = "internal"
    status = 500
    grpc = 13
    advice = ""
    param = ""  # the field of the request that is at fault, where a protocol tells it
    request_id = ""  # set by the client when the server named the request

    def __init__(self, message: str, *, help: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.help = help or self.advice
        self.retry_after = retry_after

    def sentence(self) -> str:
        """The message and, behind it, the help: one line for people."""
        return f"{self.message} {self.help}".strip() if self.help else self.message


class InternalError(InferryError):
    """A bug of ours or of the host; details are in the log only."""

    advice = "Try again. The platform's log has the details."


class InvalidInput(InferryError):
    """The request does not fit the model's signature or the protocol."""

    code = "invalid_input"
    status = 400
    grpc = 3
    advice = "Compare it with what the model takes: inferry describe NAME."


class InvalidSettings(InferryError):
    """A settings file says what cannot be; the message has a line for each problem."""

    code = "invalid_settings"
    status = 400
    grpc = 3


class InvalidName(InferryError):
    """A name does not match the rule for names."""

    code = "invalid_name"
    status = 400
    grpc = 3


class InvalidModel(InferryError):
    """The file or folder given is not a model we can serve."""

    code = "invalid_model"
    status = 422
    grpc = 9
    advice = "Check that it loads on your own machine, and read which formats are served in docs/tasks/deploy.md."


class Unauthorized(InferryError):
    """No key, or an unknown, revoked or expired one."""

    code = "unauthorized"
    status = 401
    grpc = 16


class BadSignature(Unauthorized):
    """A webhook's signature does not fit what came with it, or is too old."""

    code = "bad_signature"


class Forbidden(InferryError):
    """The key is known but may not do this."""

    code = "forbidden"
    status = 403
    grpc = 7


class NotFound(InferryError):
    """No such model, version, endpoint, key or route.

    Of a prediction: the `endpoint` that is not served, or the `version` of it.
    """

    code = "not_found"
    status = 404
    grpc = 5
    advice = "List what there is: inferry endpoints, inferry models, inferry versions NAME."

    def __init__(
        self, message: str, *, help: str = "", retry_after: float | None = None, endpoint: str = "", version: str = ""
    ) -> None:
        super().__init__(message, help=help, retry_after=retry_after)
        self.endpoint = endpoint
        self.version = version


class MethodNotAllowed(InferryError):
    """The route exists but not for this verb."""

    code = "method_not_allowed"
    status = 405
    grpc = 12


class Conflict(InferryError):
    """The request contradicts the present state."""

    code = "conflict"
    status = 409
    grpc = 9
    advice = "Look at the present state, then try again."


class BreakingChange(Conflict):
    """A version whose signature would break an endpoint's callers was to get their requests."""

    code = "breaking_change"
    advice = "Give it an endpoint of its own, or say that it is meant: --allow-breaking (allow_breaking)."


class JobFailed(Conflict):
    """The job has no result: it was given up or cancelled."""

    code = "job_failed"
    advice = "See why: inferry jobs show ID. Let it begin anew: inferry jobs retry ID."


class IdempotencyMismatch(InferryError):
    """An idempotency key came again with another request."""

    code = "idempotency_mismatch"
    status = 422
    grpc = 9
    advice = "Use a key of its own for each request."


class RequestTimeout(InferryError):
    """The client was too slow to send its request."""

    code = "request_timeout"
    status = 408
    grpc = 4


class TooLarge(InferryError):
    """A body, upload or archive is over its limit."""

    code = "too_large"
    status = 413
    grpc = 8
    advice = "Leave out what is not needed."


class UnsupportedMedia(InferryError):
    """A content type or encoding we do not read."""

    code = "unsupported_media_type"
    status = 415
    grpc = 3


class HeadersTooLarge(InferryError):
    """The request's head is over its limit."""

    code = "headers_too_large"
    status = 431
    grpc = 8


class Unsupported(InferryError):
    """Something that a protocol has and we do not."""

    code = "unsupported"
    status = 501
    grpc = 12


class ModelFailed(InferryError):
    """The model raised, or answered something that cannot be encoded."""

    code = "model_failed"
    status = 500
    grpc = 13
    advice = "Its log has the details: inferry logs NAME."


class Overloaded(InferryError):
    """A bounded queue is full: come back after `retry_after` seconds."""

    code = "overloaded"
    status = 429
    grpc = 8


class Unavailable(InferryError):
    """Nothing can answer right now: restarting, draining or a replica died."""

    code = "unavailable"
    status = 503
    grpc = 14
    advice = "Try again in a moment."


class Superseded(Unavailable):
    """This control process leads no longer, or cannot be sure of it; what it was asked was not done."""

    advice = "Try again in a moment: the control process that leads now answers."


class ReplicaLost(Unavailable):
    """The replica died while it computed this request."""

    code = "replica_lost"


class NoRoom(Unavailable):
    """The models that are loaded hold all the memory that models may take, and all of them are at work."""

    code = "no_memory"


class DeadlineExceeded(InferryError):
    """No answer in time."""

    code = "deadline_exceeded"
    status = 504
    grpc = 4
    advice = "Send fewer rows, or allow more time."


class StorageFull(InferryError):
    """The disk is full; nothing was changed."""

    code = "storage_full"
    status = 507
    grpc = 8


class UnsafeFile(InferryError):
    """A private file or folder is open to other users, or is not ours."""

    code = "unsafe_file"
    status = 500
    grpc = 9


class EnvironmentFailed(InferryError):
    """The packages a model needs could not be installed."""

    code = "environment_failed"
    status = 422
    grpc = 9


class PortTaken(InferryError):
    """A port we were asked to listen on is in use."""

    code = "port_taken"
    status = 409
    grpc = 9


class MissingPlugin(InferryError):
    """A plugin or the package behind it is not installed."""

    code = "missing_plugin"
    status = 422
    grpc = 9
