"""What stands beside a model: ours is strict and says what is wrong, others' is taken when it is understood."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidModel
from inferry.media.declaration import Declared, find, processor_of
from inferry.types.signature import AudioSpec, ImageSpec


def beside(folder, **files):
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("_json", ".json").replace("_txt", ".txt")).write_text(text)
    return find(folder, "model.onnx")


def test_nothing_is_declared(tmp_path):
    assert find(tmp_path, "") == Declared()


def test_the_whole_of_a_picture(tmp_path):
    found = beside(
        tmp_path,
        preprocessing_json={
            "image": {"input": "x", "mode": "BGR", "resize": {"shortest_edge": 256}, "resample": "bicubic", "crop": 224,
                      "scale": 1, "mean": [1, 2, 3], "std": 2, "layout": "NHWC"},
            "classes": {"labels": ["cat", "dog"], "softmax": True, "top": 1, "output": "y"},
        },
    )  # fmt: skip
    assert found.image == ImageSpec(
        mode="BGR", shortest_edge=256, resample="bicubic", crop=(224, 224), scale=1, mean=(1, 2, 3), std=(2, 2, 2)
    )
    assert (found.input, found.layout, found.labels, found.softmax, found.top) == ("x", "NHWC", ("cat", "dog"), True, 1)
    assert found.strict


def test_a_sound(tmp_path):
    found = beside(tmp_path, preprocessing_json={"audio": {"rate": 16000, "channels": 2}})
    assert found.audio == AudioSpec(rate=16000, channels=2)


def test_labels_from_files(tmp_path):
    (tmp_path / "names.json").write_text('{"1": "dog", "0": "cat"}')
    assert beside(tmp_path, preprocessing_json={"classes": {"labels": "names.json"}}).labels == ("cat", "dog")
    (tmp_path / "preprocessing.json").unlink()
    assert beside(tmp_path, labels_txt="\ufeffcat\n\n dog \n").labels == ("cat", "dog")


WRONG = {
    "not JSON": ("{", "preprocessing.json is not valid JSON", ""),
    "an unknown key": ({"image": {"resise": 3}}, "preprocessing.json has the unknown key 'resise' in image.", "Did you mean 'resize'?"),
    "an unknown part": ({"imgae": {}}, "preprocessing.json has the unknown key 'imgae'.", "Did you mean 'image'?"),
    "deep inside": ({"image": {"resize": {"shortest": 3}}}, "preprocessing.json has the unknown key 'shortest' in resize.", "Did you mean 'shortest_edge'?"),
    "a wrong type": ({"image": {"mean": "x"}}, "preprocessing.json: Expected", ""),
    "a wrong filter": ({"image": {"resample": "cubic"}}, "preprocessing.json: Invalid enum value 'cubic'", ""),
    "three of four": ({"image": {"mean": [1, 2]}}, "preprocessing.json: image.mean has 2 numbers for 3 channels.", ""),
    "zero": ({"image": {"std": 0}}, "preprocessing.json: image.std must be above 0.", ""),
    "huge": ({"image": {"resize": 10**9}}, "preprocessing.json: image.resize must be from 1 to 32768 pixels.", ""),
    "half a size": ({"image": {"crop": {"height": 3}}}, "preprocessing.json: image.crop takes", ""),
    "both": ({"image": {}, "audio": {"rate": 16000}}, "preprocessing.json declares both a picture and a sound.", ""),
    "no rate": ({"audio": {}}, "preprocessing.json: Object missing required field `rate`", ""),
    "a mad rate": ({"audio": {"rate": 3}}, "preprocessing.json: audio.rate must be from 1000", ""),
    "a path": ({"classes": {"labels": "../secret"}}, "preprocessing.json: there is no file '../secret'.", ""),
    "no file": ({"classes": {}}, "preprocessing.json: there is no file 'labels.txt'.", ""),
    "twice": ({"classes": {"labels": ["a", "a"]}}, "preprocessing.json: classes.labels names a class twice.", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_file_of_ours_refuses_the_model(tmp_path, kind):
    content, message, help = WRONG[kind]
    with pytest.raises(InvalidModel) as caught:
        beside(tmp_path, preprocessing_json=content)
    assert caught.value.message.startswith(message)
    assert caught.value.help.startswith(help)


VIT = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5], "image_processor_type": "ViTImageProcessor", "resample": 2,
    "rescale_factor": 0.00392156862745098, "size": {"height": 224, "width": 224},
}  # fmt: skip
RESNET = {"do_center_crop": True, "crop_size": {"height": 224, "width": 224}, "do_resize": True, "resample": 3,
          "do_normalize": False, "do_rescale": True, "size": {"shortest_edge": 256}}  # fmt: skip
OLD = {"do_resize": True, "size": 224, "resample": 2, "do_normalize": True, "image_mean": [0, 0, 0], "image_std": [1, 1, 1],
       "do_center_crop": True, "crop_size": 224}  # fmt: skip


def test_hugging_face_processors():
    assert processor_of(VIT).image == ImageSpec(height=224, width=224, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert processor_of(RESNET).image == ImageSpec(shortest_edge=256, crop=(224, 224), resample="bicubic")
    assert processor_of(OLD).image == ImageSpec(shortest_edge=224, crop=(224, 224), mean=(0.0,) * 3, std=(1.0,) * 3)
    wave = {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000, "do_normalize": True}
    assert processor_of(wave).audio == AudioSpec(rate=16000, normalise=True)


@pytest.mark.parametrize(
    "config",
    [{}, {**VIT, "size": {"longest_edge": 9}}, {**VIT, "resample": 77}, {**VIT, "crop_pct": 0.9}, {**VIT, "image_std": [0, 1, 1]},
     {**VIT, "image_mean": "x"}, {"sampling_rate": 16000, "feature_extractor_type": "WhisperFeatureExtractor"}],
)  # fmt: skip
def test_a_processor_that_is_not_understood_declares_nothing(config):
    assert processor_of(config) == Declared()


def test_names_from_a_hugging_face_config(tmp_path):
    found = beside(tmp_path, config_json={"id2label": {"0": "cat", "1": "dog"}}, preprocessor_config_json=VIT)
    assert (found.labels, found.softmax, found.strict) == (("cat", "dog"), True, False)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(VIT | RESNET | {"sampling_rate": 0, "crop_pct": 0})), JSON))
def test_no_processor_breaks_it(config):
    assert processor_of(config).source in ("", "preprocessor_config.json")


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_file_of_ours_breaks_it(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("d")
    (folder / "preprocessing.json").write_bytes(data)
    try:
        find(folder, "")
    except InvalidModel as error:
        assert error.message.startswith("preprocessing.json")
