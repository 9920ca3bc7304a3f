"""Engine: decode, batch, predict, split, encode; one bad item costs only itself."""

import gzip
import json
import select
import threading
import time
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.interfaces.codec import Encoded
from inferry.replica import calls, replies
from inferry.replica.engine import LONE, Engine
from inferry.types import frames
from tests.support.fake_model import DOOR, LEAVE, POISON, SIGNATURE, FakeCodec, FakeModel, FakePeer


def make(model=None, **options):
    max_rows = options.pop("max_rows", None)
    engine = Engine(model or FakeModel(), options.pop("signature", SIGNATURE), {DOOR: FakeCodec()}, **options)
    if max_rows is not None:
        engine.max_rows = max_rows
    return engine


def ask(engine, peer, id, body, **fields):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    whole = {"flags": 0, "json_size": 0, "deadline": 0, "name": "", "version": "", "door": DOOR} | fields
    engine.offer(frames.Request(id=id, kind=frames.INFER, body=body, **whole), peer)


def run(engine):
    while engine.busy:
        engine.step()


def answers(peer):
    return {reply.id: json.loads(reply.body) for reply in peer.replies if reply.status == 200}


def refusals(peer):
    return {reply.id: (reply.status, json.loads(reply.body)["code"]) for reply in peer.replies if reply.status != 200}


def test_what_waits_together_runs_together_and_is_split_right():
    engine, one, two = make(), FakePeer(), FakePeer()
    ask(engine, one, 1, [1, 2])
    ask(engine, two, 1, [3])
    ask(engine, one, 2, [4, 5, 6])
    run(engine)
    assert engine.model.seen == [6]
    assert answers(one) == {1: [2, 4], 2: [8, 10, 12]}
    assert answers(two) == {1: [6]}
    assert {(reply.batch, reply.rows) for reply in one.replies} == {(3, 2), (3, 3)}
    assert engine.served == 3


@given(
    st.lists(st.lists(st.integers(-100, 100).map(float), max_size=9), min_size=1, max_size=12),
    st.sets(st.integers(0, 11)),
    st.integers(1, 12),
)
def test_every_request_is_answered_once_and_right_whoever_is_poisoned(bodies, poisoned, max_rows):
    engine, peer = make(max_rows=max_rows), FakePeer()
    for id, rows in enumerate(bodies):
        ask(engine, peer, id, [*rows, POISON] if id in poisoned else rows)
    run(engine)
    assert sorted(reply.id for reply in peer.replies) == list(range(len(bodies)))
    assert answers(peer) == {id: [2 * x for x in rows] for id, rows in enumerate(bodies) if id not in poisoned}
    assert set(refusals(peer).values()) <= {(500, "model_failed")}


def test_a_poisoned_item_is_found_by_halving():
    engine, peer = make(), FakePeer()
    for id in range(8):
        ask(engine, peer, id, [POISON if id == 5 else id])
    run(engine)
    assert refusals(peer) == {5: (500, "model_failed")}
    assert engine.model.seen == [8, 4, 4, 2, 1, 1, 2]
    assert engine.served == 7


def test_a_model_that_calls_exit_costs_one_request():
    engine, peer = make(), FakePeer()
    ask(engine, peer, 1, [1])
    ask(engine, peer, 2, [LEAVE])
    run(engine)
    assert answers(peer) == {1: [2]}
    assert refusals(peer) == {2: (500, "model_failed")}


def test_the_message_of_a_models_error_stays_inside():
    engine, peer = make(), FakePeer()
    ask(engine, peer, 1, [POISON])
    run(engine)
    assert b"poison" not in peer.replies[0].body
    assert b"ValueError" in peer.replies[0].body


def test_a_request_past_its_deadline_is_refused_without_the_model():
    engine, peer = make(), FakePeer()
    now = time.monotonic_ns() // 1000
    ask(engine, peer, 1, [1], deadline=now - 1)
    ask(engine, peer, 2, [2], deadline=now + 60_000_000)
    run(engine)
    assert refusals(peer) == {1: (504, "deadline_exceeded")}
    assert answers(peer) == {2: [4]}
    assert (engine.model.seen, peer.begun) == ([1], [2])


def test_peers_know_what_is_begun_before_the_model_sees_it():
    peer = FakePeer()

    class Watching(FakeModel):
        def predict(self, inputs):
            assert peer.begun == [2]  # the highest says it of all before it
            return super().predict(inputs)

    engine = make(Watching())
    ask(engine, peer, 1, [1])
    ask(engine, peer, 2, [2])
    engine.step()
    assert answers(peer) == {1: [2], 2: [4]}


def test_a_batch_takes_at_most_max_rows_and_in_order():
    engine, peer = make(max_rows=4), FakePeer()
    for id, rows in enumerate([3, 3, 1, 9, 1]):
        ask(engine, peer, id, [float(id)] * rows)
    engine.step()
    assert peer.begun == [2]
    run(engine)
    assert engine.model.seen == [4, 4, 9]
    assert answers(peer)[3] == [6.0] * 9


@pytest.mark.parametrize("body", [[], [1.0] * 65])
def test_no_rows_or_too_many_run_alone(body):
    engine, peer = make(), FakePeer()
    for id in range(2):
        ask(engine, peer, id, body)
    run(engine)
    assert engine.model.seen == [len(body)] * 2


def test_a_model_that_is_not_batchable_gets_one_request_at_a_time():
    engine, peer = make(signature=msgspec.structs.replace(SIGNATURE, batchable=False)), FakePeer()
    for id in range(3):
        ask(engine, peer, id, [1])
    run(engine)
    assert engine.model.seen == [1, 1, 1]


def test_different_shapes_and_types_are_not_stacked():
    class Shaped(FakeCodec):
        def decode(self, request):
            call = super().decode(request)
            if call.rows == 2:
                call.inputs["x"] = call.inputs["x"].astype(np.float32)
            if call.rows == 3:
                call.inputs["x"] = call.inputs["x"].reshape(3, 1)
            return call

    engine, peer = make(), FakePeer()
    engine.codecs = {DOOR: Shaped()}
    for id, rows in enumerate([1, 2, 3, 1, 2, 3]):
        ask(engine, peer, id, [1.0] * rows)
    run(engine)
    assert engine.model.seen == [2, 4, 6]


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_wrong_number_of_output_rows_is_never_handed_out(rows):
    class Short(FakeModel):
        def predict(self, inputs):
            return {"y": np.zeros(rows)}

    engine, peer = make(Short()), FakePeer()
    ask(engine, peer, 1, [1, 2])
    ask(engine, peer, 2, [3, 4])
    run(engine)
    assert refusals(peer) == {1: (500, "model_failed"), 2: (500, "model_failed")}
    assert f"{rows} rows for 2 rows" in json.loads(peer.replies[0].body)["message"]


def test_rows_that_are_wrong_only_in_a_batch_are_asked_for_one_by_one():
    class Merging(FakeModel):
        def predict(self, inputs):
            out = super().predict(inputs)
            return out if len(inputs["x"]) == 1 else {"y": out["y"][:1]}

    engine, peer = make(Merging()), FakePeer()
    ask(engine, peer, 1, [1])
    ask(engine, peer, 2, [2])
    run(engine)
    assert answers(peer) == {1: [2], 2: [4]}


def test_a_bug_in_the_codec_costs_one_request():
    engine, peer = make(), FakePeer()
    ask(engine, peer, 1, b"bug")
    ask(engine, peer, 2, b"unwritable")
    ask(engine, peer, 3, b"{")
    ask(engine, peer, 4, [1])
    run(engine)
    assert refusals(peer) == {1: (500, "internal"), 2: (500, "model_failed"), 3: (400, "invalid_input")}
    assert answers(peer) == {4: [2]}


def test_an_answer_that_no_frame_carries_is_refused(monkeypatch):
    monkeypatch.setattr(replies, "MAX_ANSWER", 10)
    engine, peer = make(), FakePeer()
    ask(engine, peer, 1, [1] * 9)
    ask(engine, peer, 2, [1])
    run(engine)
    assert refusals(peer) == {1: (500, "model_failed")}
    assert answers(peer) == {2: [2]}


def test_an_unknown_door_is_refused():
    engine, peer = make(), FakePeer()
    ask(engine, peer, 1, [1], door=9)
    assert (peer.replies[0].status, engine.queue) == (400, [])


@pytest.mark.parametrize(
    ("flag", "pack"), [(frames.FLAG_GZIP, gzip.compress), (frames.FLAG_DEFLATE, zlib.compress)]
)  # fmt: skip
def test_compressed_bodies_are_unpacked(flag, pack):
    engine, peer = make(), FakePeer()
    ask(engine, peer, 1, pack(b"[1, 2]"), flags=flag)
    run(engine)
    assert answers(peer) == {1: [2, 4]}


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-5], lambda data: data + b"x", lambda data: b"x" + data, lambda data: b""]
)
@pytest.mark.parametrize("flag", [frames.FLAG_GZIP, frames.FLAG_DEFLATE])
def test_a_spoiled_compressed_body_is_refused(flag, spoil):
    pack = gzip.compress if flag == frames.FLAG_GZIP else zlib.compress
    engine, peer = make(), FakePeer()
    ask(engine, peer, 1, spoil(pack(b"[1, 2]")), flags=flag)
    assert refusals(peer) == {1: (400, "invalid_input")}


@pytest.mark.parametrize("size", [1001, 1100, 5000, 5_000_000])
def test_a_bomb_stops_at_the_limit(monkeypatch, size):
    monkeypatch.setattr(calls, "MAX_BODY", 1000)
    engine, peer = make(), FakePeer()
    ask(engine, peer, 1, gzip.compress(b" " * (size - 3) + b"[1]"), flags=frames.FLAG_GZIP)
    ask(engine, peer, 2, gzip.compress(b" " * 997 + b"[1]"), flags=frames.FLAG_GZIP)
    run(engine)
    assert refusals(peer) == {1: (413, "too_large")}
    assert answers(peer) == {2: [2]}


def test_work_of_a_peer_that_is_gone_is_dropped():
    engine, gone, here = make(), FakePeer(), FakePeer()
    ask(engine, gone, 1, [1])
    ask(engine, here, 2, [2])
    engine.forget(gone)
    run(engine)
    assert (engine.model.seen, gone.replies, answers(here)) == ([1], [], {2: [4]})


# pieces, streams and word that nobody waits


def test_a_request_with_very_many_rows_runs_in_pieces_and_others_run_in_between():
    engine, peer = make(), FakePeer()
    engine.piece_rows = 100
    rows = [float(row) for row in range(350)]
    ask(engine, peer, 1, rows)
    engine.step()
    ask(engine, peer, 2, [7])
    run(engine)
    assert engine.model.seen == [100, 100, 1, 100, 50]
    assert [reply.id for reply in peer.replies] == [2, 1]
    assert answers(peer) == {1: [2 * row for row in rows], 2: [14]}


def test_the_time_of_all_pieces_counts_as_the_models_though_the_last_is_short():
    class Slow(FakeModel):
        def predict(self, inputs):
            time.sleep(len(inputs["x"]) * 2e-4)
            return super().predict(inputs)

    engine, peer = make(Slow()), FakePeer()
    engine.piece_rows = 100
    ask(engine, peer, 1, [1.0] * 201)
    run(engine)
    assert peer.replies[0].predict_us >= 40_000
    assert peer.replies[0].queue_us < 40_000


@pytest.mark.parametrize("together", ["all", "some", "raises", "too much"])
def test_answers_are_written_together_where_the_codec_can_and_each_by_itself_where_not(together, monkeypatch):
    monkeypatch.setattr(replies, "MAX_ANSWER", 50)

    class Many(FakeCodec):
        def encode_many(self, calls, outputs):
            if together == "raises":
                raise TypeError("one cannot be written")
            if together == "some":
                return None
            text = b'"together"' if together == "all" else b'"%b"' % bytes(60)
            return [Encoded(frames.CONTENT_JSON, 0, text)] * len(calls)

    engine, peer = make(), FakePeer()
    engine.codecs = {DOOR: Many(), DOOR + 1: FakeCodec()}
    for id in (1, 2):
        ask(engine, peer, id, [id])
    ask(engine, peer, 3, b"unwritable")
    run(engine)
    if together == "all":
        assert answers(peer) == dict.fromkeys((1, 2, 3), "together")
    else:
        assert (answers(peer), refusals(peer)) == ({1: [2], 2: [4]}, {3: (500, "model_failed")})
    assert [reply.batch for reply in peer.replies if reply.status == 200] == [3] * (3 if together == "all" else 2)
    for id, door in ((4, DOOR), (5, DOOR + 1)):
        ask(engine, peer, id, [id], door=door)
    run(engine)
    assert (answers(peer)[4], answers(peer)[5]) == ([8], [10])


@pytest.mark.parametrize("bodies", [[[1, 2]], [[1, 2], [3, 4]], [list(range(250))]], ids=["one", "stacked", "pieces"])
def test_a_model_has_arrays_of_its_own_though_the_codec_gave_views_of_the_body(bodies):
    class Views(FakeCodec):
        def decode(self, request):
            call = super().decode(request)
            call.inputs["x"].flags.writeable, call.views, call.alike = False, True, "x"
            return call

    class Careless(FakeModel):
        def predict(self, inputs):
            inputs["x"] += 1
            return super().predict(inputs)

    engine, peer = make(Careless()), FakePeer()
    engine.codecs = {DOOR: Views()}
    engine.piece_rows = 100
    for id, body in enumerate(bodies):
        ask(engine, peer, id, body)
    run(engine)
    assert answers(peer) == {id: [2 * (value + 1) for value in body] for id, body in enumerate(bodies)}


def test_pieces_whose_outputs_do_not_fit_together_fail_that_request_alone():
    class Uneven(FakeModel):
        def predict(self, inputs):
            rows = len(inputs["x"])
            return {"y": np.zeros((rows, rows))}

    engine, peer = make(Uneven()), FakePeer()
    engine.piece_rows = 100
    ask(engine, peer, 1, [1.0] * 150)
    ask(engine, peer, 2, [1.0])
    run(engine)
    assert refusals(peer) == {1: (500, "model_failed")}
    assert answers(peer) == {2: [[0.0]]}


def test_poison_in_one_piece_fails_that_request_alone():
    engine, peer = make(), FakePeer()
    engine.piece_rows = 100
    ask(engine, peer, 1, [1.0] * 150 + [POISON])
    ask(engine, peer, 2, [7])
    run(engine)
    assert refusals(peer) == {1: (500, "model_failed")}
    assert answers(peer) == {2: [14]}


def test_batches_stay_short_enough_for_the_earliest_deadline():
    curve = [(1, 1e6), (2, 1.1e6), (64, 2e6)]
    engine, peer = make(curve=curve), FakePeer()
    now = time.monotonic_ns() // 1000
    ask(engine, peer, 1, [1], deadline=now + 1_050_000)
    ask(engine, peer, 2, [2], deadline=now + 60_000_000)
    engine.step()
    assert [reply.id for reply in peer.replies] == [1]
    ask(engine, peer, 3, [3], deadline=now + 60_000_000)
    run(engine)
    assert engine.model.seen == [1, 2]


def test_a_cancelled_request_never_reaches_the_model_and_is_told_once():
    engine, peer, other = make(), FakePeer(), FakePeer()
    ask(engine, peer, 1, [1])
    ask(engine, other, 1, [5])
    engine.cancel(1, peer)
    engine.cancel(1, peer)
    engine.cancel(9, peer)
    run(engine)
    assert [(reply.id, reply.status) for reply in peer.replies] == [(1, frames.CANCELLED)]
    assert answers(other) == {1: [10]}
    assert engine.model.seen == [1]


class Yielding(FakeModel):
    """Answers in three parts; `closed` counts the streams it could clean up after."""

    def __init__(self):
        super().__init__()
        self.closed = 0

    def predict(self, inputs):
        self.seen.append(1)
        return self.parts(inputs["x"])

    def parts(self, values):
        try:
            for step in range(3):
                if POISON in values and step == 1:
                    raise ValueError("poison")
                yield {"y": values * step}
        finally:
            self.closed += 1


OPEN = msgspec.structs.replace(SIGNATURE, kind="open", batchable=False)


class ListCodec(FakeCodec):
    """Writes one part, or all of them."""

    def encode(self, call, outputs):
        if isinstance(outputs, list):
            return Encoded(frames.CONTENT_JSON, 0, json.dumps([part["y"].tolist() for part in outputs]).encode())
        return super().encode(call, outputs)


def yielding():
    return Engine(Yielding(), OPEN, {DOOR: ListCodec()})


def test_a_stream_comes_part_by_part_while_others_are_answered():
    engine, peer = yielding(), FakePeer()
    ask(engine, peer, 1, [1], flags=frames.FLAG_STREAM)
    ask(engine, peer, 2, gzip.compress(b"[2]"), flags=frames.FLAG_STREAM | frames.FLAG_GZIP)
    run(engine)
    parts = [(reply.id, json.loads(reply.body)) for reply in peer.replies if reply.kind == frames.PART]
    assert parts == [(1, [0]), (1, [1]), (2, [0]), (1, [2]), (2, [2]), (2, [4])]
    ends = [(reply.id, reply.content, reply.status) for reply in peer.replies if reply.kind == frames.RESULT]
    assert ends == [(1, frames.CONTENT_END, 200), (2, frames.CONTENT_END, 200)]


def test_who_takes_no_parts_gets_them_all_at_once():
    engine, peer = yielding(), FakePeer()
    ask(engine, peer, 1, [1])
    run(engine)
    assert answers(peer) == {1: [[0], [1], [2]]}


@pytest.mark.parametrize("flags", [0, frames.FLAG_STREAM])
def test_an_error_in_a_stream_ends_it_with_that_error(flags):
    engine, peer = yielding(), FakePeer()
    ask(engine, peer, 1, [POISON], flags=flags)
    run(engine)
    assert refusals(peer) == {1: (500, "model_failed")}
    assert engine.model.closed == 1


def test_a_stream_that_nobody_wants_is_closed():
    engine, peer, gone = yielding(), FakePeer(), FakePeer()
    ask(engine, peer, 1, [1], flags=frames.FLAG_STREAM)
    ask(engine, gone, 1, [1], flags=frames.FLAG_STREAM)
    engine.step()
    engine.step()
    engine.cancel(1, peer)
    engine.forget(gone)
    assert not engine.busy
    assert engine.model.closed == 2
    assert peer.replies[-1].status == frames.CANCELLED


# computing beside


class Gated(FakeModel):
    """Computes when it may; `threads` are those that it was called in."""

    def __init__(self):
        super().__init__()
        self.entered, self.gate = threading.Event(), threading.Event()
        self.threads = []

    def predict(self, inputs):
        self.threads.append(threading.get_ident())
        self.entered.set()
        assert self.gate.wait(10)
        return super().predict(inputs)


SHORT_CURVE = [(1, 1000.0), (64, 1500.0)]
LONG_CURVE = [(1, 3000.0), (64, 4000.0)]


def beside(model=None, workers=1, curve=LONG_CURVE):
    return Engine(model or FakeModel(), SIGNATURE, {DOOR: FakeCodec()}, curve, workers=workers)


def settle(engine):
    """As the replica's loop does: step when there is something to do, else wait for the worker."""
    while engine.busy:
        if engine.ready:
            engine.step()
        else:
            assert select.select([engine.workers.descriptor], [], [], 10)[0]
            engine.finish()


@given(
    st.lists(st.lists(st.integers(-100, 100).map(float), min_size=1, max_size=9), min_size=1, max_size=40),
    st.sets(st.integers(0, 39)),
    st.integers(1, 3),
)
def test_beside_too_everybody_is_answered_once_and_right_whoever_is_poisoned(bodies, poisoned, workers):
    engine, peer = beside(workers=workers), FakePeer()
    for id, body in enumerate(bodies):
        ask(engine, peer, id, [*body, POISON] if id in poisoned else body)
    settle(engine)
    assert sorted(reply.id for reply in peer.replies) == list(range(len(bodies)))
    bad = poisoned & set(range(len(bodies)))
    assert set(refusals(peer)) == bad
    assert answers(peer) == {id: [2 * x for x in body] for id, body in enumerate(bodies) if id not in bad}


def test_the_next_requests_are_decoded_and_the_expired_refused_while_the_model_computes():
    model = Gated()
    engine, peer = beside(model), FakePeer()
    for id in range(70):
        ask(engine, peer, id, [1])
    engine.step()
    assert model.entered.wait(10)
    assert engine.busy
    assert not engine.ready
    ask(engine, peer, 100, b"{")  # a bad one is told at once
    assert refusals(peer) == {100: (400, "invalid_input")}
    engine.cancel(69, peer)
    model.gate.set()
    settle(engine)
    assert len(answers(peer)) == 69
    assert model.seen == [64, 5]
    assert set(model.threads) != {threading.get_ident()}


def test_a_short_call_is_computed_at_once_in_the_replicas_own_thread():
    model = Gated()
    model.gate.set()
    engine, peer = beside(model, curve=SHORT_CURVE), FakePeer()
    ask(engine, peer, 1, [1])
    engine.step()
    assert answers(peer) == {1: [2]}
    assert model.threads == [threading.get_ident()]


def one_by_one(engine, peer, ids):
    for id in ids:
        ask(engine, peer, id, [1])
        settle(engine)


def test_requests_that_come_one_by_one_are_soon_computed_in_the_replicas_own_thread():
    model = Gated()
    model.gate.set()
    engine, peer, own = beside(model), FakePeer(), threading.get_ident()
    one_by_one(engine, peer, range(LONE + 2))
    assert [thread == own for thread in model.threads] == [False] * LONE + [True, True]
    assert engine.patience_ns > 0
    ask(engine, peer, 100, [1])
    ask(engine, peer, 101, [1])
    settle(engine)
    assert model.threads[-1] != own  # one that is not alone ends the habit
    assert engine.patience_ns == 0
    one_by_one(engine, peer, range(200, 200 + LONE + 1))
    assert model.threads[-1] == own
    engine.lone = 0  # what the replica's loop does when it sees one that came meanwhile
    one_by_one(engine, peer, [300])
    assert model.threads[-1] != own


def test_a_very_long_call_is_never_computed_in_the_replicas_own_thread():
    model = Gated()
    model.gate.set()
    engine, peer = beside(model, curve=[(1, 60_000.0), (64, 70_000.0)]), FakePeer()
    one_by_one(engine, peer, range(LONE + 3))
    assert threading.get_ident() not in model.threads


def test_a_lone_request_may_have_more_rows_than_a_batch():
    model = Gated()
    model.gate.set()
    engine, peer = beside(model, curve=[(1, 10_000.0), (2, 20_000.0), (4, 40_000.0)]), FakePeer()
    one_by_one(engine, peer, range(LONE + 1))
    ask(engine, peer, 100, [1] * (engine.max_rows + 1))
    settle(engine)
    assert answers(peer)[100] == [2] * (engine.max_rows + 1)


def test_a_peer_that_leaves_while_the_model_computes_for_it_takes_nobody_along():
    model = Gated()
    engine, gone, peer = beside(model), FakePeer(), FakePeer()
    ask(engine, gone, 1, [1])
    ask(engine, peer, 1, [5])
    engine.step()
    assert model.entered.wait(10)
    engine.forget(gone)
    model.gate.set()
    settle(engine)
    assert answers(peer) == {1: [10]}


def test_several_workers_compute_at_the_same_time():
    model = Gated()
    engine, peer = beside(model, workers=2), FakePeer()
    engine.max_rows = 1
    for id in range(5):
        ask(engine, peer, id, [float(id)])
    engine.step()
    async_calls = 2
    for _ in range(1000):
        if len(model.threads) == async_calls:
            break
        time.sleep(0.01)
    assert len(set(model.threads)) == async_calls
    assert len(engine.queue) == 2  # one more lies ready for the thread that is free first
    assert not engine.ready
    model.gate.set()
    settle(engine)
    assert answers(peer) == {id: [2.0 * id] for id in range(5)}


def test_the_next_batch_is_handed_over_ahead_only_when_it_is_full():
    model = Gated()
    engine, peer = beside(model), FakePeer()
    engine.max_rows = 4
    for id in range(7):
        ask(engine, peer, id, [1])
    engine.step()
    assert (engine.computing, len(engine.queue)) == (1, 3)  # three may still become four
    ask(engine, peer, 7, [1])
    engine.step()
    assert (engine.computing, len(engine.queue)) == (2, 0)
    for id in range(8, 16):
        ask(engine, peer, id, [1])
    assert not engine.ready
    model.gate.set()
    settle(engine)
    assert len(answers(peer)) == 16
    assert model.seen == [4, 4, 4, 4]
