"""Replicas on a real Ray cluster: a head and three nodes in network namespaces, and `inferry up --backend ray`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import models, processes
from tests.support.platform import CommandFailed, Platform
from tests.support.ray_cluster import RayCluster, missing
from tests.support.steady import Steady, describe

pytestmark = pytest.mark.slow

WAIT_S = 90
BODY = json.dumps({"x": 1}).encode()
FAR = 3  # the node that sees nothing of the platform's folder


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ray") / "platform"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def cluster(place, package_cache):
    """INFERRY_TEST_RAY=required: fail, not skip, where there can be none."""
    why = missing()
    if why:
        (pytest.fail if os.environ.get("INFERRY_TEST_RAY") == "required" else pytest.skip)(why)
    variables = {**package_cache, "UV_OFFLINE": "1"}  # the nodes reach nobody but each other
    made = RayCluster(resources={2: {"GPU": 2}, FAR: {"special": 2}}, hidden={FAR: place}, variables=variables)
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture(scope="module")
def far(cluster, place, package_cache):
    """The platform whose replicas run on the cluster: two gateways speak to each of them."""
    arguments = "--backend", "ray", "--ray-address", cluster.address, "--gateways", "2"
    running = Platform(
        place / "home", *arguments, env={**cluster.env, **package_cache, "INFERRY_RAY_PLACE_TIMEOUT": "15"}
    )
    try:
        yield running.start()
    finally:
        running.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def sample(files: Path) -> Path:
    return models.column_sample(files, "x", [1, 2])


def napping(files: Path, name: str = "napping") -> Path:
    """A model that takes 4 ms."""
    body = "import time\n\nclass Napping:\n    def predict(self, inputs):\n        time.sleep(0.004)\n"
    return models.python_file(files, name, f"{body}        return {{'value': [7] * len(inputs['x'])}}\n")


def hosts(platform: Platform) -> list[str]:
    """Where the replicas are, an address for each."""
    records = []
    for file in (platform.home / "placed").glob("*.json"):
        with contextlib.suppress(FileNotFoundError):  # its replica has just gone
            records.append(json.loads(file.read_text()))
    return sorted(record["address"].removeprefix("tcp://").rpartition(":")[0] for record in records)


def ready(platform: Platform, name: str) -> int:
    return platform.cli("describe", name)["replicas"]["ready"]


def moved(platform: Platform) -> int:
    lines = platform.call("GET", "/metrics").text.splitlines()
    return sum(int(float(line.split()[1])) for line in lines if line.startswith("inferry_requests_moved_total{"))


@pytest.mark.parametrize("backend", ["local", "ray"])
def test_the_same_steps_hold_on_this_machine_and_on_ray(request, backend, files, sample):
    platform: Platform = request.getfixturevalue("platform" if backend == "local" else "far")
    name = f"same-{backend}"
    platform.deploy(models.constant(files, 1), name, sample=sample)
    assert platform.predict(name, {"x": 5})["predictions"] == [{"value": 1}]
    platform.deploy(models.constant(files, 2), name, "--traffic", "0", sample=sample)
    answer = platform.call("POST", f"/predict/{name}", json={"x": 5}, headers={"inferry-revision": "2"})
    assert answer.json()["predictions"] == [{"value": 2}]
    platform.cli("rollback", name) if platform.cli("describe", name)["traffic"] != {"1": 100} else None
    large = {"x": list(range(60_000))}
    assert len(platform.predict(name, large)["predictions"]) == 60_000
    platform.cli("scale", name, "2")
    processes.wait_until(lambda: ready(platform, name) == 2, WAIT_S, "two replicas are ready")
    platform.cli("scale", name, "--min", "0", "--max", "2", "--idle-timeout", "1s")
    processes.wait_until(lambda: ready(platform, name) == 0, WAIT_S, "it sleeps")
    answer = platform.call("POST", f"/predict/{name}", json={"x": 5})
    assert (answer.status_code, "x-inferry-cold-start" in answer.headers) == (200, True)
    platform.cli("delete", name, "--yes")
    processes.wait_until(lambda: not platform.replica_pids() or backend == "local", WAIT_S, "nothing is left of it")


def test_replicas_are_spread_over_the_nodes_and_say_what_they_log_here(far, cluster, files, sample):
    body = "class Talking:\n    def predict(self, inputs):\n        print('spoken far away')\n        return {'value': [1]}\n"
    far.deploy(models.python_file(files, "talking", body), "spread", "--replicas", "3", "--cpus", "0.1", sample=sample)
    assert hosts(far) == sorted(cluster.ip_of(node) for node in (1, 2, 3))
    far.predict("spread", {"x": 1})
    processes.wait_until(lambda: "spoken far away" in far.run("logs", "spread").stdout, WAIT_S, "the log is here")
    far.cli("delete", "spread", "--yes")
    processes.wait_until(lambda: not hosts(far), WAIT_S, "the replicas are gone")


def test_a_node_with_disks_of_its_own_is_sent_the_bundle_and_builds_the_environment(far, cluster, files, sample):
    folder = models.with_requirements(files, "six", "1.17.0")
    far.deploy(folder, "sent", "--resource", "special=1", sample=sample)
    assert hosts(far) == [cluster.ip_of(FAR)]
    assert far.predict("sent", {"x": 1})["predictions"] == [{"version": "1.17.0"}]
    assert list((cluster.folder / f"home-{FAR}" / "bundles").iterdir())
    far.cli("delete", "sent", "--yes")


def test_where_there_is_no_room_it_says_what_is_missing(far, files, sample):
    with pytest.raises(CommandFailed) as failed:
        far.deploy(models.constant(files, 3), "roomless", "--resource", "special=1.5", "--replicas", "2", sample=sample)
    assert "Free now" in failed.value.stderr + failed.value.stdout
    processes.wait_until(lambda: not hosts(far), WAIT_S, "nothing is left of it")


def test_the_doctor_looks_at_the_cluster(far):
    rows = far.cli("doctor")["checks"]
    assert [row["detail"].partition(" at ")[0] for row in rows if row["name"] == "ray"] == ["4 nodes"]


def test_several_gpus_of_a_replica_are_taken_on_one_node_all_or_none(cluster):
    """GPUs that are declared and not there, so an actor stands for the replica's host."""
    script = f"""
import asyncio
from inferry.backends.ray_cluster import Cluster
from inferry.policy.placement import Place
class Where:
    def __init__(self, _):
        pass
    async def told(self):
        import ray
        return ray.util.get_node_ip_address(), ray.get_gpu_ids()
async def main():
    cluster, place = Cluster({cluster.address!r}, "gangs"), Place(cpus=0.1, gpus=2)
    host = await cluster.make(Where, b"", "first", place, await cluster.gang("first", place))
    print(await host.told.remote())
    while " 0 GPU" not in (said := await cluster.missing(place)):  # nodes tell what is free now and then
        await asyncio.sleep(0.1)
    print(said)
    await cluster.end(host, "first", gang=True)
    host = await cluster.make(Where, b"", "second", place, await cluster.gang("second", place))
    print(await host.told.remote(), await cluster.names())
    await cluster.end(host, "second", gang=True)
    print(await cluster.missing(Place(cpus=0.1, gpus=4)))
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **cluster.env}, capture_output=True, text=True,
        timeout=WAIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, full, second, never = done.stdout.splitlines()
    assert first == f"('{cluster.ip_of(2)}', [0, 1])"
    assert "0 GPU" in full
    assert second == f"{first} ['second']"
    assert "needs 0.1 CPU, 4 GPU; none of the 4 nodes has GPU" in never


def test_a_control_process_that_comes_back_finds_the_replicas(far, files, sample):
    far.deploy(napping(files), "kept", "--replicas", "2", "--cpus", "0.1", sample=sample)
    pids = far.cli("describe", "kept")["replicas"]["pids"]
    with Steady(f"{far.http}/predict/kept", BODY, far.key, rate=100) as load:
        os.kill(far.control_pid(), signal.SIGKILL)
        time.sleep(1)

        def known() -> bool:
            told = far.run("describe", "kept", "--json")
            return told.returncode == 0 and sorted(json.loads(told.stdout)["replicas"]["pids"]) == sorted(pids)

        processes.wait_until(known, WAIT_S, "control knows the same replicas")
    assert not load.failures, describe(load.failures)
    far.cli("delete", "kept", "--yes")
    processes.wait_until(lambda: not hosts(far), WAIT_S, "the replicas are gone")


def test_a_killed_node_fails_no_request_and_its_replicas_start_elsewhere(far, cluster, files, sample):
    far.deploy(napping(files), "node-loss", "--replicas", "3", "--cpus", "0.1", sample=sample)
    assert hosts(far) == sorted(cluster.ip_of(node) for node in (1, 2, 3))
    before = moved(far)
    with Steady(f"{far.http}/predict/node-loss", BODY, far.key, rate=300) as load:
        time.sleep(2)
        killed = time.monotonic()
        cluster.kill(1)
        ended = time.monotonic()
        processes.wait_until(lambda: hosts(far).count(cluster.ip_of(1)) == 0, WAIT_S, "the node is given up")
        processes.wait_until(lambda: len(hosts(far)) == 3 and ready(far, "node-loss") == 3, WAIT_S, "three run again")
        back = time.monotonic() - killed
        time.sleep(1)
    in_flight = [o for o in load.outcomes if o.sent <= ended and o.sent + o.seconds >= killed]
    print(
        f"sent {len(load.outcomes)}, moved {moved(far) - before}, under way {len(in_flight)}, capacity back {back:.1f} s"
    )
    assert not load.failures, describe(load.failures)
    assert moved(far) - before <= len(in_flight)
    assert set(hosts(far)) == {cluster.ip_of(2), cluster.ip_of(3)}
    far.cli("delete", "node-loss", "--yes")
    processes.wait_until(lambda: not hosts(far), WAIT_S, "the replicas are gone")


def test_a_node_that_is_cut_off_the_network_fails_no_request_either(far, cluster, files, sample):
    far.deploy(napping(files, "cut"), "node-cut", "--replicas", "3", "--cpus", "0.1", sample=sample)
    assert cluster.ip_of(2) in hosts(far)
    with Steady(f"{far.http}/predict/node-cut", BODY, far.key, rate=100) as load:
        time.sleep(1)
        cluster.cut(2)
        processes.wait_until(lambda: cluster.ip_of(2) not in hosts(far), WAIT_S, "the node is given up")
        processes.wait_until(lambda: ready(far, "node-cut") == 3, WAIT_S, "three run again")
        time.sleep(1)
    assert not load.failures, describe(load.failures)
