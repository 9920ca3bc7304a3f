"""The load generators: what they read and count, and how often they ask."""

import contextlib
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from bench.connection import Post
from bench.load import bundled, generator, percentile, read_wrk, users


@contextlib.contextmanager
def answering(status: bytes = b"200 OK", pause: float = 0.0) -> Iterator[str]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            while head := self.rfile.readline():
                length = 0
                while (line := self.rfile.readline()).strip():
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                assert head.startswith(b"POST /predict ")
                assert self.rfile.read(length) == b"\x00\xff"
                time.sleep(pause)
                self.wfile.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nok")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/predict"
        finally:
            server.shutdown()
            thread.join()


def test_the_last_line_of_wrk_is_read():
    load = read_wrk(
        'Running 4s test\n  64 connections\n\n{"requests":200,"seconds":4.0,"p50":1.5,"p99":3.25,"errors":1}\n'
    )
    assert (load.rate, load.p50, load.p99, load.errors) == (50.0, 1.5, 3.25, 1)


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.99, 4.0), (1.0, 4.0)])
def test_percentiles(share, value):
    assert percentile([1.0, 2.0, 3.0, 4.0], share) == value


def test_no_latencies_have_percentile_zero():
    assert percentile([], 0.99) == 0.0


def test_binary_bodies_arrive_as_they_are_and_answers_are_counted():
    with answering() as url:
        load = bundled(Post(url=url, body=b"\x00\xff"), 2, 0.2)
    assert load.requests > 10
    assert load.errors == 0


def test_answers_other_than_200_are_errors():
    with answering(b"503 Busy") as url:
        load = bundled(Post(url=url, body=b"\x00\xff"), 1, 0.1)
    assert load.errors == load.requests > 0


@pytest.mark.skipif(generator() != "wrk", reason="wrk is not installed")
def test_users_who_think_ask_about_as_often_as_told():
    with answering() as url:
        load = users(Post(url=url, body=b"\x00\xff"), 200, 2.0, connections=20)
    assert 120 <= load.rate <= 280
    assert load.errors == 0
