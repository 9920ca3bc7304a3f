"""The quick way of the plain door reads what the long way reads, and leaves to it all that is not of the usual form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inferry.errors import InvalidInput
from inferry.protocols.plain import PlainCodec
from inferry.protocols.quick import MOST_COLUMNS, REST, QuickRows
from inferry.protocols.tfs import PredictCodec
from inferry.types.signature import Signature
from tests.support.protocol_cases import EVERY, IRIS, ONE_COLUMN, PEOPLE, PERSON, request, spec

MATRICES = {
    "any width": Signature(kind="tensors", inputs=(spec("x", "FP64", (-1, -1)),), batchable=True),
    "one row": Signature(kind="tensors", inputs=(spec("x", "FP32", (1, 2)),)),
    "a value a row": Signature(kind="tensors", inputs=(spec("x", "FP16", (-1, 1)),), batchable=True),
    "inputs": Signature(kind="tensors", inputs=(spec("inputs", "FP32", (-1, 2)),)),
    "halves": Signature(kind="tensors", inputs=(spec("x", "BF16", (-1, 2)),)),
}
TABLES = {
    "inputs": Signature(kind="table", inputs=(spec("inputs"),)),
    "odd names": Signature(kind="table", inputs=(spec("é (cm)"), spec('say "x"'), spec("class", "INT8"))),
    "class": Signature(kind="table", inputs=(spec("class", "INT8"), spec("sepal length (cm)"), spec("self", "UINT64"))),
}
SIGNATURES = [*EVERY.values(), *MATRICES.values(), *TABLES.values()]

NUMBERS = st.one_of(
    st.integers(-300, 300), st.sampled_from([0.5, -0.0, 1e300, 70000.0, 2**63, 2**64, 1e39]), st.booleans(), st.none()
)
VALUES = st.one_of(NUMBERS, st.sampled_from(["clerk", "baker", "x"]), st.just({"b64": "/wA="}))
NAMES = st.sampled_from([*PERSON, "x", "inputs", "class", "sepal length (cm)", "self"])
RECORDS = st.one_of(
    st.fixed_dictionaries({"age": NUMBERS}),
    st.fixed_dictionaries({key: st.one_of(st.just(value), VALUES) for key, value in PERSON.items()}),
    st.fixed_dictionaries({"class": NUMBERS, "sepal length (cm)": NUMBERS, "self": NUMBERS}),
    st.dictionaries(NAMES, VALUES, max_size=4),
)
ROWS = st.one_of(
    st.lists(st.lists(NUMBERS, min_size=1, max_size=4), max_size=3), st.lists(RECORDS, max_size=3), st.lists(VALUES)
)
BODIES = st.one_of(ROWS, st.dictionaries(st.sampled_from(["inputs", "instances", "x"]), ROWS, min_size=1), VALUES)


def read(codec: PlainCodec | PredictCodec, body: Any) -> Any:
    try:
        call = codec.decode(request(body))
    except InvalidInput as error:
        return error.message, error.help
    return call


@given(st.sampled_from(SIGNATURES), BODIES)
@example(IRIS, {"inputs": [[5, 3, 1, 0.5]]})
@example(IRIS, {"inputs": [[5, 3, 1, True]]})
@example(IRIS, {"instances": [[5, 3, 1, 0.5]]})
@example(PEOPLE, {"instances": [PERSON, {**PERSON, "visits": 3.0}]})
@example(IRIS, {"inputs": [[5, 3, 1, 1e39]]})
@example(IRIS, {"inputs": [[5, 3, 1, 2], [5, 3, 1]]})
@example(IRIS, {"inputs": [[1, 2, 3, 4]], "instances": [[1, 2, 3, 4]]})
@example(PEOPLE, [PERSON, {**PERSON, "job": "pilot"}])
@example(PEOPLE, [PERSON, {**PERSON, "income": None, "visits": 3.0}])
@example(TABLES["inputs"], {"inputs": [{"inputs": 1}]})
@example(MATRICES["any width"], [[]])
@example(MATRICES["one row"], [[1, 2], [3, 4]])
@example(ONE_COLUMN, {"instances": [{"age": 1}]})
def test_both_ways_say_the_same(signature: Signature, body: Any) -> None:
    for door in (PlainCodec, PredictCodec):
        long = door(signature)
        long._quick.read = lambda body: None  # type: ignore[method-assign]
        check_same(signature, read(door(signature), body), read(long, body))


def check_same(signature: Signature, one: Any, other: Any) -> None:
    if isinstance(one, tuple):
        assert one == other
        return
    assert one.rows == other.rows
    if signature.kind == "open":
        assert one.inputs == other.inputs
        return
    assert list(one.inputs) == list(other.inputs)
    for name, array in one.inputs.items():
        assert array.dtype == other.inputs[name].dtype
        assert array.shape == other.inputs[name].shape
        assert array.flags.writeable
        same = array == other.inputs[name]
        assert (same | ((array != array) & (other.inputs[name] != other.inputs[name]))).all()


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        (IRIS, b'{"inputs": [[5.1, 3.5, 1.4, 0.2]]}'),
        (IRIS, b"[[5.1, 3.5, 1.4, 0.2], [1, 2, 3, 4]]"),
        (PEOPLE, request([PERSON]).body),
        (PEOPLE, request({"instances": [dict(reversed(PERSON.items()))]}).body),
        (TABLES["class"], b'[{"class": 1, "self": 2, "sepal length (cm)": 0.5}]'),
    ],
)
def test_the_usual_form_goes_the_quick_way(signature: Signature, body: bytes) -> None:
    found = QuickRows(signature).read(body)
    assert found is not None
    assert list(found[0]) == [given.name for given in signature.inputs]


def test_who_sends_another_form_pays_for_few_tries() -> None:
    quick = QuickRows(IRIS)
    assert quick.read(b"[5.1, 3.5, 1.4, 0.2]") is None
    usual = b"[[5.1, 3.5, 1.4, 0.2]]"
    assert [quick.read(usual) is None for _ in range(REST + 2)] == [True] * REST + [False, False]


def test_a_table_of_very_many_columns_goes_the_long_way() -> None:
    names = [f"c{at}" for at in range(MOST_COLUMNS + 1)]
    record = request([dict.fromkeys(names, 1.5)])
    for count, quick in ((MOST_COLUMNS, True), (MOST_COLUMNS + 1, False)):
        signature = Signature(kind="table", inputs=tuple(spec(name) for name in names[:count]), batchable=True)
        body = request([dict.fromkeys(names[:count], 1.5)]).body
        assert (QuickRows(signature).read(body) is not None) is quick
    assert np.concatenate(list(PlainCodec(signature).decode(record).inputs.values())).tolist() == [1.5] * len(names)
