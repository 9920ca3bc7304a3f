"""Files that look like a booster's, fastText's or spaCy's and are not: refused in words, and nothing is left behind."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from tests.support.platform import CommandFailed

LIKE_XGBOOST = b'{"learner":{"attributes":{},"feature_names":[],"gradient_booster":{}},"version":[3,2,0]}'


def cut_inside(data, keep):
    """The head of a file and its last bytes, without what was between."""
    return data[: int(len(data) * keep)] + data[-64:]


def flipped(data, *places):
    changed = bytearray(data)
    for place in places:
        changed[place] ^= 0xFF
    return bytes(changed)


CASES = {
    "no-xgboost": ("like.json", lambda forge: LIKE_XGBOOST, r"The file is not a whole XGBoost model: .*"),
    "cut-ubj": ("m.ubj", lambda forge: cut_inside(bytes_of(forge, "xgboost_digits"), 0.5), r'The file is not a whole XGBoost model: Expecting: .* around character position: \d+'),
    "cut-json": ("m.json", lambda forge: cut_inside(bytes_of(forge, "xgboost_early"), 0.5), r'The file is not a whole XGBoost model: Expecting: .* around character position: \d+'),
    "wild-trees": ("m.txt", lambda forge: bytes_of(forge, "lightgbm_digits").replace(b"num_leaves=", b"num_leaves=9999"), r"The model could not be loaded: it crashed with signal 11\."),
    "no-trees": ("m.txt", lambda forge: b"tree\nversion=v4\nnum_class=1\n\nend of trees\n", r"The model cannot be loaded: LightGBMError: Model file doesn't specify the label index"),
    "flipped-cbm": ("m.cbm", lambda forge: flipped(bytes_of(forge, "catboost_matrix"), *range(12, 40)), r"The model cannot be loaded: CatBoostError: .*Flatbuffers model verification failed"),
    "cut-ftz": ("m.ftz", lambda forge: bytes_of(forge, "fasttext_language")[:400_000], r"The model cannot be loaded: ValueError: .*"),
    "arrays-as-cbm": ("m.cbm", lambda forge: (forge.make("catboost_matrix").folder / "inputs.npz").read_bytes(), r"'m\.cbm' is NumPy arrays, not a model\."),
}  # fmt: skip


def bytes_of(forge, name):
    return forge.make(name).artifact.read_bytes()


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_file_is_refused_in_words_and_leaves_nothing(platform, forge, tmp_path, case):
    name, make, message = CASES[case]
    (tmp_path / name).write_bytes(make(forge))
    refused(platform, tmp_path / name, f"bad-{case}", message)


def break_weights(folder):
    weights = folder / "textcat" / "model"
    weights.write_bytes(weights.read_bytes()[:100])


def break_factory(folder):
    config = folder / "config.cfg"
    config.write_text(config.read_text().replace('factory = "textcat"', 'factory = "no_such_factory"'))


def break_pipeline(folder):
    shutil.rmtree(folder / "entity_ruler")


FOLDERS = {
    "cut-weights": (break_weights, r"The model cannot be loaded: ValueError: Unpack failed: incomplete input"),
    "no-factory": (
        break_factory,
        r"The model cannot be loaded: ValueError: \[E002\] Can't find factory for 'no_such_factory' .*",
    ),
    "no-component": (
        break_pipeline,
        r"The model cannot be loaded: ValueError: \[E146\] Could not access entity_ruler\.",
    ),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_broken_spacy_folder_is_refused_in_words_and_leaves_nothing(platform, forge, tmp_path, case):
    broken = tmp_path / "reviews"
    shutil.copytree(forge.make("spacy_reviews").artifact, broken)
    spoil, message = FOLDERS[case]
    spoil(broken)
    refused(platform, broken, f"bad-{case}", message)


def refused(platform, path, name, message):
    before = platform.replica_pids()
    with pytest.raises(CommandFailed) as failure:
        platform.deploy(path, name)
    error = json.loads(failure.value.stdout)["error"]
    assert error["code"] == "invalid_model"
    assert re.fullmatch(message, error["message"]), error["message"]
    assert error["help"]
    assert platform.call("GET", f"/v1/models/{name}/versions", control=True).status_code == 404
    assert platform.call("GET", f"/v1/endpoints/{name}", control=True).status_code == 404
    assert platform.replica_pids() == before
