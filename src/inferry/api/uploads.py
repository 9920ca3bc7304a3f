"""Uploads: models received as a stream into staging, and the operations that work on them.

Data flow: a tar stream -> a staging folder of its own -> Service -> an operation's id, at once -> its
events, polled.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import secrets
import time
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from inferry.api.access import Guard, Json
from inferry.api.parse import choice, name_of, number
from inferry.control.service import Service, check_changes
from inferry.control.wishes import Upload, Wish
from inferry.errors import InvalidInput, StorageFull, TooLarge
from inferry.policy.configure import OF_SCALING
from inferry.policy.lineage import check_lineage
from inferry.policy.strategy import DEFAULT_STRATEGY, check_strategy
from inferry.types.conversion import Mode
from inferry.types.lineage import Lineage
from inferry.types.names import version_reference
from inferry.types.registry import Key
from inferry.types.rollout import Strategy

MAX_WAIT_S = 60.0
MODES: tuple[Mode, ...] = ("auto", "never", "require")


class Uploads:
    """Handlers of what takes a while."""

    def __init__(self, service: Service, max_upload: int) -> None:
        self.service = service
        self.max_upload = max_upload

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        return [
            guard.route("POST", "/v1/endpoints/{endpoint}/deploy", "write", self.deploy),
            guard.route("POST", "/v1/models/{model}/versions", "write", self.push),
            guard.route("GET", "/v1/operations/{id}", "read", self.operation),
        ]

    async def deploy(self, request: Request, key: Key) -> Any:
        """Receive an upload, or the name of a version, and begin its deploy."""
        wish = wish_of(request, key)
        named = request.query_params.get("version", "")
        if named:
            started = self.service.release(*version_reference(named), wish)
        else:
            started = self.service.deploy(await self._upload(request, key, wish.endpoint), wish)
        return Json({"operation": started.id}, status_code=202)

    async def push(self, request: Request, key: Key) -> Any:
        """Receive an upload and begin to make a version of it."""
        upload = await self._upload(request, key, name_of(request, "model"))
        return Json({"operation": self.service.push(upload).id}, status_code=202)

    async def _upload(self, request: Request, key: Key, model: str) -> Upload:
        convert: Mode = choice(request, "convert", MODES)
        lineage = lineage_of(request)
        start = time.monotonic()
        archive = await self._receive(request)
        return Upload(
            model=model,
            filename=request.query_params.get("filename", ""),
            archive=archive,
            convert=convert,
            created_by=key.name,
            receive_ms=(time.monotonic() - start) * 1000,
            lineage=lineage,
        )

    async def operation(self, request: Request, key: Key) -> Any:
        """Follow an operation."""
        operation = self.service.operations.get(request.path_params["id"])
        after = int(number(request, "after", 0, 0, 1e9))
        return await operation.wait(after, number(request, "wait", 0.0, 0.0, MAX_WAIT_S))

    async def _receive(self, request: Request) -> Path:
        """Write the upload into a staging folder of its own; it is removed when this fails."""
        folder = self.service.site.staging / secrets.token_hex(8)
        archive = folder / "upload.tar"
        received = 0
        try:
            folder.mkdir(mode=0o700)
            with archive.open("wb") as file:
                async for chunk in request.stream():
                    received += len(chunk)
                    if received > self.max_upload:
                        raise TooLarge(
                            f"The upload is over the limit of {self.max_upload} bytes.",
                            help="Remove what the model does not need.",
                        )
                    await asyncio.to_thread(file.write, chunk)
        except BaseException as error:
            await asyncio.to_thread(remove, folder)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(
                    "The disk is full; nothing was changed.", help="Free space and deploy again."
                ) from error
            raise
        return archive


RESOURCE, AMOUNT = re.compile(r"[A-Za-z0-9][\w.:/-]{0,99}"), re.compile(r"[0-9]{1,6}(\.[0-9]{1,4})?")
OWN_RESOURCES = frozenset({"CPU", "GPU", "memory", "object_store_memory"})
FRACTIONS = {
    "timeout_s", "cpus", "gpus", "target_concurrency", "target_latency_s", "idle_timeout_s", "down_delay_s",
    "wait_price",
}  # fmt: skip


def wish_of(request: Request, key: Key) -> Wish:
    """How the endpoint of the path should serve. Raises InvalidInput."""
    limits = {"replicas": 1e6, "timeout_s": 1e6, "memory_mb": 1e9, "threads": 256, "gpus": 64, "gpu_memory_mb": 1e9}
    limits |= {"cpus": 1e4} | dict.fromkeys((name for name in OF_SCALING if name != "schedule"), 1e6)
    asked = {field: number(request, field, -1.0, 0, high) for field, high in limits.items()}
    changes: dict[str, Any] = {
        field: value if field in FRACTIONS else int(value) for field, value in asked.items() if value >= 0
    }
    if "device" in request.query_params:
        changes["device"] = request.query_params["device"]
    if "option" in request.query_params:
        changes["options"] = options_of(request)
    if "resource" in request.query_params:
        changes["resources"] = resources_of(request)
    check_changes(changes)
    return Wish(
        endpoint=name_of(request, "endpoint"),
        created_by=key.name,
        changes=changes,
        percent=int(number(request, "traffic", 100, 0, 100)),
        keep_warm=choice(request, "keep_warm", ("no", "yes")) == "yes",
        strategy=strategy_of(request),
        allow_breaking=choice(request, "allow_breaking", ("no", "yes")) == "yes",
    )


def options_of(request: Request) -> dict[str, str]:
    """Each `option=NAME=VALUE` of the query; which there are is known when the model is. Raises InvalidInput."""
    made = {}
    for text in request.query_params.getlist("option"):
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InvalidInput(f"{text[:60]!a} is not an option with its value.", help="Write NAME=VALUE.")
        made[name] = value
    return made


def resources_of(request: Request) -> dict[str, float]:
    """Each `resource=NAME=AMOUNT` of the query; an amount of 0 is none. Raises InvalidInput."""
    made = {}
    for text in request.query_params.getlist("resource"):
        name, _, amount = text.partition("=")
        if not RESOURCE.fullmatch(name) or name in OWN_RESOURCES or not AMOUNT.fullmatch(amount):
            raise InvalidInput(
                f"{text[:60]!a} is not a resource with its amount.",
                help="Write NAME=AMOUNT, such as trainium=0.5; cpus, gpus and memory_mb have parameters of their own.",
            )
        made[name] = float(amount)
    return {name: amount for name, amount in made.items() if amount}


def lineage_of(request: Request) -> Lineage:
    """Where an upload comes from, in JSON. Raises InvalidInput."""
    text = request.query_params.get("lineage", "")
    if not text:
        return Lineage()
    try:
        lineage = msgspec.json.decode(text, type=Lineage)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"The lineage cannot be read: {error}.", help="See docs/control-api.md.") from error
    return check_lineage(lineage)


def strategy_of(request: Request) -> Strategy | None:
    """How a rollout gives a deploy its traffic: `default`, a Strategy in JSON, or no rollout. Raises InvalidInput."""
    text = request.query_params.get("rollout", "")
    if text in ("", "default"):
        return DEFAULT_STRATEGY if text else None
    try:
        strategy = msgspec.json.decode(text, type=Strategy)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"The strategy cannot be followed: {error}.", help="See docs/tasks/rollouts.md for its fields."
        ) from error
    check_strategy(strategy)
    return strategy


def remove(folder: Path) -> None:
    """Remove a staging folder with its upload."""
    (folder / "upload.tar").unlink(missing_ok=True)
    if folder.exists():
        os.rmdir(folder)  # noqa: PTH106 - the counterpart of mkdir
