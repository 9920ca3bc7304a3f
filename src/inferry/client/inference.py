"""Flows of inference: what `Endpoint.predict` does, and the metadata behind it.

Data flow: data -> rows go as JSON to the plain door; arrays and frames become binary tensors
for the Open Inference Protocol, after the endpoint's signature was fetched once -> the answer
in the form that the data had. The `inferry-revision` header tells when the signature may have
changed; then it is fetched again.
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.client import files, results
from inferry.client.answers import Answer, Metadata
from inferry.client.session import Session, inference_address
from inferry.client.wire import Flow, Request, Response, read, send
from inferry.errors import InvalidInput
from inferry.types.names import check_name

_GRACE_S = 5.0


class Handle:
    """One endpoint as one client knows it."""

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = check_name(name, "endpoint name")
        self.known: Metadata | None = None
        self.revisions: set[int] = set()  # those that `known` was fetched for


def metadata(handle: Handle) -> Flow[Metadata]:
    """The endpoint's model, version, revision, signature and example, as they are now."""
    address = yield from inference_address(handle.session)
    request = Request(
        method="GET",
        url=f"{address}/endpoints/{handle.name}",
        headers=handle.session.headers,
        timeout=handle.session.timeout,
        repeatable=True,
    )
    found = read((yield from send(request, handle.session.retries)), Metadata)
    handle.known, handle.revisions = found, {found.revision}
    return found


def example(handle: Handle) -> Flow[Any]:
    """Input that works: `endpoint.predict(endpoint.example())`."""
    return (yield from metadata(handle)).example


def ask(handle: Handle, body: Any, *, timeout: float | None = None, request_id: str = "") -> Flow[Answer]:
    """Send a body to the plain door; its whole answer.

    A `Path` or bytes go as they are, as a file; everything else as JSON, files in a list in base64. Of a
    model that answers a file, `predictions` is its bytes. The answer's `request_id` is what feedback goes by: the one
    given here, or the server's.
    """
    content, media = files.body_of(body)
    headers = {"content-type": media, **_named(request_id)}
    response = yield from _post(handle, f"/predict/{handle.name}", content, headers, timeout)
    id = response.headers.get("inferry-request-id", "")
    if response.headers.get("content-type", "application/json").startswith("application/json"):
        return msgspec.structs.replace(read(response, Answer), request_id=id)
    version = response.headers.get("inferry-version", "")
    return Answer(model=handle.name, version=version, predictions=response.body, request_id=id)


def predict(
    handle: Handle, data: Any, *, timeout: float | None = None, as_frame: bool | None = None, request_id: str = ""
) -> Flow[Any]:
    """Predict for one or many rows; the answer has the form of the data.

    - numpy arrays (one, or a dict of them): the output as an array, or a `Prediction` when
      the model has several (for a classifier `.label` and `.probabilities`).
    - a pandas frame: a frame with the same index: `label`, `probability_<label>`, or the
      outputs' own names.
    - lists, dicts, records, scalars: plain Python, one element a row.
    - a `Path` or bytes: a file (picture, sound, CSV, Parquet...), plain Python, one element a row; several in a list.

    `as_frame=True` gives a frame whatever came, `False` gives arrays for a frame. `timeout`
    is in seconds, and default the endpoint's own. `request_id` names the request, for feedback. A model without a
    signature takes arrays as lists and answers plain Python.
    """
    form = results.form_of(data)
    if form == "rows":
        rows = (yield from ask(handle, data, timeout=timeout, request_id=request_id)).predictions
        return results.rows_to_frame(rows) if as_frame else rows
    known = handle.known
    if known is None:
        return (yield from _tensors(handle, (yield from metadata(handle)), data, form, timeout, as_frame, request_id))
    try:
        return (yield from _tensors(handle, known, data, form, timeout, as_frame, request_id))
    except InvalidInput:
        fresh = yield from metadata(handle)
        if fresh.signature == known.signature:
            raise
        return (yield from _tensors(handle, fresh, data, form, timeout, as_frame, request_id))


def _tensors(
    handle: Handle, known: Metadata, data: Any, form: results.Form, timeout: float | None, as_frame: bool | None,
    request_id: str,
) -> Flow[Any]:  # fmt: skip
    if known.signature.kind == "open":
        rows = (yield from ask(handle, data, timeout=timeout, request_id=request_id)).predictions
        return results.rows_to_frame(rows) if as_frame else rows
    from inferry.client import tensors

    specs = {spec.name: spec for spec in known.signature.inputs}
    body, json_size = tensors.encode(results.name_inputs(data, known.signature), specs)
    headers = {"content-type": "application/octet-stream" if json_size else "application/json", **_named(request_id)}
    if json_size:
        headers["inference-header-content-length"] = str(json_size)
    path = f"/v2/models/{handle.name}/infer"
    response = yield from _post(handle, path, body, headers, timeout)
    outputs = tensors.decode(response.body, int(response.headers.get("inference-header-content-length", 0)))
    revision = int(response.headers.get("inferry-revision", known.revision))
    if revision not in handle.revisions:
        known = yield from metadata(handle)
        handle.revisions.add(revision)
    labels = next((spec.labels for spec in known.signature.outputs if spec.labels), ())
    if as_frame or (form == "frame" and as_frame is None):
        return results.to_frame(outputs, labels, data.index if form == "frame" else None)
    if len(outputs) == 1:
        return next(iter(outputs.values()))
    version = int(response.headers.get("inferry-version", known.version))
    return results.Prediction(outputs, labels=labels, model=known.model, version=version, revision=revision)


def _named(request_id: str) -> dict[str, str]:
    return {"inferry-request-id": request_id} if request_id else {}


def _post(handle: Handle, path: str, body: bytes, headers: dict[str, str], timeout: float | None) -> Flow[Response]:
    """POST to the inference listener. The server is told the deadline, and given a moment to say that it passed."""
    session = handle.session
    address = yield from inference_address(session)
    if timeout is not None:
        headers["inferry-timeout"] = f"{timeout:.6f}"
    elif handle.known is not None:
        timeout = handle.known.timeout_s
    request = Request(
        method="POST",
        url=address + path,
        headers={**session.headers, **headers},
        body=body,
        timeout=(timeout or session.timeout) + _GRACE_S,
        repeatable=True,
    )
    return (yield from send(request, session.retries))
