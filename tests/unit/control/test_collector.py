"""Unused bundles and environments go when nothing is being deployed, and not before."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace

from inferry.control.collector import Collector, environments_of


def version(digest):
    return SimpleNamespace(manifest=SimpleNamespace(environment=SimpleNamespace(digest=digest)))


class Store:
    def __init__(self, **digests):
        self.kept = digests

    def models(self):
        return [SimpleNamespace(name=name) for name in self.kept]

    def bundles(self):
        return {f"bundle of {model}" for model in self.kept}

    def versions(self, model):
        return [version(digest) for digest in self.kept[model]]


class Blobs:
    def __init__(self):
        self.removed = []

    def delete(self, digest):
        self.removed.append(digest)


class Environments:
    def __init__(self):
        self.asked = []

    def remove_unused(self, keep):
        self.asked.append(keep)
        return []


def test_versions_name_what_is_kept():
    assert environments_of(Store(one=["a", "b"], two=["b"])) == {"a", "b"}


async def test_what_no_version_needs_is_removed_at_once_when_nothing_is_deployed():
    store, environments = Store(one=["a"]), Environments()
    await Collector(store, Blobs(), environments).collect(set())
    assert environments.asked == [{"a"}]


async def test_a_removal_waits_for_the_last_deploy_and_sees_its_version():
    store, environments = Store(one=["a"]), Environments()
    collector = Collector(store, Blobs(), environments)
    async with collector.working():
        async with collector.working():
            await collector.collect(set())
        await collector.collect(set())
        assert environments.asked == []
        store.kept["two"] = ["b"]
    assert environments.asked == [{"a", "b"}]


async def test_bundles_wait_too_and_stay_when_a_deploy_pins_them_again():
    store, blobs = Store(), Blobs()
    collector = Collector(store, blobs, Environments())
    async with collector.working():
        await collector.collect({"bundle of one", "bundle of two"})
        assert blobs.removed == []
        store.kept["two"] = ["b"]
    assert blobs.removed == ["bundle of one"]


async def test_a_failed_deploy_lets_the_removal_go_on_too():
    environments = Environments()
    collector = Collector(Store(), Blobs(), environments)
    with contextlib.suppress(ZeroDivisionError):
        async with collector.working():
            await collector.collect(set())
            1 / 0  # noqa: B018
    assert environments.asked == [set()]


async def test_a_deploy_waits_while_environments_are_removed():
    store, environments = Store(), Environments()
    collector = Collector(store, Blobs(), environments)
    order = []

    def slow(keep):
        import time

        time.sleep(0.1)
        order.append("removed")
        return []

    environments.remove_unused = slow

    async def deploy():
        async with collector.working():
            order.append("deploys")

    removing = asyncio.create_task(collector.collect(set()))
    await asyncio.sleep(0.02)
    await deploy()
    await removing
    assert order == ["removed", "deploys"]
