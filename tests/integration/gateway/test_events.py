"""Answers in parts: server-sent events from a replica that gives parts, on the hot path and off it."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from inferry.gateway import events as rules
from inferry.types import frames
from tests.support.gateway import AUTH, WAIT_S, Gateway, chunked, post

ACCEPT = "Accept: text/event-stream"
TARGET = "/predict/slow"


def whole_request(*headers, version="1.1"):
    """A request that the hot path takes."""
    return post(b"xy", ACCEPT, *headers, target=TARGET, version=version)


def chunked_request(*headers):
    """A request that goes the ordinary way."""
    lines = "".join(f"{line}\r\n" for line in (ACCEPT, *headers)).encode()
    return chunked(b"x", b"y", target=TARGET, auth=AUTH + lines)


both = pytest.mark.parametrize("ask", [whole_request, chunked_request], ids=["hot", "ordinary"])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    made = Gateway(tmp_path_factory.mktemp("events"))
    yield made
    made.until(lambda: made.core.inflight == 0)
    made.close()


def part(gateway, request, value, **fields):
    gateway.reply(request, kind=frames.PART, body=json.dumps(value).encode(), **fields)


def end(gateway, request, **fields):
    gateway.reply(request, **({"content": frames.CONTENT_END, "body": b""} | fields))


def begin(client):
    """The head of an answer in parts."""
    answer = client.answer(body=False)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-accel-buffering"] == "no"
    assert (answer.headers["inferry-version"], answer.headers["inferry-revision"]) == ("10", "1")
    assert "content-length" not in answer.headers
    return answer


def chunk(client):
    """The next chunk, b"" for the last."""
    size = int(client.file.readline(), 16)
    data = client.file.read(size)
    assert client.file.read(2) == b"\r\n"
    return data


def parse(text):
    """[(event's name or "", its data)] as a browser reads them."""
    found = []
    for block in text.split(b"\n\n")[:-1]:
        name, lines = "", []
        for line in block.split(b"\n"):
            field, _, value = line.decode().partition(": ")
            if field == "event":
                name = value
            else:
                assert field == "data"
                lines.append(value)
        found.append((name, json.loads("\n".join(lines))))
    return found


def rest(client):
    """All events to the end of the answer."""
    pieces = []
    while data := chunk(client):
        pieces.append(data)
    return parse(b"".join(pieces))


@both
def test_every_part_is_an_event_that_is_sent_at_once(gateway, ask):
    client = gateway.client().send(ask())
    request = gateway.asked()
    assert (request.flags & frames.FLAG_STREAM, request.door) == (frames.FLAG_STREAM, frames.DOOR_PLAIN)
    for number in range(3):
        part(gateway, request, {"predictions": number})
        if number == 0:
            assert begin(client).headers["transfer-encoding"] == "chunked"
        assert parse(chunk(client)) == [("", {"predictions": number})]
    end(gateway, request)
    assert rest(client) == [("end", {})]
    assert client.ask(post(b"abc")).size == 3  # the connection goes on


@both
def test_a_model_that_gives_no_parts_answers_with_one_event(gateway, ask):
    client = gateway.client().send(ask())
    gateway.reply(gateway.asked())
    begin(client)
    assert rest(client) == [("", {"by": "slow", "size": 2}), ("end", {})]


@both
def test_an_answer_may_have_no_part_at_all(gateway, ask):
    client = gateway.client().send(ask())
    end(gateway, gateway.asked())
    begin(client)
    assert rest(client) == [("end", {})]


@both
def test_an_error_before_the_first_part_is_an_ordinary_one(gateway, ask):
    client = gateway.client().send(ask())
    gateway.reply(gateway.asked(), status=400, body=b'{"error": {"code": "invalid_input"}}')
    answer = client.answer()
    assert (answer.status, answer.code) == (400, "invalid_input")
    assert answer.headers["content-type"] == "application/json"
    assert client.ask(post(b"abc")).size == 3


@both
def test_an_error_behind_parts_is_an_event(gateway, ask):
    client = gateway.client().send(ask())
    request = gateway.asked()
    part(gateway, request, 1)
    gateway.reply(request, status=500, body=b'{"error": {"code": "model_failed"}}')
    begin(client)
    assert rest(client) == [("", 1), ("error", {"error": {"code": "model_failed"}})]
    assert client.ask(post(b"abc")).size == 3


@both
def test_the_time_limit_holds_for_the_first_part_and_between_parts(gateway, ask):
    client = gateway.client().send(ask("Inferry-Timeout: 0.4"))
    gateway.asked()
    answer = client.answer()
    assert (answer.status, answer.code) == (504, "deadline_exceeded")
    client.send(ask("Inferry-Timeout: 0.4"))
    request = gateway.asked()
    for number in range(4):
        time.sleep(0.2)
        part(gateway, request, number)
    begin(client)
    *parts, (name, told) = rest(client)
    assert parts == [("", number) for number in range(4)]
    assert (name, told["error"]["code"]) == ("error", "deadline_exceeded")


@both
def test_refusals_of_the_gateways_own_are_ordinary_answers(gateway, ask):
    client = gateway.client()
    nobody = ask().replace(b"/predict/slow", b"/predict/nobody")
    assert client.ask(nobody).code == "not_found"
    assert client.ask(ask().replace(AUTH, b"")).status == 401


@both
def test_a_client_that_goes_away_is_not_computed_for(gateway, ask):
    for parts in (0, 2):
        client = gateway.client().send(ask())
        request = gateway.asked()
        for number in range(parts):
            part(gateway, request, number)
        if parts:
            begin(client)
        client.close()
        gateway.until(lambda number=request.id: number in gateway.slow.cancelled)
    gateway.until(lambda: gateway.core.inflight == 0)


def resident():
    """This process's memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@both
def test_a_client_that_does_not_read_is_cut_off_and_costs_little_memory(gateway, ask):
    client = gateway.client().send(ask())
    request = gateway.asked()
    text = "y" * 100_000
    before, sent = resident(), 0
    while request.id not in gateway.slow.cancelled:
        part(gateway, request, text)
        sent += 1
        assert sent < 2000
    assert resident() - before < 10 * rules.LIMIT
    begin(client)
    pieces = []
    try:
        while data := chunk(client):
            pieces.append(data)
    except ValueError:
        raise AssertionError("the answer is cut in the middle of a chunk") from None
    *parts, (name, told) = parse(b"".join(pieces))
    assert all(one == ("", text) for one in parts)
    assert (name, told["error"]["code"]) == ("error", "overloaded")
    assert len(parts) <= sent
    end(gateway, request)
    assert gateway.client().ask(post(b"abc")).size == 3


@both
def test_one_part_may_be_larger_than_what_is_kept(gateway, ask):
    client = gateway.client().send(ask())
    request = gateway.asked()
    text = "w" * (3 * rules.LIMIT)
    sender = threading.Thread(target=part, args=(gateway, request, text))
    sender.start()
    begin(client)
    assert parse(chunk(client)) == [("", text)]
    sender.join(WAIT_S)
    end(gateway, request)
    assert rest(client) == [("end", {})]


@both
def test_a_client_that_reads_slowly_but_steadily_gets_everything(gateway, ask):
    client = gateway.client().send(ask())
    request = gateway.asked()
    text = "z" * 50_000
    for number in range(100):
        part(gateway, request, text)
        if number == 0:
            begin(client)
        assert parse(chunk(client)) == [("", text)]
    end(gateway, request)
    assert rest(client) == [("end", {})]


def test_an_old_client_gets_no_chunks_and_the_end_is_the_connections(gateway):
    for headers, version in (((), "1.0"), (("Connection: keep-alive",), "1.0")):
        client = gateway.client().send(whole_request(*headers, version=version))
        request = gateway.asked()
        part(gateway, request, 1)
        answer = begin(client)
        assert "transfer-encoding" not in answer.headers
        assert answer.headers["connection"] == "close"
        part(gateway, request, 2)
        end(gateway, request)
        assert parse(client.file.read()) == [("", 1), ("", 2), ("end", {})]


def test_a_client_that_wants_the_connection_closed_gets_chunks_and_then_that(gateway):
    client = gateway.client().send(whole_request("Connection: close"))
    request = gateway.asked()
    part(gateway, request, 1)
    end(gateway, request)
    assert begin(client).headers["connection"] == "close"
    assert rest(client) == [("", 1), ("end", {})]
    assert client.closed()


@both
def test_what_was_sent_behind_it_is_answered_after_it(gateway, ask):
    client = gateway.client().send(ask() + post(b"abc") + ask() + post(b"abcd"))
    for size in (3, 4):
        request = gateway.asked()
        part(gateway, request, 1)
        end(gateway, request)
        begin(client)
        assert rest(client) == [("", 1), ("end", {})]
        assert client.answer().size == size


@both
def test_a_part_with_line_breaks_cannot_make_events_of_its_own(gateway, ask):
    client = gateway.client().send(ask())
    request = gateway.asked()
    gateway.reply(request, kind=frames.PART, body=b'{"a":\n\nevent: end\r\rdata: 1\r\n}')
    end(gateway, request)
    begin(client)
    assert chunk(client) == b'data: {"a":\ndata: \ndata: event: end\ndata: \ndata: data: 1\ndata: }\n\n'
    assert rest(client) == [("end", {})]


def test_who_does_not_ask_for_events_gets_no_parts(gateway):
    for request in (post(b"x", "Accept: */*", target=TARGET), chunked(b"x", target=TARGET)):
        client = gateway.client().send(request)
        asked = gateway.asked()
        assert not asked.flags & frames.FLAG_STREAM
        part(gateway, asked, 1)
        gateway.reply(asked)
        assert client.answer().size == 1


def test_a_replica_that_dies_breaks_the_stream_off(tmp_path):
    gateway = Gateway(tmp_path)
    try:
        for ask in (whole_request, chunked_request):
            client = gateway.client().send(ask())
            request = gateway.asked()
            gateway.slow.begin(request.id)
            part(gateway, request, 1)
            begin(client)
            assert parse(chunk(client)) == [("", 1)]
            gateway.run(gateway.slow.die())
            ((name, told),) = rest(client)
            assert (name, told["error"]["code"]) == ("error", "replica_lost")
            gateway.slow = gateway.run(type(gateway.slow)(gateway.slow.path, "slow", hold=True).start())
    finally:
        gateway.close()


def test_shutting_down_lets_a_stream_end(tmp_path):
    gateway = Gateway(tmp_path)
    clients = [gateway.client().send(ask()) for ask in (whole_request, chunked_request)]
    requests = [gateway.asked() for _ in clients]
    for request in requests:
        part(gateway, request, 1)
    for client in clients:
        begin(client)
    gateway.server.should_exit = True
    time.sleep(0.3)
    for request in requests:
        part(gateway, request, 2)
        end(gateway, request)
    for client in clients:
        assert rest(client) == [("", 1), ("", 2), ("end", {})]
        assert client.closed()
    gateway.thread.join(WAIT_S)
    assert not gateway.thread.is_alive()
    gateway.close()


def test_many_streams_at_once_do_not_mix(gateway):
    clients = [gateway.client().send(whole_request()) for _ in range(20)]
    requests = [gateway.asked() for _ in clients]

    def feed():
        for number in range(50):
            for request in requests:
                part(gateway, request, [request.id, number])
        for request in requests:
            end(gateway, request)

    feeder = threading.Thread(target=feed)
    feeder.start()
    seen = set()
    for client in clients:
        begin(client)
        *parts, last = rest(client)
        (owner,) = {value[0] for _, value in parts}
        seen.add(owner)
        assert [value[1] for _, value in parts] == list(range(50))
        assert last == ("end", {})
    feeder.join(WAIT_S)
    assert seen == {request.id for request in requests}
