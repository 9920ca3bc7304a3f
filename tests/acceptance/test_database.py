"""The platform over PostgreSQL: everything works as over SQLite, and the database may go away and come back."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.support import models, processes
from tests.support.platform import Platform
from tests.support.postgres import PASSWORD, QUOTED, Server, missing
from tests.support.steady import Steady, describe

BODY = json.dumps({"x": 1}).encode()


@pytest.fixture(scope="module")
def server():
    """A server of this module's own: its tests stop it."""
    why = missing()
    if why:
        (pytest.fail if os.environ.get("INFERRY_TEST_POSTGRES") == "required" else pytest.skip)(why)
    server = Server()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def start(start_platform, server):
    return lambda url="", **env: start_platform(env={"INFERRY_DATABASE_URL": url or server.fresh(), **env})


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return models.column_sample(tmp_path, "x", [1, 2])


def doctor(platform: Platform, name: str) -> dict:
    answer = platform.call("GET", "/v1/doctor", control=True)
    assert answer.status_code == 200, answer.text
    return next(check for check in answer.json()["checks"] if check["name"] == name)


def degraded(platform: Platform) -> bool:
    return platform.call("GET", "/v1/info", control=True).json()["degraded"]


def secrets_in(platform: Platform) -> list[str]:
    """Where the password can be read: command lines, environments of what the supervisor started, files, output."""
    words = [PASSWORD.encode(), QUOTED.encode()]
    found = []
    for pid in platform.processes():
        for name in ("cmdline", "environ"):
            if name == "environ" and pid == platform.pid:
                continue  # the supervisor was given it there
            try:
                content = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
            found += [f"{pid} {name}" for word in words if word in content]
    for path in [*platform.home.rglob("*"), *platform.sockets.rglob("*"), platform.log]:
        if path.is_file() and any(word in path.read_bytes() for word in words):
            found.append(str(path))
    return found


def test_it_stops_goes_away_and_comes_back_while_predictions_go_on(start, server, tmp_path, sample) -> None:
    platform = start()
    platform.deploy(models.constant(tmp_path, 1), "steady", sample=sample)
    control, replicas = platform.control_pid(), platform.replica_pids()
    assert "PostgreSQL" in doctor(platform, "database")["detail"]
    with Steady(f"{platform.http}/predict/steady", BODY, platform.key, rate=100) as load:
        time.sleep(0.3)
        server.stop()
        processes.wait_until(lambda: degraded(platform), 15, "control notices")
        check = doctor(platform, "database")
        assert not check["ok"]
        assert "does not answer" in check["detail"]
        refused = platform.call("GET", "/v1/endpoints", control=True)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        assert refused.headers["retry-after"]
        os.kill(replicas[0], signal.SIGKILL)  # what runs is kept up without the database
        processes.wait_until(lambda: platform.replica_pids() not in ([], replicas), 20, "the replica is replaced")
        server.start()
        processes.wait_until(lambda: not degraded(platform), 20, "control recovers by itself")
        assert platform.deploy(models.constant(tmp_path, 2), "steady", sample=sample)["version"] == 2
        assert platform.cli("rollback", "steady")["revision"] == 1
        time.sleep(0.3)
    assert platform.control_pid() == control
    failed = [outcome for outcome in load.failures if outcome.status != 503]  # 503: what the killed replica computed
    assert not failed, describe(failed)
    assert len(load.failures) <= 2, describe(load.failures)
    assert platform.cli("doctor")["ok"]
    assert secrets_in(platform) == []
    assert "degraded: The database postgresql://" in (platform.home / "logs/control.log").read_text()


def test_restarts_under_load_fail_no_prediction(start, server, tmp_path, sample) -> None:
    platform = start()
    platform.deploy(models.constant(tmp_path, 1), "steady", sample=sample)
    with Steady(f"{platform.http}/predict/steady", BODY, platform.key, rate=150) as load:
        for how in (signal.SIGINT, signal.SIGQUIT):  # in order, and as in a crash
            time.sleep(0.5)
            server.stop(how)
            server.start()
        processes.wait_until(lambda: platform.cli("doctor")["ok"], 20, "all is well again")
    assert not load.failures, describe(load.failures)
    assert len(load.outcomes) > 100


def test_control_killed_while_the_database_is_away_comes_back_with_it(start, server, tmp_path, sample) -> None:
    platform = start()
    platform.deploy(models.constant(tmp_path, 1), "steady", sample=sample)
    replicas = platform.replica_pids()
    with Steady(f"{platform.http}/predict/steady", BODY, platform.key, rate=50) as load:
        server.stop()
        os.kill(platform.control_pid(), signal.SIGKILL)
        time.sleep(2)
        server.start()
        processes.wait_until(lambda: answers(platform), 40, "control is back")
        assert platform.deploy(models.constant(tmp_path, 2), "steady", sample=sample)["version"] == 2
    assert not load.failures, describe(load.failures)
    assert not set(replicas) & set(platform.replica_pids())  # version 2 runs; version 1 was adopted, then stopped
    assert platform.output().count("control died") == 1  # it waited for the database, it did not die again and again


def answers(platform: Platform) -> bool:
    try:
        return platform.call("GET", "/v1/endpoints", control=True, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def test_control_killed_in_the_middle_of_writes_loses_and_doubles_nothing(start, tmp_path, sample) -> None:
    platform = start()
    platform.deploy(models.constant(tmp_path, 1), "steady", sample=sample)
    chance, acknowledged, done = random.Random(5), set(), threading.Event()

    def writing() -> None:
        number = 0
        while not done.is_set():
            number += 1
            try:
                made = platform.call(
                    "POST", "/v1/keys", control=True, json={"name": f"k{number}", "role": "viewer"}, timeout=30
                )
            except httpx.TransportError:
                continue
            if made.status_code == 201:
                acknowledged.add(f"k{number}")

    writer = threading.Thread(target=writing)
    with Steady(f"{platform.http}/predict/steady", BODY, platform.key, rate=50) as load:
        writer.start()
        for _ in range(5):
            time.sleep(chance.uniform(0.05, 0.4))
            os.kill(platform.control_pid(), signal.SIGKILL)
            processes.wait_until(lambda: answers(platform), 30, "control is back")
        done.set()
        writer.join()
    assert not load.failures, describe(load.failures)
    assert len(acknowledged) > 5
    names = [key["name"] for key in platform.cli("keys", "list")["keys"]]
    assert acknowledged <= set(names)
    assert len(names) == len(set(names))
    assert platform.cli("doctor")["ok"]


def test_a_second_platform_on_the_same_database_is_refused_and_changes_nothing(start, server, tmp_path) -> None:
    url = server.fresh()
    first = start(url)
    with pytest.raises(AssertionError, match=r"Another control process works with .*inferry control \d+ on"):
        start(url)
    assert first.cli("doctor")["ok"]
    first.stop()
    again = start(url)
    assert again.cli("doctor")["ok"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace(QUOTED, "wrong-one"), "password authentication failed"),
        (lambda url: url.rpartition("/")[0] + "/nowhere", "does not exist"),
        (lambda url: "postgresql://me:wrong-one@127.0.0.1:1/d", "Connection refused"),
        (lambda url: url + "?sslmode=require", "does not speak TLS"),
        (lambda url: "mysql://me:wrong-one@h/d", "postgresql://"),
    ],
)
def test_up_says_why_it_cannot_start(start, server, change, words) -> None:
    with pytest.raises(AssertionError, match=words) as caught:
        start(change(server.url("postgres")))
    assert "Traceback" not in str(caught.value)
    for secret in (PASSWORD, QUOTED, "wrong-one"):
        assert secret not in str(caught.value)


def test_the_url_comes_from_a_file_and_no_password_from_the_command_line(start_platform, server, tmp_path) -> None:
    url = server.fresh()
    secret = tmp_path / "url"
    secret.write_text(url + "\n")
    platform = start_platform(env={"INFERRY_DATABASE_URL_FILE": str(secret), "INFERRY_DATABASE_URL": ""})
    assert url.rpartition("/")[2] in doctor(platform, "database")["detail"]
    refused = platform.run("up", "--database-url", url, "--home", str(tmp_path / "other"))
    assert refused.returncode != 0
    assert "command line can be read" in refused.stderr
    assert QUOTED not in refused.stderr


def test_a_home_of_one_database_does_not_start_on_another(start, server, tmp_path, sample) -> None:
    platform = start()
    platform.deploy(models.constant(tmp_path, 1), "kept", sample=sample)
    bundles = set((platform.home / "bundles").iterdir())
    platform.stop()
    for url in (server.fresh(), ""):
        platform.env["INFERRY_DATABASE_URL"] = url
        result = platform.run("up", "--port", "0", "--grpc-port", "0", "--control-port", "0")
        assert result.returncode == 1
        assert "The bundles in" in result.stderr
    assert set((platform.home / "bundles").iterdir()) == bundles


@pytest.mark.slow
def test_a_database_is_backed_up_and_restored_with_the_home(start, server, tmp_path, sample) -> None:
    url = server.fresh()
    platform = start(url)
    platform.deploy(models.constant(tmp_path, 1), "kept", sample=sample)
    platform.stop()
    name = url.rpartition("/")[2]
    dump = server.dump(name)
    server.sql(f"DROP DATABASE {name}")
    server.sql(f"CREATE DATABASE {name} TEMPLATE template0")
    server.restore(name, dump)
    platform.start()
    assert platform.predict("kept", {"x": 1})["predictions"] == [{"value": 1}]
    assert platform.cli("doctor")["ok"]
