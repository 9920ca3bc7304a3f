"""CloudEvents 1.0 in JSON: what a webhook's body is. Pure.

Data flow: Delivery + where it happened -> the same bytes at every attempt -> `parse` at the receiver.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md; `sequence` is that of the
extension of this name: a text whose order is the order of the events.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from inferry.types.webhooks import Delivery

MEDIA = "application/cloudevents+json"
TYPE = "inferry."


def body(delivery: Delivery, source: str) -> bytes:
    """The event as it is sent."""
    event = delivery.event
    at = datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    document = {
        "specversion": "1.0", "id": delivery.id, "source": source, "type": TYPE + event.type, "subject": event.subject,
        "time": at, "datacontenttype": "application/json", "sequence": f"{delivery.number:012d}", "data": event.data,
    }  # fmt: skip
    return msgspec.json.encode(document)
