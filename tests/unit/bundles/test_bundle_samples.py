"""Samples: the files that people have, as columns or arrays."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.bundles.samples import parse, parse_text
from inferry.errors import InferryError, InvalidInput, TooLarge
from inferry.types.columns import sample_of


def read(text):
    sample = parse_text(text.encode())
    return sample.kind, {name: array.tolist() for name, array in sample.tensors.items()}


TABLE = ("table", {"a": [1, 2], "b": ["x", None]})
FORMS = {
    "records": '[{"a": 1, "b": "x"}, {"a": 2, "b": null}]',
    "records with a gap": '[{"a": 1, "b": "x"}, {"a": 2}]',
    "columns": '{"a": [1, 2], "b": ["x", null]}',
    "under inputs": '{"inputs": [{"a": 1, "b": "x"}, {"a": 2}]}',
    "under instances": '{"instances": {"a": [1, 2], "b": ["x", null]}}',
    "json lines": '{"a": 1, "b": "x"}\n\n{"a": 2, "b": null}\n',
    "csv": "a,b\n1,x\n2,\n",
    "csv with row numbers": ",a,b\n0,1,x\n1,2,NA\n",
    "semicolons, crlf, bom": "\ufeffa;b\r\n1;x\r\n2;\r\n",
    "tabs and quotes": '"a"\t"b"\n1\t"x"\n2\tnull\n',
}


@pytest.mark.parametrize("case", FORMS)
def test_the_same_table_in_every_form(case):
    assert read(FORMS[case]) == TABLE


def test_one_record_is_one_row():
    assert read('{"a": 1, "b": "x", "c": true}') == ("table", {"a": [1], "b": ["x"], "c": [True]})


def test_columns_have_the_types_of_their_values():
    sample = parse_text(b"i,f,g,b,t,z\n1,1.5,1,True,x,\n2,nan,,false,1,\n")
    kinds = {name: array.dtype for name, array in sample.tensors.items()}
    assert kinds == {"i": np.int64, "f": float, "g": float, "b": bool, "t": object, "z": float}
    assert np.isnan(sample.tensors["z"]).all()
    mixed = sample_of([{"m": 1, "n": True}, {"m": 2.5, "n": None}]).tensors
    assert mixed["m"].tolist() == [1.0, 2.5]
    assert mixed["n"].tolist() == ["True", None]


def test_rows_of_numbers_are_an_array():
    assert read("[[1, 2], [3, 4]]") == ("tensors", {"": [[1, 2], [3, 4]]})
    assert read("1,2\n3,\n")[1][""][0] == [1.0, 2.0]
    assert read('["a", "b"]') == ("tensors", {"": ["a", "b"]})
    assert read('{"x": [[1.0, 2.0]], "y": [[3]]}') == ("tensors", {"x": [[1.0, 2.0]], "y": [[3]]})
    assert np.isnan(parse_text(b"[[1, null]]").tensors[""][0, 1])


def test_a_protocol_body_is_named_arrays():
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2.5]}]}
    assert read(json.dumps(body)) == ("tensors", {"x": [[1.5, 2.5]]})
    body["inputs"][0]["shape"] = [1 << 40, 1 << 40]
    with pytest.raises(InvalidInput, match="does not fit its shape"):
        read(json.dumps(body))


@pytest.mark.parametrize(
    "text", ['"hello"', '{"q": {"deep": [1]}}', '[[1, "a"]]', "[[1], [1, 2]]", '{"a": [1], "b": {}}']
)
def test_anything_else_stays_a_value(text):
    assert parse_text(text.encode()).value == json.loads(text)


REFUSED = {
    "empty": ("", "is empty"),
    "blank": (" \n ", "is empty"),
    "empty list": ("[]", "is empty"),
    "empty object": ("{}", "empty object"),
    "no rows": ("a,b\n", "no row"),
    "ragged": ("a,b\n1\n", "Row 2"),
    "same name": ("a,a\n1,2\n", "twice"),
    "no name": ("a,,b\n1,2,3\n", "without a name"),
    "text without header": ("1,2\n3,x\n", "no header"),
    "broken json": ('{"a": ', "not valid JSON"),
    "broken line": ('{"a": 1}\n{"a"\n', "line 2"),
    "deep": ("[" * 100_000, "not valid JSON"),
    "null byte": ("a\0b", "not text"),
    "quote": ('a,b\n"1,2\n', "not valid CSV"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_samples_are_refused_in_words(case):
    text, said = REFUSED[case]
    with pytest.raises(InvalidInput, match=said):
        parse_text(text.encode())


def test_only_the_first_rows_are_kept():
    assert len(parse_text(b"a\n" + b"1\n" * 5000).tensors["a"]) == 1000
    assert len(parse_text(b'{"a": 1}\n' * 5000).tensors["a"]) == 1000
    assert len(sample_of(np.zeros((5000, 2))).tensors[""]) == 1000


def saved(tmp_path, name, save, *args, **more):
    path = tmp_path / name
    save(path, *args, **more)
    return path


def test_arrays_are_read(tmp_path):
    array = np.arange(6, dtype=">f4").reshape(3, 2)
    sample = parse(saved(tmp_path, "a.npy", np.save, array))
    assert sample.tensors[""].tolist() == array.tolist()
    assert sample.tensors[""].dtype == np.dtype("=f4")
    assert list(parse(saved(tmp_path, "a.npz", np.savez_compressed, array)).tensors) == [""]
    named = parse(saved(tmp_path, "b.npz", np.savez, x=array, t=np.array(["a", "bc"])))
    assert named.tensors["x"].shape == (3, 2)
    assert named.tensors["t"].tolist() == ["a", "bc"]
    assert parse(saved(tmp_path, "c.npy", np.save, np.float32(3))).tensors[""].tolist() == [3.0]


def npy(header):
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text


HOSTILE = {
    "huge shape": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}") + b"\0" * 8,
    "code in header": npy("{'descr': __import__('os').mkdir('x'), 'fortran_order': False, 'shape': ()}"),
    "garbage": b"\x93NUMPY\x07\x07" + b"x" * 50,
    "short": b"\x93NUMPY",
    "not arrays": b"PK\x03\x04" + b"x" * 50,
    "binary": bytes(range(128, 256)),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_arrays_are_refused(tmp_path, case):
    (tmp_path / "s").write_bytes(HOSTILE[case])
    with pytest.raises(InvalidInput):
        parse(tmp_path / "s")


def test_objects_are_never_unpickled(tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            import os

            return os.mkdir, (str(marker),)

    array = np.array([Evil()], dtype=object)
    for save, name in ((np.save, "a.npy"), (np.savez, "a.npz")):
        with pytest.raises(InvalidInput):
            parse(saved(tmp_path, name, save, array, allow_pickle=True))
    (tmp_path / "p").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InvalidInput):
        parse(tmp_path / "p")
    assert not marker.exists()


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "s.csv").open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(TooLarge):
        parse(tmp_path / "s.csv")
    made = io.BytesIO()
    np.savez_compressed(made, np.zeros(40 << 20))
    (tmp_path / "bomb.npz").write_bytes(made.getvalue())
    with pytest.raises(TooLarge):
        parse(tmp_path / "bomb.npz")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=24,
)


@given(
    JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=200) | st.text(max_size=200).map(str.encode)
)
def test_no_text_makes_the_parser_fail_otherwise(data):
    with contextlib.suppress(InferryError):
        sample = parse_text(data)
        lengths = {len(array) for array in sample.tensors.values()}
        assert sample.kind != "table" or len(lengths) == 1


@given(st.binary(max_size=300))
def test_no_array_bytes_make_the_parser_fail_otherwise(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("s") / "s"
    for start in (b"\x93NUMPY\x01\0", b"PK\x03\x04"):
        path.write_bytes(start + data)
        with contextlib.suppress(InferryError):
            parse(path)
