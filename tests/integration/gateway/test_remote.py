"""Replicas on other machines: a gateway's core and whole replica processes, over TCP with TLS."""

import asyncio
import socket
import ssl
import time
from contextlib import suppress

import msgspec
import pytest

from inferry.backends.channel import Channel, Secure
from inferry.errors import InvalidInput, Unavailable
from inferry.gateway import core as core_module
from inferry.gateway.core import Core
from inferry.security.authority import Authority, request
from inferry.security.keys import KeyRing
from inferry.security.tls import CONTROL, GATEWAY, connecting_context, dial, listening_context, replica_name
from inferry.types import frames
from inferry.types.address import TcpAddress
from inferry.types.routing import RevisionRoute
from inferry.types.signature import Signature
from tests.support.core_world import World
from tests.support.fake_model import DIE, DOOR, GATE
from tests.support.fake_replica import PEPPER
from tests.support.remote import RemoteReplica

WAIT_S = 60


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("home") / "tls")


class Machines(World):
    """A core, and replicas that it reaches over TCP."""

    def __init__(self, folder, authority):
        super().__init__(folder)
        self.authority = authority
        self.identity = authority.issue(GATEWAY, connects=True)
        context = connecting_context(self.identity)
        loop = asyncio.get_running_loop()
        self.core = Core(loop, lambda t: KeyRing(t.keys, PEPPER), self.metrics, self.stuck.append, lambda: context)
        self.far = []

    def start(self, id, **how):
        self.far.append(RemoteReplica(self.authority, id, **how))
        return self.far[-1]

    def serve(self, *replicas, timeout_s=WAIT_S):
        route = RevisionRoute(
            number=1, version=1, weight=100, signature=Signature(kind="open"), timeout_s=timeout_s,
            replicas=tuple(replica.address for replica in replicas),
        )  # fmt: skip
        self.apply(iris=(route,))

    async def close(self):
        await super().close()
        for replica in self.far:
            replica.close()


@pytest.fixture
async def machines(tmp_path, authority):
    made = Machines(tmp_path, authority)
    yield made
    await made.close()


async def ask(machines, body, timeout=0.0):
    asker = machines.submit(body=body, timeout=timeout)
    asker.answer = lambda head, revision, reply: asker.done.set_result((reply.status, bytes(reply.body)))
    return await asyncio.wait_for(asker.done, WAIT_S)


def later(machines, body):
    return asyncio.ensure_future(ask(machines, body))


async def running(replica):
    await asyncio.to_thread(replica.wait_until_running)


async def test_predictions_cross_machines_small_and_large(machines):
    replica = machines.start("a")
    machines.serve(replica)
    assert await ask(machines, b"[1, 2]") == (200, b"[2.0, 4.0]")
    large = b"[" + b",".join([b"1.5"] * 200_000) + b"]"
    status, body = await ask(machines, large)
    assert (status, body.count(b"3.0")) == (200, 200_000)
    answers = await asyncio.gather(*(ask(machines, b"[%d]" % number) for number in range(300)))
    assert answers == [(200, b"[%.1f]" % (2 * number)) for number in range(300)]


async def test_a_deadline_is_kept_by_the_replicas_own_clock(machines):
    replica = machines.start("a")
    machines.serve(replica)
    busy = later(machines, b"[%f]" % GATE)
    await running(replica)
    assert (await ask(machines, b"[1]", timeout=0.2))[0] == 504
    replica.let_go()
    assert (await busy)[0] == 200


async def test_what_a_lost_machine_had_begun_is_answered_by_another(machines):
    first, second = machines.start("a"), machines.start("b", host="127.0.0.2")
    machines.serve(first)
    begun = later(machines, b"[%f]" % GATE)
    await running(first)
    queued = [later(machines, b"[%d]" % number) for number in range(20)]
    machines.serve(first, second)
    await machines.ready()
    first.kill()
    await running(second)
    second.let_go()
    assert await asyncio.gather(*queued) == [(200, b"[%.1f]" % (2 * number)) for number in range(20)]
    assert (await begun)[0] == 200


async def test_a_request_that_kills_replicas_ends_a_few_of_them_at_most(machines):
    replicas = [machines.start(name, host=f"127.0.0.{place}") for place, name in enumerate("abcde", start=1)]
    machines.serve(*replicas)
    await machines.ready()
    status, code = await ask(machines, b"[%f]" % DIE)
    assert (status, code) == (503, "replica_lost")
    assert sum(replica.child.poll() is not None for replica in replicas) <= core_module.MAX_RISKED + 1
    assert (await ask(machines, b"[1]"))[0] == 200


async def test_others_of_a_lost_machine_get_requests_again_once_they_have_spoken(machines):
    first, second = machines.start("a"), machines.start("b")
    machines.serve(first, second)
    await machines.ready()
    first.kill()
    assert await asyncio.gather(*(ask(machines, b"[1]") for _ in range(10))) == [(200, b"[2.0]")] * 10


async def test_a_machine_that_stops_saying_anything_is_given_up_within_seconds(machines):
    """A peer that neither closes nor acknowledges: its packets go nowhere."""
    replica = machines.start("a")
    machines.serve(replica)
    await machines.ready()
    sock = machines.core.links["a"]._sock
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 5000
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_whoever_is_not_that_replica_is_not_spoken_to(machines, authority, tmp_path):
    other_name = machines.start("a", identity=authority.issue(replica_name("b"), connects=False))
    stranger = machines.start("c", identity=Authority(tmp_path / "tls").issue(replica_name("c"), connects=False))
    right = machines.start("d")
    machines.serve(other_name, stranger, right)
    assert (await ask(machines, b"[1]"))[0] == 200
    assert [machines.core.links[name].ready for name in "acd"] == [False, False, True]


async def test_a_key_that_stays_where_it_was_made_is_good_for_that_replica_alone(machines, authority):
    key, asked = request()
    signed = authority.sign(replica_name("a"), asked)
    assert signed.key == ""
    shown = msgspec.structs.replace(signed, key=key)
    machines.serve(machines.start("a", identity=shown))
    assert (await ask(machines, b"[1]"))[0] == 200
    with pytest.raises(InvalidInput):
        authority.sign(replica_name("a"), key)


async def test_a_replica_answers_nobody_without_a_certificate_and_goes_on_serving(machines, authority):
    replica = machines.start("a")
    machines.serve(replica)
    loop = asyncio.get_running_loop()
    strangers = [await dial(loop, TcpAddress("127.0.0.1", replica.port)) for _ in range(5)]
    for sock in strangers[1:]:
        await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionError):
            assert not (await asyncio.wait_for(loop.sock_recv(sock, 100), WAIT_S)).startswith(b"HTTP")
    wrong = connecting_context(authority.issue(replica_name("b"), connects=False))
    with pytest.raises((OSError, Unavailable)):  # reset, or told why
        await Channel.open(
            replica.address.socket, Secure(lambda address: dial(loop, address), wrong, replica_name("a"))
        )
    assert (await ask(machines, b"[1]"))[0] == 200
    for sock in strangers:
        sock.close()


async def test_control_speaks_to_it_over_its_own_channel_and_renews_its_certificate(machines, authority):
    replica = machines.start("a", identity=authority.issue(replica_name("a"), connects=False, life_s=20))
    loop = asyncio.get_running_loop()
    control = connecting_context(authority.issue(CONTROL, connects=True))
    secure = Secure(lambda address: dial(loop, address), control, replica_name("a"))

    class Watching(Channel):
        """Of a replica that is no whole one: its status says the process alone."""

    channel = Watching(replica.address.socket)
    await loop.create_connection(
        lambda: channel, sock=await dial(loop, TcpAddress("127.0.0.1", replica.port)), ssl=secure.context,
        server_hostname=secure.name,
    )  # fmt: skip
    reply = await channel.ask(DOOR, b"m", b"[4]", WAIT_S)
    assert (reply.status, reply.body) == (200, b"[8.0]")
    assert await channel.alive(WAIT_S)
    channel.renew(authority.issue(replica_name("a"), connects=False))
    assert await channel.alive(WAIT_S)
    await asyncio.sleep(0)
    machines.serve(replica)
    assert (await ask(machines, b"[1]"))[0] == 200
    certificate = machines.core.links["a"]._sock.getpeercert()
    assert ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time() > 1000
    replica.kill()
    assert await asyncio.wait_for(channel.gone, WAIT_S)
    with pytest.raises(Unavailable):
        await channel.ask(DOOR, b"m", b"[4]", WAIT_S)


def test_the_context_of_a_replica_takes_nothing_older_than_tls_1_3(authority):
    context = listening_context(authority.issue(replica_name("a"), connects=False))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert frames.ROOM == 16384
