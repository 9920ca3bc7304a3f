"""The Python SDK and the typed control client: no server code.

    import inferry
    inferry.connect().endpoint("fraud").predict(frame)

Neither numpy nor pandas nor httpx is imported before something needs it.
"""

from inferry.client.faces import AsyncClient, AsyncEndpoint, Client, Endpoint, connect, connect_async
from inferry.client.results import Prediction
from inferry.client.webhooks import CloudEvent, verify_webhook

__all__ = [
    "AsyncClient",
    "AsyncEndpoint",
    "Client",
    "CloudEvent",
    "Endpoint",
    "Prediction",
    "connect",
    "connect_async",
    "verify_webhook",
]
