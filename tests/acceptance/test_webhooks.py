"""Webhooks on a real platform: what happens arrives, signed and in order, whatever the receiver and control go through."""

from __future__ import annotations

import base64
import hmac
import json
import os
import signal
import time

import httpx
import pytest

from tests.support import models
from tests.support.platform import CommandFailed
from tests.support.processes import wait_until
from tests.support.receiver import Receiver, Reply

pytestmark = pytest.mark.both_databases


@pytest.fixture
def hook(platform):
    """Add a webhook; its document. It is removed after the test."""
    made = []

    def add(receiver, name, *options):
        made.append(name)
        return platform.cli("webhooks", "add", receiver.url, "--name", name, *options)

    yield add
    for name in made:
        platform.run("webhooks", "remove", name)


@pytest.fixture
def sample(tmp_path):
    return models.column_sample(tmp_path, "x", [2, 3])


def refused(platform, *arguments):
    with pytest.raises(CommandFailed) as failed:
        platform.cli(*arguments)
    return json.loads(failed.value.stdout)["error"]


def log(platform, name):
    return platform.cli("webhooks", "deliveries", name)["deliveries"]


def test_what_happens_to_a_model_arrives_signed_and_in_order(platform, hook, tmp_path, sample) -> None:
    with Receiver() as receiver:
        secret = hook(receiver, "told", "--events", "version.*,endpoint.*")["secret"]
        platform.deploy(models.constant(tmp_path, 1), "told", sample=sample)
        platform.deploy(models.constant(tmp_path, 2), "told", sample=sample)
        platform.cli("rollback", "told")
        platform.cli("delete", "told")
        wait_until(lambda: len(receiver.got) >= 6, 20, "everything is told")
        events = receiver.events(secret)
    its = [event for event in events if "told" in event.subject]
    assert [(event.type, event.subject) for event in its] == [
        ("inferry.version.registered", "models/told/versions/1"), ("inferry.endpoint.deployed", "endpoints/told"),
        ("inferry.version.registered", "models/told/versions/2"), ("inferry.endpoint.deployed", "endpoints/told"),
        ("inferry.endpoint.rolled-back", "endpoints/told"), ("inferry.endpoint.deleted", "endpoints/told"),
    ]  # fmt: skip
    assert its[4].data | {"by": ""} == {
        "endpoint": "told", "by": "", "revision": 1, "model": "told", "version": 1, "from_revision": 2, "from_version": 2,
    }  # fmt: skip
    assert [int(event.sequence) for event in events] == list(range(1, len(events) + 1))
    request = receiver.got[0]
    assert request.headers["content-type"] == "application/cloudevents+json"
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.body
    made = base64.b64encode(hmac.digest(base64.b64decode(secret[6:]), signed, "sha256")).decode()
    assert request.headers["webhook-signature"] == f"v1,{made}"


def test_a_receiver_that_fails_gets_it_again_under_the_same_id(platform, hook) -> None:
    with Receiver(Reply(500, body=b"out of\nmemory " * 1000), Reply()) as receiver:
        secret = hook(receiver, "fails")["secret"]
        assert platform.run("webhooks", "test", "fails").returncode == 1
        (waiting,) = log(platform, "fails")
        assert (waiting["state"], waiting["attempts"], waiting["last"]["status"]) == ("waiting", 1, 500)
        assert waiting["due"] > waiting["at"]
        assert waiting["last"]["words"].startswith("out of memory out of")
        assert len(waiting["last"]["words"]) <= 300
        wait_until(lambda: log(platform, "fails")[0]["state"] == "delivered", 30, "it is tried again")
        first, second = receiver.events(secret)
        assert first == second
        assert receiver.got[0].body == receiver.got[1].body
        again = platform.cli("webhooks", "redeliver", "fails", "1")
        assert again == {"again": 1}
        wait_until(lambda: len(receiver.got) == 3, 20, "it is sent once more")
        assert receiver.events(secret)[2] == first
        wait_until(lambda: log(platform, "fails")[0]["attempts"] == 3, 10, "all attempts are in the log")
        one = platform.cli("webhooks", "deliveries", "fails", "1")
        assert [attempt["status"] for attempt in one["tried"]] == [500, 204, 204]
        assert one["body"].encode() == receiver.got[0].body


def test_a_slow_receiver_holds_no_other_back(platform, hook) -> None:
    with Receiver(Reply(sleep_s=20)) as slow, Receiver() as quick:
        hook(slow, "slow")
        hook(quick, "quick")
        platform.call("POST", "/v1/webhooks/slow/test", control=True)
        wait_until(lambda: slow.got, 10, "the slow one is asked")
        start = time.monotonic()
        assert platform.cli("webhooks", "test", "quick")["state"] == "delivered"
        assert time.monotonic() - start < 15
        wait_until(lambda: log(platform, "slow")[0]["attempts"] == 1, 30, "the slow one is given up")
        assert log(platform, "slow")[0]["last"]["words"] == "No answer within 15 s."


def test_redirects_and_410_end_there(platform, hook) -> None:
    with Receiver() as other, Receiver(Reply(302, {"location": other.url}), Reply(410)) as receiver:
        hook(receiver, "gone")
        platform.run("webhooks", "test", "gone")
        assert "not followed" in log(platform, "gone")[0]["last"]["words"]
        wait_until(lambda: log(platform, "gone")[0]["state"] == "dead", 30, "410 ends it")
        (found,) = [one for one in platform.cli("webhooks", "list")["webhooks"] if one["name"] == "gone"]
        assert found["off"] == "the receiver answered 410 Gone"
        assert refused(platform, "webhooks", "test", "gone")["code"] == "conflict"
        assert other.got == []
        receiver.answers = [Reply()]
        platform.cli("webhooks", "on", "gone")
        assert platform.cli("webhooks", "redeliver", "gone") == {"again": 1}
        wait_until(lambda: log(platform, "gone")[0]["state"] == "delivered", 20, "it is taken")


def test_a_secret_is_changed_without_a_gap_and_never_shown_again(platform, hook, tmp_path) -> None:
    with Receiver() as receiver:
        path = tmp_path / "secret.txt"
        path.write_text("whsec_" + base64.b64encode(b"s" * 32).decode() + "\n")
        old = hook(receiver, "rotated", "--secret-file", str(path))["secret"]
        assert old == path.read_text().strip()
        new = platform.cli("webhooks", "rotate", "rotated", "--keep", "1h")["secret"]
        assert platform.cli("webhooks", "test", "rotated")["state"] == "delivered"
        assert receiver.events(old) == receiver.events(new)
        last = platform.cli("webhooks", "rotate", "rotated", "--keep", "1s")["secret"]
        time.sleep(1.1)
        assert platform.cli("webhooks", "test", "rotated")["state"] == "delivered"
        assert len(receiver.got[-1].headers["webhook-signature"].split()) == 1
        shown = json.dumps([platform.cli("webhooks", "list"), platform.cli("webhooks", "deliveries", "rotated", "2")])
    assert not [secret for secret in (old, new, last) if secret in shown or secret[6:] in shown]
    for file in (platform.home / "logs").glob("*.log"):
        assert not [secret for secret in (old, new, last) if secret[6:] in file.read_text(errors="replace")]


def test_what_must_not_be_asked_is_refused(platform) -> None:
    for url in ("http://example.org/", "https://169.254.169.254/", "https://ann:pw@example.org/", "nowhere"):
        assert refused(platform, "webhooks", "add", url)["code"] == "invalid_input"
    url = "https://example.org/"
    assert refused(platform, "webhooks", "add", url, "--events", "rollouts.*")["code"] == "invalid_input"
    assert refused(platform, "webhooks", "deliveries", "nobody")["code"] == "not_found"
    viewer = platform.cli("keys", "create", "hook-viewer", "--role", "viewer")["key"]
    assert platform.call("GET", "/v1/webhooks", control=True, key=viewer).status_code == 403
    for body in ({"url": url, "secret": "plain"}, {"url": url, "events": []}, {"url": url, "name": "Not A Name"}, {}):
        assert platform.call("POST", "/v1/webhooks", control=True, json=body).status_code == 400


def test_a_control_that_is_killed_between_a_change_and_its_telling_loses_nothing(
    start_platform, tmp_path, sample
) -> None:
    platform = start_platform()
    model = models.constant(tmp_path, 1)
    with Receiver(Reply(503, {"retry-after": "4"}), Reply()) as receiver:
        secret = platform.cli("webhooks", "add", receiver.url, "--name", "ops")["secret"]
        platform.cli("push", str(model), "--name", "fraud", "--sample", str(sample))
        wait_until(lambda: receiver.got, 20, "the receiver refuses it once")
        assert platform.cli("deploy", "fraud:1")["version"] == 1  # waits behind the first
        os.kill(platform.control_pid(), signal.SIGKILL)

        def back() -> bool:
            try:
                return platform.call("GET", "/v1/info", control=True, timeout=2).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(back, 30, "control is back")
        wait_until(lambda: len({one.headers["webhook-id"] for one in receiver.got}) == 2, 30, "both are told")
        wait_until(lambda: {one["state"] for one in log(platform, "ops")} == {"delivered"}, 30, "and that is known")
        events = receiver.events(secret)
    assert [event.type for event in events][-2:] == ["inferry.version.registered", "inferry.endpoint.deployed"]
    assert events[0] == events[-2]
    assert receiver.got[1].at - receiver.got[0].at >= 3.9  # as it asked
