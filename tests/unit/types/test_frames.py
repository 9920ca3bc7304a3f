"""Frames: what is packed comes out again, however the stream is cut; garbage is only ever a FrameError."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.types import frames

small = st.binary(max_size=200)
u8, u16, u32, u64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 32, 64))
requests = st.builds(
    frames.Request, u64, u8, u8, u16, u32, u64, st.binary(max_size=255), st.binary(max_size=255), small
)
replies = st.builds(frames.Reply, u64, u8, u8, u16, u32, u32, u32, u16, u16, small)


def cut(data, sizes):
    """The stream in pieces of these sizes, the rest at the end."""
    pieces, start = [], 0
    for size in sizes:
        pieces.append(data[start : start + size])
        start += size
    return [*pieces, data[start:]]


def read(split, pieces):
    buffer, out = bytearray(), []
    for piece in pieces:
        buffer += piece
        out += split(buffer)
    return out, bytes(buffer)


@given(st.lists(requests, max_size=5), st.lists(st.integers(0, 90), max_size=20))
def test_requests_survive_any_cutting(sent, sizes):
    stream = b"".join(frames.pack_request(*request) for request in sent)
    assert read(frames.split_requests, cut(stream, sizes)) == (sent, b"")


@given(st.lists(replies, max_size=5), st.lists(st.integers(0, 90), max_size=20))
def test_replies_survive_any_cutting(sent, sizes):
    stream = b"".join(frames.pack_reply(*reply) for reply in sent)
    assert read(frames.split_replies, cut(stream, sizes)) == (sent, b"")


@given(requests, st.integers(0, 600))
def test_an_incomplete_frame_stays_in_the_buffer(request, cut_at):
    stream = frames.pack_request(*request)
    part = stream[: min(cut_at, len(stream) - 1)]
    assert read(frames.split_requests, [part]) == ([], part)


@given(st.sampled_from([frames.split_requests, frames.split_replies]), st.binary(max_size=400))
def test_garbage_is_refused_or_waited_for_and_nothing_else(split, data):
    buffer = bytearray(data)
    with contextlib.suppress(frames.FrameError):
        for frame in split(buffer):
            assert len(frame.body) <= len(data)
    assert data.endswith(bytes(buffer))


@given(st.lists(requests, min_size=1, max_size=3), st.binary(min_size=1, max_size=60))
def test_what_came_before_the_garbage_is_read(sent, garbage):
    stream = b"".join(frames.pack_request(*request) for request in sent) + struct.pack("<I", 1) + garbage + bytes(40)
    buffer, out = bytearray(stream), []
    with pytest.raises(frames.FrameError):
        out.extend(frames.split_requests(buffer))
    assert out == sent


@pytest.mark.parametrize("split", [frames.split_requests, frames.split_replies])
@pytest.mark.parametrize("size", [0, 1, 20, frames.MAX_FRAME + 1, 0xFFFFFFFF])
def test_a_size_that_no_frame_has_is_refused_before_it_is_waited_for(split, size):
    with pytest.raises(frames.FrameError):
        list(split(bytearray(struct.pack("<I", size) + bytes(64))))


def test_a_name_past_the_frames_end_is_refused():
    stream = bytearray(frames.pack_request(1, frames.INFER, name=b"abc", body=b"xy"))
    stream[frames.REQUEST.size] = 200
    with pytest.raises(frames.FrameError):
        list(frames.split_requests(stream + bytes(300)))


def test_figures_too_large_for_their_field_are_capped():
    frame = frames.pack_reply(1, frames.RESULT, queue_us=1 << 40, predict_us=1 << 40, batch=1 << 20, rows=1 << 20)
    (reply,) = frames.split_replies(bytearray(frame))
    assert (reply.queue_us, reply.predict_us, reply.batch, reply.rows) == (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF, 0xFFFF)
