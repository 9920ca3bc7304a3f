"""Bad HTTP on the inference port, byte by byte: framing, limits, slow and broken clients."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from urllib.parse import urlsplit

import pytest

from tests.acceptance.conftest import GOOD_ROW, Target
from tests.acceptance.test_bad_requests import GROUPS
from tests.conftest import LIMITS
from tests.support import processes
from tests.support.refusals import OIP, PLAIN, Answer, check, read_answer, request, speak

BODY = json.dumps([GOOD_ROW]).encode()
HEAD_LIMIT, BODY_LIMIT = float(LIMITS["INFERRY_HEAD_TIMEOUT"]), float(LIMITS["INFERRY_BODY_TIMEOUT"])
MEGABYTE = 1 << 20


def head(
    target: Target, *lines: str, path: str = "/predict/table", method: str = "POST", version: str = "1.1"
) -> bytes:
    """A request's head with the admin key and these lines, nothing else."""
    text = "".join(f"{line}\r\n" for line in (f"authorization: Bearer {target.platform.key}", "host: x", *lines))
    return f"{method} {path} HTTP/{version}\r\n{text}\r\n".encode("latin-1")


def send(target: Target, *parts: bytes | float) -> Answer | None:
    return speak(target.platform.http, *parts)


INFER = "/v2/models/tensor/infer"
LENGTH = f"content-length: {len(BODY)}"

FRAMING = {
    "both lengths": (400, "invalid_input", [LENGTH, "transfer-encoding: chunked"], BODY),
    "both lengths, other order": (400, "invalid_input", ["transfer-encoding: chunked", LENGTH], BODY),
    "two different lengths": (400, "invalid_input", [LENGTH, "content-length: 5"], BODY),
    "a length with a sign": (400, "invalid_input", [f"content-length: +{len(BODY)}"], BODY),
    "a negative length": (400, "invalid_input", ["content-length: -1"], BODY),
    "a length in hex": (400, "invalid_input", ["content-length: 0x20"], BODY),
    "a list of lengths": (400, "invalid_input", ["content-length: 5, 5"], BODY),
    "a length over 64 bits": (400, "invalid_input", [f"content-length: {2**70}"], b""),
    "an unknown transfer coding": (400, "invalid_input", ["transfer-encoding: gzip"], BODY),
    "a coding in disguise": (400, "invalid_input", ["transfer-encoding: xchunked"], BODY),
    "a chunk size that is no number": (400, "invalid_input", ["transfer-encoding: chunked"], b"zz\r\nhello\r\n0\r\n\r\n"),
    "a chunk longer than it says": (400, "invalid_input", ["transfer-encoding: chunked"], b"3\r\nhello\r\n0\r\n\r\n"),
    "a chunk size over 64 bits": (400, "invalid_input", ["transfer-encoding: chunked"], b"1" * 17 + b"\r\nhi\r\n"),
    "a header without a colon": (400, "invalid_input", [LENGTH, "nonsense"], BODY),
    "a space before the colon": (400, "invalid_input", ["content-length : 3"], b"[1]"),
    "a folded header": (400, "invalid_input", [LENGTH, "x-a: 1", " content-length: 5"], BODY),
    "NUL in a header": (400, "invalid_input", [LENGTH, "x-a: a\0b"], BODY),
    "ten thousand headers": (431, "headers_too_large", [LENGTH, *(f"x-{n}: 1" for n in range(10_000))], BODY),
    "three hundred headers": (431, "headers_too_large", [LENGTH, *(f"x-{n}: 1" for n in range(300))], BODY),
    "a header of 200 KB": (431, "headers_too_large", [LENGTH, "cookie: " + "a" * 200_000], BODY),
    "a length over the limit": (413, "too_large", [f"content-length: {65 * MEGABYTE}"], b""),
    "a length of an exabyte": (413, "too_large", [f"content-length: {10**14}"], b""),
    "no body": (400, "invalid_input", ["content-length: 0"], b""),
    "no length at all": (400, "invalid_input", [], b""),
    "an expectation, unmet size": (413, "too_large", [f"content-length: {10**9}", "expect: 100-continue"], b""),
}  # fmt: skip

NO_HEAD = {"ten thousand headers", "a header of 200 KB"}  # what does not end names no door


@pytest.mark.parametrize("door", [PLAIN, OIP])
@pytest.mark.parametrize("name", FRAMING)
def test_a_request_whose_framing_is_wrong_is_refused(target: Target, name: str, door: str) -> None:
    status, code, lines, body = FRAMING[name]
    path = INFER if door == OIP else "/predict/table"
    answer = send(target, head(target, *lines, path=path), body)
    check(answer, status, code, PLAIN if name in NO_HEAD else door)
    target.still_serves()


GARBAGE = {
    "no HTTP": b"hello there, this is no HTTP at all\r\n\r\n",
    "a TLS greeting": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200 + b"\r\n\r\n",
    "HTTP/2 by prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.7": b"GET / HTTP/3.7\r\n\r\n",
    "no target": b"GET\r\n\r\n",
    "an unknown verb": b"BREW /predict/table HTTP/1.1\r\n\r\n",
    "only line feeds": b"GET nothing\n\n\r\n\r\n",
    "CONNECT": b"CONNECT 169.254.169.254:80 HTTP/1.1\r\n\r\n",
    "zeros": b"\0" * 1000 + b"\r\n\r\n",
    "a bare newline smuggles a header": b"GET / HTTP/1.1\r\nx: a\rcontent-length: 5\r\n\r\n",
}


@pytest.mark.parametrize("name", GARBAGE)
def test_bytes_that_are_no_http_are_refused(target: Target, name: str) -> None:
    answer = send(target, GARBAGE[name])
    assert answer is not None
    assert answer.status in (400, 404, 405, 401), answer
    check(answer, answer.status, answer.json()["error"]["code"], PLAIN)
    target.still_serves()


def test_chunks_over_the_limit_are_refused_while_they_come(target: Target) -> None:
    chunk = b"100000\r\n" + b" " * MEGABYTE + b"\r\n"
    for path, form in (("/predict/table", PLAIN), (INFER, OIP)):
        answer = send(target, head(target, "transfer-encoding: chunked", path=path), *[chunk] * 66)
        check(answer, 413, "too_large", form)
        target.still_serves()


def test_a_hundred_thousand_chunks_of_a_byte_are_one_body(target: Target) -> None:
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in BODY.ljust(100_000)) + b"0\r\n\r\n"
    answer = send(target, head(target, "transfer-encoding: chunked"), body)
    assert answer is not None
    assert answer.status == 200, answer.body


def test_a_chunked_body_is_judged_like_any_other(target: Target) -> None:
    answer = send(target, head(target, "transfer-encoding: chunked"), b"5\r\n[{{{{\r\n0\r\n\r\n")
    check(answer, 400, "invalid_input", PLAIN)
    key = head(target, "transfer-encoding: chunked").replace(target.platform.key.encode(), b"inf_wrong")
    check(send(target, key, b"2\r\n[]\r\n0\r\n\r\n"), 401, "unauthorized", PLAIN)
    target.still_serves()


def test_a_head_over_the_limit_is_refused_before_it_ends(target: Target) -> None:
    endless = b"GET / HTTP/1.1\r\n" + b"x-a: " + b"a" * 70_000
    check(send(target, endless), 431, "headers_too_large", PLAIN)
    target.still_serves()


def test_a_slow_client_is_told_so_and_let_go(target: Target) -> None:
    """All of them at once: they wait for their limits together, and cost nobody anything."""
    wires = {
        "a head that stops": b"POST /predict/table HTTP/1.1\r\nhost:",
        "one byte": b"P",
        "a body that stops": head(target, "content-length: 1000") + b"[",
        "a body that never begins": head(target, "content-length: 1000"),
        "a body that stops, infer": head(target, "content-length: 1000", path=INFER) + b"{",
        "chunks that stop": head(target, "transfer-encoding: chunked") + b"5\r\n[",
        "chunks that stop, infer": head(target, "transfer-encoding: chunked", path=INFER) + b"5\r\n[",
        "a body behind an expectation": head(target, "content-length: 10", "expect: 100-continue"),
    }
    begun = time.monotonic()
    address = urlsplit(target.platform.http)
    open_ones = {}
    for name, wire in wires.items():
        open_ones[name] = socket.create_connection((address.hostname, address.port), timeout=BODY_LIMIT + 10)
        open_ones[name].sendall(wire)
    drip = socket.create_connection((address.hostname, address.port), timeout=BODY_LIMIT + 10)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # a byte now and then does not move the limit
        for _ in range(60):
            drip.sendall(b"G")
            target.still_serves()
            time.sleep(0.2)
    open_ones["a head that drips"] = drip
    for name, connection in open_ones.items():
        with connection:
            try:
                answer = read_answer(connection)
            except TimeoutError:
                pytest.fail(f"{name}: still waiting")
            assert answer is not None, f"{name}: closed without an answer"
            check(answer, 408, "request_timeout", OIP if "infer" in name else PLAIN)
            assert connection.recv(1) == b"", f"{name}: the connection stays open"
    assert time.monotonic() - begun < HEAD_LIMIT + BODY_LIMIT + 5
    target.still_serves()


def test_clients_that_leave_in_the_middle_cost_nothing(target: Target) -> None:
    whole = head(target, LENGTH) + BODY
    chunked = head(target, "transfer-encoding: chunked") + b"5\r\n[{"
    big = head(target, f"content-length: {8 * MEGABYTE}") + b" " * MEGABYTE
    address = urlsplit(target.platform.http)
    before = len(list(processes.descriptors(target.platform.gateway_pid())))
    for wire in (whole[:40], whole[:-10], chunked, big, whole, b""):
        for linger in (False, True):
            with socket.create_connection((address.hostname, address.port)) as connection:
                if linger:  # leave with a reset
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                connection.sendall(wire)
        target.still_serves()
    processes.wait_until(
        lambda: len(list(processes.descriptors(target.platform.gateway_pid()))) <= before + 2, 10, "sockets are closed"
    )


def test_bad_and_good_requests_take_turns_on_one_connection(target: Target) -> None:
    address = urlsplit(target.platform.http)
    cases = [case for group in ("keys", "json", "plain", "infer", "binary") for case in GROUPS[group]]
    good = request("POST", "/predict/table", BODY, key=target.platform.key)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        for case in cases:
            wire = request(case.method, case.path, case.content(), case.headers, target.keys.get(case.key, case.key))
            connection.sendall(wire)
            answer = read_answer(connection)
            check(answer, case.status, case.code, case.form)
            if answer.headers.get("connection") == "close":
                break
            connection.sendall(good)
            assert read_answer(connection).status == 200
        assert case is cases[-1] or "length" in case.name, case.name


def test_pipelined_requests_are_answered_in_order(target: Target) -> None:
    address = urlsplit(target.platform.http)
    good = request("POST", "/predict/table", BODY, key=target.platform.key)
    bad = request("POST", "/predict/table", b"[", key=target.platform.key)
    missing = request("GET", "/nothing", key=target.platform.key)
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(good + bad + missing + good + bad)
        reader = connection.makefile("rb")
        statuses = []
        for _ in range(5):
            statuses.append(int(reader.readline().split()[1]))
            length = 0
            while (line := reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            reader.read(length)
    assert statuses == [200, 400, 404, 200, 400]


def test_a_body_has_its_own_time_though_the_same_head_came_slowly(target: Target) -> None:
    address = urlsplit(target.platform.http)
    wire = request("POST", "/predict/table", BODY, key=target.platform.key)
    start = wire.index(b"\r\n\r\n") + 4
    with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
        connection.sendall(wire)
        first = read_answer(connection)
        connection.sendall(wire[:20])
        time.sleep(HEAD_LIMIT / 2)
        connection.sendall(wire[20 : start + 1])
        time.sleep(HEAD_LIMIT * 0.75)
        connection.sendall(wire[start + 1 :])
        second = read_answer(connection)
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == (200, 200)
