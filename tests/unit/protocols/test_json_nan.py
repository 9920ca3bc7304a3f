"""JSON with NaN and infinities: the standard where the standard is spoken, Python's JSON where it is not."""

from __future__ import annotations

import json
import math
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput, ModelFailed
from inferry.protocols import json_nan

DECODER = msgspec.json.Decoder()
TEXT = st.text(st.characters(codec="utf-8")) | st.sampled_from(["NaN", "null", 'Infinity"', "-Infinity\\"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=15,
)


@given(VALUES)
def test_whatever_python_writes_is_read_and_written_as_it_was(value: Any) -> None:
    assert str(json_nan.parse(DECODER, json.dumps(value).encode(), "hint")) == str(value)
    assert str(json.loads(json_nan.write(value))) == str(value)


def test_nan_may_stand_for_something_else() -> None:
    assert json_nan.parse(DECODER, b"[NaN, Infinity, -Infinity]", "", nan=None) == [None, math.inf, -math.inf]


@pytest.mark.parametrize(
    "body",
    [
        b"[NaN", b"NaN NaN", b"[Nan]", b"{NaN: 1}", b"+Infinity", b"[NaN, 1e999]", b"[NaN, 01]", b"[NaN, \xff]",
        b'[NaN, "\\ud800"]', b"[NaN, " + b"9" * 5000 + b"]", b"\xef\xbb\xbf[NaN]", "[NaN]".encode("utf-16"),
        b"[" * 100_000 + b"NaN", b'"NaN', b"",
    ],
)  # fmt: skip
def test_what_is_no_json_even_so_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        json_nan.parse(DECODER, body, "Send something else.")
    assert caught.value.help


def test_a_value_of_another_type_is_refused_with_tokens_and_without() -> None:
    for body in (b"[1]", b"[NaN, 1]"):
        with pytest.raises(InvalidInput, match="right form"):
            json_nan.parse(msgspec.json.Decoder(list[str]), body, "hint")


def test_an_answer_that_is_no_json_is_the_models_fault() -> None:
    assert json_nan.write([None, date(2026, 1, 2)]) == b'[null,"2026-01-02"]'
    with pytest.raises(ModelFailed):
        json_nan.write([math.nan, object()])
