"""Webhooks: flows that add and look at them, and what a receiver needs to verify one.

Data flow: a request's headers, its body as it came and the secret -> `verify_webhook` -> CloudEvent, or BadSignature.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from inferry.client.session import Session, call, get
from inferry.client.webhook_answers import DeliveryDetails, DeliveryInfo, NewWebhook, WebhookInfo
from inferry.client.wire import Flow, read
from inferry.errors import BadSignature

TOLERANCE_S = 300.0


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A verified event. `id` is the same whenever it is sent again; `sequence` counts a webhook's events, without gaps,
    in the order in which they happened. `time`: RFC 3339."""

    id: str
    source: str
    type: str
    subject: str = ""
    time: str = ""
    sequence: str = ""
    data: dict[str, Any] = {}


class _Webhooks(msgspec.Struct):
    webhooks: list[WebhookInfo]


class _Deliveries(msgspec.Struct):
    deliveries: list[DeliveryInfo]


class _Again(msgspec.Struct):
    again: int


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Iterable[str],
    *,
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
) -> CloudEvent:
    """The event that a webhook sent, when it is signed with the secret (or one of several) and not older than
    `tolerance_s` seconds. Raises BadSignature.

    `body` must be the bytes as they came, before any parsing. Keep the ids that you have seen for as long as events
    matter to you: one may come twice.
    """
    from inferry.policy.signing import fits, secret_bytes  # hashes: who only predicts starts without them

    keys = [secret_bytes(text) for text in ([secret] if isinstance(secret, str) else secret)]
    found = {name.lower(): value for name, value in headers.items()}
    id, at, header = (found.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not (id and at and header):
        raise BadSignature(
            "The request is not signed.", help="It needs webhook-id, webhook-timestamp and webhook-signature."
        )
    if not re.fullmatch(r"[0-9]{1,12}", at) or abs((time.time() if now is None else now) - int(at)) > tolerance_s:
        raise BadSignature(
            "The request was signed too long ago, or in the future.", help="See that this machine's clock is right."
        )
    if not fits(header, keys, id, at, body):
        raise BadSignature(
            "The signature does not fit.", help="Give the body as it came, and the secret of this webhook."
        )
    try:
        return _EVENT.decode(body)
    except msgspec.DecodeError as error:
        raise BadSignature(f"The signed body is no event: {error}.") from error


_EVENT = msgspec.json.Decoder(CloudEvent)


def add_webhook(
    session: Session,
    url: str,
    name: str = "",
    *,
    events: Iterable[str] = ("*",),
    secret: str = "",
    allow_http: bool = False,
) -> Flow[NewWebhook]:
    """Tell an address of events from now on. `events`: types, or patterns such as `rollout.*`. `secret`: what the
    events are signed with; one is made when it is left out, and shown once, here."""
    body = {"url": url, "name": name, "events": list(events), "secret": secret, "allow_http": allow_http}
    return read((yield from call(session, "POST", "/v1/webhooks", body)), NewWebhook)


def webhooks(session: Session) -> Flow[list[WebhookInfo]]:
    """All webhooks, without their secrets."""
    return (yield from get(session, "/v1/webhooks", _Webhooks)).webhooks


def remove_webhook(session: Session, name: str) -> Flow[None]:
    """Tell an address nothing more, and forget its deliveries."""
    yield from call(session, "DELETE", _path(name))


def turn_webhook(session: Session, name: str, *, on: bool) -> Flow[WebhookInfo]:
    """Tell a webhook again, or no more."""
    return read((yield from call(session, "PATCH", _path(name), {"on": on})), WebhookInfo)


def rotate_webhook(session: Session, name: str, *, secret: str = "", keep_s: float = 86_400.0) -> Flow[NewWebhook]:
    """Sign with another secret; for `keep_s` seconds the one before signs as well."""
    body = {"secret": secret, "keep_s": keep_s}
    return read((yield from call(session, "POST", f"{_path(name)}/secret", body)), NewWebhook)


def test_webhook(session: Session, name: str) -> Flow[DeliveryInfo]:
    """Send a webhook an event of its own. Returns at once; `delivery` says how it goes."""
    return read((yield from call(session, "POST", f"{_path(name)}/test")), DeliveryInfo)


def deliveries(
    session: Session, name: str, *, state: str = "", before: int = 0, limit: int = 50
) -> Flow[list[DeliveryInfo]]:
    """The latest deliveries of a webhook, newest first. `state`: only waiting, delivered or dead ones."""
    query = urlencode({"state": state, "before": before, "limit": limit})
    return (yield from get(session, f"{_path(name)}/deliveries?{query}", _Deliveries)).deliveries


def delivery(session: Session, name: str, number: int) -> Flow[DeliveryDetails]:
    """One delivery with its body and all attempts."""
    return (yield from get(session, f"{_path(name)}/deliveries/{int(number)}", DeliveryDetails))


def redeliver(session: Session, name: str, numbers: Iterable[int] = ()) -> Flow[int]:
    """Send deliveries that are over once more, all dead ones when none is named. How many they are."""
    body = {"numbers": list(numbers)}
    return read((yield from call(session, "POST", f"{_path(name)}/redeliver", body)), _Again).again


def _path(name: str) -> str:
    return f"/v1/webhooks/{quote(name, safe='')}"
