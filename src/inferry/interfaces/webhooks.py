"""WebhookStore: who is told what, and what is on its way. Each call is one transaction, durable when it returns.

Events come in by the other stores, in the transaction of what they tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from inferry.types.webhooks import Attempt, Delivery, Event, State, Webhook


class WebhookStore(Protocol):
    """Raises NotFound and Conflict."""

    def add_webhook(self, hook: Webhook) -> None:
        """Tell it from now on. Conflict when its name is taken, or there are too many."""
        ...

    def change_webhook(self, name: str, change: Callable[[Webhook], Webhook]) -> Webhook:
        """Read it, change it, keep that: one transaction."""
        ...

    def delete_webhook(self, name: str) -> None:
        """Forget it, with its deliveries."""
        ...

    def webhooks(self) -> list[Webhook]:
        """All, by name."""
        ...

    def webhook(self, name: str) -> Webhook:
        """One."""
        ...

    def add_delivery(self, hook: str, event: Event) -> Delivery:
        """Tell one webhook something, whatever it asked for."""
        ...

    def due_webhooks(self, now: float) -> list[str]:
        """The names of those that are on and have something due."""
        ...

    def waiting(self, hook: str, limit: int) -> list[Delivery]:
        """What is on its way to a webhook, in order."""
        ...

    def keep_attempt(self, delivery: Delivery, attempt: Attempt, state: State, due: float, off: str) -> None:
        """What came of an attempt. `off`: why its webhook is sent nothing any more; what waits for it is given up."""
        ...

    def deliveries(self, hook: str, *, state: str = "", before: int = 0, limit: int = 50) -> list[Delivery]:
        """The latest of a webhook with numbers under `before` (0: all), newest first."""
        ...

    def attempts(self, hook: str, number: int) -> list[Attempt]:
        """All of a delivery, in order."""
        ...

    def send_again(self, hook: str, numbers: Sequence[int], now: float) -> int:
        """Deliveries that are over are due once more (none named: all that are dead); how many."""
        ...

    def happened(self, event: Event) -> None:
        """Tell whoever wants to know of something that is no change of the store."""
        ...

    def forget_deliveries(self, before: float, most: int) -> int:
        """Remove what was over before then, and of each webhook all but the `most` latest that are over; how many."""
        ...
