"""Webhooks: sends what was written for them, and what people want of them.

Data flow: the store's outbox -> for each webhook with something due, a task of its own -> `policy.webhooks.pick` ->
signed -> Messenger -> `settle` -> the attempt, kept -> the next one. Nothing is remembered here: a control process
that dies between an answer and its record sends that event again, under the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from inferry.control.messenger import Messenger
from inferry.errors import Conflict, InferryError, InvalidInput
from inferry.interfaces.webhooks import WebhookStore
from inferry.policy import cloudevents, events
from inferry.policy import webhooks as policy
from inferry.policy.destinations import check_url
from inferry.policy.signing import secret_bytes, secret_text, sign
from inferry.security.seal import seal, unseal
from inferry.types.names import check_name
from inferry.types.webhooks import Attempt, Delivery, Webhook
from inferry.version import __version__

log = logging.getLogger(__name__)

LOOK_S = 1.0
NONE_S = 60.0
"""While there is no webhook: whoever adds one wakes the loop."""
TIDY_S = 3600.0
KEPT_S = 30 * 86_400.0
KEPT = 10_000  # deliveries of a webhook that are over
AHEAD = 100
MAX_KEEP_S = 30 * 86_400.0
OFF = "it was turned off"


class Webhooks:
    """One loop, and one task for each webhook that has something to be sent. `source`: who says so, in events."""

    def __init__(
        self, kept: WebhookStore, messenger: Messenger, pepper: bytes, source: str, clock: Callable[[], float]
    ) -> None:
        self._kept = kept
        self._messenger = messenger
        self._pepper = pepper
        self._source = source
        self._clock = clock
        self._work: dict[str, asyncio.Task[None]] = {}
        self._tidy_at = 0.0
        self._news = asyncio.Event()
        self._any = False

    async def run(self) -> None:
        """For ever."""
        try:
            while True:
                self._news.clear()
                pause = LOOK_S
                try:
                    if await self._has_any():
                        await self.look()
                    else:
                        pause = NONE_S
                except InferryError as error:
                    log.warning("the webhooks cannot be looked at: %s", error.sentence())
                except Exception:
                    log.exception("looking at the webhooks failed; trying again")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), pause)
        finally:
            for task in self._work.values():
                task.cancel()

    async def _has_any(self) -> bool:
        """Whether there was a webhook since this began."""
        self._any = self._any or bool(await asyncio.to_thread(self._kept.webhooks))
        return self._any

    async def look(self) -> None:
        """Begin to send what is due."""
        now = self._clock()
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_S
            await asyncio.to_thread(self._kept.forget_deliveries, now - KEPT_S, KEPT)
        due = await asyncio.to_thread(self._kept.due_webhooks, now)
        self._work = {name: task for name, task in self._work.items() if not task.done()}
        for name in due:
            if name not in self._work:
                self._work[name] = asyncio.create_task(self._serve(name))

    async def _serve(self, name: str) -> None:
        """One webhook, until nothing is due for it."""
        try:
            while True:
                hook = await asyncio.to_thread(self._kept.webhook, name)
                chosen = policy.pick(await asyncio.to_thread(self._kept.waiting, name, AHEAD), self._clock())
                if chosen is None or hook.off:
                    return
                await self._send(hook, chosen)
        except InferryError as error:
            log.warning("webhook %s: %s; trying again", name, error.sentence())
        except Exception:
            log.exception("webhook %s failed; trying again", name)

    async def _send(self, hook: Webhook, delivery: Delivery) -> None:
        now = self._clock()
        body = cloudevents.body(delivery, self._source)
        headers = {
            "content-type": cloudevents.MEDIA,
            "user-agent": f"inferry/{__version__}",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": sign(self._keys(hook, now), delivery.id, int(now), body),
        }
        answer = await self._messenger.send(hook.url, headers, body, allow_http=hook.allow_http)
        chance = random.random()  # noqa: S311 - it spreads requests, no more
        tries, after = delivery.tries + 1, answer.retry_after
        settled = policy.settle(answer.status, tries, delivery.since, self._clock(), chance, after)
        attempt = Attempt(number=delivery.attempts + 1, at=now, ms=answer.ms, status=answer.status, words=answer.words)
        await asyncio.to_thread(self._kept.keep_attempt, delivery, attempt, settled.state, settled.due, settled.off)
        if settled.off:
            log.warning("webhook %s is off: %s", hook.name, settled.off)

    def _keys(self, hook: Webhook, now: float) -> list[bytes]:
        """What it is signed with: for a time after a change also the secret before."""
        sealed = [hook.sealed, *([hook.sealed_before] if hook.sealed_before and now < hook.until else [])]
        return [unseal(text, self._pepper) for text in sealed]

    # what people want

    async def add(
        self, url: str, name: str, patterns: tuple[str, ...], secret: str, who: str, *, allow_http: bool
    ) -> dict[str, Any]:
        """Tell an address from now on. The secret is told here, and never again."""
        check_url(url, allow_http=allow_http)
        key = secret_bytes(secret) if secret else secrets.token_bytes(32)
        hook = Webhook(
            name=check_name(name or f"hook-{secrets.token_hex(3)}", "webhook's name"), url=url,
            events=policy.check_patterns(patterns), allow_http=allow_http, sealed=seal(key, self._pepper),
            created=self._clock(), created_by=who,
        )  # fmt: skip
        try:
            await asyncio.to_thread(self._kept.add_webhook, hook)
        finally:
            self._news.set()  # it may have been written though the database went away
        return hook_row(hook) | {"secret": secret_text(key)}

    async def rotate(self, name: str, secret: str, keep_s: float) -> dict[str, Any]:
        """Another secret; for `keep_s` seconds the one before signs as well."""
        if not 0 <= keep_s <= MAX_KEEP_S:
            raise InvalidInput("The old secret cannot sign for so long.", help="Give 0 seconds to 30 days.")
        key = secret_bytes(secret) if secret else secrets.token_bytes(32)
        sealed, until = seal(key, self._pepper), self._clock() + keep_s if keep_s else 0.0

        def change(hook: Webhook) -> Webhook:
            return msgspec.structs.replace(
                hook, sealed=sealed, sealed_before=hook.sealed if keep_s else "", until=until
            )

        made = await asyncio.to_thread(self._kept.change_webhook, name, change)
        return hook_row(made) | {"secret": secret_text(key)}

    async def turn(self, name: str, *, on: bool) -> dict[str, Any]:
        """Tell it again, or no more. What waits then is sent when it is on again."""

        def change(hook: Webhook) -> Webhook:
            return msgspec.structs.replace(hook, off="" if on else hook.off or OFF)

        return hook_row(await asyncio.to_thread(self._kept.change_webhook, name, change))

    async def test(self, name: str, who: str) -> dict[str, Any]:
        """Send it an event of its own now."""
        hook = await asyncio.to_thread(self._kept.webhook, name)
        if hook.off:
            raise Conflict(f"The webhook {name!r} is off: {hook.off}.", help=f"Turn it on: inferry webhooks on {name}")
        return delivery_row(
            await asyncio.to_thread(self._kept.add_delivery, name, events.test(name, self._clock(), who))
        )

    async def redeliver(self, name: str, numbers: tuple[int, ...]) -> dict[str, Any]:
        """Send deliveries that are over once more: those, or all that are dead."""
        return {"again": await asyncio.to_thread(self._kept.send_again, name, numbers, self._clock())}

    async def remove(self, name: str) -> None:
        """Tell it nothing more, and forget its deliveries."""
        await asyncio.to_thread(self._kept.delete_webhook, name)

    def listed(self) -> list[dict[str, Any]]:
        """All, without their secrets."""
        return [hook_row(hook) for hook in self._kept.webhooks()]

    def deliveries(self, name: str, state: str, before: int, limit: int) -> list[dict[str, Any]]:
        """The latest, newest first."""
        return [delivery_row(one) for one in self._kept.deliveries(name, state=state, before=before, limit=limit)]

    def delivery(self, name: str, number: int) -> dict[str, Any]:
        """One delivery with its body and all its attempts."""
        attempts = self._kept.attempts(name, number)
        (found,) = self._kept.deliveries(name, before=number + 1, limit=1)
        body = cloudevents.body(found, self._source).decode()
        return delivery_row(found) | {"body": body, "tried": msgspec.to_builtins(attempts)}


def hook_row(hook: Webhook) -> dict[str, Any]:
    """A webhook as the API shows it: without its secrets."""
    row: dict[str, Any] = msgspec.to_builtins(hook)
    for secret in ("sealed", "sealed_before"):
        del row[secret]
    return row


def delivery_row(delivery: Delivery) -> dict[str, Any]:
    """A delivery as the API shows it."""
    row: dict[str, Any] = msgspec.to_builtins(delivery)
    event = row.pop("event")
    return row | {"type": event["type"], "subject": event["subject"], "at": event["at"]}
