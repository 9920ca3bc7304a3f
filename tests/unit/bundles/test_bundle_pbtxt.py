"""Protocol Buffers' text form: what protobuf itself writes is read back, anything else refused in words."""

from __future__ import annotations

import contextlib

import pytest
from google.protobuf import struct_pb2, text_format
from hypothesis import given
from hypothesis import strategies as st

from inferry.bundles.pbtxt import PbtxtError, read_pbtxt

CONFIG = """
# a comment { "
name: "m"  platform: 'onnx' "runtime_onnx"
max_batch_size: 8;
input [ { name: "x", data_type: TYPE_FP32, dims: [ -1, 4 ] }, { name: "y" data_type: TYPE_STRING dims: 1 } ]
output < name: "z" dims: [] >
parameters { key: "a" value: { string_value: "it\\'s \\"b\\" \\x41\\101\\n" } }
dynamic_batching { }
eager: true ratio: 0.5 small: 1e-3 hex: 0x10 negative: - 2
"""


def test_a_configuration_is_read():
    found = read_pbtxt(CONFIG)
    assert found["platform"] == ["onnxruntime_onnx"]
    assert found["max_batch_size"] == [8]
    assert found["input"][0] == {"name": ["x"], "data_type": ["TYPE_FP32"], "dims": [-1, 4]}
    assert found["input"][1]["dims"] == [1]
    assert found["output"] == [{"name": ["z"], "dims": []}]
    assert found["parameters"][0]["value"][0]["string_value"] == ['it\'s "b" AA\n']
    assert found["dynamic_batching"] == [{}]
    assert [found[name] for name in ("eager", "ratio", "small", "hex", "negative")] == [
        [True],
        [0.5],
        [1e-3],
        [16],
        [-2],
    ]


REFUSED = {
    "garbage": ("%%%", "line 1 cannot be read"),
    "binary": ("\x00\x01\x02", "cannot be read"),
    "garbage behind a comment": ("# text\n%", "line 2 cannot be read"),
    "no value": ("name:", "line 1 has a field without a value"),
    "no colon": ("name 5", "a field without a value"),
    "an open message": ("input { name: 'x'", "ends inside a message"),
    "an open list": ("dims: [1, 2", "a list that cannot be read"),
    "no comma": ("dims: [1 2]", "a list that cannot be read"),
    "an open text": ('name: "x\ny"', "cannot be read"),
    "a stray bracket": ("}", "no field name"),
    "depth": ("a { " * 100 + "}" * 100, "nested too deeply"),
    "an extension": ("[x.y]: 1", "no field name"),
    "length": ("#" + "x" * (1 << 20), "too long"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_message_is_refused(case):
    text, said = REFUSED[case]
    with pytest.raises(PbtxtError) as refusal:
        read_pbtxt(text)
    assert said in str(refusal.value)


@given(st.text(max_size=200) | st.text(alphabet="ab:{}[]<>,;\"'\\#1.- \n", max_size=60))
def test_no_text_fails_otherwise_than_by_refusing(text):
    with contextlib.suppress(PbtxtError):
        read_pbtxt(text)


@given(
    st.lists(st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(), max_size=6), st.booleans()
)
def test_what_protobuf_writes_is_read_back(values, as_one_line):
    message = struct_pb2.ListValue()
    message.extend(values)
    found = read_pbtxt(text_format.MessageToString(message, as_one_line=as_one_line, as_utf8=False))
    read = [next(iter(one.values()))[0] for one in found.get("values", [])]
    assert read == values
