"""Python models: found, fed as they ask, and their answers named."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest

from inferry.errors import InvalidModel, ModelFailed
from inferry.runtimes.python import PythonRuntime
from inferry.types.columns import sample_of
from tests.support.inspections import example_of

ROWS = sample_of([{"a": 1, "b": 2.5}, {"a": 3, "b": 4.5}])
MATRIX = sample_of([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def opened(tmp_path, source, sample=None, name="model.py", **options):
    (tmp_path / name).write_text(textwrap.dedent(source))
    runtime = PythonRuntime()
    inspection = runtime.load(tmp_path, name, options, None).describe(sample)
    return inspection, runtime.load(tmp_path, name, options, inspection.signature)


def test_a_class_without_a_sample_takes_any_json(tmp_path):
    inspection, model = opened(
        tmp_path, "class Model:\n    def predict(self, inputs):\n        return {'got': inputs}\n"
    )
    assert inspection.signature.kind == "open"
    assert example_of(inspection) is None
    assert model.predict({"deep": [1, {"er": None}]}) == {"got": {"deep": [1, {"er": None}]}}


def test_load_gets_the_folder_and_relative_files_are_found(tmp_path):
    (tmp_path / "factor.txt").write_text("3")
    (tmp_path / "helper_for_load.py").write_text("def times(x, by):\n    return x * by\n")
    source = """
        from pathlib import Path

        from helper_for_load import times

        class Model:
            def __init__(self):
                self.first = int(Path("factor.txt").read_text())

            def load(self, path):
                self.factor = int((path / "factor.txt").read_text())

            def predict(self, inputs):
                return times(inputs, self.factor + self.first - 3)
    """
    inspection, model = opened(tmp_path, source, MATRIX)
    assert inspection.answer[0] == {"output": [3.0, 6.0]}
    assert model.predict({"input": np.ones((1, 2))})["output"].tolist() == [[3, 3]]


FORMS = {
    "bare": ("inputs", "dict"),
    "array": ("inputs: np.ndarray", "ndarray"),
    "dict": ("inputs: dict[str, np.ndarray]", "dict"),
    "frame": ("inputs: pd.DataFrame", "DataFrame"),
    "records": ("inputs: list[dict]", "list"),
    "list": ("inputs: list", "list"),
    "quoted": ("inputs: 'pd.DataFrame'", "DataFrame"),
}


@pytest.mark.parametrize("future", ["from __future__ import annotations\n", ""])
@pytest.mark.parametrize("case", FORMS)
def test_the_annotation_decides_the_form_of_a_table(tmp_path, case, future):
    argument, expected = FORMS[case]
    imports = f"{future}import numpy as np\nimport pandas as pd\n\n"
    source = f"{imports}def predict({argument}):\n    return [type(inputs).__name__] * 2\n"
    inspection, _ = opened(tmp_path, source, ROWS)
    assert inspection.answer == [{"output": expected}] * 2
    assert inspection.signature.kind == "table"
    assert [(spec.name, spec.datatype) for spec in inspection.signature.inputs] == [("a", "INT64"), ("b", "FP64")]


def test_a_lone_array_comes_as_an_array(tmp_path):
    inspection, _ = opened(tmp_path, "def predict(x):\n    return x.sum(axis=1)\n", MATRIX)
    assert inspection.answer == [{"output": 3.0}, {"output": 7.0}, {"output": 11.0}]
    assert inspection.signature.inputs[0].shape == (-1, 2)


ANSWERS = {
    "dict": (
        "{'label': ['x', 'y'], 'score': [0.5, 0.25]}",
        [{"label": "x", "score": 0.5}, {"label": "y", "score": 0.25}],
    ),
    "tuple": ("(np.array([1, 2]), np.array([3, 4]))", [{"output_0": 1, "output_1": 3}, {"output_0": 2, "output_1": 4}]),
    "records": ("[{'k': 1, 'v': 'a'}, {'k': 2, 'v': 'b'}]", [{"k": 1, "v": "a"}, {"k": 2, "v": "b"}]),
    "frame": ("pd.DataFrame({'p': [1.5, 2.5]})", [{"p": 1.5}, {"p": 2.5}]),
    "series": ("pd.Series([1, 2])", [{"output": 1}, {"output": 2}]),
    "list": ("[True, False]", [{"output": True}, {"output": False}]),
    "scalar": ("7", [{"output": 7}]),
    "text": ("'hello'", [{"output": "hello"}]),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_whatever_is_returned_gets_names(tmp_path, case):
    source, expected = ANSWERS[case]
    inspection, _ = opened(
        tmp_path, f"import numpy as np, pandas as pd\n\ndef predict(x):\n    return {source}\n", ROWS
    )
    assert inspection.answer == expected


def test_an_answer_that_is_no_array_is_served_as_json(tmp_path):
    inspection, model = opened(tmp_path, "def predict(x):\n    return {'boxes': [[1], [1, 2]]}\n", ROWS)
    assert inspection.signature.kind == "open"
    assert inspection.answer == {"boxes": [[1], [1, 2]]}
    assert model.predict(example_of(inspection)["inputs"]) == {"boxes": [[1], [1, 2]]}


def test_labels_example_and_batchable_are_read_from_the_class(tmp_path):
    source = """
        import numpy as np

        class Model:
            labels = ["no", "yes"]
            example = [[1.0, 2.0], [2.0, 1.0]]
            batchable = True

            def predict(self, x: np.ndarray):
                p = 1 / (1 + np.exp(-x[:, :1]))
                return np.hstack([1 - p, p])
    """
    inspection, model = opened(tmp_path, source)
    assert inspection.signature.batchable
    assert inspection.signature.outputs[0].labels == ("no", "yes")
    assert example_of(inspection) == {"inputs": [[1.0, 2.0], [2.0, 1.0]]}
    assert inspection.answer[0]["output"].keys() == {"no", "yes"}
    assert model.predict({"input": np.zeros((1, 2))})["output"].tolist() == [[0.5, 0.5]]


def test_batchable_is_not_believed_without_proof(tmp_path):
    source = "batchable = True\n\ndef predict(x):\n    return x - x.mean(axis=0)\n"
    inspection, _ = opened(tmp_path, source, MATRIX)
    assert not inspection.signature.batchable
    assert "batchable" in inspection.notes[0]
    inspection, _ = opened(tmp_path, "def predict(x):\n    return x * 2\n", MATRIX)
    assert not inspection.signature.batchable


def test_an_error_is_told_in_one_line_and_the_traceback_stays_in_the_log(tmp_path, capsys):
    said = f"no {tmp_path}/secret at 0x7f0011223344\nmore"
    source = f"def predict(x):\n    if x.shape[0] == 1:\n        raise ValueError({said!r})\n    return x\n"
    _, model = opened(tmp_path, source, MATRIX)
    with pytest.raises(ModelFailed, match=r"^The model raised ValueError: no secret$"):
        model.predict({"input": np.zeros((1, 2))})
    assert "Traceback" in capsys.readouterr().err


def test_an_answer_of_another_length_or_name_fails(tmp_path):
    source = (
        "class Model:\n    batchable = True\n    def predict(self, x):\n        return x[:2] if len(x) == 4 else x\n"
    )
    _, model = opened(tmp_path, source, MATRIX)
    with pytest.raises(ModelFailed, match="another number of rows"):
        model.predict({"input": np.zeros((4, 2))})
    source = "def predict(x):\n    return {'a': x} if len(x) == 3 else {'b': x}\n"
    _, model = opened(tmp_path, source, MATRIX)
    with pytest.raises(ModelFailed, match="answered b where it used to answer a"):
        model.predict({"input": np.zeros((4, 2))})


def test_the_class_can_be_chosen(tmp_path):
    source = """
        class One:
            def predict(self, x):
                return 1

        class Two:
            def predict(self, x):
                return 2
    """
    assert opened(tmp_path, source, ROWS, **{"class": "Two"})[0].answer == [{"output": 2}]
    with pytest.raises(InvalidModel, match="several classes with predict: One, Two"):
        opened(tmp_path, source)
    with pytest.raises(InvalidModel, match="no class 'Three'"):
        opened(tmp_path, source, **{"class": "Three"})


REFUSED = {
    "nothing": ("x = 1\n", "nothing to serve"),
    "async": ("async def predict(x):\n    return x\n", "async"),
    "two arguments": ("def predict(a, b):\n    return a\n", "one argument, not 2"),
    "import": ("import not_installed_here\n\ndef predict(x):\n    return x\n", "module 'not_installed_here'"),
    "raises": ("raise RuntimeError('boom')\n", "RuntimeError: boom while loading"),
    "constructor": (
        "class Model:\n    def __init__(self, path):\n        pass\n    def predict(self, x):\n        return x\n",
        "TypeError",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_code_that_cannot_be_served_is_refused_with_a_remedy(tmp_path, case):
    source, said = REFUSED[case]
    with pytest.raises(InvalidModel, match=said):
        opened(tmp_path, source)


def test_a_file_named_like_a_module_does_not_replace_it(tmp_path):
    inspection, _ = opened(
        tmp_path, "import json\n\ndef predict(x):\n    return json.dumps([1])\n", ROWS, name="json.py"
    )
    assert inspection.answer == [{"output": "[1]"}]


def test_open_json_is_shaped_by_the_annotation(tmp_path):
    source = "import pandas as pd\n\ndef predict(x: pd.DataFrame):\n    return x['a'].sum()\n"
    _, model = opened(tmp_path, source)
    assert model.predict([{"a": 1}, {"a": 2}]) == 3
    assert model.predict({"a": [4, 5]}) == 9
    assert model.predict({"a": 4}) == 4
