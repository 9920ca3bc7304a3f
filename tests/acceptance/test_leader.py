"""Several control processes over PostgreSQL: one leads, the others take over when it hangs, dies or goes, and who led
before changes nothing any more. Predictions go on through all of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from pathlib import Path

import httpx
import pytest

from inferry.types import frames
from tests.acceptance.test_database import server  # noqa: F401 - a fixture
from tests.support import models, processes
from tests.support.platform import Platform
from tests.support.steady import Steady, describe

BODY = json.dumps({"x": 1}).encode()
WAIT_S = 60


@pytest.fixture
def pair(start_platform, server, tmp_path: Path):  # noqa: F811
    """A platform with one standby, whose leases are short, and an endpoint."""
    platform = start_platform("--standbys", "1", env={"INFERRY_DATABASE_URL": server.fresh(), "INFERRY_LEASE": "3"})
    sample = models.column_sample(tmp_path, "x", [1, 2])
    platform.deploy(models.constant(tmp_path, 1), "kept", sample=sample)
    return platform


def write(client: httpx.Client, url: str, headers: dict[str, str]) -> int:
    try:
        return client.post(url, headers=headers, json={"name": "late", "role": "viewer"}).status_code
    except httpx.TransportError:
        return 0


def status(platform: Platform) -> dict:
    try:
        answer = platform.call("GET", "/v1/status", control=True, timeout=30)
    except httpx.TransportError:
        return {"leader": None}
    return answer.json() if answer.status_code == 200 else {"leader": None}


def epoch(platform: Platform) -> int:
    leader = status(platform)["leader"]
    return leader["epoch"] if leader else 0


def leading(platform: Platform) -> int:
    """The process id in the leader's name."""
    return int(status(platform)["leader"]["name"].split()[2])


def logs(platform: Platform) -> str:
    return "".join(path.read_text() for path in sorted((platform.home / "logs").glob("control*.log")))


def ask_line(path: Path, line: dict, wanted: str) -> dict:
    """Send one JSON line to a private socket; the first answer that has `wanted`."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(WAIT_S)
        sock.connect(str(path))
        sock.sendall(json.dumps(line).encode() + b"\n")
        for answer in sock.makefile("rb"):
            if json.loads(answer).get(wanted):
                return json.loads(answer)
    raise AssertionError(f"{path.name} closed without an answer")


def test_a_leader_that_hangs_is_replaced_and_does_nothing_when_it_wakes(pair: Platform, server, tmp_path) -> None:  # noqa: F811
    old, before = leading(pair), pair.replica_pids()
    assert len(status(pair)["leader"]["standbys"]) == 1
    with Steady(f"{pair.http}/predict/kept", BODY, pair.key, rate=100) as load, httpx.Client(timeout=WAIT_S) as held:
        headers = {"authorization": f"Bearer {pair.key}"}
        held.get(f"{pair.control}/v1/info", headers=headers)  # this connection is the old leader's
        os.kill(old, signal.SIGSTOP)
        late: list[int] = []
        writer = threading.Thread(target=lambda: late.append(write(held, f"{pair.control}/v1/keys", headers)))
        writer.start()  # lies in the old leader's socket until it wakes
        answered = threading.Thread(target=lambda: pair.cli("keys", "create", "waited", "--role", "viewer"))
        answered.start()  # who asks meanwhile is answered by the next leader
        processes.wait_until(lambda: epoch(pair) == 2, WAIT_S, "the standby leads")
        answered.join()
        assert leading(pair) != old
        assert pair.replica_pids() == before  # taken over: none was started or ended
        os.kill(old, signal.SIGCONT)
        processes.wait_until(lambda: not Path(f"/proc/{old}").exists(), WAIT_S, "the old leader has stepped down")
        writer.join()
        assert late in ([503], [0]), late  # refused, or it had stepped down already
        processes.wait_until(lambda: len(status(pair)["leader"]["standbys"]) == 1, WAIT_S, "it waits again")
        assert pair.cli("scale", "kept", "2")["revision"] == 2
    assert not load.failures, describe(load.failures)
    assert epoch(pair) == 2
    names = [key["name"] for key in pair.cli("keys", "list")["keys"]]
    assert "waited" in names
    assert "late" not in names
    assert len(pair.replica_pids()) == 2
    assert "leads no longer; it waits" in pair.output()
    assert "died" not in pair.output()
    assert pair.cli("doctor")["ok"]
    check = [row for row in pair.cli("doctor")["checks"] if row["name"] == "leader"]
    assert "in epoch 2 since" in check[0]["detail"]
    assert check[1]["detail"] == "1 more wait to lead"


def test_a_leader_that_is_stopped_at_any_moment_writes_and_starts_nothing_twice(
    pair: Platform,
    server,  # noqa: F811
    tmp_path: Path,
) -> None:
    """It is stopped in the middle of a deploy, again and again, and the database is restarted under it too."""
    sample = models.column_sample(tmp_path, "x", [1, 2])
    done = threading.Event()
    acknowledged: list[int] = []

    def deploying() -> None:
        number = 10
        while not done.is_set():
            number += 1
            made = pair.run(
                "deploy", str(models.constant(tmp_path, number)), "--name", "kept", "--sample", str(sample), "--json"
            )
            if made.returncode == 0:
                acknowledged.append(json.loads(made.stdout)["version"])

    person = threading.Thread(target=deploying)
    with Steady(f"{pair.http}/predict/kept", BODY, pair.key, rate=50) as load:
        person.start()
        for turn in range(2):
            processes.wait_until(lambda turn=turn: len(acknowledged) > turn, WAIT_S, "a deploy was acknowledged")
            at, old = epoch(pair), leading(pair)
            os.kill(old, signal.SIGSTOP)
            if turn:
                server.stop()
                server.start()
            processes.wait_until(lambda at=at: epoch(pair) > at, WAIT_S, "another one leads")
            os.kill(old, signal.SIGCONT)
            processes.wait_until(lambda old=old: not Path(f"/proc/{old}").exists(), WAIT_S, "the old one steps down")
        seen = len(acknowledged)
        processes.wait_until(lambda: len(acknowledged) > seen, WAIT_S, "deploys go on")
        done.set()
        person.join()
    assert not load.failures, describe(load.failures)
    versions = [row["number"] for row in pair.cli("versions", "kept")["versions"]]
    assert set(acknowledged) <= set(versions)
    assert len(versions) == len(set(versions))
    assert len(acknowledged) == len(set(acknowledged))
    processes.wait_until(lambda: len(pair.replica_pids()) == 1, WAIT_S, "one replica of one revision is left")
    assert pair.cli("doctor")["ok"]


def test_a_leader_that_dies_is_replaced_at_once_and_one_that_goes_makes_room(pair: Platform) -> None:
    with Steady(f"{pair.http}/predict/kept", BODY, pair.key, rate=50) as load:
        for how, expected in ((signal.SIGKILL, 2), (signal.SIGTERM, 3)):
            os.kill(leading(pair), how)
            processes.wait_until(lambda expected=expected: epoch(pair) == expected, WAIT_S, "the other one leads")
            processes.wait_until(lambda: len(status(pair)["leader"]["standbys"]) == 1, WAIT_S, "there are two again")
    assert not load.failures, describe(load.failures)
    replicas = pair.replica_pids()
    stale = ask_line(pair.sockets / "gateway-1.sock", {"table": {"generation": 10**9, "epoch": 2}}, "refused")
    assert stale["refused"] == 3  # gateway, zygote and replica each refuse what an earlier leader says
    (zygote,) = pair.sockets.glob("z-*.sock")
    assert ask_line(zygote, {"id": "mine", "epoch": 2}, "refused")["id"] == "mine"
    (replica,) = pair.sockets.glob("r-*.sock")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(replica))
        sock.sendall(b"N" + frames.pack_request(1, frames.STOP, deadline=2))
        assert pair.predict("kept", {"x": 1})["predictions"] == [{"value": 1}]
    assert pair.replica_pids() == replicas
    said = pair.run("status").stdout
    assert "epoch 3, since" in said
    assert "standbys   inferry standby" in said


def test_standbys_need_a_database_server(start_platform) -> None:
    with pytest.raises(AssertionError, match="Standbys need PostgreSQL"):
        start_platform("--standbys", "1", env={"INFERRY_DATABASE_URL": ""})
