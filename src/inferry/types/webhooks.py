"""Webhooks: what happened, told to the addresses that asked for it.

Data flow: a change of the store -> an Event, written in the same transaction for every Webhook that wants its type
-> Delivery -> attempts, each an HTTP request with the same signed body, until one is taken or it is given up.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

EVENT_TYPES = (
    "version.registered", "version.passed", "version.failed",
    "pipeline.begun", "pipeline.stage.begun", "pipeline.stage.waiting", "pipeline.stage.done", "pipeline.stage.failed",
    "pipeline.done", "pipeline.stopped",
    "rollout.started", "rollout.step", "rollout.paused", "rollout.resumed", "rollout.aborted", "rollout.promoted",
    "endpoint.deployed", "endpoint.rolled-back", "endpoint.deleted", "endpoint.replica-killed",
    "experiment.started", "experiment.decided", "experiment.ended",
    "job.succeeded", "job.failed", "job.cancelled",
    "gitops.synced", "gitops.failed",
    "webhook.test",
)  # fmt: skip
"""What can be told. A CloudEvent's type has `inferry.` before it."""

State = Literal["waiting", "delivered", "dead"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. `subject`: to what, such as `models/fraud/versions/7`; `at`: Unix seconds."""

    type: str
    subject: str
    at: float
    data: dict[str, Any] = {}


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """An address that is told. `events`: types, or patterns such as `rollout.*`. `sealed`: its signing secret, for the
    platform alone; `sealed_before`: the one that it replaced, signed with as well until `until`. `off`: why nothing is
    sent ("": it is)."""

    name: str
    url: str
    events: tuple[str, ...] = ("*",)
    allow_http: bool = False
    sealed: str
    sealed_before: str = ""
    until: float = 0.0
    off: str = ""
    created: float
    created_by: str


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a delivery. `status` 0: there was no answer; `words`: why it was not taken."""

    number: int
    at: float
    ms: float
    status: int = 0
    words: str = ""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to a webhook: the `number`-th that it is told. `tries`: attempts since `since`, when it was
    first due; `due`: when the next attempt is. `attempts` counts all, `last` is the latest."""

    hook: str
    number: int
    id: str
    event: Event
    state: State = "waiting"
    tries: int = 0
    since: float
    due: float
    attempts: int = 0
    last: Attempt | None = None
