"""Hugging Face folders by their JSON alone: task, versions, what is missing, hostile or another tool's."""

from __future__ import annotations

import pytest

from inferry.bundles.detect import detect
from inferry.bundles.formats.huggingface import task_of, version_range
from inferry.errors import InvalidModel
from tests.support.huggingface_bytes import SENTENCES, TOKENIZER, WHOLE, config, index, modules, safetensors


def placed(tmp_path, files):
    folder = tmp_path / "artifact"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("DebertaV2ForTokenClassification", "token-classification"),
        ("RobertaForQuestionAnswering", "question-answering"),
        ("DistilBertForMaskedLM", "fill-mask"),
        ("LlamaForCausalLM", "text-generation"),
        ("GPT2LMHeadModel", "text-generation"),
        ("T5ForConditionalGeneration", "text2text-generation"),
        ("MarianMTModel", "text2text-generation"),
        ("ViTForImageClassification", "image-classification"),
        ("BertModel", "feature-extraction"),
        ("T5EncoderModel", "feature-extraction"),
    ],
)
def test_the_class_that_saved_a_model_tells_its_task(name, task):
    assert task_of({"architectures": [name]}) == task


@pytest.mark.parametrize("odd", [{}, {"architectures": []}, {"architectures": None}, {"architectures": [7]}])
def test_without_a_class_a_model_gives_embeddings(odd):
    assert task_of(odd) == "feature-extraction"


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("4.57.1", "transformers>=4.57,<6"),
        ("5.2.0", "transformers>=5.2,<6"),
        ("6.1.0.dev0", "transformers>=6.1,<7"),
        ("4.6.0.dev0", "transformers>=4.40,<6"),
        ("3.1", "transformers>=4.40,<6"),
        (None, "transformers>=4.40,<6"),
        (4, "transformers>=4.40,<6"),
        ("4.57; import os", "transformers>=4.57,<6"),
        ("latest", "transformers>=4.40,<6"),
    ],
)
def test_a_folder_is_read_by_the_version_that_saved_it_or_a_later_one(said, wanted):
    assert version_range(said) == wanted


SERVED = {
    "one file": (WHOLE, "", "text-classification"),
    "beside other formats": (
        {**WHOLE, "onnx/model.onnx": b"x", "tf_model.h5": b"\x89HDF\r\n\x1a\n" + b"\0" * 64, "README.md": b"# read me"},
        "", "text-classification",
    ),
    "in a folder": ({f"a/{name}": data for name, data in WHOLE.items()}, "a", "text-classification"),
    "shards": (
        {"config.json": config("LlamaForCausalLM"), "model.safetensors.index.json": index("a.safetensors", "b.safetensors"),
         "a.safetensors": safetensors(), "b.safetensors": safetensors(), **TOKENIZER},
        "", "text-generation",
    ),
    "a pickle": ({"config.json": config("BertModel"), "pytorch_model.bin": b"PK\x03\x04x", **TOKENIZER}, "", "feature-extraction"),
    "pictures need no tokenizer": (
        {"config.json": config("ViTForImageClassification"), "model.safetensors": safetensors()}, "", "image-classification",
    ),
    "code that has a native class": ({**WHOLE, "config.json": config(auto_map={"AutoModel": "m.M"}), "m.py": b"x = 1\n"}, "", "text-classification"),
    "sentences": (SENTENCES, "", "sentence-similarity"),
    "sentences with a folder each": (
        {"modules.json": modules("Transformer", "Pooling", path="0_Transformer"),
         **{f"0_Transformer/{name}": data for name, data in WHOLE.items()}},
        "", "sentence-similarity",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SERVED)
def test_folders_are_recognised(tmp_path, case):
    files, entry, task = SERVED[case]
    found = detect(placed(tmp_path, files))
    assert (found.runtime, found.entry, found.options) == ("transformers", entry, {"task": task})
    assert found.requirements == ("transformers>=4.57,<6", "torch", "safetensors")


def test_the_persons_own_pins_win(tmp_path):
    found = detect(placed(tmp_path, {**WHOLE, "requirements.txt": b"transformers==4.57.1\n"}))
    assert found.requirements == ("transformers==4.57.1", "torch", "safetensors")


def test_a_sentencepiece_tokenizer_needs_its_packages(tmp_path):
    files = {**WHOLE, "spiece.model": b"x"}
    assert "sentencepiece" not in detect(placed(tmp_path / "fast", files)).requirements
    del files["tokenizer.json"]
    assert "sentencepiece" in detect(placed(tmp_path / "slow", files)).requirements


def test_code_that_predicts_is_served_as_python(tmp_path):
    code = b"class Model:\n    def predict(self, inputs):\n        return inputs\n"
    assert detect(placed(tmp_path, {**WHOLE, "model.py": code})).runtime == "python"


REFUSED = {
    "no model type": ({**WHOLE, "config.json": b"{}"}, "its config.json names no model_type"),
    "config is a list": ({**WHOLE, "config.json": b"[]"}, "config.json is not a JSON object"),
    "config is cut off": ({**WHOLE, "config.json": config()[:-9]}, "config.json is not a JSON object"),
    "no tokenizer": ({"config.json": config(), "model.safetensors": safetensors()}, "holds no tokenizer"),
    "another task": ({**WHOLE, "config.json": config("WhisperForAudioClassification")}, "is a WhisperForAudioClassification, which is not served"),
    "code of its own": ({**WHOLE, "config.json": config("Mine", auto_map={"AutoModel": "m.Mine"}), "m.py": b"x = 1\n"}, r"\(auto_map\), which is not run"),
    "pictures and text": (
        {**WHOLE, "config.json": config("LlavaForConditionalGeneration", vision_config={})}, "also takes pictures or sound",
    ),
    "quantised": ({**WHOLE, "config.json": config(quantization_config={"quant_method": "gptq"})}, "quantised by gptq"),
    "a pointer": ({**WHOLE, "model.safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"}, "'model.safetensors' is a Git LFS pointer"),
    "empty weights": ({**WHOLE, "model.safetensors": b""}, "'model.safetensors' is empty"),
    "a header beyond the file": (
        {**WHOLE, "model.safetensors": (1 << 40).to_bytes(8, "little") + b"{}"}, "its header of 1099511627776 bytes does not fit",
    ),
    "seven bytes": ({**WHOLE, "model.safetensors": b"\x01" * 7}, "truncated, or not a safetensors file"),
    "cut off": ({**WHOLE, "model.safetensors": safetensors()[:-4]}, "promises 16 bytes of numbers, and it holds 12"),
    "numbers beyond the file": ({**WHOLE, "model.safetensors": safetensors(16, 1 << 50)}, "is truncated: its header promises"),
    "a header that is no JSON": ({**WHOLE, "model.safetensors": (4).to_bytes(8, "little") + b"{\"a\"" + b"\0" * 9}, "has a damaged header"),
    "a header of other things": ({**WHOLE, "model.safetensors": (7).to_bytes(8, "little") + b"{\"a\":3}"}, "has a damaged header"),
    "a shard outside": (
        {"config.json": config(), "model.safetensors.index.json": index("../x.safetensors"), **TOKENIZER},
        r"names '\.\./x\.safetensors', which is outside its own folder",
    ),
    "a shard elsewhere": (
        {"config.json": config(), "pytorch_model.bin.index.json": index("/etc/passwd"), **TOKENIZER}, "outside its own folder",
    ),
    "a shard that is not there": (
        {"config.json": config(), "model.safetensors.index.json": index("a.safetensors"), **TOKENIZER},
        "names 'a.safetensors', which was not given",
    ),
    "an index of nothing": ({"config.json": config(), "model.safetensors.index.json": b"{}", **TOKENIZER}, "not an index of weights"),
    "an adapter": ({"adapter_config.json": b"{}", "adapter_model.safetensors": safetensors()}, "is an adapter"),
    "diffusers": ({"model_index.json": b"{}", "unet/config.json": b"{}", "unet/x.safetensors": b"x"}, "is a diffusers pipeline"),
    "an unknown module": ({**SENTENCES, "modules.json": modules("Transformer", "LSTM")}, "has a module 'LSTM'"),
    "no transformer": ({**SENTENCES, "modules.json": modules("Pooling")}, "does not begin with one Transformer"),
    "a transformer outside": ({**SENTENCES, "modules.json": modules("Transformer", path="../other")}, "has no config.json with weights"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused_before_a_package_is_installed(tmp_path, case):
    files, said = REFUSED[case]
    with pytest.raises(InvalidModel, match=said) as refusal:
        detect(placed(tmp_path, files))
    assert refusal.value.help
    assert str(tmp_path) not in refusal.value.sentence()
