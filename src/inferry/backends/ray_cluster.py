"""A Ray cluster as the backend needs it: joined when first needed, asked for nodes, for a place, for what is missing.

Data flow: ReplicaSpec -> `place` (what it needs of a node) -> an actor that Ray puts somewhere -> a handle. Calls to
Ray that wait for its head run in threads. Ray's own words are put into errors that say what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from inferry.backends.devices import find_devices
from inferry.errors import MissingPlugin, Unavailable
from inferry.policy.placement import Node, Place, missing
from inferry.types.devices import Devices, Gpu

log = logging.getLogger(__name__)

T = TypeVar("T")

ANSWER_S, END_S = 30.0, 3.0
NODE_ID = "ray.io/node-id"
JOIN_HELP = (
    "See that the cluster runs (ray status), that this machine is one of its nodes (ray start --address=HOST:PORT), "
    "and that RAY_AUTH_MODE and RAY_AUTH_TOKEN are the cluster's."
)


class Cluster:
    """One cluster. `address`: HOST:PORT of its head, `auto` for the one that this machine is a node of."""

    def __init__(self, address: str, namespace: str) -> None:
        self.address = address
        self.namespace = namespace
        self._lock = asyncio.Lock()
        self._ray: Any = None

    async def join(self) -> Any:
        """The package ray, connected. Raises MissingPlugin, Unavailable."""
        async with self._lock:
            return await asyncio.to_thread(self._joined)

    def _joined(self) -> Any:
        if self._ray is None or not self._ray.is_initialized():
            self._ray = self._join()
        return self._ray

    def _join(self) -> Any:
        ray = load()
        try:
            ray.init(
                address=self.address, namespace=self.namespace, log_to_driver=False, configure_logging=False,
                ignore_reinit_error=True,
            )  # fmt: skip
        except Exception as error:
            log.warning("ray.init: %s", error)
            why = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise Unavailable(f"The Ray cluster at {self.address} cannot be joined: {why}", help=JOIN_HELP) from error
        return ray

    async def make(self, kind: type, argument: bytes, name: str, place: Place, group: Any = None) -> Any:
        """A detached actor of this class somewhere. `group`: the placement group that it lives in."""
        ray = await self.join()
        options: dict[str, Any] = {
            "name": name, "namespace": self.namespace, "lifetime": "detached", "max_restarts": 0,
            "max_concurrency": 100, "num_cpus": place.cpus, "num_gpus": place.gpus, "memory": place.memory or None,
            "resources": dict(place.resources) or None,
        }  # fmt: skip
        if group is not None:
            from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

            options["scheduling_strategy"] = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
        else:
            first, *others = selectors(place)
            options |= {"scheduling_strategy": "SPREAD", "label_selector": first}
            if others:
                options["fallback_strategy"] = [{"label_selector": other} for other in others]
        return await patiently(lambda: ray.remote(kind).options(**options).remote(argument))

    async def gang(self, name: str, place: Place) -> Any:
        """All GPUs of one replica, on one node and taken at once or not at all: a placement group."""
        await self.join()
        from ray.util import placement_group

        bundle = {"CPU": place.cpus, "GPU": place.gpus, **place.resources}
        if place.memory:
            bundle["memory"] = place.memory
        selector = selectors(place._replace(beside=()))[0]
        return await patiently(
            lambda: placement_group(
                [bundle], strategy="STRICT_PACK", name=name, lifetime="detached", bundle_label_selector=[selector]
            )
        )

    async def find(self, name: str) -> Any:
        """The handle of an actor, None when there is none."""
        ray = await self.join()
        try:
            return await patiently(lambda: ray.get_actor(name, self.namespace))
        except ValueError:
            return None

    async def names(self) -> list[str]:
        """All actors of this platform."""
        ray = await self.join()
        known = await patiently(lambda: ray.util.list_named_actors(True))
        return [each["name"] for each in known if each["namespace"] == self.namespace]

    async def end(self, handle: Any, name: str, *, gang: bool = False) -> None:
        """End an actor and give its place back. Nothing happens when it is gone."""
        try:
            ray = await self.join()
            if handle is not None:
                with contextlib.suppress(Exception):  # it ends in the midst of the call
                    await asyncio.wait_for(handle.end.remote(), END_S)
                await patiently(lambda: ray.kill(handle))
            if gang:
                from ray.util import get_placement_group, remove_placement_group

                await patiently(lambda: remove_placement_group(get_placement_group(name)))
        except Exception as error:  # noqa: BLE001 - whatever Ray raises of what is gone
            log.info("%s could not be ended: %s", name, error)

    async def missing(self, place: Place) -> str:
        """What the cluster lacks for it, for people."""
        ray = await self.join()
        return missing(place, await patiently(lambda: nodes(ray)))

    def devices(self) -> Devices:
        """What all nodes together have. Called in a thread.

        Models are inspected on this machine, so GPUs count only when there is one here as well.
        """
        there = self._joined().cluster_resources()
        count, own = int(there.get("GPU", 0)), find_devices().gpus
        note = "the Ray cluster has no GPU"
        if count and not own:
            note = f"the Ray cluster has {count} GPUs, but models are inspected on this machine, which has none"
        gpus = tuple(
            Gpu(index=index, id=f"ray-{index}", name="of the Ray cluster", memory_mb=0, free_mb=1 << 30)
            for index in range(count if own else 0)
        )
        cores, tpus = int(there.get("CPU", 0)), int(there.get("TPU", 0))
        return Devices(cores=cores, gpus=gpus, tpus=tpus, note=note, elsewhere=True)

    def nodes(self) -> list[Node]:
        """The nodes that are alive. Called in a thread."""
        return nodes(self._joined())

    def leave(self) -> None:
        """Hang up."""
        if self._ray is not None:
            self._ray.shutdown()


async def patiently(work: Callable[[], T]) -> T:
    """What waits for Ray's head, in a thread. Raises Unavailable when that does not answer."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(work), ANSWER_S)
    except TimeoutError:
        raise Unavailable("Ray's head does not answer.", help=JOIN_HELP) from None


def load() -> Any:
    """The package ray. Raises MissingPlugin."""
    try:
        import ray
    except ImportError as error:
        raise MissingPlugin("The Ray backend needs the package ray.", help="pip install 'inferry[ray]'") from error
    return ray


def nodes(ray: Any) -> list[Node]:
    """The nodes that are alive, with what they have and what of it is free."""
    from ray._private.state import available_resources_per_node

    free = available_resources_per_node()  # type: ignore[no-untyped-call]
    return [
        Node(node["NodeManagerAddress"], node["Resources"], free.get(node["NodeID"], {}))
        for node in ray.nodes()
        if node["Alive"]
    ]


def selectors(place: Place) -> list[dict[str, str]]:
    """Which nodes it may be on, the best first: not beside its own kind, nor where a node seems to be gone."""
    spread = {*place.beside, *place.shunned}
    wanted = [spread, set(place.shunned), set[str]()]
    made: list[dict[str, str]] = []
    for without in wanted:
        selector = {NODE_ID: f"!in({','.join(sorted(without))})"} if without else {}
        if selector not in made:
            made.append(selector)
    return made
