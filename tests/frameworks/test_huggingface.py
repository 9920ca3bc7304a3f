"""Hugging Face folders: one command, no code; answers equal to transformers' own and sentence-transformers' own."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inferry.bundles.detect import detect
from inferry.bundles.requirements import script_requirements
from tests.support import processes
from tests.support.forge import SCRIPTS, Forge, served
from tests.support.platform import CommandFailed, Platform

FOLDERS = {
    "hf_classification": "text-classification",
    "hf_multi_label": "text-classification",
    "hf_regression": "text-classification",
    "hf_entities": "token-classification",
    "hf_questions": "question-answering",
    "hf_mask": "fill-mask",
    "hf_embedding": "feature-extraction",
    "hf_generation": "text-generation",
    "hf_text2text": "text2text-generation",
    "hf_images": "image-classification",
    "hf_minilm": "sentence-similarity",
    "hf_sentences": "sentence-similarity",
}
ONE_BY_ONE = {"hf_generation", "hf_text2text"}


def endpoint_of(name: str) -> str:
    return name.replace("_", "-")


def deployed(platform: Platform, forge: Forge, name: str) -> str:
    """The endpoint of a forged folder, deployed when it is not there yet."""
    there = [one["name"] for one in platform.call("GET", "/v1/endpoints", control=True).json()["endpoints"]]
    if endpoint_of(name) not in there:
        platform.deploy(forge.make(name).artifact, endpoint_of(name))
    return endpoint_of(name)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_answers_as_the_library_does(platform: Platform, forge: Forge, name: str) -> None:
    endpoint = deployed(platform, forge, name)
    served(platform, endpoint, forge.make(name))
    about = platform.cli("describe", endpoint)
    assert about["signature"].get("batchable", False) is (name not in ONE_BY_ONE)
    assert detect(forge.make(name).artifact).options["task"] == FOLDERS[name]


def test_another_version_of_transformers_is_had_by_asking(platform: Platform, forge: Forge, tmp_path: Path) -> None:
    folder = shutil.copytree(forge.make("hf_minilm").artifact, tmp_path / "minilm")
    (folder / "requirements.txt").write_text("transformers==4.57.*\n")
    platform.deploy(folder, "hf-minilm-4")
    served(platform, "hf-minilm-4", forge.make("hf_minilm"))


def test_minilm_knows_what_is_alike(platform: Platform, forge: Forge) -> None:
    endpoint = deployed(platform, forge, "hf_minilm")
    body = ["eating food", "having a meal", "stock market"]
    eating, meal, market = (np.array(one["embedding"]) for one in platform.predict(endpoint, body)["predictions"])
    assert eating @ meal == pytest.approx(0.732, abs=0.002)
    assert eating @ market == pytest.approx(0.123, abs=0.002)


@pytest.mark.parametrize("name", ["hf_minilm", "hf_embedding"])
def test_the_usage_of_embeddings_counts_tokens(platform: Platform, forge: Forge, name: str) -> None:
    body = {"model": deployed(platform, forge, name), "input": ["eating food", "having a meal"]}
    both = platform.call("POST", "/v1/embeddings", json=body).json()["usage"]["prompt_tokens"]
    alone = platform.call("POST", "/v1/embeddings", json=body | {"input": "eating food"}).json()["usage"]
    assert alone["total_tokens"] == alone["prompt_tokens"]
    assert (alone["prompt_tokens"], both) == (4, 9) if name == "hf_minilm" else both > alone["prompt_tokens"] > 2


def test_plain_json_has_lists_where_binary_has_their_text(platform: Platform, forge: Forge) -> None:
    endpoint = deployed(platform, forge, "hf_entities")
    text = "Angela Merkel lived in Berlin."
    (answer,) = platform.predict(endpoint, {"text": text})["predictions"]
    assert answer["entities"]
    for one in answer["entities"]:
        assert one.keys() == {"text", "label", "score", "start", "end"}
        assert one["text"] == text[one["start"] : one["end"]]
    asked = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]}
    told = platform.call("POST", f"/v2/models/{endpoint}/infer", json=asked).json()["outputs"][0]
    assert (told["datatype"], json.loads(told["data"][0])) == ("BYTES", answer["entities"])


def test_labels_name_the_probabilities(platform: Platform, forge: Forge) -> None:
    endpoint = deployed(platform, forge, "hf_classification")
    (answer,) = platform.predict(endpoint, ["A short text."])["predictions"]
    assert answer["probabilities"].keys() == {"bad", "so so", "good"}
    assert answer["label"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


REFUSED_TEXTS = [
    ("hf_mask", {"text": "No gap here."}, "Each text must have the mask token [MASK] once."),
    ("hf_mask", {"text": "[MASK] and [MASK]"}, "Each text must have the mask token [MASK] once."),
    ("hf_generation", {"text": ""}, "The text is empty"),
    ("hf_generation", {"text": "word " * 500}, "tokens, and the model takes 64 with its answer"),
    ("hf_questions", {"question": "Who?", "context": " "}, "The context is empty."),
    ("hf_questions", {"question": "Who " * 80, "context": "He."}, "too many for a model that takes 64"),
]


@pytest.mark.parametrize(("name", "body", "says"), REFUSED_TEXTS)
def test_a_text_that_does_not_fit_is_refused(
    platform: Platform, forge: Forge, name: str, body: dict, says: str
) -> None:
    answer = platform.call("POST", f"/predict/{deployed(platform, forge, name)}", json=body)
    assert (answer.status_code, says in answer.text) == (400, True), answer.text


def test_pieces_come_one_by_one_and_end_when_nobody_listens(forge: Forge, tmp_path: Path) -> None:
    python = forge.python(script_requirements((SCRIPTS / "hf_pieces.py").read_bytes()))
    shutil.copytree(forge.make("hf_generation").artifact, tmp_path / "artifact")
    forge.run(python, SCRIPTS / "hf_pieces.py", tmp_path)


class Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.marker,)


def changed(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def own_code(folder: Path, marker: Path) -> None:
    changed(folder, model_type="mine", architectures=["MineModel"], auto_map={"AutoModel": "mine.Mine"})
    (folder / "mine.py").write_text(f"import os\nos.mkdir({str(marker)!r})\nclass Mine: pass\n")


def own_class(folder: Path, marker: Path) -> None:
    name = "MineForSequenceClassification"
    changed(folder, architectures=[name], auto_map={"AutoModelForSequenceClassification": f"mine.{name}"})
    (folder / "mine.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")


def pickled(folder: Path, marker: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"w": Evil(marker)}, protocol=2))


def headless(folder: Path, marker: Path) -> None:
    changed(folder, architectures=["BertForTokenClassification"], num_hidden_layers=3)


BAD: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "code in the folder": (own_code, "defined by Python code in its own folder (auto_map), which is not run"),
    "a class of its own": (own_class, "defined by Python code in its own folder (auto_map), which is not run"),
    "an unknown model type": (lambda folder, _: changed(folder, model_type="mine"), "does not know the model type 'mine'"),
    "a pickle that runs code": (pickled, "The pickled weights hold more than numbers"),
    "weights of another model": (headless, "tensors that a BertForTokenClassification needs"),
    "sizes of another model": (lambda folder, _: changed(folder, hidden_size=64), "cannot read the weights"),
    "a damaged tokenizer": (lambda folder, _: (folder / "tokenizer.json").write_text("{"), "The tokenizer cannot be loaded"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_folder_is_refused_and_leaves_nothing(
    platform: Platform, forge: Forge, tmp_path: Path, case: str
) -> None:
    spoil, says = BAD[case]
    folder, marker = tmp_path / "bad", tmp_path / "marker"
    shutil.copytree(forge.make("hf_classification").artifact, folder)
    spoil(folder, marker)
    before = platform.replica_pids()
    with pytest.raises(CommandFailed) as refusal:
        platform.deploy(folder, "bad-folder")
    told = refusal.value.stdout + refusal.value.stderr
    assert says in told, told
    assert str(platform.home) not in told
    assert not marker.exists()
    models = platform.call("GET", "/v1/models", control=True).json()["models"]
    assert "bad-folder" not in {one["name"] for one in models}
    processes.wait_until(lambda: platform.replica_pids() == before, 5, "no replica is left")
