"""Boosters, fastText and spaCy are recognised by content, with the versions that their files name."""

from __future__ import annotations

import json

import pytest

from inferry.bundles.detect import detect
from inferry.errors import InvalidModel
from tests.support.booster_bytes import CAT, FAST, JSON, LIGHT, META, OLD, UBJ


def folder(tmp_path, files):
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return tmp_path


SERVED = {
    "xgboost json": ({"m.json": JSON % (3, 2)}, "xgboost", "m.json", "xgboost>=3.2,<4"),
    "xgboost json of another name": ({"m.model": JSON % (2, 1)}, "xgboost", "m.model", "xgboost>=2.1,<3"),
    "xgboost 1 is read by 2": ({"m.json": JSON % (1, 7)}, "xgboost", "m.json", "xgboost>=2,<3"),
    "xgboost indented": ({"m.json": json.dumps(json.loads(JSON % (3, 0)), indent=2).encode() + b"\n"}, "xgboost", "m.json", "xgboost>=3.0,<4"),
    "xgboost ubj": ({"m.ubj": UBJ}, "xgboost", "m.ubj", "xgboost>=3.2,<4"),
    "lightgbm": ({"m.txt": LIGHT % 4}, "lightgbm", "m.txt", "lightgbm>=4,<5"),
    "an older lightgbm": ({"m.txt": LIGHT % 3}, "lightgbm", "m.txt", "lightgbm>=4,<5"),
    "a later lightgbm": ({"m.txt": LIGHT % 5}, "lightgbm", "m.txt", "lightgbm>=5,<6"),
    "catboost": ({"m.bin": CAT}, "catboost", "m.bin", "catboost>=1.2,<2"),
    "fasttext": ({"lid.ftz": FAST}, "fasttext", "lid.ftz", "fasttext-predict>=0.9.2"),
    "spacy": ({"config.cfg": b"[nlp]\n", "meta.json": META, "vocab/strings.json": b"[]"}, "spacy", "", "spacy>=3.8.2,<3.9.0"),
    "spacy's package": (
        {"en_x/__init__.py": b"def predict(x): ...", "en_x/meta.json": META, "en_x/en_x-1/meta.json": META, "en_x/en_x-1/config.cfg": b"[nlp]"},
        "spacy", "en_x/en_x-1", "spacy>=3.8.2,<3.9.0",
    ),
    "the person's pin wins": ({"m.txt": LIGHT % 4, "requirements.txt": b"lightgbm==4.5.0\n"}, "lightgbm", "m.txt", "lightgbm==4.5.0"),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVED)
def test_a_file_names_its_runtime_and_the_version_it_needs(tmp_path, case):
    files, runtime, entry, requirement = SERVED[case]
    found = detect(folder(tmp_path, files))
    assert (found.runtime, found.entry, found.requirements) == (runtime, entry, (requirement,))


REFUSED = {
    "old xgboost": ({"m.model": OLD}, "'m.model' is an XGBoost model in the old binary format, which XGBoost itself gave up."),
    "older xgboost": ({"m.model": b"binf" + OLD}, "'m.model' is an XGBoost model in the old binary format, which XGBoost itself gave up."),
    "cut xgboost json": ({"m.json": (JSON % (3, 2))[:-9]}, "'m.json' is not a whole XGBoost model: it does not end with a version."),
    "cut xgboost ubj": ({"m.ubj": UBJ[:-12]}, "'m.ubj' is not a whole XGBoost model: it does not end with a version."),
    "cut lightgbm": ({"m.txt": (LIGHT % 4)[:50]}, "'m.txt' is a corrupt or truncated LightGBM model."),
    "lightgbm cut after its trees": ({"m.txt": (LIGHT % 4)[:-12]}, "'m.txt' is a corrupt or truncated LightGBM model."),
    "lightgbm without a version": ({"m.txt": b"tree\nversion=x\n"}, "'m.txt' is a corrupt or truncated LightGBM model."),
    "cut catboost": ({"m.cbm": CAT[:40]}, "'m.cbm' is a corrupt or truncated CatBoost model."),
    "empty catboost": ({"m.cbm": b"CBM1"}, "'m.cbm' is a corrupt or truncated CatBoost model."),
    "cut fasttext": ({"m.ftz": FAST[:20]}, "'m.ftz' is a truncated fastText model."),
    "word vectors": ({"m.bin": FAST[:36] + b"\x02\0\0\0" + FAST[40:]}, "'m.bin' holds fastText word vectors, which have no predict."),
    "spacy's version is an address": ({"config.cfg": b"", "meta.json": META | {"spacy_version": " @ https://x/y.whl"}},
        "The spaCy pipeline's meta.json does not say its spaCy version as spaCy does."),
    "spacy asks for a path": ({"config.cfg": b"", "meta.json": META | {"requirements": ["./x"]}},
        "The path or address './x' in meta.json is not taken."),
    "spacy asks for nonsense": ({"config.cfg": b"", "meta.json": META | {"requirements": "x"}},
        "The requirements in the spaCy pipeline's meta.json are not a list of text."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_whole_is_refused_before_it_is_opened(tmp_path, case):
    files, message = REFUSED[case]
    with pytest.raises(InvalidModel) as refusal:
        detect(folder(tmp_path, files))
    assert refusal.value.message == message
    assert refusal.value.help or case.startswith("spacy")


def test_a_folder_with_another_config_is_no_spacy_pipeline(tmp_path):
    found = detect(folder(tmp_path, {"config.cfg": b"[x]", "meta.json": {"name": "other"}, "m.txt": LIGHT % 4}))
    assert found.runtime == "lightgbm"
