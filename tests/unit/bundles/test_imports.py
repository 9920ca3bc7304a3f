"""What pickles would import is found without importing it, wherever they hide."""

import collections
import io
import os
import pickle
import zipfile

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.bundles.imports import dangerous, scan, scan_stream


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("echo it was run > /tmp/it-was-run",)


def test_a_plain_pickle_is_followed(tmp_path):
    file = tmp_path / "model.pkl"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        file.write_bytes(pickle.dumps({"a": [Evil()], "b": collections.OrderedDict(x=1)}, protocol))
        found = scan(file)
        assert found.unread == ""
        assert "collections.OrderedDict" in found.names
        assert [name for name in found.names if dangerous(name)] == [f"{os.name}.system"]


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3)])
def test_joblib_files_are_followed_past_their_arrays(tmp_path, compress):
    from sklearn.ensemble import RandomForestClassifier

    file = tmp_path / "model.joblib"
    model = RandomForestClassifier(3).fit(np.random.default_rng(0).random((20, 2)), [0, 1] * 10)
    joblib.dump({"model": model, "names": np.array(["a", None], dtype=object), "evil": Evil()}, file, compress=compress)
    found = scan(file)
    assert found.unread == ""
    assert "sklearn.tree._classes.DecisionTreeClassifier" in found.names
    assert [name for name in found.names if dangerous(name)] == [f"{os.name}.system"]


def test_pickles_inside_zips_and_arrays_of_objects_are_found(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Evil()))
    np.save(tmp_path / "objects.npy", np.array([Evil()], dtype=object))
    np.save(tmp_path / "numbers.npy", np.zeros(3))
    for name in ("model.pt", "objects.npy"):
        assert f"{os.name}.system" in scan(tmp_path / name).names
    assert scan(tmp_path / "numbers.npy") is None


def test_what_is_no_pickle_is_none(tmp_path):
    for name, data in {
        "a.txt": b"hello",
        "b.onnx": b"\x08\x07",
        "c.csv": b"(a,b)",
        "d": b"",
        "e.gz": b"\x1f\x8bbad",
    }.items():
        (tmp_path / name).write_bytes(data)
        found = scan(tmp_path / name)
        assert found is None or found.unread


def test_a_pickle_that_ends_early_or_uses_the_readers_own_names_is_told():
    assert scan_stream(io.BytesIO(pickle.dumps(Evil())[:-3])).unread
    assert "UnpicklingError" in scan_stream(io.BytesIO(b"\x80\x02\x82\x01.")).unread


def test_names_that_do_more_than_make_objects_are_dangerous():
    for name in (
        "posix.system",
        "builtins.eval",
        "__builtin__.exec",
        "os.path.join",
        "importlib.import_module",
        "pickle.loads",
    ):
        assert dangerous(name)
    for name in ("sklearn.pipeline.Pipeline", "numpy.dtype", "collections.OrderedDict", "builtins.set", "osmnx.graph"):
        assert not dangerous(name)


@given(st.binary(max_size=200))
def test_any_bytes_are_followed_or_given_up(data):
    scan_stream(io.BytesIO(b"\x80\x04" + data))
