"""HTTP: the gateway's own connection class in a real uvicorn server, spoken to byte by byte."""

import itertools
import json
import socket
import subprocess
import threading
import time

import pytest

from tests.support.gateway import AUTH, HEALTH, WAIT_S, Gateway, chunked, post


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    made = Gateway(tmp_path_factory.mktemp("gateway"))
    yield made
    made.until(lambda: made.core.inflight == 0)
    made.close()


@pytest.fixture(scope="module")
def hasty(tmp_path_factory):
    """With little patience and room."""
    made = Gateway(tmp_path_factory.mktemp("hasty"), head_s=0.25, body_s=0.25, max_body=100_000)
    yield made
    made.until(lambda: made.core.inflight == 0)
    made.close()


def test_a_prediction_says_which_version_answered(gateway):
    answer = gateway.client().ask(post(b"12345"))
    assert (answer.status, answer.size) == (200, 5)
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["inferry-version"], answer.headers["inferry-revision"]) == ("10", "1")
    assert "date" in answer.headers
    assert "connection" not in answer.headers


KINDS = {
    "fast": (post(b"x" * 3), 3),
    "empty": (post(b""), 0),
    "oip": (post(b"x" * 4, target="/v2/models/iris/infer"), 4),
    "chunked": (chunked(b"ab", b"c" * 5), 7),
    "health": (HEALTH, None),
    "absolute": (post(b"x" * 9, target="http://x/predict/iris"), 9),
    "missing": (post(b"x", target="/predict/nope"), 404),
    "upgrade": (post(b"x" * 6, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"), 6),
    "upgrade-get": (HEALTH.replace(b"Host", b"Connection: upgrade\r\nUPGRADE: h2c\r\nHost"), None),
    "blank": (b"\r\n" + post(b"x" * 8), 8),
}


UPGRADES = {"upgrade", "upgrade-get"}

before_it = pytest.mark.parametrize(
    "before", [b"", post(b"ab"), HEALTH], ids=["first", "after-fast", "after-slow"]
)  # fmt: skip


def check(kind, answer):
    expected = KINDS[kind][1]
    if expected == 404:
        assert answer.status == 404
    elif expected is None:
        assert json.loads(answer.body)["status"] == "ok"
    else:
        assert answer.size == expected


def test_fast_and_slow_requests_mix_on_one_connection_in_any_order(gateway):
    client = gateway.client()
    for pair in itertools.product(KINDS, repeat=2):
        for kind in pair:
            check(kind, client.ask(KINDS[kind][0]))


@pytest.mark.parametrize("kinds", list(itertools.product(sorted(KINDS.keys() - UPGRADES), repeat=2)), ids="-".join)
def test_pipelined_requests_are_answered_in_order(gateway, kinds):
    client = gateway.client()
    order = [*kinds, *kinds[::-1], kinds[0], kinds[0]]
    client.send(b"".join(KINDS[kind][0] for kind in order))
    for kind in order:
        check(kind, client.answer())


@pytest.mark.parametrize("kind", sorted(UPGRADES))
def test_an_offer_to_upgrade_behind_a_slow_request_is_never_half_read(gateway, kind):
    client = gateway.client()
    client.send(KINDS["chunked"][0] + KINDS[kind][0])
    answers = [client.answer()]
    if answers[0].status == 200:
        answers.append(client.answer())
    assert answers[-1].status == 400
    assert client.closed()


def test_ten_predictions_in_one_piece_come_back_in_order(gateway):
    client = gateway.client()
    client.send(b"".join(post(b"x" * number) for number in range(10)))
    assert [client.answer().size for _ in range(10)] == list(range(10))


@pytest.mark.parametrize("kind", KINDS)
def test_a_request_may_come_byte_by_byte(gateway, kind):
    client = gateway.client()
    for _ in range(2):
        for byte in KINDS[kind][0]:
            client.send(bytes([byte]))
        check(kind, client.answer())


@pytest.mark.parametrize("kinds", list(itertools.permutations(["fast", "chunked", "oip", "health"], 2)), ids="-".join)
def test_a_pipeline_may_be_cut_anywhere(gateway, kinds):
    stream = b"".join(KINDS[kind][0] for kind in kinds)
    client = gateway.client()
    for cut in range(1, len(stream), 3):
        client.send(stream[:cut])
        if cut >= len(KINDS[kinds[0]][0]):
            check(kinds[0], client.answer())
            check(kinds[1], client.ask(stream[cut:]))
        else:
            client.send(stream[cut:])
            for kind in kinds:
                check(kind, client.answer())


@pytest.mark.parametrize("sizes", [(1,), (10, 1), (1, 10, 5), (100_000, 100_000, 1)])
def test_a_body_may_come_in_parts_after_its_head(gateway, sizes):
    client = gateway.client()
    whole = post(b"z" * sum(sizes))
    client.send(whole[: -sum(sizes)])
    for size in sizes:
        assert not select_readable(client)
        client.send(b"z" * size)
    assert client.answer().size == sum(sizes)
    assert client.ask(post(b"ab")).size == 2


def select_readable(client):
    """Whether an answer came within a moment."""
    client.sock.settimeout(0.02)
    try:
        return client.sock.recv(1, socket.MSG_PEEK)
    except TimeoutError:
        return b""
    finally:
        client.sock.settimeout(WAIT_S)


def test_a_large_body_passes_with_a_small_one_behind_it(gateway):
    client = gateway.client()
    sender = threading.Thread(target=client.send, args=(post(b"x" * 5_000_000) + post(b"abc") + HEALTH,))
    sender.start()
    assert client.answer().size == 5_000_000
    assert client.answer().size == 3
    assert client.answer().status == 200
    sender.join(WAIT_S)


def test_fifty_thousand_one_byte_chunks_are_one_body(gateway):
    client = gateway.client()
    sender = threading.Thread(target=client.send, args=(chunked(*[b"x"] * 50_000),))
    sender.start()
    assert client.answer().size == 50_000
    sender.join(WAIT_S)


def test_curl_waits_for_a_100_continue_and_gets_its_answer(gateway, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 2_000_000)
    result = subprocess.run(
        ["curl", "-sS", "-v", "-H", "Expect: 100-continue", "-H", AUTH.decode().strip(), "--data-binary",
         f"@{tmp_path / 'body'}", f"http://127.0.0.1:{gateway.port}/predict/iris"],
        capture_output=True, text=True, timeout=WAIT_S, check=True,
    )  # fmt: skip
    assert "100 Continue" in result.stderr
    assert json.loads(result.stdout)["size"] == 2_000_000


def test_without_a_key_no_100_continue_comes(gateway):
    client = gateway.client()
    client.send(post(b"x" * 10, "Expect: 100-continue", auth=b"")[:-10])
    answer = client.answer()
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_body_without_a_key_is_not_waited_for(gateway):
    client = gateway.client()
    answer = client.ask(post(b"x" * 5_000_000, auth=b"")[:1000])
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert (answer.headers["www-authenticate"], answer.headers["connection"]) == ("Bearer", "close")
    assert client.closed()


def test_a_small_request_without_a_key_keeps_the_connection(gateway):
    client = gateway.client()
    assert client.ask(post(auth=b"")).status == 401
    assert client.ask(post()).status == 200
    assert client.ask(chunked(b"x", auth=b"")).status == 401
    assert client.ask(post()).status == 200


def test_an_early_refusal_of_a_chunked_body_leaves_the_connection_in_step(gateway):
    client = gateway.client()
    body = chunked(b"a" * 100, b"b" * 100, auth=b"")
    assert client.ask(body[:-150]).status == 401
    client.send(body[-150:] + post(b"abc") + KINDS["chunked"][0][:-20])
    assert client.answer().size == 3
    client.send(KINDS["chunked"][0][-20:])
    check("chunked", client.answer())
    assert client.ask(post(b"ab")).size == 2


def test_head_has_the_headers_of_get_and_no_body(gateway):
    client = gateway.client()
    got = client.ask(HEALTH)
    head = client.send(HEALTH.replace(b"GET", b"HEAD")).answer(body=False)
    assert (head.status, head.headers["content-length"]) == (200, got.headers["content-length"])
    assert client.ask(post(b"ab")).size == 2


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_prediction_by_another_method_is_a_405(gateway, method):
    client = gateway.client()
    assert client.ask(post(b"x").replace(b"POST", method.encode())).status == 405
    assert client.ask(post(b"ab")).size == 2


def test_connection_close_is_honoured(gateway):
    for request in (post(b"x", "Connection: close"), HEALTH.replace(b"Host", b"Connection: close\r\nHost")):
        client = gateway.client()
        answer = client.ask(request)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert client.closed()


def test_http_1_0_is_answered_and_closed(gateway):
    for request in (post(b"x", version="1.0"), HEALTH.replace(b"1.1", b"1.0")):
        client = gateway.client()
        assert client.ask(request).status == 200
        assert client.closed()


def test_what_stands_behind_a_connection_close_is_not_answered(gateway):
    client = gateway.client()
    client.send(post(b"x", "Connection: close") + post(b"y"))
    assert client.answer().size == 1
    assert client.closed()


BAD = dict(enumerate(
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"hello\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n", b"\0" * 10 + b"\r\n\r\n",
        post(b"x").replace(b"Content-Length: 1", b"Content-Length: 1\r\nTransfer-Encoding: chunked"),
        post(b"x").replace(b"Content-Length: 1", b"Content-Length: 1\r\nContent-Length: 2"),
        post(b"x").replace(b"Content-Length: 1", b"Content-Length: -1"),
        post(b"x").replace(b"Content-Length: 1", b"Content-Length : 1"),
        post(b"x", "Inferry-Timeout: never"),
        b"POST /predict/iris HTTP/1.1\r\nHost: x\r\n" + AUTH + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT host:80 HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]
))  # fmt: skip
PARTS = {
    "length": post(b"x" * 10)[:-3],
    "chunked": chunked(b"x" * 10)[:-3],
    "expect": post(b"x", "Expect: 100-continue")[:-1],
}
STARTS = {"letter": b"P", "header": b"POST /predict/iris HTTP/1.1\r\nHost:", "line": post(b"x")[:-5]}


@pytest.mark.parametrize("bad", BAD)
@before_it
def test_bad_http_is_a_400_in_our_form_and_the_connection_ends(gateway, bad, before):
    client = gateway.client()
    if before:
        assert client.ask(before).status == 200
    answer = client.ask(BAD[bad])
    assert (answer.status, answer.code, answer.headers["connection"]) == (400, "invalid_input", "close")
    assert client.closed()


@pytest.mark.parametrize("target", ["/predict/iris", "/v2/models/iris/infer"])
def test_a_refusal_has_the_form_of_its_door(gateway, target):
    request = post(b"x", target=target).replace(
        b"Content-Length: 1", b"Content-Length: 1\r\nTransfer-Encoding: chunked"
    )
    error = json.loads(gateway.client().ask(request).body)["error"]
    assert isinstance(error, str if target.startswith("/v2") else dict)


@pytest.mark.parametrize("before", [b"", HEALTH])
def test_a_head_over_its_limit_is_a_431(gateway, before):
    client = gateway.client()
    if before:
        client.ask(before)
    answer = client.ask(post(b"x", "X: " + "y" * (70 << 10)))
    assert (answer.status, answer.code) == (431, "headers_too_large")
    assert client.closed()
    assert gateway.client().ask(post(b"x", "X: " + "y" * (50 << 10))).status == 200


def test_a_body_over_the_limit_is_a_413_that_its_sender_can_read(gateway):
    client = gateway.client()
    client.send(post(b"x" * (30 << 20)))  # all of it, without reading
    answer = client.answer()
    assert (answer.status, answer.code, answer.headers["connection"]) == (413, "too_large", "close")
    assert client.closed()


def test_a_chunked_body_over_the_limit_is_a_413(hasty):
    client = hasty.client()
    sent = chunked(*[b"x" * 1000] * 101)
    client.send(sent[:-10])
    assert (client.answer().status) == 413
    assert client.ask(sent[-10:] + post(b"ab")).size == 2


@pytest.mark.parametrize("start", STARTS)
@before_it
def test_a_head_that_never_ends_is_a_408(hasty, start, before):
    client = hasty.client()
    if before:
        assert client.ask(before).status == 200
    answer = client.ask(STARTS[start])
    assert (answer.status, answer.code, answer.headers["connection"]) == (408, "request_timeout", "close")
    assert client.closed()


@pytest.mark.parametrize("part", PARTS)
@before_it
def test_a_body_that_never_ends_is_a_408(hasty, part, before):
    client = hasty.client()
    if before:
        assert client.ask(before).status == 200
    answer = client.ask(PARTS[part])
    if answer.status == 100:
        answer = client.answer()
    assert (answer.status, answer.code) == (408, "request_timeout")
    assert client.closed()


def test_dripping_bytes_do_not_extend_the_time(hasty):
    client = hasty.client()
    start = time.monotonic()
    for byte in post(b"x" * 100, "X: " + "y" * 400):
        client.send(bytes([byte]))
        if select_readable(client):
            break
    assert client.answer().status == 408
    assert time.monotonic() - start < 2


def test_a_second_message_on_the_slow_path_has_its_time_limit_too(hasty):
    client = hasty.client()
    client.send(HEALTH + chunked(b"abc")[:-3])
    assert client.answer().status == 200
    assert client.answer().status == 408
    assert client.closed()


def test_a_refused_body_that_never_ends_gets_no_second_answer(hasty):
    client = hasty.client()
    assert client.ask(chunked(b"abc", auth=b"")[:-3]).status == 401
    assert client.closed()


def test_an_answered_connection_is_not_timed_out(hasty):
    client = hasty.client()
    for request in (post(b"ab"), HEALTH, chunked(b"ab")):
        assert client.ask(request).status == 200
        assert not client_closed_within(client, 0.4)
    assert client.ask(post(b"ab")).size == 2


def client_closed_within(client, seconds):
    client.sock.settimeout(seconds)
    try:
        return client.sock.recv(1, socket.MSG_PEEK) == b""
    except TimeoutError:
        return False
    finally:
        client.sock.settimeout(WAIT_S)


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_client_that_leaves_in_the_middle_leaks_nothing(gateway, size):
    client = gateway.client().send(post(b"x" * size, target="/predict/slow"))
    request = gateway.asked()
    client.close()
    gateway.until(lambda: gateway.core.inflight == 0)
    gateway.reply(request)
    assert gateway.client().ask(post(b"ab")).size == 2


def test_a_client_that_leaves_a_chunked_request_leaks_nothing(gateway):
    client = gateway.client().send(chunked(b"x", target="/predict/slow"))
    request = gateway.asked()
    client.close()
    gateway.reply(request)
    gateway.until(lambda: gateway.core.inflight == 0)
    half = gateway.client().send(chunked(b"x" * 100)[:-50])
    half.close()
    gateway.until(lambda: not gateway.server.server_state.tasks)


def test_a_model_error_keeps_status_body_and_connection(gateway):
    client = gateway.client().send(post(b"x", target="/predict/slow"))
    gateway.reply(gateway.asked(), status=500, body=b'{"error": "no"}')
    answer = client.answer()
    assert (answer.status, answer.body) == (500, b'{"error": "no"}')
    assert client.ask(post(b"ab")).size == 2


def test_a_binary_answer_says_where_its_json_ends(gateway):
    for request in (post(b"x", target="/predict/slow"), chunked(b"x", target="/predict/slow")):
        client = gateway.client().send(request)
        gateway.reply(gateway.asked(), body=b"{}\0\1", content=2, json_size=2)
        answer = client.answer()
        assert answer.headers["content-type"] == "application/octet-stream"
        assert (answer.headers["inference-header-content-length"], answer.body) == ("2", b"{}\0\1")


def test_a_pipeline_behind_a_running_request_is_bounded_and_then_answered(gateway):
    client = gateway.client()
    many = post(b"x" * 1000) * 2000
    sender = threading.Thread(target=client.send, args=(post(b"x", target="/predict/slow") + many,))
    sender.start()
    request = gateway.asked()
    (connection,) = [one for one in gateway.services.connections if one._busy]
    gateway.until(lambda: connection._paused)
    assert len(connection._buffer) < 1_000_000
    gateway.reply(request)
    assert [client.answer().size for _ in range(2001)] == [1, *[1000] * 2000]
    sender.join(WAIT_S)


def test_a_client_that_reads_no_answers_is_not_read_from_for_ever(gateway):
    client = gateway.client()
    client.send(post(b"x", target="/predict/slow"))
    request = gateway.asked()
    (connection,) = [one for one in gateway.services.connections if one._busy]
    gateway.reply(request, body=b'{"by": "' + b"y" * 30_000_000 + b'"}')
    gateway.until(lambda: connection.flow.write_paused)
    before = gateway.fast.count
    sender = threading.Thread(target=client.send, args=(post(b"x" * 1000) * 500,))
    sender.start()
    gateway.until(lambda: connection._paused)
    assert gateway.fast.count == before
    assert len(client.answer().body) > 30_000_000
    assert [client.answer().size for _ in range(500)] == [1000] * 500
    sender.join(WAIT_S)


def test_sweeping_hangs_up_on_who_does_nothing_or_reads_nothing(gateway):
    idle, working, deaf = gateway.client(), gateway.client(), gateway.client()
    idle.ask(HEALTH)
    deaf.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    working.send(post(b"x", target="/predict/slow"))
    request = gateway.asked()
    deaf.send(post(b"x", target="/predict/slow"))
    gateway.reply(gateway.asked(), body=b"y" * 8_000_000)

    async def sweep():
        for connection in list(gateway.services.connections):
            connection.sweep()

    deaf.sock.recv(1)
    (unread,) = [one for one in gateway.services.connections if one.flow.write_paused]
    gateway.until(lambda: gateway.run(sweep()) or unread not in gateway.services.connections)
    assert idle.closed()
    gateway.reply(request)
    assert working.answer().size == 1


def test_shutting_down_finishes_the_answers_under_way_and_closes_the_rest(tmp_path):
    gateway = Gateway(tmp_path)
    idle, fast, slow, body, turned = (gateway.client() for _ in range(5))
    idle.ask(post(b"x"))
    fast.send(post(b"x", target="/predict/slow"))
    requests = [gateway.asked()]
    slow.send(chunked(b"x", target="/predict/slow"))
    requests.append(gateway.asked())
    part = post(b"x" * 10)
    body.send(part[:-5])
    turned.send(HEALTH[:-5])
    gateway.until(lambda: any(one._head for one in gateway.services.connections))
    gateway.until(lambda: any(one._buffer == HEALTH[:-5] for one in gateway.services.connections))
    gateway.server.should_exit = True
    assert idle.closed()
    for request in requests:
        gateway.reply(request)
    for client in (fast, slow):
        assert client.answer().status == 200
        assert client.closed()
    assert body.ask(part[-5:]).size == 10
    assert body.closed()
    assert turned.ask(HEALTH[-5:]).status == 200
    assert turned.closed()
    gateway.thread.join(4)
    assert not gateway.thread.is_alive()
    gateway.close()


def test_metadata_and_metrics_share_the_port(gateway):
    client = gateway.client()
    for path in ("/", "/v2/health/live", "/v2/models/iris/ready", "/endpoints/iris", "/metrics"):
        assert client.ask(b"GET %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (path.encode(), AUTH)).status == 200
    assert client.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").status == 401
    assert client.ask(b"GET /nope HTTP/1.1\r\nHost: x\r\n%s\r\n" % AUTH).status == 404
