"""The Python SDK and the typed control client: no server code.

    import inferry
    inferry.connect().endpoint("fraud").predict(frame)

Neither numpy nor pandas nor httpx is imported before something needs it.
"""

from inferry.client.faces import AsyncClient, AsyncEndpoint, Client, Endpoint, connect, connect_async
from inferry.client.results import Prediction

__all__ = ["AsyncClient", "AsyncEndpoint", "Client", "Endpoint", "Prediction", "connect", "connect_async"]
