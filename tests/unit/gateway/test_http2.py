"""The HTTP/2 connection, frame by frame: what RFC 9113 asks of a server, and what a client may do to it."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.gateway import http2_control
from inferry.gateway import http2_frames as f
from inferry.gateway.hpack import block_of
from tests.support.http2_peer import REQUEST, Peer, answered, headers, request

PING = f.frame(f.PING, 0, 0, b"12345678")


def goaway(code: int) -> list[tuple]:
    return [("goaway", code)]


def reset(code: int, stream: int = 1) -> list[tuple]:
    return [("reset", stream, code)]


def with_field(name: bytes, value: bytes, base=REQUEST) -> list[tuple[bytes, bytes]]:
    return [*base, (name, value)]


def without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [field for field in REQUEST if field[0] != name]


BLOCK = block_of(*REQUEST)
OPEN = headers(1)
HELD = headers(1, [*REQUEST[:2], (b":path", b"/hold"), REQUEST[3]])
DONE = request(1)

FAULTS = {
    # frames and their sizes (RFC 9113, 4)
    "a frame over the agreed size": (
        f.HEADER.pack((http2_control.MAX_FRAME + 1) << 8 | f.DATA, 0, 1),
        goaway(f.FRAME_SIZE_ERROR),
    ),
    "a huge SETTINGS": (f.HEADER.pack(100_000 << 8 | f.SETTINGS, 0, 0), goaway(f.ENHANCE_YOUR_CALM)),
    "PING of 7 bytes": (f.frame(f.PING, 0, 0, b"1234567"), goaway(f.FRAME_SIZE_ERROR)),
    "RST_STREAM of 3 bytes": (OPEN + f.frame(f.RST_STREAM, 0, 1, b"123"), goaway(f.FRAME_SIZE_ERROR)),
    "WINDOW_UPDATE of 3 bytes": (f.frame(f.WINDOW_UPDATE, 0, 0, b"123"), goaway(f.FRAME_SIZE_ERROR)),
    "SETTINGS of 5 bytes": (f.frame(f.SETTINGS, 0, 0, b"12345"), goaway(f.FRAME_SIZE_ERROR)),
    "an acknowledgement with settings": (f.frame(f.SETTINGS, f.ACK, 0, b"123456"), goaway(f.FRAME_SIZE_ERROR)),
    "GOAWAY of 7 bytes": (f.frame(f.GOAWAY, 0, 0, b"1234567"), goaway(f.FRAME_SIZE_ERROR)),
    "PRIORITY of 4 bytes": (f.frame(f.PRIORITY, 0, 1, b"1234"), reset(f.FRAME_SIZE_ERROR)),
    # streams and their states (5.1)
    "DATA on an idle stream": (f.frame(f.DATA, 0, 1, b"x"), goaway(f.PROTOCOL_ERROR)),
    "DATA on stream 0": (f.frame(f.DATA, 0, 0, b"x"), goaway(f.PROTOCOL_ERROR)),
    "RST_STREAM of an idle stream": (f.frame(f.RST_STREAM, 0, 1, b"\0\0\0\0"), goaway(f.PROTOCOL_ERROR)),
    "RST_STREAM of stream 0": (f.frame(f.RST_STREAM, 0, 0, b"\0\0\0\0"), goaway(f.PROTOCOL_ERROR)),
    "WINDOW_UPDATE of an idle stream": (f.window_update(1, 1), goaway(f.PROTOCOL_ERROR)),
    "CONTINUATION of nothing": (f.frame(f.CONTINUATION, 4, 1, BLOCK), goaway(f.PROTOCOL_ERROR)),
    "HEADERS on stream 0": (headers(0), goaway(f.PROTOCOL_ERROR)),
    "HEADERS on an even stream": (headers(2), goaway(f.PROTOCOL_ERROR)),
    "HEADERS on a lower stream": (headers(5) + headers(3), goaway(f.PROTOCOL_ERROR)),
    "HEADERS on a half-closed stream": (
        HELD + f.frame(f.DATA, 1, 1, b"x") + headers(1, flags=5),
        goaway(f.STREAM_CLOSED),
    ),
    "DATA on a half-closed stream": (
        HELD + f.frame(f.DATA, 1, 1, b"x") + f.frame(f.DATA, 0, 1, b"y"),
        reset(f.STREAM_CLOSED),
    ),
    "HEADERS on a closed stream": (DONE + headers(1), [*answered(1), *goaway(f.STREAM_CLOSED)]),
    "DATA on a closed stream": (DONE + f.frame(f.DATA, 0, 1, b"x"), [*answered(1), *reset(f.STREAM_CLOSED)]),
    "DATA after RST_STREAM": (OPEN + f.reset(1, f.CANCEL) + f.frame(f.DATA, 0, 1, b"x"), reset(f.STREAM_CLOSED)),
    "HEADERS after RST_STREAM": (OPEN + f.reset(1, f.CANCEL) + headers(1), goaway(f.STREAM_CLOSED)),
    # DATA (6.1)
    "more padding than DATA": (OPEN + f.frame(f.DATA, f.PADDED, 1, b"\x05abc"), goaway(f.PROTOCOL_ERROR)),
    "padded DATA of nothing": (OPEN + f.frame(f.DATA, f.PADDED, 1, b""), goaway(f.FRAME_SIZE_ERROR)),
    # HEADERS (6.2)
    "more padding than HEADERS": (f.frame(f.HEADERS, 0xC, 1, b"\xff" + BLOCK), goaway(f.PROTOCOL_ERROR)),
    "HEADERS without their priority": (f.frame(f.HEADERS, 0x24, 1, b"123"), goaway(f.FRAME_SIZE_ERROR)),
    "PRIORITY of stream 0": (f.frame(f.PRIORITY, 0, 0, b"12345"), goaway(f.PROTOCOL_ERROR)),
    # SETTINGS (6.5)
    "SETTINGS on a stream": (f.frame(f.SETTINGS, 0, 1), goaway(f.PROTOCOL_ERROR)),
    "ENABLE_PUSH of 2": (f.settings({f.ENABLE_PUSH: 2}), goaway(f.PROTOCOL_ERROR)),
    "a window beyond its limit": (f.settings({f.INITIAL_WINDOW_SIZE: 1 << 31}), goaway(f.FLOW_CONTROL_ERROR)),
    "frames too small": (f.settings({f.MAX_FRAME_SIZE: 16_383}), goaway(f.PROTOCOL_ERROR)),
    "frames too large": (f.settings({f.MAX_FRAME_SIZE: 1 << 24}), goaway(f.PROTOCOL_ERROR)),
    # PUSH_PROMISE, PING, GOAWAY (6.6 to 6.8)
    "PUSH_PROMISE": (OPEN + f.frame(f.PUSH_PROMISE, 4, 1, b"\0\0\0\2" + BLOCK), goaway(f.PROTOCOL_ERROR)),
    "PING on a stream": (f.frame(f.PING, 0, 1, b"12345678"), goaway(f.PROTOCOL_ERROR)),
    "GOAWAY on a stream": (f.frame(f.GOAWAY, 0, 1, b"12345678"), goaway(f.PROTOCOL_ERROR)),
    # flow control (6.9)
    "WINDOW_UPDATE of 0": (f.window_update(0, 0), goaway(f.PROTOCOL_ERROR)),
    "WINDOW_UPDATE of 0 on a stream": (OPEN + f.window_update(1, 0), reset(f.PROTOCOL_ERROR)),
    "a connection's window beyond its limit": (f.window_update(0, f.MAX_WINDOW), goaway(f.FLOW_CONTROL_ERROR)),
    "a stream's window beyond its limit": (OPEN + f.window_update(1, f.MAX_WINDOW), reset(f.FLOW_CONTROL_ERROR)),
    "a setting that makes a window too large": (
        OPEN + f.window_update(1, f.MAX_WINDOW - f.DEFAULT_WINDOW) + f.settings({f.INITIAL_WINDOW_SIZE: 100_000}),
        goaway(f.FLOW_CONTROL_ERROR),
    ),
    # CONTINUATION (6.10)
    "DATA inside a block": (headers(1, flags=0) + f.frame(f.DATA, 0, 1, b"x"), goaway(f.PROTOCOL_ERROR)),
    "PING inside a block": (headers(1, flags=0) + PING, goaway(f.PROTOCOL_ERROR)),
    "an unknown frame inside a block": (headers(1, flags=0) + f.frame(99, 0, 1), goaway(f.PROTOCOL_ERROR)),
    "CONTINUATION of another stream": (headers(1, flags=0) + f.frame(f.CONTINUATION, 4, 3), goaway(f.PROTOCOL_ERROR)),
    "HEADERS inside a block": (headers(1, flags=0) + headers(3), goaway(f.PROTOCOL_ERROR)),
    # fields (4.3, 8.1 to 8.3)
    "a block that is no HPACK": (f.frame(f.HEADERS, 4, 1, b"\xff\xff\xff\xff\xff\xff"), goaway(f.COMPRESSION_ERROR)),
    "an index that is not there": (f.frame(f.HEADERS, 4, 1, b"\xfe"), goaway(f.COMPRESSION_ERROR)),
    "a table that grows too large": (f.frame(f.HEADERS, 4, 1, b"\x3f\xff\x7f" + BLOCK), goaway(f.COMPRESSION_ERROR)),
    "upper case in a name": (headers(1, with_field(b"X-A", b"1")), reset(f.PROTOCOL_ERROR)),
    "a space in a name": (headers(1, with_field(b"x a", b"1")), reset(f.PROTOCOL_ERROR)),
    "an empty name": (headers(1, with_field(b"", b"1")), reset(f.PROTOCOL_ERROR)),
    "a line break in a value": (headers(1, with_field(b"x-a", b"1\r\nb: 2")), reset(f.PROTOCOL_ERROR)),
    "a NUL in a value": (headers(1, with_field(b"x-a", b"\0")), reset(f.PROTOCOL_ERROR)),
    "a space before a value": (headers(1, with_field(b"x-a", b" 1")), reset(f.PROTOCOL_ERROR)),
    "an unknown pseudo field": (headers(1, [(b":x", b"1"), *REQUEST]), reset(f.PROTOCOL_ERROR)),
    "a pseudo field of answers": (headers(1, [(b":status", b"200"), *REQUEST]), reset(f.PROTOCOL_ERROR)),
    "a pseudo field behind others": (headers(1, [(b"x-a", b"1"), *REQUEST]), reset(f.PROTOCOL_ERROR)),
    "no method": (headers(1, without(b":method")), reset(f.PROTOCOL_ERROR)),
    "no scheme": (headers(1, without(b":scheme")), reset(f.PROTOCOL_ERROR)),
    "no path": (headers(1, without(b":path")), reset(f.PROTOCOL_ERROR)),
    "an empty path": (headers(1, [*without(b":path"), (b":path", b"")]), reset(f.PROTOCOL_ERROR)),
    "two methods": (headers(1, [(b":method", b"GET"), *REQUEST]), reset(f.PROTOCOL_ERROR)),
    "two paths": (headers(1, [(b":path", b"/"), *REQUEST]), reset(f.PROTOCOL_ERROR)),
    "a field of HTTP/1": (headers(1, with_field(b"connection", b"close")), reset(f.PROTOCOL_ERROR)),
    "Transfer-Encoding": (headers(1, with_field(b"transfer-encoding", b"chunked")), reset(f.PROTOCOL_ERROR)),
    "TE other than trailers": (headers(1, with_field(b"te", b"gzip")), reset(f.PROTOCOL_ERROR)),
    "a content-length that is no number": (headers(1, with_field(b"content-length", b"-1")), reset(f.PROTOCOL_ERROR)),
    "two content-lengths": (
        headers(1, [*REQUEST, (b"content-length", b"1"), (b"content-length", b"2")]),
        reset(f.PROTOCOL_ERROR),
    ),
    "less than the content-length": (request(1, b"12", with_field(b"content-length", b"3")), reset(f.PROTOCOL_ERROR)),
    "more than the content-length": (request(1, b"1234", with_field(b"content-length", b"3")), reset(f.PROTOCOL_ERROR)),
    "a content-length and nothing": (headers(1, with_field(b"content-length", b"3"), 5), reset(f.PROTOCOL_ERROR)),
    "trailers with a pseudo field": (OPEN + headers(1, [(b":path", b"/")], 5), reset(f.PROTOCOL_ERROR)),
    "trailers that do not end": (OPEN + headers(1, [(b"x-a", b"1")], 4), reset(f.PROTOCOL_ERROR)),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("piece", [0, 1, 7])
def test_a_fault_has_its_code_and_costs_no_more_than_it_must(name: str, piece: int) -> None:
    data, wanted = FAULTS[name]
    peer = Peer().send(data, piece)
    assert peer.said() == wanted
    if wanted[-1][0] == "goaway":
        assert peer.transport.eof
        assert not peer.connection.streams
        peer.send(PING)  # what still comes is thrown away
        peer.loop.sleep(5)
        assert peer.transport.closed
    else:
        assert peer.alive()
        assert peer.send(request(7)).said() == answered(7)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        f.PREFACE + PING,
        f.PREFACE + OPEN,
        f.PREFACE + f.frame(f.SETTINGS, f.ACK, 0),
        b"\x16\x03\x01\x02\x00",
    ],
)
@pytest.mark.parametrize("piece", [0, 1])
def test_what_does_not_begin_like_http2_is_refused(data: bytes, piece: int) -> None:
    peer = Peer(greet=False).send(data, piece)
    assert peer.said() == goaway(f.PROTOCOL_ERROR)
    assert peer.transport.eof


# what is unusual and right

PADDED_HEADERS = f.frame(f.HEADERS, f.END_HEADERS | f.PADDED, 1, b"\x03" + BLOCK + b"\0\0\0")
PRIORITY_HEADERS = f.frame(f.HEADERS, f.END_HEADERS | f.PRIORITIZED, 1, b"\0\0\0\0\x10" + BLOCK)
BOTH_HEADERS = f.frame(f.HEADERS, 0x2C, 1, b"\x02\0\0\0\0\x10" + BLOCK + b"\0\0")
SPLIT_HEADERS = (
    f.frame(f.HEADERS, 0, 1, BLOCK[:3])
    + f.frame(f.CONTINUATION, 0, 1, BLOCK[3:9])
    + f.frame(f.CONTINUATION, 4, 1, BLOCK[9:])
)
BODY = f.frame(f.DATA, f.END_STREAM, 1, b"hello")
PADDED_BODY = f.frame(f.DATA, f.END_STREAM | f.PADDED, 1, b"\x04hello\0\0\0\0")
SPLIT_BODY = (
    f.frame(f.DATA, 0, 1, b"he") + f.frame(f.DATA, 0, 1, b"") + f.frame(f.DATA, 0, 1, b"llo") + f.frame(f.DATA, 1, 1)
)
ONLY_PADDING = f.frame(f.DATA, f.PADDED, 1, b"\x02\0\0") + BODY
TRAILERS = f.frame(f.DATA, 0, 1, b"hello") + headers(1, [(b"x-a", b"1")], 5)
BETWEEN = f.frame(f.DATA, 0, 1, b"hel") + PING + f.frame(77, 3, 9, b"?" * 50) + f.frame(f.DATA, 1, 1, b"lo")


@pytest.mark.parametrize("first", [OPEN, PADDED_HEADERS, PRIORITY_HEADERS, BOTH_HEADERS, SPLIT_HEADERS])
@pytest.mark.parametrize("second", [BODY, PADDED_BODY, SPLIT_BODY, ONLY_PADDING, TRAILERS, BETWEEN])
@pytest.mark.parametrize("piece", [0, 1, 5])
def test_every_way_to_send_a_request_means_the_same(first: bytes, second: bytes, piece: int) -> None:
    assert Peer().send(first + second, piece).said() == answered(1)


def test_a_request_without_a_body() -> None:
    peer = Peer().send(headers(1, flags=5))
    assert peer.said() == answered(1, b"")


def test_equal_blocks_are_recognised_once() -> None:
    peer = Peer()
    peer.send(b"".join(request(number) for number in range(1, 40, 2)))
    assert [one for one in peer.said() if one[0] == "end"] == [("end", n, {b"x-end": b"1"}) for n in range(1, 40, 2)]
    assert peer.service.recognised == 1
    assert peer.transport.writes == 2, "the greeting, and one write for all answers"


def test_a_block_means_another_thing_once_the_table_has_changed() -> None:
    encoder, peer = hpack.Encoder(), Peer()

    def ask(number: int, path: bytes) -> list[tuple]:
        block = encoder.encode([(name, path if name == b":path" else value) for name, value in REQUEST])
        return peer.send(f.frame(f.HEADERS, 4, number, block) + f.frame(f.DATA, 1, number, b"x")).said()

    assert ask(1, b"/a") == answered(1, b"x")
    assert ask(3, b"/a") == answered(3, b"x")
    known = peer.service.recognised
    assert ask(5, b"/a") == answered(5, b"x")
    assert peer.service.recognised == known, "the third is a repetition"
    assert ask(7, b"/hold") == []  # inserted in front: every index moves
    assert ask(9, b"/a") == answered(9, b"x")
    assert peer.service.recognised == known + 2


# flow control


def test_answers_wait_for_the_windows_and_take_turns() -> None:
    peer = Peer().send(f.settings({f.INITIAL_WINDOW_SIZE: 10}))
    peer.frames()
    peer.send(request(1, b"a" * 25) + request(3, b"b" * 25))
    said = peer.said()
    assert ("data", 1, b"a" * 10) in said
    assert ("data", 3, b"b" * 10) in said
    assert not [one for one in said if one[0] == "end"]
    assert peer.send(f.window_update(1, 100)).said() == [("data", 1, b"a" * 15), ("end", 1, {b"x-end": b"1"})]
    assert peer.send(f.settings({f.INITIAL_WINDOW_SIZE: 20})).said() == [("data", 3, b"b" * 10)]
    assert peer.send(f.settings({f.INITIAL_WINDOW_SIZE: 0})).said() == []  # the window is negative now
    assert peer.send(f.window_update(3, 20)).said() == []
    assert peer.send(f.window_update(3, 5)).said() == [("data", 3, b"b" * 5), ("end", 3, {b"x-end": b"1"})]
    assert not peer.connection.queued


def test_the_connections_window_is_shared_fairly() -> None:
    peer = Peer().send(f.settings({f.INITIAL_WINDOW_SIZE: f.MAX_WINDOW}))
    for number in (1, 3):
        peer.send(request(number, path=b"/hold"))
    for stream in peer.service.streams:
        stream.finish(bytes([stream.id]) * 200_000)
    got = {1: 0, 3: 0}
    while not all(size == 200_000 for size in got.values()):
        for one in peer.said():
            if one[0] == "data":
                got[one[1]] += len(one[2])
        assert abs(got[1] - got[3]) <= 80_000
        peer.send(f.window_update(0, 32_768))


def test_large_messages_come_in_and_windows_open_again() -> None:
    peer = Peer()
    peer.send(headers(1))
    body = bytes(range(256)) * 20_000  # 5 MB
    allowed, sent = http2_control.STREAM_WINDOW, 0
    while sent < len(body):
        piece = body[sent : sent + min(500_000, allowed)]
        sent += len(piece)
        allowed -= len(piece)
        peer.send(f.frame(f.DATA, f.END_STREAM if sent == len(body) else 0, 1, piece), 65_536)
        for kind, _, stream, payload in peer.frames():
            if kind == f.WINDOW_UPDATE and stream == 1:
                allowed += int.from_bytes(payload, "big")
        assert sent == len(body) or allowed > 0, "the window stays shut"
    assert peer.service.streams[0].data == body


def test_more_data_than_a_streams_window_is_a_fault() -> None:
    peer = Peer()
    peer.service.takes = False
    peer.send(HELD)
    for _ in range(10):
        peer.send(f.frame(f.DATA, 0, 1, b"x" * 100_000))
    assert peer.said() == []
    assert peer.send(f.frame(f.DATA, 0, 1, b"x" * 100_000)).said() == reset(f.FLOW_CONTROL_ERROR)
    assert peer.service.streams[0].lost
    assert peer.alive()


def test_more_data_than_the_connections_window_is_a_fault() -> None:
    peer = Peer().send(HELD)
    peer.connection._budget = 100_000  # else it is opened again long before
    peer.send(f.HEADER.pack(100_001 << 8 | f.DATA, 0, 1))
    assert peer.said() == goaway(f.FLOW_CONTROL_ERROR)


def test_data_for_a_stream_that_was_reset_is_thrown_away_but_counted() -> None:
    peer = Peer().send(headers(1, with_field(b"connection", b"close")))
    assert peer.said() == reset(f.PROTOCOL_ERROR)
    for _ in range(200):
        peer.send(f.frame(f.DATA, 0, 1, b"x" * 100_000))
    assert {frame.kind for frame in peer.frames()} == {f.WINDOW_UPDATE}
    assert peer.alive()


def test_an_early_answer_tells_the_client_to_stop_sending() -> None:
    peer = Peer().send(headers(1))
    peer.service.streams[0].finish(b"no")
    assert peer.said() == [*answered(1, b"no"), ("reset", 1, f.NO_ERROR)]
    late = f.frame(f.DATA, 0, 1, b"late") + f.window_update(1, 5) + headers(1, [(b"x-a", b"1")], 5)
    assert peer.send(late).said() == []
    assert peer.alive()


# bounds


def test_streams_at_a_time_are_bounded() -> None:
    peer = Peer()
    many = range(1, 2 * http2_control.MAX_STREAMS, 2)
    peer.send(b"".join(request(number, path=b"/hold") for number in many))
    assert peer.said() == []
    over = many[-1] + 2
    assert peer.send(request(over)).said() == [("reset", over, f.REFUSED_STREAM)]
    peer.service.streams[0].finish()
    assert peer.send(request(over + 2)).said()[3:] == answered(over + 2)


FLOODS = {
    "PING": (PING, 3000),
    "SETTINGS": (f.settings({f.MAX_FRAME_SIZE: 20_000}), 3000),
    "PRIORITY": (f.frame(f.PRIORITY, 0, 1, b"\0\0\0\0\1"), 3000),
    "WINDOW_UPDATE": (f.window_update(0, 1), 3000),
    "unknown frames": (f.frame(200, 0, 0, b"x"), 3000),
    "empty DATA": (f.frame(f.DATA, 0, 1), 3000),
    "HEADERS that are no requests": (None, 3000),
    "rapid reset": (None, 2000),
    "empty CONTINUATION": (f.frame(f.CONTINUATION, 0, 1), 3000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods_end_the_connection(name: str) -> None:
    data, count = FLOODS[name]
    peer = Peer()
    if name == "empty DATA":
        peer.send(HELD)
    if name == "empty CONTINUATION":
        peer.send(headers(1, flags=0))
    for turn in range(count):
        if name == "rapid reset":
            data = request(2 * turn + 1, path=b"/hold") + f.reset(2 * turn + 1, f.CANCEL)
        elif name == "HEADERS that are no requests":
            data = headers(2 * turn + 1, with_field(b"connection", b"close"))
        peer.send(data)
        if peer.connection.over:
            break
    assert goaway(f.ENHANCE_YOUR_CALM) == peer.said()[-1:]
    assert not peer.connection.streams
    assert all(stream.lost for stream in peer.service.streams)


def test_what_a_busy_client_does_is_no_flood() -> None:
    """A PING and two WINDOW_UPDATEs for each call, as gRPC clients send; a cancelled call now and then."""
    peer = Peer()
    for turn in range(4000):
        number = 4 * turn + 1
        peer.send(request(number) + PING + f.window_update(0, 5) + f.window_update(0, 5))
        if not turn % 3:
            peer.send(request(number + 2, path=b"/hold") + f.reset(number + 2, f.CANCEL))
        if not turn % 100:
            peer.frames()
    assert peer.alive()


def test_a_block_of_fields_is_bounded() -> None:
    peer = Peer().send(headers(1, flags=0))
    for _ in range(5):
        peer.send(f.frame(f.CONTINUATION, 0, 1, b"x" * 16_000))
    assert peer.said() == goaway(f.ENHANCE_YOUR_CALM)
    bomb = hpack.Encoder().encode([(b"a", b"b" * 4000)]) + b"\xbe" * 16_000
    assert Peer().send(f.frame(f.HEADERS, 4, 1, bomb)).said() == goaway(f.ENHANCE_YOUR_CALM)


def test_a_client_that_does_not_read_is_not_read_either() -> None:
    peer = Peer().send(f.settings({f.INITIAL_WINDOW_SIZE: f.MAX_WINDOW}) + f.window_update(0, 1 << 30))
    peer.frames()
    peer.transport.room = 300_000
    for number in range(1, 20, 2):
        peer.send(request(number, path=b"/hold"))
    for stream in peer.service.streams:
        stream.finish(b"x" * 200_000)
    peer.loop.turn()
    assert not peer.transport.reading
    assert len(peer.transport.written) < 1_000_000
    peer.transport.room = None
    peer.connection.resume_writing()
    assert peer.transport.reading
    assert sum(one[0] == "end" for one in peer.said()) == 10


# time limits


def test_a_preface_must_come_in_time() -> None:
    peer = Peer(greet=False).send(f.PREFACE[:10])
    peer.loop.sleep(40)
    assert peer.said() == goaway(f.NO_ERROR)
    assert peer.transport.closed


@pytest.mark.parametrize("begun", [PING[:9], headers(1, flags=0), headers(1)[:20]])
def test_the_rest_of_a_frame_or_block_must_come_in_time(begun: bytes) -> None:
    peer = Peer().send(begun)
    peer.loop.sleep(40)
    assert peer.said() == goaway(f.NO_ERROR)


def test_a_body_must_come_in_time_and_an_answer_need_not() -> None:
    peer = Peer().send(request(1, path=b"/hold") + headers(3))
    for _ in range(8):
        peer.loop.sleep(15)
        peer.send(f.frame(f.DATA, 0, 3, b"x") if 3 in peer.connection.streams else PING)
    assert peer.said() == [("end", 3, {b":status": b"408"}), ("reset", 3, f.NO_ERROR)]
    peer.service.streams[0].finish()
    assert peer.said() == answered(1)


# the end


def test_draining_takes_what_is_on_its_way_and_then_no_more() -> None:
    peer = Peer().send(request(1, path=b"/hold"))
    peer.connection.shutdown()
    first, ping = peer.frames()
    assert (first.kind, int.from_bytes(first.payload[:4], "big")) == (f.GOAWAY, f.MAX_WINDOW)
    assert peer.send(request(3)).said() == answered(3)  # it crossed the GOAWAY
    peer.send(f.frame(f.PING, f.ACK, 0, ping.payload))
    last = peer.frames()[0]
    assert (last.kind, last.payload) == (f.GOAWAY, b"\0\0\0\3\0\0\0\0")
    assert peer.send(request(5)).said() == [("reset", 5, f.REFUSED_STREAM)]
    assert peer.send(f.window_update(5, 10) + f.reset(5, f.CANCEL)).said() == []
    assert not peer.transport.closed
    peer.service.streams[0].finish()
    assert peer.said() == answered(1)
    assert peer.transport.closed


def test_draining_does_not_wait_for_a_client_that_is_silent() -> None:
    peer = Peer()
    peer.connection.shutdown()
    peer.loop.sleep(2)
    assert [one[0] for one in peer.said()] == ["goaway", "goaway"]
    assert peer.transport.closed


def test_a_client_that_is_gone_drops_its_work() -> None:
    peer = Peer().send(request(1, path=b"/hold") + headers(3))
    peer.connection.connection_lost(None)
    assert [stream.lost for stream in peer.service.streams] == [True, True]
    assert not peer.registry
    assert not peer.service.connections
    peer.service.streams[0].finish()
    peer.loop.sleep(100)


def test_a_reset_stream_drops_its_work() -> None:
    peer = Peer().send(request(1, path=b"/hold") + f.reset(1, f.CANCEL))
    assert peer.service.streams[0].lost
    assert peer.said() == []
    assert peer.send(request(3)).said() == answered(3)


def test_sweeping_sends_idle_clients_away_and_finds_dead_ones() -> None:
    peer = Peer()
    peer.connection.sweep()
    assert not peer.said()
    peer.connection.sweep()
    peer.loop.sleep(2)
    assert [one[0] for one in peer.said()] == ["goaway", "goaway"]
    assert peer.transport.closed
    busy = Peer().send(request(1, path=b"/hold"))
    busy.connection.sweep()
    busy.connection.sweep()
    ping = busy.frames()[0]
    assert ping.kind == f.PING
    busy.send(f.frame(f.PING, f.ACK, 0, ping.payload))
    busy.connection.sweep()
    busy.connection.sweep()
    assert not busy.transport.closed
    busy.connection.sweep()
    assert busy.transport.aborted


def test_sweeping_leaves_a_client_that_never_opens_its_window() -> None:
    peer = Peer().send(f.settings({f.INITIAL_WINDOW_SIZE: 0}) + request(1))
    for _ in range(3):
        peer.send(PING)
        peer.connection.sweep()
    assert peer.transport.aborted


def test_a_peer_that_wants_no_table_is_told_that_none_is_used() -> None:
    peer = Peer().send(f.settings({f.HEADER_TABLE_SIZE: 0}) + request(1) + request(3))
    blocks = [frame.payload for frame in peer.frames() if frame.kind == f.HEADERS]
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = 0
    read = [dict(decoder.decode(block, raw=True)) for block in blocks]
    assert read == [{b":status": b"200"}, {b"x-end": b"1"}] * 2


# against the h2 library as a client


def converse(peer: Peer, client: h2.connection.H2Connection) -> list:
    """Bytes both ways until both are silent; the client checks all that we write."""
    events = []
    while True:
        out = client.data_to_send()
        if out:
            peer.send(out, 1000)
        start = len(peer.transport.written)
        data = bytes(peer.transport.written[peer.read_to : start])
        peer.read_to = start
        if not out and not data:
            return events
        events += client.receive_data(data)


def library() -> h2.connection.H2Connection:
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
    client.initiate_connection()
    return client


@given(
    bodies=st.lists(st.integers(0, 300_000), min_size=1, max_size=5),
    window=st.sampled_from([1, 100, 65_535, 1 << 20]),
    frame=st.sampled_from([16_384, 50_000]),
    table=st.sampled_from([0, 100, 4096]),
)
@settings(max_examples=40)
def test_the_library_gets_every_body_back(bodies: list[int], window: int, frame: int, table: int) -> None:
    peer, client = Peer(greet=False), library()
    settings_ = h2.settings.SettingCodes
    client.update_settings(
        {settings_.INITIAL_WINDOW_SIZE: window, settings_.MAX_FRAME_SIZE: frame, settings_.HEADER_TABLE_SIZE: table}
    )
    converse(peer, client)
    want, got, left = {}, {}, {}
    for size in bodies:
        size = min(size, window * 200)
        number = client.get_next_available_stream_id()
        client.send_headers(number, REQUEST)
        want[number] = left[number] = bytes([number]) * size
        got[number] = b""
    open_streams = set(want)
    for _ in range(100_000):
        for number, rest in list(left.items()):
            room = min(client.local_flow_control_window(number), client.max_outbound_frame_size, len(rest))
            client.send_data(number, rest[:room], end_stream=room == len(rest))
            left[number] = rest[room:]
            if not left[number]:
                del left[number]
        for event in converse(peer, client):
            if isinstance(event, h2.events.DataReceived):
                got[event.stream_id] += event.data
                client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                open_streams.discard(event.stream_id)
        if not open_streams:
            break
    assert not open_streams
    assert got == want


# whatever comes

PIECES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda kind, flags, stream, payload: f.frame(kind, flags, stream, payload),
        st.integers(0, 12),
        st.sampled_from([0, 1, 4, 5, 8, 9, 0x20, 0x24, 0x2D, 255]),
        st.sampled_from([0, 1, 1, 2, 3, 3, 5, 7, 1 << 31, (1 << 31) + 1]),
        st.binary(max_size=80) | st.sampled_from([BLOCK, BLOCK[:5], b"\0\0\0\1", b"\0" * 8, b"\x7f\xff\xff\xff"]),
    ),
    st.sampled_from([OPEN, HELD, DONE, BODY, PADDED_BODY, PADDED_HEADERS, SPLIT_HEADERS, PING, request(3), request(5)]),
    st.sampled_from(list(FAULTS.values())).map(lambda fault: fault[0]),
)


@given(pieces=st.lists(PIECES, max_size=12), cut=st.integers(1, 300), greeted=st.booleans())
@settings(max_examples=400)
def test_any_bytes_leave_it_whole(pieces: list[bytes], cut: int, greeted: bool) -> None:
    """Nothing is raised, what is written is frames, and books and bounds hold."""
    peer = Peer(greet=greeted).send(b"".join(pieces), cut)
    peer.frames()
    one = peer.connection
    assert one.queued == sum(stream.queued for stream in one.streams.values())
    assert one._opened == sum(stream.open for stream in one.streams.values())
    assert len(one._rest) <= http2_control.MAX_BLOCK + 9
    assert one.over == bool(peer.transport.eof or peer.transport.closed)
    for stream in list(one.streams.values()):
        stream.finish(b"answer")
    peer.frames()
    peer.loop.sleep(200)
    peer.connection.sweep() if not peer.transport.closed else None
    one.connection_lost(None)
    assert not one.streams
    assert not one.queued
    assert not one._opened
