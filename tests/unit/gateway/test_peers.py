"""Several gateways that serve the same ports: each tells what all of them counted."""

import asyncio
import contextlib
import socket
import time

import pytest

from inferry.gateway import lookup, peers
from inferry.gateway.peers import Peers
from inferry.gateway.statistics import Counted, add
from tests.support.core_world import KEY, WAIT_S, World
from tests.support.fake_replica import revision

LABELS = (("endpoint", "iris"), ("model", "iris:10"), ("revision", "1"))


class Gateways:
    """Two cores, each with a replica of the same endpoint, that know each other and a third."""

    def __init__(self, folder):
        self.folder = folder
        self.sockets = {number: folder / f"peer-{number}.sock" for number in (1, 2, 3)}
        self.worlds, self.peers = [], []

    async def start(self):
        for number in (1, 2):
            place = self.folder / str(number)
            place.mkdir()
            world = World(place)
            world.apply(iris=(revision(await world.replica("a")),))
            await world.ready()
            one = Peers(world.core, number, self.sockets)
            await one.start()
            self.worlds.append(world)
            self.peers.append(one)
        return self

    async def statistics(self, number, name="iris", version=""):
        told = await lookup.statistics(self.worlds[number - 1].core, self.peers[number - 1], KEY, name, version)
        (found,) = told["model_stats"]
        return found

    async def close(self):
        for one, world in zip(self.peers, self.worlds, strict=True):
            one.close()
            await world.close()


@pytest.fixture
async def gateways(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "BOUND_S", 60.0)
    made = await Gateways(tmp_path).start()
    yield made
    await made.close()


async def test_each_tells_the_requests_of_both(gateways):
    first, second = gateways.worlds
    began = int(time.time() * 1000)
    for world, count in ((first, 2), (second, 3)):
        for _ in range(count):
            assert await world.submit().outcome() == (200, "a")
    assert (await second.submit(version=b"99").outcome())[0] == 404
    pages = [await one.metrics() for one in gateways.peers]
    assert pages[0] == pages[1]
    series = 'inferry_requests_total{endpoint="iris",model="iris:10",revision="1",door="plain"'
    for line in (
        series + ',gateway="1",status="200"} 2',
        series + ',gateway="2",status="200"} 3',
        series + ',gateway="2",status="404"} 1',
        'inferry_replicas_ready{endpoint="iris",gateway="2"} 1',
        'inferry_requests_moved_total{gateway="1"} 0',
        'inferry_gateway_up{gateway="1"} 1',
        'inferry_gateway_up{gateway="2"} 1',
        'inferry_gateway_up{gateway="3"} 0',
    ):
        assert pages[0].count(line + "\n") == 1, line
    assert pages[0].count("# TYPE inferry_requests_total counter\n") == 1
    for number in (1, 2):
        for name in ("iris", ""):
            told = await gateways.statistics(number, name)
            assert told["inference_stats"]["success"]["count"] == told["inference_count"] == 5
            assert told["inference_stats"]["fail"]["count"] == 1
            assert told["last_inference"] >= began
    alone = await Peers(first.core).metrics()
    assert "gateway" not in alone
    assert series + ',status="200"} 2\n' in alone


async def test_one_that_says_nothing_or_nonsense_is_left_out(gateways, monkeypatch):
    monkeypatch.setattr(peers, "BOUND_S", 0.5)
    (first, _), (one, two) = gateways.worlds, gateways.peers
    await first.submit().outcome()
    two.close()

    async def nonsense(reader, writer):
        await reader.readline()
        writer.write(b'{"text": "# HEL')
        writer.close()

    gateways.sockets[2].unlink(missing_ok=True)
    lies = await asyncio.start_unix_server(nonsense, gateways.sockets[2])
    with contextlib.closing(lies), socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(gateways.sockets[3]))
        silent.listen()
        async with asyncio.timeout(6 * WAIT_S):
            page = await one.metrics()
            told = await gateways.statistics(1)
    assert (
        'inferry_gateway_up{gateway="1"} 1\ninferry_gateway_up{gateway="2"} 0\ninferry_gateway_up{gateway="3"} 0\n'
        in page
    )
    assert told["inference_count"] == 1


async def test_questions_that_make_no_sense_end_with_a_closed_connection(gateways):
    for line in (b"what?\n", b'{"what":"keys"}\n', b"x" * (1 << 17) + b"\n", b""):
        reader, writer = await asyncio.open_unix_connection(gateways.sockets[2])
        with contextlib.suppress(ConnectionError):  # it may be gone before it has read all
            writer.write(line)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 6 * WAIT_S) == b""
        writer.close()
    assert 'inferry_gateway_up{gateway="2"} 1\n' in await gateways.peers[0].metrics(), "and it goes on"


async def test_who_is_alone_has_no_socket(tmp_path):
    world = World(tmp_path)
    one = Peers(world.core, 1, {1: tmp_path / "peer-1.sock"})
    await one.start()
    assert list(tmp_path.iterdir()) == []
    assert await one.metrics() == await Peers(world.core).metrics()
    await world.close()


def test_counts_of_the_same_revision_are_added_and_the_latest_stays():
    other = (*LABELS[:2], ("revision", "2"))
    one = Counted(labels=LABELS, success=1, fail=2, rows=3, executions=0.5, total_us=5, failed_us=6, last=70.0)
    two = Counted(labels=LABELS, success=10, executions=0.25, queue_us=8, predict_us=9, last=60.0)
    three = Counted(labels=other, success=4)
    assert add([one, three, two]) == [
        Counted(
            labels=LABELS, success=11, fail=2, rows=3, executions=0.75, total_us=5, failed_us=6,
            queue_us=8, predict_us=9, last=70.0,
        ),
        three,
    ]  # fmt: skip
