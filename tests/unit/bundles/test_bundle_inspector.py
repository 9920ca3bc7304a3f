"""The inspector always leaves a result, and its reader believes only its form."""

from __future__ import annotations

import os
import stat

import joblib
import pytest
from sklearn.linear_model import LogisticRegression

from inferry.bundles.inspector import inspect
from inferry.bundles.verdict import read_result
from inferry.errors import InvalidInput, InvalidModel, MissingPlugin


def run(tmp_path, source, sample=None, runtime="python"):
    (tmp_path / "model.py").write_text(source)
    if sample is not None:
        (tmp_path / "s").write_text(sample)
    result = tmp_path / "result.json"
    inspect(tmp_path, "model.py", runtime, {}, tmp_path / "s" if sample is not None else None, result)
    return result


def test_a_good_model_is_described(tmp_path):
    result = run(tmp_path, "def predict(x):\n    return [1, 2]\n", "a,b\n1,x\n2,y\n")
    inspection = read_result(result)
    assert inspection.signature.kind == "table"
    assert inspection.answer == [{"output": 1}, {"output": 2}]
    assert stat.S_IMODE(result.stat().st_mode) == 0o600
    assert os.listdir(tmp_path).count("result.json.part") == 0  # noqa: PTH208


def test_a_scikit_learn_model_survives_the_file(tmp_path):
    joblib.dump(LogisticRegression().fit([[0.0], [1.0]], ["no", "yes"]), tmp_path / "m.joblib")
    inspect(tmp_path, "m.joblib", "sklearn", {}, None, tmp_path / "r")
    inspection = read_result(tmp_path / "r")
    assert inspection.signature.outputs[1].labels == ("no", "yes")
    assert inspection.load_ms > 0


ERRORS = {
    "raises": ("def predict(x):\n    raise KeyError('gone')\n", InvalidModel, "could not answer the example.*KeyError"),
    "exits": ("import sys\nsys.exit(3)\n", InvalidModel, "ended the process"),
    "path": ("raise OSError(2, 'no', '/home/someone/secret.txt')\n", InvalidModel, "FileNotFoundError"),
    "memory": ("raise MemoryError\n", InvalidModel, "MemoryError|ran out of memory"),
    "recursion": ("def f():\n    return f()\nf()\n", InvalidModel, "RecursionError"),
    "sample": ("def predict(x):\n    return x\n", InvalidInput, "Row 2"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_whatever_happens_is_one_of_our_errors(tmp_path, case):
    source, kind, said = ERRORS[case]
    with pytest.raises(kind, match=said) as error:
        read_result(run(tmp_path, source, "a,b\n1\n" if case == "sample" else "a\n1\n"))
    assert str(tmp_path) not in error.value.sentence()
    assert "/home/someone" not in error.value.sentence()


def test_an_unknown_runtime_is_told(tmp_path):
    with pytest.raises(MissingPlugin, match="'nosuch'"):
        read_result(run(tmp_path, "", runtime="nosuch"))


@pytest.mark.parametrize(
    ("status", "said"), [(-9, "too much memory"), (-11, "signal 11"), (-24, "processor time"), (3, "status 3")]
)
def test_a_dead_inspector_is_told(tmp_path, status, said):
    with pytest.raises(InvalidModel, match=said):
        read_result(tmp_path / "none", status)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[1]", b"{}", b'{"inspection": {"signature": 3}}', b"[" * 100_000, b" " * (9 << 20)]
)
def test_a_forged_result_is_refused(tmp_path, data):
    (tmp_path / "r").write_bytes(data)
    with pytest.raises(InvalidModel):
        read_result(tmp_path / "r")


def test_a_pipe_in_place_of_the_result_holds_nobody(tmp_path):
    os.mkfifo(tmp_path / "inspection.json")
    with pytest.raises(InvalidModel):
        read_result(tmp_path / "inspection.json")


def test_a_forged_error_says_nothing_of_the_host(tmp_path):
    (tmp_path / "r").write_bytes(
        b'{"error": {"code": "no_such_code", "message": "see /etc/inferry/key\\nat 0x7f12345678"}}'
    )
    with pytest.raises(InvalidModel, match=r"^see key$"):
        read_result(tmp_path / "r")
    (tmp_path / "r").unlink()
    (tmp_path / "r").symlink_to("/etc/hostname")
    with pytest.raises(InvalidModel):
        read_result(tmp_path / "r")
