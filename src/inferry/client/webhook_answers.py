"""What the control API answers about webhooks, as typed values. Times are Unix seconds."""

from __future__ import annotations

import msgspec

from inferry.types.webhooks import Attempt


class WebhookInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An address that is told. `off`: why nothing is sent ("": it is). `until`: so long the secret before signs too."""

    name: str
    url: str
    events: tuple[str, ...]
    allow_http: bool = False
    until: float = 0.0
    off: str = ""
    created: float = 0.0
    created_by: str = ""


class NewWebhook(WebhookInfo, frozen=True, kw_only=True):
    """A webhook with its secret: the only time that it is shown."""

    secret: str

    def __repr__(self) -> str:
        return f"NewWebhook(name={self.name!r}, url={self.url!r}, secret='whsec_...')"


class DeliveryInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to a webhook. `state`: waiting, delivered or dead; `due`: when it is tried next; `attempts`:
    how many there were, `last`: the latest."""

    hook: str
    number: int
    id: str
    type: str
    subject: str
    at: float
    state: str
    tries: int
    since: float
    due: float
    attempts: int
    last: Attempt | None = None


class DeliveryDetails(DeliveryInfo, frozen=True, kw_only=True):
    """A delivery with what is sent, and every attempt."""

    body: str
    tried: tuple[Attempt, ...] = ()
