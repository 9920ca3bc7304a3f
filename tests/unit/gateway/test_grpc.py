"""Calls by gRPC: what their fields and messages may be, and what a client is told."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.errors import InvalidInput, Overloaded, Unavailable
from inferry.gateway import grpc_stream
from inferry.gateway import http2_frames as h2
from inferry.gateway.peers import Peers
from inferry.gateway.statistics import Counted
from inferry.types import frames
from inferry.types.protobuf import delimited, integer
from tests.support.grpc_peer import INFER, MAX_MESSAGE, PREDICT, STREAM, Caller, call, fields, framed
from tests.support.http2_peer import headers
from tests.support.protos import DESCRIPTORS, message

Request, Response = message("inference.ModelInferRequest"), message("inference.ModelStreamInferResponse")
OIP = Request(model_name="iris", model_version="3", id="7", inputs=[{"name": "x"}]).SerializeToString()
TFS = message("tensorflow.serving.PredictRequest")(
    model_spec={"name": "iris", "version": {"value": 3}}, inputs={"x": {"dtype": 1}}
).SerializeToString()
HEALTH = "/grpc.health.v1.Health/"
LIVE = "/inference.GRPCInferenceService/ServerLive"
STATISTICS = "/inference.GRPCInferenceService/ModelStatistics"
BIG = Request(model_name="iris", inputs=[{"name": "x"}], raw_input_contents=[b"r" * 200_000]).SerializeToString()


# fields


@pytest.mark.parametrize(
    ("path", "more", "status", "says"),
    [
        ("/x.Y/Z", {}, 12, "no method '/x.Y/Z'"),
        ("/inference.GRPCInferenceService/RepositoryModelLoad", {}, 12, "inferry deploy"),
        ("/tensorflow.serving.PredictionService/Classify", {}, 12, "Predict"),
        (INFER, {"grpc_timeout": b"soon"}, 3, "grpc-timeout"),
        (INFER, {"grpc_timeout": b"123456789m"}, 3, "grpc-timeout"),
        (INFER, {"grpc_encoding": b"br"}, 12, "grpc-encoding"),
        (INFER, {"authorization": None}, 16, "API key"),
        (PREDICT, {"authorization": None}, 16, "API key"),
        (STREAM, {"authorization": None}, 16, "API key"),
    ],
)
def test_what_is_wrong_with_the_fields_is_told(path: str, more: dict, status: int, says: str) -> None:
    caller = Caller()
    caller.send(call(1, framed(TFS if path == PREDICT else OIP), path, **more))
    ((stream, code, text),) = caller.ended()
    assert (stream, code) == (1, status)
    assert says in text
    assert not caller.core.asked
    assert caller.alive()


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"content_type": None}, b"415"),
        ({"content_type": b"application/json"}, b"415"),
        ({"content_type": b"application/grpcish"}, b"415"),
        ({"method": b"GET"}, b"405"),
    ],
)
def test_what_is_no_call_gets_an_http_status(more: dict, status: bytes) -> None:
    assert Caller().send(call(1, framed(OIP), **more)).said() == [("end", 1, {b":status": status})]


@pytest.mark.parametrize("kind", [b"application/grpc", b"application/grpc+proto", b"application/grpc;charset=utf-8"])
def test_content_types_of_calls(kind: bytes) -> None:
    caller = Caller()
    caller.send(call(1, framed(OIP), content_type=kind))
    assert len(caller.core.asked) == 1


@pytest.mark.parametrize(
    ("value", "seconds"), [(b"2S", 2), (b"1M", 60), (b"1H", 3600), (b"250m", 0.25), (b"100u", 1e-4), (b"0n", 1e-6)]
)
def test_the_timeout_goes_along(value: bytes, seconds: float) -> None:
    caller = Caller()
    caller.send(call(1, framed(OIP), grpc_timeout=value))
    assert caller.core.asked[0].head.timeout == pytest.approx(seconds)


def test_an_unsupported_encoding_tells_which_are() -> None:
    caller = Caller()
    caller.send(call(1, framed(OIP, 1), grpc_encoding=b"snappy"))
    assert caller.said()[0][2][b"grpc-accept-encoding"] == b"identity,deflate,gzip"


# messages


@pytest.mark.parametrize(("path", "body", "door"), [(INFER, OIP, frames.DOOR_GRPC), (PREDICT, TFS, frames.DOOR_TFS)])
@pytest.mark.parametrize("piece", [0, 1, 3])
def test_a_prediction_is_forwarded_untouched(path: str, body: bytes, door: int, piece: int) -> None:
    caller = Caller()
    caller.send(call(1, framed(body), path), piece)
    (asked,) = caller.core.asked
    assert (asked.body, asked.head.door, asked.head.endpoint, asked.head.version) == (body, door, b"iris", b"3")
    asked.answer(b"answer")
    assert caller.messages(1) == ([b"answer"], {b"grpc-status": b"0"})


def test_a_call_that_waited_for_a_replica_to_start_is_told_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    caller = Caller()
    caller.send(call(1, framed(OIP)))
    (asked,) = caller.core.asked
    monkeypatch.setattr(type(caller.core).REVISION, "cold_ms", 34)
    asked.answer(b"answer")
    assert caller.said()[0][2][b"x-inferry-cold-start"] == b"34"


def test_a_message_in_many_frames() -> None:
    caller = Caller()
    data = framed(OIP)
    parts = [data[:2], data[2:5], b"", data[5:6], data[6:]]
    caller.send(headers(1, fields()) + b"".join(h2.frame(h2.DATA, 0, 1, part) for part in parts))
    assert caller.core.asked[0].body == OIP
    caller.send(h2.frame(h2.DATA, 1, 1))
    caller.core.asked[0].answer(b"x")
    assert caller.messages(1) == ([b"x"], {b"grpc-status": b"0"})


def test_heads_are_remembered_by_how_messages_begin() -> None:
    caller = Caller()
    other = Request(model_name="other").SerializeToString()
    for number, body in enumerate([OIP, OIP, other, OIP]):
        caller.send(call(2 * number + 1, framed(body)))
    heads = [asked.head for asked in caller.core.asked]
    assert heads[0] is heads[1] is heads[3]
    assert heads[2].endpoint == b"other"
    caller.send(call(99, framed(OIP), authorization=b"Bearer key", x_trace=b"1"))
    assert caller.core.asked[-1].head is not heads[0]


@pytest.mark.parametrize(
    "body",
    [
        b"\x1a\x017" + delimited(1, b"iris"),  # the id first
        delimited(2, b"3") + delimited(1, b"iris"),
        b"\x0a\x84\x00iris",  # a length of two bytes
        delimited(1, b"iris"),  # nothing behind it
        delimited(1, b"first") + delimited(5, b"") + delimited(1, b"iris")[0:0],
    ],
)
def test_the_target_is_found_wherever_it_is(body: bytes) -> None:
    caller = Caller()
    caller.send(call(1, framed(body)))
    assert caller.core.asked[0].head.endpoint in (b"iris", b"first")


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ({"name": "iris"}, b""),
        ({"name": "iris", "version": {"value": 0}}, b""),
        ({"name": "iris", "version": {}}, b""),
        ({"name": "iris", "version": {"value": 12}}, b"12"),
        ({"name": "iris", "version_label": "latest"}, b""),
        ({"name": "iris", "version_label": "other"}, b"other"),
        ({"name": "iris", "signature_name": "serving_default"}, b""),
    ],
)
def test_versions_of_tensorflow_serving(spec: dict, version: bytes) -> None:
    caller = Caller()
    body = message("tensorflow.serving.PredictRequest")(model_spec=spec).SerializeToString()
    caller.send(call(1, framed(body), PREDICT))
    assert (caller.core.asked[0].head.endpoint, caller.core.asked[0].head.version) == (b"iris", version)


@pytest.mark.parametrize(
    ("data", "more", "status", "says"),
    [
        (b"", {}, 3, "no message"),
        (b"\0\0", {}, 3, "ends inside a message"),
        (framed(OIP)[:-1], {}, 3, "ends inside a message"),
        (framed(OIP) + b"\0", {}, 3, "ends inside a message"),
        (framed(OIP) * 2, {}, 3, "second message"),
        (framed(OIP, 1), {}, 13, "no grpc-encoding"),
        (framed(OIP, 1), {"grpc_encoding": b"identity"}, 13, "no grpc-encoding"),
        (framed(OIP, 2), {}, 13, "no grpc-encoding"),
        (framed(b"no gzip", 1), {"grpc_encoding": b"gzip"}, 3, "not valid for its grpc-encoding"),
        (framed(b"\xff" * 9), {}, 3, "not valid Protocol Buffers"),
        (b"\0" + (MAX_MESSAGE + 1).to_bytes(4, "big"), {}, 8, "over the limit"),
    ],
)
@pytest.mark.parametrize("piece", [0, 1])
def test_what_is_wrong_with_a_message_is_told(data: bytes, more: dict, status: int, says: str, piece: int) -> None:
    caller = Caller()
    caller.send(call(1, data, **more), piece)
    ((stream, code, text),) = caller.ended()
    assert (stream, code) == (1, status)
    assert says in text
    assert caller.core.cancelled == caller.core.asked, "nothing goes on"
    assert caller.alive()


def test_compressed_messages_are_forwarded_compressed() -> None:
    for encoding, pack, flag in (
        (b"gzip", gzip.compress, frames.FLAG_GZIP),
        (b"deflate", zlib.compress, frames.FLAG_DEFLATE),
    ):
        caller = Caller()
        packed = pack(OIP)
        caller.send(call(1, framed(packed, 1), grpc_encoding=encoding))
        caller.send(call(3, framed(OIP, 0), grpc_encoding=encoding))
        first, second = caller.core.asked
        assert (first.body, first.head.flags, first.head.endpoint) == (packed, flag, b"iris")
        assert (second.body, second.head.flags) == (OIP, 0)


def test_a_bomb_is_not_unpacked() -> None:
    caller = Caller()
    bomb = gzip.compress(OIP + b"\0" * (64 << 20))
    assert len(bomb) < 100_000
    caller.send(call(1, framed(bomb, 1), grpc_encoding=b"gzip"))
    assert caller.core.asked[0].body == bomb
    caller.send(call(3, framed(gzip.compress(b"\0" * (64 << 20)), 1), LIVE, grpc_encoding=b"gzip"))
    assert caller.ended()[0][1] == 8


def test_a_large_message_is_received_into_the_cores_memory() -> None:
    caller = Caller()
    data = framed(BIG)
    caller.send(headers(1, fields()))
    for start in range(0, len(data), 50_000):
        end = start + 50_000 >= len(data)
        caller.send(h2.frame(h2.DATA, int(end), 1, data[start : start + 50_000]))
    (asked,) = caller.core.asked
    assert isinstance(asked.body, bytearray)
    assert asked.body == BIG
    assert (asked.head.endpoint, asked.head.length) == (b"iris", len(BIG))
    assert BIG[asked.head.json_size :] == b"r" * 200_000
    asked.answer(b"a" * 100_000)
    found, end = caller.messages(1)
    assert found == [] or found[0][:10] == b"a" * 10
    assert end is None, "the client's window is full"


def test_a_large_message_is_refused_before_it_comes() -> None:
    caller = Caller()
    caller.core.refusal = Overloaded("Full.", retry_after=1.5)
    caller.send(headers(1, fields()) + h2.frame(h2.DATA, 0, 1, framed(BIG)[:50_000]))
    (end,) = [one for one in caller.said() if one[0] == "end"]
    assert end[2][b"grpc-status"] == b"8"
    assert end[2][b"grpc-retry-pushback-ms"] == b"1500"
    assert caller.send(h2.frame(h2.DATA, 1, 1, framed(BIG)[50_000:])).said() == []


# answers


def test_a_refusal_of_the_replica_is_told() -> None:
    for body, wanted in [
        (integer(1, 3) + delimited(2, "Größe 100 %\n".encode()), (1, 3, "Größe 100 %\n")),
        (b"", (1, 3, "")),
        (integer(1, 99) + delimited(2, b"x"), (1, 3, "x")),
        (b"\xff\xff", (1, 3, "The model's process did not say why.")),
    ]:
        caller = Caller()
        caller.send(call(1, framed(OIP)))
        caller.core.asked[0].answer(body, status=400)
        assert caller.ended() == [wanted]


def test_a_refusal_of_the_gateway_is_told_with_a_pause() -> None:
    caller = Caller()
    caller.send(call(1, framed(OIP)))
    caller.core.asked[0].refuse(Unavailable("It restarts.", help="Retry.", retry_after=0.25))
    (end,) = [one[2] for one in caller.said() if one[0] == "end"]
    assert end[b"grpc-status"] == b"14"
    assert end[b"grpc-message"] == b"It restarts. Retry."
    assert end[b"grpc-retry-pushback-ms"] == b"250"
    assert end[b":status"] == b"200"


def test_a_long_message_is_cut_to_what_clients_take() -> None:
    caller = Caller()
    caller.send(call(1, framed(OIP)))
    caller.core.asked[0].refuse(InvalidInput("ä" * 100_000))
    assert sum(len(frame.payload) for frame in caller.frames()) < 16_384


def test_a_client_that_resets_or_goes_cancels_its_work() -> None:
    caller = Caller()
    caller.send(call(1, framed(OIP)) + call(3, framed(OIP)) + h2.reset(1, h2.CANCEL))
    assert caller.core.cancelled == caller.core.asked[:1]
    caller.connection.connection_lost(None)
    assert caller.core.cancelled == caller.core.asked


def test_a_body_that_does_not_come_ends_with_a_deadline() -> None:
    caller = Caller()
    caller.send(call(1, framed(OIP)[:9], end=False))
    caller.loop.sleep(90)
    assert [(stream, code) for stream, code, _ in caller.ended()] == [(1, 4)]


# streams of predictions


def open_stream(**more: bytes) -> Caller:
    caller = Caller()
    caller.send(h2.settings({h2.INITIAL_WINDOW_SIZE: h2.MAX_WINDOW}) + h2.window_update(0, 1 << 30))
    caller.send(headers(1, fields(STREAM, **more)))
    caller.frames()
    return caller


def ask(caller: Caller, *bodies: bytes, end: bool = False) -> None:
    caller.send(h2.frame(h2.DATA, int(end), 1, b"".join(map(framed, bodies))))


def read(caller: Caller) -> tuple[list, dict | None]:
    found, end = caller.messages(1)
    return [Response.FromString(one) for one in found], end


ANSWER = message("inference.ModelInferResponse")(model_name="iris", id="7").SerializeToString()


def test_a_stream_answers_in_the_order_of_the_answers() -> None:
    caller = open_stream()
    ask(caller, OIP, OIP, OIP)
    first, second, third = caller.core.asked
    assert all(asked.head.flags & frames.FLAG_STREAM for asked in caller.core.asked)
    third.answer(ANSWER)
    first.refuse(Overloaded("Bad."))
    second.answer(integer(1, 3) + delimited(2, b"Worse."), status=400)
    answers, end = read(caller)
    assert [(one.error_message, one.infer_response.id) for one in answers] == [
        ("", "7"),
        ("Bad.", "7"),
        ("Worse.", "7"),
    ]
    assert answers[0].infer_response.parameters["triton_final_response"].bool_param
    assert end is None
    ask(caller, end=True)
    assert read(caller) == ([], {b"grpc-status": b"0"})


def test_a_stream_ends_when_the_last_is_answered() -> None:
    caller = open_stream()
    ask(caller, OIP, end=True)
    assert read(caller) == ([], None)
    caller.core.asked[0].answer(ANSWER)
    answers, end = read(caller)
    assert len(answers) == 1
    assert end == {b"grpc-status": b"0"}


def test_parts_and_an_empty_last_response() -> None:
    caller = open_stream()
    wants = Request(model_name="iris", id="8")
    wants.parameters["triton_enable_empty_final_response"].bool_param = True
    ask(caller, OIP, wants.SerializeToString())
    for asked in caller.core.asked:
        asked.part(ANSWER)
        asked.answer(content=frames.CONTENT_END)
    answers, _ = read(caller)
    final = [one.infer_response.parameters["triton_final_response"].bool_param for one in answers]
    assert final == [False, False, True]
    assert (answers[2].infer_response.id, answers[2].infer_response.model_version) == ("8", "3")


def test_a_message_that_names_nothing_fails_alone() -> None:
    caller = open_stream()
    ask(caller, b"\xff\xff", OIP)
    answers, end = read(caller)
    assert "not valid Protocol Buffers" in answers[0].error_message
    assert len(caller.core.asked) == 1
    assert end is None


def test_unanswered_requests_of_a_stream_are_bounded() -> None:
    caller = open_stream()
    most = grpc_stream.MAX_UNANSWERED
    ask(caller, *[OIP] * (most + 10))
    assert len(caller.core.asked) == most
    filler = framed(Request(model_name="iris", raw_input_contents=[b"x" * 100_000]).SerializeToString())
    sent = 0
    while caller.connection.streams[1].budget >= len(filler) and sent < 100:
        caller.send(h2.frame(h2.DATA, 0, 1, filler))
        sent += 1
    assert sent < 100, "the window shuts"
    assert len(caller.core.asked) == most
    for asked in caller.core.asked[:20]:
        asked.answer(ANSWER)
    assert len(caller.core.asked) == most + 10 + min(sent, 10)
    answered = 20
    while answered < len(caller.core.asked):
        caller.core.asked[answered].answer(ANSWER)
        answered += 1
    assert len(caller.core.asked) == most + 10 + sent
    assert any(frame.kind == h2.WINDOW_UPDATE and frame.stream == 1 for frame in caller.frames())


def test_a_stream_whose_answers_are_not_read_is_cut_off(monkeypatch) -> None:
    monkeypatch.setattr(grpc_stream, "UNREAD_LIMIT", 100_000)
    monkeypatch.setattr(grpc_stream, "UNREAD_PAUSE", 50_000)
    caller = Caller()
    caller.send(headers(1, fields(STREAM)))
    ask(caller, OIP, OIP)
    first, second = caller.core.asked
    for _ in range(30):
        first.part(b"x" * 10_000)
    assert caller.core.cancelled.count(first) == caller.core.cancelled.count(second) == 1
    caller.send(h2.window_update(0, 1 << 30) + h2.window_update(1, 1 << 30))
    ends = [one for one in caller.said() if one[0] == "end"]
    assert ends[0][2][b"grpc-status"] == b"8"


def test_a_stream_has_a_deadline() -> None:
    caller = open_stream(grpc_timeout=b"5S")
    ask(caller, OIP)
    assert caller.core.asked[0].head.timeout == 0.0
    caller.loop.sleep(6)
    assert caller.ended()[0][1] == 4
    assert caller.core.cancelled == caller.core.asked


def test_time_between_messages_is_free_and_within_one_is_not() -> None:
    caller = open_stream()
    for _ in range(20):
        caller.loop.sleep(15)
    assert caller.alive()
    assert 1 in caller.connection.streams
    caller.send(h2.frame(h2.DATA, 0, 1, framed(OIP)[:7]))
    for _ in range(20):
        caller.loop.sleep(15)
    assert caller.ended()[0][1] == 4


def test_draining_answers_what_was_asked_and_ends_long_calls() -> None:
    caller = open_stream()
    ask(caller, OIP)
    caller.send(call(3, framed(b""), HEALTH + "Watch", end=False))
    caller.send(headers(5, fields("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")))
    caller.frames()
    caller.connection.shutdown()
    caller.loop.sleep(2)
    assert [(stream, code) for stream, code, _ in caller.ended()] == [(3, 14), (5, 14)]
    ask(caller, OIP)
    assert len(caller.core.asked) == 1
    caller.core.asked[0].answer(ANSWER)
    answers, end = read(caller)
    assert len(answers) == 1
    assert end is not None
    assert end[b"grpc-status"] == b"14"
    assert caller.transport.closed


# what the gateway answers itself


def test_health_is_told_and_watched() -> None:
    caller = Caller()
    caller.send(call(1, framed(b""), HEALTH + "Check", authorization=None))
    assert caller.messages(1) == ([b"\x08\x01"], {b"grpc-status": b"0"})
    caller.send(call(3, framed(delimited(1, b"x")), HEALTH + "Check"))
    assert caller.ended()[0][1] == 5
    caller.send(call(5, framed(delimited(1, b"x")), HEALTH + "Watch", end=False))
    assert caller.messages(5) == ([b"\x08\x03"], None)
    caller.send(call(7, b"", HEALTH + "Watch"))
    assert caller.ended()[0][1] == 3


def test_reflection_shows_files_and_says_what_it_does_not_have() -> None:
    Ask, Told = (
        message("grpc.reflection.v1.ServerReflectionRequest"),
        message("grpc.reflection.v1.ServerReflectionResponse"),
    )
    questions = [
        Ask(list_services="*"), Ask(file_by_filename="health.proto"), Ask(file_containing_symbol="grpc.health.v1.Health.Check"),
        Ask(file_containing_symbol="x.Y"), Ask(all_extension_numbers_of_type="inference.ModelConfig"),
        Ask(file_containing_extension={"containing_type": "x"}), Ask(),
    ]  # fmt: skip
    caller = Caller()
    caller.send(h2.window_update(0, 1 << 20) + h2.settings({h2.INITIAL_WINDOW_SIZE: 1 << 20}))
    path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
    caller.send(call(1, b"".join(framed(one.SerializeToString()) for one in questions), path, authorization=None))
    found, end = caller.messages(1)
    told = [Told.FromString(one) for one in found]
    assert end == {b"grpc-status": b"0"}
    assert [one.WhichOneof("message_response") for one in told] == [
        "list_services_response", "file_descriptor_response", "file_descriptor_response", "error_response",
        "all_extension_numbers_response", "error_response", "error_response",
    ]  # fmt: skip
    assert [one.original_request for one in told] == questions
    (file,) = told[2].file_descriptor_response.file_descriptor_proto
    assert file in DESCRIPTORS
    assert {one.error_response.error_code for one in told if one.HasField("error_response")} == {5, 12}


async def test_statistics_are_told_when_all_gateways_were_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: asyncio.Queue[asyncio.Future[list[Counted]]] = asyncio.Queue()

    async def counted(_peers: Peers, _name: str) -> list[Counted]:
        waits = asyncio.get_running_loop().create_future()
        asked.put_nowait(waits)
        return await waits

    async def begun() -> asyncio.Future[list[Counted]]:
        return await asyncio.wait_for(asked.get(), 60)

    async def settled(waits: asyncio.Future[list[Counted]]) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        assert waits.done()
        caller.loop.turn()

    monkeypatch.setattr(Peers, "counted", counted)
    caller = Caller()
    caller.send(call(1, framed(b""), STATISTICS))
    first = await begun()
    assert caller.ended() == [], "it waits"
    first.set_result([])
    await settled(first)
    (body,), end = caller.messages(1)
    assert (body, end) == (b"", {b"grpc-status": b"0"})
    caller.send(call(3, framed(b""), STATISTICS))
    second = await begun()
    caller.send(h2.reset(3, h2.CANCEL))
    await settled(second)
    assert second.cancelled(), "nobody waits for it"
    caller.send(call(5, framed(b""), STATISTICS, end=False))
    third = await begun()
    caller.send(h2.frame(h2.DATA, h2.END_STREAM, 5, framed(b"")))
    ((stream, status, says),) = caller.ended()
    assert (stream, status, says.partition(".")[0]) == (5, 3, "A second message came")
    await settled(third)
    assert third.cancelled()
    caller.send(call(7, b"", STATISTICS) + call(9, framed(b""), STATISTICS, authorization=None))
    for _ in range(3):
        await asyncio.sleep(0)
    caller.loop.turn()
    assert [(stream, status) for stream, status, _ in caller.ended()] == [(7, 3), (9, 16)]
    assert asked.empty()


def test_questions_are_bounded_and_checked() -> None:
    caller = Caller()
    caller.send(call(1, b"\0" + (1 << 20).to_bytes(4, "big"), LIVE))
    caller.send(call(3, framed(b"\xff\xff"), HEALTH + "Check"))
    caller.send(call(5, b"", LIVE))
    assert [(stream, code) for stream, code, _ in caller.ended()] == [(1, 8), (3, 3), (5, 3)]


# whatever comes

PATHS = [
    INFER,
    STREAM,
    PREDICT,
    HEALTH + "Check",
    HEALTH + "Watch",
    LIVE,
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]
BODIES = st.sampled_from([OIP, TFS, b"", b"\x0a", b"\x0a\x04iris", b"\x0a\x7f"]) | st.binary(max_size=30)
DATA = st.builds(framed, BODIES, st.sampled_from([0, 0, 0, 1, 2])) | st.binary(max_size=12)


@given(
    path=st.sampled_from(PATHS), data=st.lists(DATA, max_size=4).map(b"".join), cut=st.integers(1, 50),
    end=st.booleans(), encoding=st.sampled_from([None, b"gzip", b"identity", b"nonsense"]), order=st.booleans(),
)  # fmt: skip
@settings(max_examples=300)
def test_any_call_ends_with_a_status_or_waits(
    path: str, data: bytes, cut: int, end: bool, encoding, order: bool
) -> None:
    caller = Caller()
    caller.send(call(1, data, path, end=end, grpc_encoding=encoding), cut)
    asked = caller.core.asked if order else caller.core.asked[::-1]
    for one in asked:
        if one not in caller.core.cancelled:
            one.answer(ANSWER)
    ended = caller.ended()
    if end and path not in (HEALTH + "Watch",):
        assert [stream for stream, _, _ in ended] == [1]
    assert len(ended) + len(caller.connection.streams) == 1
    assert caller.alive()
