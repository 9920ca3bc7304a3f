"""Server: a whole replica process on a real unix socket."""

import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from inferry.types import frames
from tests.support.fake_model import DIE, DOOR, GATE, POISON

ROOT = Path(__file__).parents[3]
WAIT_S = 10


class Process:
    """A replica with the fake model, and the two ends a test holds: its lifeline and its gate."""

    def __init__(self, folder):
        self.path = str(folder / "r.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.path)
            listener.listen(16)
            lifeline, self.lifeline = os.pipe()
            self.gate, gate = socket.socketpair()
            inherited = (listener.fileno(), lifeline, gate.fileno())
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tests.support.fake_model", *map(str, inherited)],
                pass_fds=inherited, cwd=ROOT, env={**os.environ, "PYTHONPATH": "src"}, stderr=subprocess.PIPE,
            )  # fmt: skip
            os.close(lifeline)
            gate.close()
        self.gate.settimeout(WAIT_S)
        self.peers = []

    def connect(self, page=True):
        peer = Peer(self.path, page)
        self.peers.append(peer)
        return peer

    def wait(self):
        return self.child.wait(WAIT_S)

    def wait_until_running(self):
        assert self.gate.recv(2) == b"in"

    def let_go(self):
        self.gate.send(b"x")

    def close(self):
        self.child.kill()
        self.child.wait()
        self.child.stderr.close()
        self.gate.close()
        for peer in self.peers:
            peer.close()
        os.close(self.lifeline)


class Peer:
    """The gateway's (or, without a page, control's) end."""

    def __init__(self, path, page):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(WAIT_S)
        self.sock.connect(path)
        self.page = None
        if page:
            descriptor = os.memfd_create("page")
            os.ftruncate(descriptor, 8)
            self.page = mmap.mmap(descriptor, 8)
            socket.send_fds(self.sock, [b"W"], [descriptor])
            os.close(descriptor)
        else:
            self.sock.send(b"N")
        self.inbox = frames.Inbox()

    def ask(self, id, rows, **fields):
        self.sock.sendall(frames.pack_request(id, frames.INFER, door=DOOR, body=json.dumps(rows).encode(), **fields))

    def say(self, kind):
        self.sock.sendall(frames.pack_request(0, kind))

    def replies(self, count):
        found = []
        while len(found) < count:
            data = self.sock.recv(1 << 16)
            assert data, "the replica hung up"
            self.inbox.feed(data)
            found += self.inbox.replies()
        return found

    def answers(self, count):
        return {reply.id: json.loads(reply.body) for reply in self.replies(count)}

    @property
    def begun(self):
        return struct.unpack("<Q", self.page[:])[0]

    def hung_up(self):
        return self.sock.recv(1) == b""

    def close(self):
        self.sock.close()
        if self.page is not None:
            self.page.close()


@pytest.fixture
def process(tmp_path):
    made = Process(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = Process(tmp_path_factory.mktemp("replica"))
    yield made
    made.close()


def test_it_answers_requests_and_says_who_it_is(shared):
    peer = shared.connect()
    peer.ask(1, [1, 2])
    assert peer.answers(1) == {1: [2, 4]}
    peer.say(frames.STATUS)
    (status,) = peer.replies(1)
    assert status.kind == frames.STATUS_REPLY
    facts = json.loads(status.body)
    assert facts["pid"] == shared.child.pid
    assert facts["served"] >= 1


def test_a_request_may_come_byte_by_byte_and_many_in_one_piece(shared):
    peer = shared.connect()
    for byte in frames.pack_request(7, frames.INFER, door=DOOR, body=b"[1]"):
        peer.sock.send(bytes([byte]))
    assert peer.answers(1) == {7: [2]}
    one = b"".join(frames.pack_request(id, frames.INFER, door=DOOR, body=b"[%d]" % id) for id in range(1, 200))
    peer.sock.sendall(one)
    assert peer.answers(199) == {id: [2 * id] for id in range(1, 200)}


def test_what_arrives_while_the_model_runs_is_the_next_batch(shared):
    gateway, control = shared.connect(), shared.connect(page=False)
    control.ask(1, [1])  # a first byte is read by itself: both are past it now
    control.replies(1)
    gateway.ask(1, [GATE])
    shared.wait_until_running()
    for id in range(2, 7):
        gateway.ask(id, [id])
    control.ask(1, [50])
    assert gateway.begun == 1
    shared.let_go()
    assert [(reply.id, reply.batch) for reply in gateway.replies(6)] == [(1, 1), *((id, 6) for id in range(2, 7))]
    assert control.answers(1) == {1: [100]}
    assert gateway.begun == 6


def test_the_page_tells_after_a_death_what_was_begun(process):
    peer = process.connect()
    peer.ask(1, [GATE])
    process.wait_until_running()
    peer.ask(2, [DIE])
    peer.ask(3, [1] * 64)  # fills a batch of its own
    process.let_go()
    assert peer.answers(1) == {1: [2 * GATE]}
    assert process.wait() == 9
    assert peer.hung_up()
    assert peer.begun == 2


def test_an_expired_request_is_refused_and_never_begun(shared):
    peer = shared.connect()
    peer.ask(1, [1], deadline=1)
    (reply,) = peer.replies(1)
    assert (reply.status, peer.begun) == (504, 0)


def test_a_poisoned_request_is_answered_with_an_error(shared):
    peer = shared.connect()
    peer.ask(1, [POISON])
    assert peer.replies(1)[0].status == 500


@pytest.mark.parametrize("garbage", [b"\xff" * 100, struct.pack("<I", 3) + bytes(100), bytes(100)])
def test_garbage_drops_only_the_connection_that_sent_it(shared, garbage):
    good, bad = shared.connect(), shared.connect()
    good.ask(1, [1])
    assert good.answers(1) == {1: [2]}
    bad.sock.sendall(garbage)
    assert bad.hung_up()
    good.ask(2, [2])
    assert good.answers(1) == {2: [4]}


def test_a_greeting_with_a_page_that_is_too_small_drops_only_that_connection(shared):
    with socket.socket(socket.AF_UNIX) as bad:
        bad.settimeout(WAIT_S)
        bad.connect(shared.path)
        descriptor = os.memfd_create("page")
        socket.send_fds(bad, [b"W"], [descriptor])
        os.close(descriptor)
        assert bad.recv(1) == b""
    peer = shared.connect()
    peer.ask(1, [1])
    assert peer.answers(1) == {1: [2]}


def test_a_peer_that_leaves_with_work_queued_takes_nothing_with_it(shared):
    leaving, staying = shared.connect(), shared.connect()
    leaving.ask(1, [GATE])
    shared.wait_until_running()
    for id in range(2, 5):
        leaving.ask(id, [1] * 40)
    leaving.close()
    staying.ask(1, [1] * 40)
    staying.ask(2, [2])
    shared.let_go()
    assert staying.answers(2) == {1: [2.0] * 40, 2: [4]}


@pytest.mark.parametrize("how", ["frame", "signal"])
def test_stop_drains_what_is_queued_and_ends_when_the_gateway_lets_go(process, how):
    gateway, control = process.connect(), process.connect(page=False)
    gateway.ask(1, [GATE])
    process.wait_until_running()
    gateway.ask(2, [2])
    control.say(frames.STOP) if how == "frame" else process.child.send_signal(signal.SIGTERM)
    process.let_go()
    assert gateway.answers(2) == {1: [2 * GATE], 2: [4]}
    gateway.ask(3, [3])  # what was already under way to it is answered too
    assert gateway.answers(1) == {3: [6]}
    assert process.child.poll() is None
    gateway.close()
    assert process.wait() == 0


def test_a_connection_that_comes_with_the_stop_does_no_harm(process):
    gateway, control = process.connect(), process.connect(page=False)
    gateway.ask(1, [GATE])
    process.wait_until_running()
    control.say(frames.STOP)
    late = process.connect()
    process.let_go()
    assert gateway.answers(1) == {1: [2 * GATE]}
    gateway.close()
    late.close()
    assert process.wait() == 0


def test_the_end_of_the_lifeline_ends_it(process):
    peer = process.connect()
    peer.ask(1, [1])
    peer.replies(1)
    os.close(process.lifeline)
    process.lifeline = os.open(os.devnull, os.O_RDONLY)
    assert process.wait() == 0


def test_an_idle_replica_sleeps(shared):
    peer = shared.connect()
    peer.ask(1, [1])
    peer.replies(1)
    ticks = lambda: sum(map(int, Path(f"/proc/{shared.child.pid}/stat").read_text().rpartition(")")[2].split()[11:13]))  # noqa: E731
    before = ticks()
    select.select([peer.sock], [], [], 0.3)
    assert ticks() - before <= 1
