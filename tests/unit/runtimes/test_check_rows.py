"""Rows to compare a network on: like the sample's, within its datatypes, and of other sizes where those are free."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput, ModelFailed
from inferry.runtimes.calls import PIECE, Calls, by_row, pieces
from inferry.runtimes.checkrows import draw, drawn_whole, most_rows, probes, resized
from inferry.runtimes.onnx_converted import ConvertedModel
from inferry.types.conversion import Feed, Guard, Plan
from inferry.types.signature import Signature, TensorSpec

PICTURE = TensorSpec(name="x", datatype="FP32", shape=(-1, 3, 4, 4))
TOKENS = TensorSpec(name="ids", datatype="INT64", shape=(-1, -1))


@given(st.sampled_from(["u1", "i1", "i4", "i8", "f2", "f4", "f8"]), st.integers(1, 5), st.booleans(), st.integers(0, 9))
def test_whole_rows_keep_their_datatype_and_shape(dtype, rows, sampled, seed):
    random = np.random.default_rng(seed)
    array = random.integers(0, 100, (rows, 2, 5)).astype(dtype)
    made = drawn_whole(array, 24, np.random.default_rng(0), sampled=sampled)
    assert (made.dtype, made.shape) == (array.dtype, (24, 2, 5))
    again = drawn_whole(array, 24, np.random.default_rng(0), sampled=sampled)
    np.testing.assert_array_equal(made, again)


def test_most_drawn_tokens_are_those_of_the_sample():
    """A row with one token beyond the vocabulary is refused whole, and proves nothing."""
    tokens = np.random.default_rng(0).integers(5, 40, (3, 128))
    made = drawn_whole(tokens, 200, np.random.default_rng(0), sampled=True)
    inside = ((made >= 5) & (made < 40)).all(axis=1)
    assert 0.7 < inside.mean() < 1.0


def test_pictures_are_drawn_within_the_memory_there_is():
    rows = {"x": np.zeros((4, 3, 224, 224), np.float32)}
    most = most_rows(rows, seconds=15, each=0.001)
    drawn = draw(rows, [TensorSpec(name="x", datatype="FP32", shape=(-1, 3, 224, 224))], {}, sampled=True, most=most)
    assert 8 < len(drawn["x"]) < 64
    assert most_rows(rows, seconds=15, each=60.0) == 8


def test_free_sizes_are_halved_and_doubled():
    rows = {"ids": np.arange(12).reshape(2, 6), "x": np.zeros((2, 3, 4, 4), np.float32)}
    shapes = [(one["ids"].shape, one["x"].shape) for one in resized(rows, [TOKENS, PICTURE])]
    assert shapes == [((2, 3), (2, 3, 4, 4)), ((2, 12), (2, 3, 4, 4))]
    assert list(resized(rows, [PICTURE])) == []
    assert [one["ids"].shape for one in resized({"ids": np.zeros((1, 4, 2))}, [TOKENS], shift=1)] == [
        (1, 2, 1),
        (1, 8, 4),
    ]


def test_a_value_that_a_network_may_refuse_is_tried_once_for_a_picture_and_by_column_for_a_matrix():
    kinds = [(one.kind, one.column) for one in probes({"x": np.zeros((2, 3, 4, 4), np.float32)}, [PICTURE])]
    assert kinds == [("empty", -1), ("nan", -1), ("infinite", -1)]
    kinds = [(one.kind, one.column) for one in probes({"ids": np.zeros((2, 3), np.int64)}, [TOKENS])]
    assert kinds == [("empty", -1), ("negative", 0), ("negative", 1), ("negative", 2)]


class Summing:
    """Answers the sum of everything it is given, and how much that was."""

    def predict(self, inputs):
        if inputs["x"].size > 100:
            raise ModelFailed("too large")
        return {"sum": inputs["x"].sum(keepdims=True), "shape": np.array(inputs["x"].shape)}


def test_a_model_whose_rows_belong_together_is_asked_call_by_call():
    whole = Signature(kind="tensors", inputs=(TensorSpec(name="x", datatype="FP64", shape=(2, 3)),))
    assert not by_row(whole)
    calls = Calls(Summing(), whole)
    rows = calls.wrapped({"x": np.ones((2, 3))})
    three = {"x": np.concatenate([rows["x"]] * 3)}
    answers = calls.predict(three)
    assert answers["sum"].ravel().tolist() == [6.0, 6.0, 6.0]
    assert answers["shape"].tolist() == [[2, 3]] * 3
    with pytest.raises(InvalidInput):
        calls.predict({"x": rows["x"][:0]})


def test_rows_are_asked_a_piece_at_a_time():
    found = [len(piece["x"]) for piece in pieces({"x": np.zeros((150, 2))})]
    assert found == [PIECE, PIECE, 150 - 2 * PIECE]
    assert by_row(Signature(kind="tensors", inputs=(PICTURE,), batchable=True))


def test_a_converted_network_refuses_what_the_native_one_did_and_keeps_the_shape_of_its_inputs():
    seen = []

    def run(_, feeds):
        seen.append({name: (array.dtype.name, array.shape) for name, array in feeds.items()})
        return [np.zeros((2, 1), np.float32)]

    plan = Plan(
        feeds=(Feed(name="a", columns=("ids",), dtype="int64", form="same"),
               Feed(name="b", columns=("text",), dtype="text", form="same"),
               Feed(name="c", columns=("one",), dtype="float32", form="same")),
        answers={"y": "out"},
        guards=(Guard(input="ids", kind="negative", message="no such token"),),
    )  # fmt: skip
    specs = (TOKENS, TensorSpec(name="text", datatype="BYTES", shape=(-1, 2)),
             TensorSpec(name="one", datatype="FP32", shape=(-1,)))  # fmt: skip
    outputs = (TensorSpec(name="y", datatype="FP32", shape=(-1, 1)),)
    model = ConvertedModel(run, plan, Signature(kind="tensors", inputs=specs, outputs=outputs))
    text = np.array([["a", "b"], ["c", "d"]], dtype=object)
    inputs = {"ids": np.zeros((2, 3), np.int64), "text": text, "one": np.ones(2, np.float32)}
    model.predict(inputs)
    assert seen == [{"a": ("int64", (2, 3)), "b": ("object", (2, 2)), "c": ("float32", (2,))}]
    inputs["ids"][1, 2] = -1
    with pytest.raises(InvalidInput, match="no such token"):
        model.predict(inputs)
