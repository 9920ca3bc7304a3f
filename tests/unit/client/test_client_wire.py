"""What happens when the network or the server is not well, and that both faces do the same."""

from __future__ import annotations

import asyncio
import gc
import inspect
import socket

import numpy as np
import pytest

from inferry.client import AsyncClient, AsyncEndpoint, Client, Endpoint
from inferry.client.settings import Settings
from inferry.client.wire import Dropped, Pause, Request, Response, failure, send
from inferry.errors import (
    DeadlineExceeded,
    Forbidden,
    InternalError,
    InvalidInput,
    InvalidName,
    ModelFailed,
    Overloaded,
    Unauthorized,
    Unavailable,
)
from tests.support.fake_platform import KEY, Canned, FakePlatform

BUSY = Canned(503, {"error": {"code": "unavailable", "message": "Starting."}}, {"retry-after": "0.02"})


# -- flows without any network


def drive(flow, *happenings):
    """Answer a flow's steps in turn; the steps it took and its value or error."""
    steps, waiting = [], list(happenings)
    try:
        step = flow.send(None)
        while True:
            steps.append(step)
            if isinstance(step, Pause):
                step = flow.send(None)
                continue
            happening = waiting.pop(0)
            step = flow.throw(happening) if isinstance(happening, Exception) else flow.send(happening)
    except StopIteration as stop:
        return steps, stop.value
    except Exception as error:
        return steps, error


OK = Response(200, {}, b"{}")
LATER = Response(503, {"retry-after": "7"}, b"")
REQUEST = Request(method="POST", url="http://x/", timeout=1)
REPEATABLE = Request(method="GET", url="http://x/", timeout=1, repeatable=True)


@pytest.mark.parametrize(
    ("request_", "happenings", "pauses", "ends"),
    [
        (REQUEST, [OK], [], OK),
        (REQUEST, [LATER, OK], [7.0], OK),
        (REQUEST, [LATER, LATER, LATER], [7.0, 7.0], Unavailable),
        (REQUEST, [Response(503, {"retry-after": "3600"}, b""), OK], [10.0], OK),
        (REQUEST, [Response(503, {}, b"")], [], Unavailable),
        (REQUEST, [Response(429, {"retry-after": "1"}, b"")], [], Overloaded),
        (REQUEST, [Dropped(sent=False), OK], [0.05], OK),
        (REQUEST, [Dropped(sent=True)], [], Unavailable),
        (REPEATABLE, [Dropped(sent=True), OK], [0.05], OK),
        (REPEATABLE, [Dropped(sent=True)] * 3, [0.05] * 2, Unavailable),
    ],
)
def test_retries_are_few_and_only_where_they_do_no_harm(request_, happenings, pauses, ends):
    steps, value = drive(send(request_, retries=2), *happenings)
    assert [step.seconds for step in steps if isinstance(step, Pause)] == pauses
    assert value is ends if isinstance(ends, Response) else isinstance(value, ends)


def test_no_retries_when_none_are_wanted():
    _, value = drive(send(REPEATABLE, retries=0), LATER)
    assert isinstance(value, Unavailable)
    assert value.retry_after == 7.0


@pytest.mark.parametrize(
    ("status", "body", "kind", "message"),
    [
        (400, b'{"error":{"code":"invalid_input","message":"No."}}', InvalidInput, "No."),
        (400, b'{"error":{"code":"invalid_name","message":"No."}}', InvalidName, "No."),
        (500, b'{"error":{"code":"model_failed","message":"No."}}', ModelFailed, "No."),
        (400, b'{"error":"The text of v2."}', InvalidInput, "The text of v2."),
        (403, b'{"error":"No."}', Forbidden, "No."),
        (500, b'{"error":"No."}', InternalError, "No."),
        (503, b"<html>proxy</html>", Unavailable, "The server answered with status 503."),
        (418, b'{"error":{"code":"new_kind","message":"Tea."}}', InternalError, "Tea."),
        (502, b"\xff\xfe", InternalError, "The server answered with status 502."),
        (400, b"[]", InvalidInput, "The server answered with status 400."),
    ],
)
def test_every_form_of_error_has_its_kind(status, body, kind, message):
    error = failure(Response(status, {"x-request-id": "r-9"}, body))
    assert type(error) is kind
    assert error.message == message
    assert error.request_id == "r-9"


# -- over real sockets


def test_nobody_there_asks_whether_the_platform_runs(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with (
        Client(Settings(home=tmp_path, control=url, key=KEY)) as client,
        pytest.raises(Unavailable, match=f"Nothing answers at {url}") as caught,
    ):
        client.models()
    assert caught.value.help == "Is `inferry up` running?"


def test_a_busy_server_is_asked_again(fake, client):
    fake.next_answers = [BUSY, BUSY]
    assert client.models()[0].name == "fraud"
    fake.next_answers = [BUSY] * 3
    with pytest.raises(Unavailable, match="Starting"):
        client.models()


def test_a_prediction_whose_connection_broke_is_sent_again_but_a_rollback_is_not(fake, client):
    fake.next_answers = [Canned(drop=True)]
    assert client.endpoint("echo").predict(1) == 1
    fake.next_answers = [Canned(drop=True)]
    with pytest.raises(Unavailable, match="closed the connection"):
        client.rollback("fraud")
    assert fake.paths().count("POST /v1/endpoints/fraud/rollback") == 1


def test_a_silent_server_ends_in_a_deadline(fake, settings):
    fake.next_answers = [Canned(200, {}, after=0.5)]
    with Client(settings, timeout=0.1) as client, pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"):
        client.models()


def test_a_wrong_key_is_unauthorized_and_names_the_request(fake, tmp_path):
    with (
        Client(Settings(home=tmp_path, control=fake.control, key="inf_wrong")) as client,
        pytest.raises(Unauthorized) as caught,
    ):
        client.models()
    assert caught.value.request_id == "r-1"


def test_a_key_that_is_no_header_is_refused_here(fake, tmp_path):
    with (
        Client(Settings(home=tmp_path, control=fake.control, key="a\nb")) as client,
        pytest.raises(InvalidInput, match="cannot be sent"),
    ):
        client.models()


def test_an_answer_of_another_server_is_not_misread(fake, client):
    fake.next_answers = [Canned(200, {"hello": 1})]
    with pytest.raises(InternalError, match="does not know"):
        client.models()


def test_the_control_api_says_where_predictions_go(fake, tmp_path):
    with Client(Settings(home=tmp_path, control=fake.control, key=KEY)) as client:
        assert client.endpoint("echo").predict(1) == 1
        assert client.endpoint("echo").predict(2) == 2
    assert fake.paths().count("GET /v1/info") == 1


def test_an_inference_address_alone_is_enough_to_predict(fake, tmp_path):
    with Client(Settings(home=tmp_path, control=fake.http, key=KEY)) as client:
        assert client.endpoint("echo").predict(1) == 1


def test_a_key_that_may_not_ask_is_told_what_to_do(fake, tmp_path):
    fake.next_answers = [Canned(403, {"error": {"code": "forbidden", "message": "Not you."}})]
    with (
        Client(Settings(home=tmp_path, control=fake.control, key=KEY)) as client,
        pytest.raises(Forbidden, match="where predictions go") as caught,
    ):
        client.endpoint("echo").predict(1)
    assert "inference address" in caught.value.help


def test_names_are_checked_before_they_are_part_of_a_path(client):
    for call in (client.describe, client.endpoint, client.versions):
        with pytest.raises(InvalidName):
            call("../keys")


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_client_that_was_not_closed_leaves_no_socket(settings):
    assert Client(settings).endpoint("echo").predict(1) == 1
    gc.collect()


# -- the other face


@pytest.mark.parametrize(("one", "other"), [(Client, AsyncClient), (Endpoint, AsyncEndpoint)])
def test_both_faces_offer_the_same(one, other):
    def offered(face):
        functions = {n: f for n, f in vars(face).items() if not n.startswith("_") and callable(f)}
        return {
            n: (f.__doc__, str(inspect.signature(f)).replace("AsyncEndpoint", "Endpoint")) for n, f in functions.items()
        }

    assert offered(one) == offered(other)
    assert all(doc for doc, _ in offered(one).values())


async def test_the_async_face_predicts_and_controls(fake, settings, tmp_path):
    async with AsyncClient(settings, timeout=5) as client:
        double = client.endpoint("double")
        answers = await asyncio.gather(*(double.predict(np.full((1, 4), n, "f4")) for n in range(4)))
        assert [answer[0, 0] for answer in answers] == [0, 2, 4, 6]
        fake.next_answers = [BUSY, Canned(drop=True)]
        assert (await client.models())[0].latest == 3
        (tmp_path / "model.onnx").write_bytes(b"x" * 3_000_000)
        steps = []
        made = await client.deploy(tmp_path / "model.onnx", on_event=steps.append)
        assert made.version == 3
        assert len(steps) == 6
        assert len(fake.uploaded["artifact/model.onnx"]) == 3_000_000
        with pytest.raises(InvalidInput, match="no file or folder"):
            await client.deploy(tmp_path / "nothing")


async def test_the_async_face_reports_refusal(tmp_path):
    with FakePlatform() as gone:
        url = gone.control
    async with AsyncClient(Settings(home=tmp_path, control=url)) as client:
        with pytest.raises(Unavailable, match="Nothing answers"):
            await client.models()
