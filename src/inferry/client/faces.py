"""The two faces of the client. Every method is a flow, run by the one transport or the other:

    Client.models()              = SyncTransport.run(registry.models(session))
    await AsyncClient.models()   = AsyncTransport.run(registry.models(session))

so there is no twin to keep in step; arguments, types and documentation are the flow's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, Generic, ParamSpec, Self, TypeVar

from inferry.client import control, deploys, gitops, inference, pipelines, replays, session
from inferry.client import experiments as trials
from inferry.client import feedback as truths
from inferry.client import jobs as work
from inferry.client import rollouts as moves
from inferry.client import versions as registry
from inferry.client import webhooks as hooks
from inferry.client.inference import Handle
from inferry.client.job_answers import BatchSummary
from inferry.client.session import Session
from inferry.client.settings import Settings, resolve
from inferry.client.transport import AsyncTransport, SyncTransport
from inferry.client.wire import Flow
from inferry.objects import is_object_url

S = TypeVar("S")
T = TypeVar("T")
P = ParamSpec("P")


class _SyncFace(Generic[S]):
    def __init__(self, subject: S, transport: SyncTransport) -> None:
        self._subject = subject
        self._transport = transport


class _AsyncFace(Generic[S]):
    def __init__(self, subject: S, transport: AsyncTransport) -> None:
        self._subject = subject
        self._transport = transport


def _sync(flow: Callable[Concatenate[S, P], Flow[T]]) -> Callable[Concatenate[_SyncFace[S], P], T]:
    @wraps(flow)
    def method(self: _SyncFace[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._transport.run(flow(self._subject, *args, **kwargs))

    return method


def _async(flow: Callable[Concatenate[S, P], Flow[T]]) -> Callable[Concatenate[_AsyncFace[S], P], Awaitable[T]]:
    @wraps(flow)
    async def method(self: _AsyncFace[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._transport.run(flow(self._subject, *args, **kwargs))

    return method


class Endpoint(_SyncFace[Handle]):
    """An endpoint to call: `client.endpoint("fraud").predict(data)`."""

    predict = _sync(inference.predict)
    ask = _sync(inference.ask)
    metadata = _sync(inference.metadata)
    example = _sync(inference.example)

    def __repr__(self) -> str:
        return f"<Endpoint {self._subject.name}>"


class AsyncEndpoint(_AsyncFace[Handle]):
    """An endpoint to await: `await client.endpoint("fraud").predict(data)`."""

    predict = _async(inference.predict)
    ask = _async(inference.ask)
    metadata = _async(inference.metadata)
    example = _async(inference.example)

    def __repr__(self) -> str:
        return f"<AsyncEndpoint {self._subject.name}>"


class Client(_SyncFace[Session]):
    """A platform, spoken to by blocking calls. Made by `inferry.connect`; may be shared between threads."""

    info = _sync(session.info)
    status = _sync(control.status)
    deploy = _sync(deploys.deploy)
    push = _sync(deploys.push)
    models = _sync(registry.models)
    versions = _sync(registry.versions)
    version = _sync(registry.version)
    fetch_bundle = _sync(registry.fetch_bundle)
    keep_test = _sync(registry.keep_test)
    tests = _sync(registry.tests)
    test_report = _sync(registry.test_report)
    endpoints = _sync(control.endpoints)
    describe = _sync(control.describe)
    rollback = _sync(control.rollback)
    traffic = _sync(control.traffic)
    share_out = _sync(control.share_out)
    begin_rollout = _sync(moves.begin_rollout)
    rollouts = _sync(moves.rollouts)
    rollout = _sync(moves.rollout)
    act_on_rollout = _sync(moves.act_on_rollout)
    feedback = _sync(truths.feedback)
    quality = _sync(truths.quality)
    replay = _sync(replays.replay)
    inputs = _sync(replays.inputs)
    forget_inputs = _sync(replays.forget_inputs)
    plan_project = _sync(pipelines.plan_project)
    apply_project = _sync(pipelines.apply_project)
    project = _sync(pipelines.project)
    runs = _sync(pipelines.runs)
    run = _sync(pipelines.run)
    start_run = _sync(pipelines.start_run)
    act_on_run = _sync(pipelines.act_on_run)
    begin_experiment = _sync(trials.begin_experiment)
    experiments = _sync(trials.experiments)
    experiment = _sync(trials.experiment)
    end_experiment = _sync(trials.end_experiment)
    add_webhook = _sync(hooks.add_webhook)
    webhooks = _sync(hooks.webhooks)
    remove_webhook = _sync(hooks.remove_webhook)
    turn_webhook = _sync(hooks.turn_webhook)
    rotate_webhook = _sync(hooks.rotate_webhook)
    test_webhook = _sync(hooks.test_webhook)
    deliveries = _sync(hooks.deliveries)
    delivery = _sync(hooks.delivery)
    redeliver = _sync(hooks.redeliver)
    follow = _sync(gitops.follow)
    repository = _sync(gitops.repository)
    sync_repository = _sync(gitops.sync_repository)
    unfollow = _sync(gitops.unfollow)
    scale = _sync(control.scale)
    scaling = _sync(control.scaling)
    warm = _sync(control.warm)
    logs = _sync(control.logs)
    delete = _sync(control.delete)
    delete_version = _sync(registry.delete_version)
    delete_model = _sync(registry.delete_model)
    diff = _sync(registry.diff)
    protect = _sync(registry.protect)
    unprotect = _sync(registry.unprotect)
    prune = _sync(registry.prune)
    retention = _sync(registry.retention)
    set_retention = _sync(registry.set_retention)
    delete_retention = _sync(registry.delete_retention)
    aliases = _sync(registry.aliases)
    move_alias = _sync(registry.move_alias)
    delete_alias = _sync(registry.delete_alias)
    keys = _sync(control.keys)
    create_key = _sync(control.create_key)
    revoke_key = _sync(control.revoke_key)
    runtimes = _sync(control.runtimes)
    doctor = _sync(control.doctor)
    submit_job = _sync(work.submit_job)
    job = _sync(work.job)
    jobs = _sync(work.jobs)
    job_result = _sync(work.job_result)
    cancel_job = _sync(work.cancel_job)
    retry_job = _sync(work.retry_job)

    def __init__(self, settings: Settings, *, timeout: float = 30.0, retries: int = 2) -> None:
        self._home = settings.home
        super().__init__(Session(settings, timeout=timeout, retries=retries), SyncTransport(tls=_speaks_tls(settings)))

    def endpoint(self, name: str) -> Endpoint:
        """The endpoint of that name. Nothing is asked of the server yet."""
        return Endpoint(Handle(self._subject, name), self._transport)

    def batch(
        self,
        endpoint: str,
        source: str | Path,
        target: str | Path,
        *,
        overwrite: bool = False,
        fail_fast: bool = False,
        tell: Callable[[int, int, int], None] | None = None,
    ) -> BatchSummary:
        """Score a CSV, JSON lines or Parquet file into another, or all of a folder; killed, the same call goes on.

        A row that cannot be scored has its error in the column `error`; with `fail_fast` it ends the call. `overwrite`:
        begin anew. `tell` hears rows done, rows failed and about how many there are. Both places may be `s3://` URLs.
        """
        from inferry.client.batch.run import score_files

        if any(is_object_url(str(place)) for place in (source, target)):
            from inferry.client.batch.places import score_places

            return score_places(
                self._subject, self._transport, endpoint, str(source), str(target), self._home / "batch",
                overwrite=overwrite, fail_fast=fail_fast, tell=tell,
            )  # fmt: skip
        return score_files(
            self._subject, self._transport, endpoint, Path(source), Path(target), overwrite=overwrite,
            fail_fast=fail_fast, tell=tell,
        )  # fmt: skip

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._subject.control}>"


class AsyncClient(_AsyncFace[Session]):
    """A platform, spoken to from an event loop. Made by `inferry.connect_async`."""

    info = _async(session.info)
    status = _async(control.status)
    deploy = _async(deploys.deploy)
    push = _async(deploys.push)
    models = _async(registry.models)
    versions = _async(registry.versions)
    version = _async(registry.version)
    fetch_bundle = _async(registry.fetch_bundle)
    keep_test = _async(registry.keep_test)
    tests = _async(registry.tests)
    test_report = _async(registry.test_report)
    endpoints = _async(control.endpoints)
    describe = _async(control.describe)
    rollback = _async(control.rollback)
    traffic = _async(control.traffic)
    share_out = _async(control.share_out)
    begin_rollout = _async(moves.begin_rollout)
    rollouts = _async(moves.rollouts)
    rollout = _async(moves.rollout)
    act_on_rollout = _async(moves.act_on_rollout)
    feedback = _async(truths.feedback)
    quality = _async(truths.quality)
    replay = _async(replays.replay)
    inputs = _async(replays.inputs)
    forget_inputs = _async(replays.forget_inputs)
    plan_project = _async(pipelines.plan_project)
    apply_project = _async(pipelines.apply_project)
    project = _async(pipelines.project)
    runs = _async(pipelines.runs)
    run = _async(pipelines.run)
    start_run = _async(pipelines.start_run)
    act_on_run = _async(pipelines.act_on_run)
    begin_experiment = _async(trials.begin_experiment)
    experiments = _async(trials.experiments)
    experiment = _async(trials.experiment)
    end_experiment = _async(trials.end_experiment)
    add_webhook = _async(hooks.add_webhook)
    webhooks = _async(hooks.webhooks)
    remove_webhook = _async(hooks.remove_webhook)
    turn_webhook = _async(hooks.turn_webhook)
    rotate_webhook = _async(hooks.rotate_webhook)
    test_webhook = _async(hooks.test_webhook)
    deliveries = _async(hooks.deliveries)
    delivery = _async(hooks.delivery)
    redeliver = _async(hooks.redeliver)
    follow = _async(gitops.follow)
    repository = _async(gitops.repository)
    sync_repository = _async(gitops.sync_repository)
    unfollow = _async(gitops.unfollow)
    scale = _async(control.scale)
    scaling = _async(control.scaling)
    warm = _async(control.warm)
    logs = _async(control.logs)
    delete = _async(control.delete)
    delete_version = _async(registry.delete_version)
    delete_model = _async(registry.delete_model)
    diff = _async(registry.diff)
    protect = _async(registry.protect)
    unprotect = _async(registry.unprotect)
    prune = _async(registry.prune)
    retention = _async(registry.retention)
    set_retention = _async(registry.set_retention)
    delete_retention = _async(registry.delete_retention)
    aliases = _async(registry.aliases)
    move_alias = _async(registry.move_alias)
    delete_alias = _async(registry.delete_alias)
    keys = _async(control.keys)
    create_key = _async(control.create_key)
    revoke_key = _async(control.revoke_key)
    runtimes = _async(control.runtimes)
    doctor = _async(control.doctor)
    submit_job = _async(work.submit_job)
    job = _async(work.job)
    jobs = _async(work.jobs)
    job_result = _async(work.job_result)
    cancel_job = _async(work.cancel_job)
    retry_job = _async(work.retry_job)

    def __init__(self, settings: Settings, *, timeout: float = 30.0, retries: int = 2) -> None:
        self._settings = settings
        super().__init__(Session(settings, timeout=timeout, retries=retries), AsyncTransport(tls=_speaks_tls(settings)))

    def endpoint(self, name: str) -> AsyncEndpoint:
        """The endpoint of that name. Nothing is asked of the server yet."""
        return AsyncEndpoint(Handle(self._subject, name), self._transport)

    async def batch(
        self,
        endpoint: str,
        source: str | Path,
        target: str | Path,
        *,
        overwrite: bool = False,
        fail_fast: bool = False,
        tell: Callable[[int, int, int], None] | None = None,
    ) -> BatchSummary:
        """As Client.batch, in a thread."""
        import asyncio

        with Client(self._settings, timeout=self._subject.timeout, retries=self._subject.retries) as client:
            return await asyncio.to_thread(
                client.batch, endpoint, source, target, overwrite=overwrite, fail_fast=fail_fast, tell=tell
            )

    batch.__doc__ = Client.batch.__doc__

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._subject.control}>"


def connect(
    url: str | None = None,
    key: str | None = None,
    home: str | Path | None = None,
    *,
    timeout: float = 30.0,
    retries: int = 2,
) -> Client:
    """A client of the platform that runs on this machine, or of the one at `url`.

    `url` is the control API's address, or an inference listener's when only predictions are
    wanted. What is not given comes from INFERRY_URL, INFERRY_API_KEY and INFERRY_HOME, then
    from the files that `inferry up` keeps in its home. `timeout` is in seconds, for each
    request; `retries` is how often a request that surely was not run is tried again.
    """
    return Client(resolve(url, key, home), timeout=timeout, retries=retries)


def connect_async(
    url: str | None = None,
    key: str | None = None,
    home: str | Path | None = None,
    *,
    timeout: float = 30.0,
    retries: int = 2,
) -> AsyncClient:
    """Like `connect`, for an event loop: `async with inferry.connect_async() as client`."""
    return AsyncClient(resolve(url, key, home), timeout=timeout, retries=retries)


def _speaks_tls(settings: Settings) -> bool:
    return "https" in (settings.control.split(":")[0], settings.http.split(":")[0])
