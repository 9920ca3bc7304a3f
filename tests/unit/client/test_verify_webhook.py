"""Verifying what a webhook sent: the right secret, the bytes as they came, and in time."""

from __future__ import annotations

import pytest

from inferry.client import verify_webhook
from inferry.errors import BadSignature, InvalidInput
from inferry.policy import cloudevents, events
from inferry.policy.signing import secret_text, sign
from inferry.types.webhooks import Delivery

KEY, OTHER = b"k" * 32, b"o" * 32
NOW = 1_700_000_000
SENT = Delivery(hook="ops", number=7, id="evt_1", event=events.test("ops", NOW + 0.25, "ann"), since=NOW, due=NOW)
BODY = cloudevents.body(SENT, "urn:inferry:host")


def headers(*keys, at=NOW):
    return {"Webhook-Id": "evt_1", "Webhook-Timestamp": str(at), "Webhook-Signature": sign(keys, "evt_1", at, BODY)}


def test_an_event_is_what_was_sent():
    event = verify_webhook(BODY, headers(KEY), secret_text(KEY), now=NOW)
    assert (event.id, event.type, event.subject) == ("evt_1", "inferry.webhook.test", "webhooks/ops")
    assert (event.source, event.time, event.sequence) == (
        "urn:inferry:host",
        "2023-11-14T22:13:20.250Z",
        "000000000007",
    )
    assert event.data == {"webhook": "ops", "by": "ann"}


def test_while_a_secret_is_changed_both_verify():
    for secret in (KEY, OTHER):
        assert verify_webhook(BODY, headers(KEY, OTHER), secret_text(secret), now=NOW)
    assert verify_webhook(BODY, headers(KEY), [secret_text(OTHER), secret_text(KEY)], now=NOW)


@pytest.mark.parametrize("late", [-301, 301])
def test_an_old_request_cannot_be_sent_again(late):
    with pytest.raises(BadSignature, match="too long ago"):
        verify_webhook(BODY, headers(KEY), secret_text(KEY), now=NOW + late)
    assert verify_webhook(BODY, headers(KEY), secret_text(KEY), now=NOW + late, tolerance_s=400)


def test_everything_else_is_refused():
    with pytest.raises(BadSignature, match="does not fit"):
        verify_webhook(BODY, headers(OTHER), secret_text(KEY), now=NOW)
    with pytest.raises(BadSignature, match="does not fit"):
        verify_webhook(BODY + b" ", headers(KEY), secret_text(KEY), now=NOW)
    with pytest.raises(BadSignature, match="not signed"):
        verify_webhook(BODY, {}, secret_text(KEY), now=NOW)
    with pytest.raises(BadSignature, match="too long ago"):
        verify_webhook(BODY, headers(KEY) | {"webhook-timestamp": "soon"}, secret_text(KEY), now=NOW)
    with pytest.raises(InvalidInput):
        verify_webhook(BODY, headers(KEY), "secret", now=NOW)
    odd = sign([KEY], "evt_1", NOW, b"[]")
    with pytest.raises(BadSignature, match="no event"):
        verify_webhook(b"[]", headers(KEY) | {"Webhook-Signature": odd}, secret_text(KEY), now=NOW)
