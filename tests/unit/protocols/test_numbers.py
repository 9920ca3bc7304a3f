"""Long lists of numbers are read as the other reader reads them, and whatever is no such list is left to it."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inferry.errors import InvalidInput
from inferry.protocols import numbers
from inferry.protocols.numbers import LONG, MOST, Numbers
from inferry.protocols.oip import OipCodec
from inferry.protocols.plain import PlainCodec
from inferry.protocols.tfs import PredictCodec
from inferry.types.signature import Signature
from tests.support.protocol_cases import SIMDJSON, request, spec

PAIR = Signature(kind="tensors", inputs=(spec("a", "FP32", (-1, 2)), spec("data", "FP64", (-1, -1))), batchable=True)
MATRICES = {
    name: Signature(kind="tensors", inputs=(spec("x", datatype, shape),), batchable=shape[0] < 0)
    for name, datatype, shape in [
        ("floats", "FP32", (-1, 2)),
        ("any width", "FP64", (-1, -1)),
        ("halves", "FP16", (-1, 2)),
        ("brain floats", "BF16", (-1, 2)),
        ("one row", "FP32", (1, 2)),
    ]
}
GOOD = ["0", "-0", "1", "-7", "0.1", "-0.0", "1e5", "1E-7", "3.4028234e38", "65504", "5e-324", "18446744073709551615"]
ODD = [
    "1e39", "65520", "1e308", "1e400", "123456789012345678901234567890", "01", "1.", "+1", "NaN", "true", "null",
    '"1"', '"]"', "{}", "[]", "[1]", "[[2]]", "", " ", "\\u0031",
]  # fmt: skip
SPACE = st.sampled_from(["", "", " ", "\n\t"])


def joined(cells: list[str], space: str) -> str:
    return f"[{space}{f'{space},'.join(cells)}]"


PAIRS = st.builds(joined, st.lists(st.sampled_from(GOOD), min_size=2, max_size=2), SPACE)
NEARLY = st.builds(
    lambda one, other, space: joined([one, other], space), st.sampled_from(GOOD + ODD), st.just("1"), SPACE
)
LISTS = st.one_of(PAIRS, NEARLY, st.builds(joined, st.lists(st.sampled_from(GOOD + ODD), max_size=5), SPACE))
ROWS = st.builds(joined, st.lists(st.one_of(PAIRS, PAIRS, LISTS), max_size=3), SPACE)
PLAIN = st.one_of(
    ROWS,
    LISTS,
    st.builds(
        lambda key, rows: f'{{"{key}": {rows}}}', st.sampled_from(["inputs", "instances", "instances", "x"]), ROWS
    ),
)
HEAD = st.builds(
    lambda name, datatype, shape, key, space, more: (
        f'{{"name":"{name}","datatype":"{datatype}","shape":{shape},{key}:{space}%s{more}}}'
    ),
    st.sampled_from(["x", "x", "data", "a"]),
    st.sampled_from(["FP32", "FP32", "FP64", "FP16", "INT32"]),
    st.sampled_from(["[1,2]", "[1,2]", "[2,2]", "[1, 2]", "[2]", "[]", "[0,2]", "[-1,2]"]),
    st.sampled_from(['"data"', '"data"', '"data" ', '"d\\u0061ta"', '"x\\"data"']),
    SPACE,
    st.sampled_from(["", "", ',"parameters":{"data":[3,4]}', ',"data":[5,6]', ',"parameters":{"binary_data_size":8}']),
)
STRUCTURE = st.builds(
    lambda inputs, more: f'{{"inputs":[{",".join(inputs)}]{more}}}',
    st.lists(HEAD, min_size=1, max_size=2),
    st.sampled_from(["", "", ',"id":"7"', ',"parameters":{"binary_data_output":true}', ',"data":[1,2]']),
)
ONE = '{"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],"data":%s}]}'
TWO = (
    '{"inputs":[{"name":"a","datatype":"FP32","shape":[1,2],"data":%s},'
    '{"name":"data","shape":[1,2],"data":%s,"datatype":"FP64"}]}'
)
HIDDEN = ONE.replace('"data":%s', '"d\\u0061ta":%s,"parameters":{"data":[3,4]}')
BESIDE = ONE.replace('"data":%s', '"data":%s,"parameters":{"data":[3,4]}')


def padded(text: str) -> bytes:
    """Long enough for the quick reader, and the same JSON."""
    return text.encode() + b" " * LONG


def outcome(codec: Any, body: bytes, json_size: int = 0) -> Any:
    try:
        call = codec.decode(request(body, json_size))
    except InvalidInput as error:
        return error.message, error.help
    arrays = {name: (array.dtype, array.shape, array.tobytes()) for name, array in call.inputs.items()}
    assert all(array.flags.writeable for array in call.inputs.values())
    return arrays, call.rows, call.id, call.wanted, call.binary


def without(codec: Any) -> Any:
    """A codec that leaves everything to the other reader."""
    if not isinstance(codec, OipCodec):
        codec._quick._numbers = None
    else:
        codec._long.arrays = lambda known, lists: None
    return codec


@given(st.sampled_from(list(MATRICES.values())), PLAIN)
@example(MATRICES["floats"], '{"inputs": [[1, [2]], 3]}')
@example(MATRICES["floats"], "[[1,2],[3],[4,5,6]]")
@example(MATRICES["floats"], "[[1,1e39]]")
@example(MATRICES["floats"], "[[-1e39,1]]")
@example(MATRICES["floats"], '{"inputs": [[1, 2]], "inputs": [[3, 4]]}')
@example(MATRICES["floats"], '{"inputs": [[1, 2]], "instances": [[3, 4]]}')
@example(MATRICES["floats"], '{"inputs": [[1, 2]], "instances": 3}')
@example(MATRICES["floats"], "\ufeff[[1,2]]")
@example(MATRICES["brain floats"], "[[0.1,2]]")
@example(MATRICES["one row"], "[[1,2],[3,4]]")
@example(MATRICES["any width"], "[[1,[2]]]")
@example(MATRICES["any width"], "[[[1,2]]]")
@example(MATRICES["any width"], "[[],[]]")
def test_rows_are_read_as_by_the_other_reader(signature: Signature, text: str) -> None:
    body = padded(text)
    for codec in (PlainCodec, PredictCodec):
        assert outcome(codec(signature), body) == outcome(without(codec(signature)), body)


@given(st.sampled_from([*MATRICES.values(), PAIR]), STRUCTURE, st.lists(LISTS | ROWS, min_size=1, max_size=5))
@example(MATRICES["floats"], ONE, ["[[1,2],[3,4]]"])
@example(MATRICES["floats"], ONE, ["[1,2]", "[1,1e39]", "[-1e39,1]", "[1,null]", "[1]", "[1,2,3]", "[]"])
@example(MATRICES["floats"], ONE.replace("[1,2]", "[]"), ["[1]"])
@example(MATRICES["floats"], HIDDEN, ["[1,2]"])
@example(MATRICES["floats"], BESIDE, ["[1,2]"])
@example(PAIR, TWO, ["[1,2]", "[3,4]"])
def test_data_is_read_as_by_the_other_reader(signature: Signature, structure: str, data: list[str]) -> None:
    """By a codec that has seen requests of the same structure, with good and bad data."""
    used = OipCodec(signature)
    for text in data + data:
        body, other = padded(structure.replace("%s", text)), without(OipCodec(signature))
        other._flat = used._flat  # whether a whole number is told as 1 or 1.0
        assert outcome(used, body) == outcome(other, body)


@SIMDJSON
def test_a_known_structure_is_read_without_the_other_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST, "simdjson is not installed"
    codec, plain, pair = OipCodec(MATRICES["floats"]), PlainCodec(MATRICES["floats"]), OipCodec(PAIR)
    codec.decode(request(padded(ONE % "[1,2]")))
    pair.decode(request(padded(TWO % ("[1,2]", "[3,4]"))))
    monkeypatch.setattr(pair, "_parse", None)
    assert pair.decode(request(padded(TWO % ("[5,6]", "[7,8]")))).inputs["data"].tolist() == [[7, 8]]
    monkeypatch.setattr(codec, "_parse", None)
    monkeypatch.setattr(plain._quick, "_decoder", object())
    for call in (codec.decode(request(padded(ONE % "[3,4]"))), plain.decode(request(padded("[[3,4]]")))):
        assert call.inputs["x"].tolist() == [[3, 4]]
        assert call.inputs["x"].dtype == np.float32


@pytest.mark.parametrize("behind", [1, 3, 5])
def test_a_body_that_ends_too_soon_is_no_json(behind: int) -> None:
    codec = OipCodec(MATRICES["floats"])
    codec.decode(request(padded(ONE % "[1,2]")))
    body = b" " * LONG + (ONE % "[1,2]").encode()[:-behind]
    assert "not valid JSON" in outcome(codec, body)[0]


def test_bytes_behind_a_known_structure_of_lists_are_not_its_data() -> None:
    codec = OipCodec(MATRICES["floats"])
    codec.decode(request(padded(ONE % "[1,2]")))
    head = padded(ONE % "[]")
    message, _ = outcome(codec, head + bytes(8), len(head))
    assert "has 0" in message


@pytest.mark.parametrize("count", [700, 40_000, 400_000])  # by the kept parser, by one of its own, by the other reader
def test_long_bodies_are_read_exactly(count: int) -> None:
    signature = Signature(kind="tensors", inputs=(spec("x", "FP64", (-1, -1)),), batchable=True)
    wanted = np.arange(count) / 7
    text = "[[" + ",".join(map(repr, wanted.tolist())) + "]]"
    reader = PlainCodec(signature)
    for _ in range(2):
        assert np.array_equal(reader.decode(request(text.encode())).inputs["x"][0], wanted)


@SIMDJSON
def test_arrays_live_on_when_the_next_body_is_read() -> None:
    reader = Numbers()
    first = reader.rows(b"[[1.5, 2.5]]", (), bare=True)
    for _ in range(3):
        reader.rows(b"[[7.5, 8.5]]", (), bare=True)
    gc.collect()
    assert first is not None
    assert first.tolist() == [[1.5, 2.5]]


def test_a_machine_without_simdjson_reads_everything_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("inferry.protocols.oip", "inferry.protocols.quick"):
        monkeypatch.setattr(f"{module}.MOST", 0)
    monkeypatch.setattr(numbers.Numbers, "_parse", None)
    assert outcome(PlainCodec(MATRICES["floats"]), padded("[[1,2]]"))[1] == 1
    codec = OipCodec(MATRICES["floats"])
    assert outcome(codec, padded(ONE % "[1,2]")) == outcome(codec, padded(ONE % "[1,2]"))
