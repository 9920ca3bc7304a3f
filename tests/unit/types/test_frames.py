"""Frames: what is packed comes out again, however the stream is cut; garbage is only ever a FrameError."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from inferry.types import frames

small = st.binary(max_size=200)
kinds = st.sampled_from(["requests", "replies"])
u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
names = st.text(max_size=255).filter(lambda name: len(name.encode()) < 256)
requests = st.builds(frames.Request, u64, u8, u8, u16, u32, u64, names, names, small, small).map(
    lambda request: request if request.flags & frames.FLAG_MEDIA else replace(request, media=b"")
)
contents = u8.map(lambda content: content & ~frames.TOLD)  # that one is added where tokens are told
replies = st.builds(frames.Reply, u64, u8, contents, u16, u32, u32, u32, u16, u16, small, st.tuples(u32, u32))


def cut(data, sizes):
    """The stream in pieces of these sizes, the rest at the end."""
    pieces, start = [], 0
    for size in sizes:
        pieces.append(data[start : start + size])
        start += size
    return [*pieces, data[start:]]


def packed(request):
    *head, name, version, body, media = astuple(request)
    return frames.pack_request(*head, name.encode(), version.encode(), body, media)


def read(kind, pieces, room=1 << 18):
    inbox, out = frames.Inbox(room), []
    for piece in pieces:
        inbox.feed(piece)
        out += getattr(inbox, kind)()
    return out


rooms = st.sampled_from([1, 7, 64, 1 << 18])


@given(st.lists(requests, max_size=5), st.lists(st.integers(0, 90), max_size=20), rooms)
def test_requests_survive_any_cutting(sent, sizes, room):
    stream = b"".join(packed(request) for request in sent)
    assert read("requests", cut(stream, sizes), room) == sent


@given(st.lists(replies, max_size=5), st.lists(st.integers(0, 90), max_size=20), rooms)
def test_replies_survive_any_cutting(sent, sizes, room):
    stream = b"".join(frames.pack_reply(reply) for reply in sent)
    assert read("replies", cut(stream, sizes), room) == sent


@given(requests, st.integers(0, 600))
def test_an_incomplete_frame_stays_in_the_buffer(request, cut_at):
    stream = packed(request)
    part = stream[: min(cut_at, len(stream) - 1)]
    assert read("requests", [part]) == []
    assert read("requests", [part, stream[len(part) :]]) == [request]


@given(kinds, st.binary(max_size=400))
def test_garbage_is_refused_or_waited_for_and_nothing_else(kind, data):
    with contextlib.suppress(frames.FrameError):
        for frame in read(kind, [data]):
            assert len(frame.body) <= len(data)


@given(st.lists(requests, min_size=1, max_size=3), st.binary(min_size=1, max_size=60))
def test_what_came_before_the_garbage_is_read(sent, garbage):
    stream = b"".join(packed(request) for request in sent) + struct.pack("<I", 1) + garbage + bytes(40)
    inbox, out = frames.Inbox(), []
    inbox.feed(stream)
    with pytest.raises(frames.FrameError):
        out.extend(inbox.requests())
    assert out == sent


@pytest.mark.parametrize("kind", ["requests", "replies"])
@pytest.mark.parametrize("size", [0, 1, 20, frames.MAX_FRAME + 1, 0xFFFFFFFF])
def test_a_size_that_no_frame_has_is_refused_before_it_is_waited_for(kind, size):
    with pytest.raises(frames.FrameError):
        read(kind, [struct.pack("<I", size) + bytes(64)])


def test_a_name_past_the_frames_end_is_refused():
    stream = bytearray(frames.pack_request(1, frames.INFER, name=b"abc", body=b"xy"))
    stream[frames.REQUEST.size] = 200
    with pytest.raises(frames.FrameError):
        read("requests", [bytes(stream + bytes(300))])


def test_a_known_name_past_the_frames_end_is_refused():
    whole = frames.pack_request(1, frames.INFER, name=b"iris", version=b"1")
    short = bytearray(whole[:-2])
    short[:4] = struct.pack("<I", len(short) - 4)
    inbox = frames.Inbox()
    inbox.feed(whole)
    assert [request.name for request in inbox.requests()] == ["iris"]
    inbox.feed(bytes(short) + b"s1" + bytes(60))
    with pytest.raises(frames.FrameError):
        list(inbox.requests())


def test_figures_too_large_for_their_field_are_capped():
    large = frames.Reply(1, frames.RESULT, queue_us=1 << 40, predict_us=1 << 40, batch=1 << 20, rows=1 << 20)
    (reply,) = read("replies", [frames.pack_reply(large)])
    assert (reply.queue_us, reply.predict_us, reply.batch, reply.rows) == (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF, 0xFFFF)
