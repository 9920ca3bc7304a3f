"""YAML as tools write it: the same values as theirs, and a refusal for everything that is more than data."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.bundles.yaml import YamlError, read_yaml

MLMODEL = r"""
artifact_path: model
flavors:
  python_function:
    env:
      conda: conda.yaml
      virtualenv: python_env.yaml
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.11.2
  sklearn:
    code: null
    pickled_model: model.pkl
    sklearn_version: 1.6.1
mlflow_version: 3.17.2
model_size_bytes: 1234
saved_input_example_info:
  artifact_path: input_example.json
  pandas_orient: split
signature:
  inputs: '[{"type": "long", "name": "age", "required": true}, {"type": "double",
    "name": "it''s", "required": true}]'
  outputs: "[{\"type\": \"string\",\
    \ \"required\": true}]"
  params: null
utc_time_created: '2026-11-24 10:00:00.123456'
"""
CONDA = """
channels:
- conda-forge
dependencies:
- python=3.11.2
- pip<=23.0
- pip:
  - mlflow==3.17.2
  - scikit-learn==1.6.1  # as it was
name: mlflow-env
"""

READ = {
    "nothing": ("", None),
    "a comment": ("# hello\n", None),
    "a document mark": ("---\na: 1\n", {"a": 1}),
    "types": (
        "a: 1\nb: -2.5\nc: 1e3\nd: true\ne: null\nf: ~\ng: text here\nh: 1.2.3\ni: .5\nj: 0x\n",
        {
            "a": 1,
            "b": -2.5,
            "c": 1000.0,
            "d": True,
            "e": None,
            "f": None,
            "g": "text here",
            "h": "1.2.3",
            "i": 0.5,
            "j": "0x",
        },
    ),
    "lists": ("- a\n- - b\n  - c\n-\n  d: 1\n- e: 2\n  f: 3\n", ["a", ["b", "c"], {"d": 1}, {"e": 2, "f": 3}]),
    "a list under its key": ("a:\n- 1\n- 2\nb: 3\n", {"a": [1, 2], "b": 3}),
    "empty values": ("a:\nb:\n  c:\n", {"a": None, "b": {"c": None}}),
    "flow": ("a: {b: [1, 'two', \"three\"], c: {}}\nd: []\n", {"a": {"b": [1, "two", "three"], "c": {}}, "d": []}),
    "flow over lines": ("a: [1,\n    2,\n    3]\n", {"a": [1, 2, 3]}),
    "folded plain text": ("a: one two\n  three\nb: 1\n", {"a": "one two three", "b": 1}),
    "a literal": ("a: |\n  one\n    two\n\n  three\nb: 1\n", {"a": "one\n  two\n\nthree\n", "b": 1}),
    "a folded literal": ("a: >-\n  one\n  two\n", {"a": "one two"}),
    "an empty line in quotes": ("a: 'one\n\n  two'\n", {"a": "one\ntwo"}),
    "quoted keys": ("'a b': 1\n\"c\\n\": 2\n", {"a b": 1, "c\n": 2}),
    "colons in text": ("a: b:c\nd: http://x.test\n", {"a": "b:c", "d": "http://x.test"}),
    "a hash in text": ("a: b#c # d\n", {"a": "b#c"}),
}


@pytest.mark.parametrize("case", READ)
def test_what_tools_write_is_read(case):
    text, value = READ[case]
    assert read_yaml(text) == value


def test_an_mlmodel_file_is_read():
    found = read_yaml(MLMODEL)
    assert found["flavors"]["python_function"]["python_version"] == "3.11.2"
    assert found["flavors"]["sklearn"]["code"] is None
    assert [field["name"] for field in json.loads(found["signature"]["inputs"])] == ["age", "it's"]
    assert json.loads(found["signature"]["outputs"]) == [{"type": "string", "required": True}]
    assert found["utc_time_created"] == "2026-11-24 10:00:00.123456"


def test_a_conda_file_is_read():
    assert read_yaml(CONDA)["dependencies"][2] == {"pip": ["mlflow==3.17.2", "scikit-learn==1.6.1"]}


REFUSED = {
    "a python object": ("a: !!python/object/apply:os.system ['id']\n", "line 1 has a tag"),
    "a tag in brackets": ("a: [!!python/name:os.system x]\n", "line 1 has a tag"),
    "an anchor": ("a: &x 1\n", "line 1 has an anchor"),
    "an alias": ("a: *x\n", "line 1 has an alias"),
    "an open quote": ("a: 'one\nb: 2\n", "ends inside a quoted text"),
    "open brackets": ("a: [1, 2\n", "ends inside brackets"),
    "a tab": ("a:\n\tb: 1\n", "line 2 is indented with a tab"),
    "a key twice": ("a: 1\na: 2\n", "line 2 has the key 'a' again"),
    "a wrong indent": ("a: 1\n   b: 2\n", "line 2"),
    "two documents": ("a: 1\n---\nb: 2\n", "second document"),
    "a colon in a text": ("a: b: c\n", "': ' in a text"),
    "depth": ("".join(f"{'  ' * n}a:\n" for n in range(100)), "nested too deeply"),
    "depth in brackets": ("a: " + "[" * 100 + "]" * 100, "nested too deeply"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_more_than_data_is_refused(case):
    text, said = REFUSED[case]
    with pytest.raises(YamlError) as refusal:
        read_yaml(text)
    assert said in str(refusal.value)


@given(st.text(max_size=200) | st.text(alphabet="ab:-'\"[]{},#|> \n&*!", max_size=60))
def test_no_text_fails_otherwise_than_by_refusing(text):
    with contextlib.suppress(YamlError):
        read_yaml(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_json_on_one_line_is_yaml(value):
    assert read_yaml(f"a: {json.dumps(value)}\n") == {"a": value}
