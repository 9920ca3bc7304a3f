"""Hugging Face folders: transformers models by their config.json, sentence-transformers by their modules.json.

Data flow: tree -> the folder with the config -> its task from the class that saved it -> its weights checked
-> a range of transformers that reads it. Code in the folder (`auto_map`) is not run, so it is not looked at.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from inferry.bundles.requirements import merged
from inferry.bundles.sniff import Kind
from inferry.bundles.tree import Tree
from inferry.bundles.weights import check_weights, find_weights
from inferry.errors import InvalidModel
from inferry.types.bundle import Detected

TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "MTModel": "text2text-generation",
    "ForImageClassification": "image-classification",
    "EncoderModel": "feature-extraction",
    "Model": "feature-extraction",
}
"""The end of a class's name -> what it does; the first that fits counts."""
EMBEDDING = "sentence-similarity"
MODULES = ("Transformer", "Pooling", "Dense", "Normalize")
SERVED = (
    "Served are sequence, token and image classification, question answering, masked and causal language models, "
    "text-to-text generation and plain encoders. Export others to ONNX, or load them in a Python class with predict."
)
OTHERS = ("MLmodel", "config.pbtxt", "handler.py")
"""Files that mark a folder as another tool's, whatever else lies in it."""
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model",
              "sentencepiece.bpe.model", "source.spm")  # fmt: skip
SENTENCEPIECE = ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model", "source.spm")
FLOOR, CEILING = (4, 40), 6
"""The oldest transformers that is asked for, and the first major version that is not."""


def huggingface(tree: Tree) -> Detected | None:
    """A folder as `save_pretrained` or the hub left it; None for any other."""
    if tree.find("adapter_config.json") and tree.find("adapter_model.safetensors", "adapter_model.bin"):
        return _adapter(tree)
    marks = [path for path in (tree.find("modules.json"), tree.find("config.json")) if path]
    if not marks or tree.lone is not None or tree.find(*OTHERS):
        return None
    mark = min(marks, key=lambda path: len(path.parts))
    if tree.find("model_index.json") and not find_weights(tree, mark.parent):
        raise InvalidModel("This is a diffusers pipeline, which is not served.", help=SERVED)
    if any(tree.predicts(path) for path in tree.of(Kind.PYTHON)):
        return None
    return _sentences(tree, mark) if mark.name == "modules.json" else _transformers(tree, mark)


def _transformers(tree: Tree, mark: Path) -> Detected | None:
    weights = find_weights(tree, mark.parent)
    if weights is None:
        return None
    config = _object(tree, mark)
    if not config.keys() & {"model_type", "architectures", "auto_map"}:
        if tree.of(Kind.PYTHON):
            return None
        raise InvalidModel(
            "This looks like a Hugging Face model folder, but its config.json names no model_type.",
            help="Save the model with save_pretrained. " + SERVED,
        )
    task = task_of(config)
    _check_plain(config)
    check_weights(tree, weights)
    if task != "image-classification":
        _check_tokenizer(tree, mark.parent)
    return _detected(tree, mark.parent, config, task, f"It is a Hugging Face model for {task}.")


def _sentences(tree: Tree, mark: Path) -> Detected | None:
    """A sentence-transformers folder: a list of modules, each in a folder of its own."""
    listed = tree.json(mark)
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "type" in one for one in listed):
        return None
    kinds = [str(one["type"]).rpartition(".")[2] for one in listed]
    for kind in kinds:
        if kind not in MODULES:
            raise InvalidModel(
                f"This sentence-transformers model has a module {kind[:60]!a}, which is not served.",
                help=f"Served are {', '.join(MODULES)}. For others write a Python class with predict.",
            )
    if kinds[:1] != ["Transformer"] or kinds.count("Transformer") > 1:
        raise InvalidModel(
            "This sentence-transformers model does not begin with one Transformer.",
            help="Save it again with SentenceTransformer.save.",
        )
    place = mark.parent / str(listed[0].get("path", ""))
    weights = find_weights(tree, place)
    if ".." in place.parts or place / "config.json" not in tree.files or weights is None:
        raise InvalidModel(
            "The Transformer that modules.json names has no config.json with weights beside it.",
            help="Copy the whole folder, or save it again with SentenceTransformer.save.",
        )
    check_weights(tree, weights)
    _check_tokenizer(tree, place)
    config = _object(tree, place / "config.json")
    _check_plain(config)
    return _detected(tree, mark.parent, config, EMBEDDING, "It is a sentence-transformers model.")


def task_of(config: dict[str, Any]) -> str:
    """What a model does, by the class that saved it. InvalidModel for what is not served."""
    classes = config.get("architectures")
    name = classes[0] if isinstance(classes, list) and classes and isinstance(classes[0], str) else "Model"
    task = next((task for end, task in TASKS.items() if name.endswith(end)), "")
    if not task and config.get("auto_map"):
        raise InvalidModel(
            "The model is defined by Python code in its own folder (auto_map), which is not run.",
            help="Write a Python class with predict that loads the model, and deploy that with the folder.",
        )
    inner = {"vision_config", "audio_config", "vision_tower"} & config.keys()
    if not task or (inner and task != "image-classification"):
        what = f"is a {name[:80]}" if not task else f"is a {name[:80]} that also takes pictures or sound"
        raise InvalidModel(f"The Hugging Face model {what}, which is not served.", help=SERVED)
    return task


def version_range(said: object) -> str:
    """Versions of transformers that read a folder saved by version `said`."""
    match = re.match(r"(\d{1,3})\.(\d{1,3})", said) if isinstance(said, str) else None
    floor = max(FLOOR, (int(match[1]), int(match[2]))) if match else FLOOR
    return f"transformers>={floor[0]}.{floor[1]},<{max(CEILING, floor[0] + 1)}"


def _detected(tree: Tree, folder: Path, config: dict[str, Any], task: str, why: str) -> Detected:
    ours = [version_range(config.get("transformers_version")), "torch", "safetensors"]
    if any(folder / name in tree.files for name in SENTENCEPIECE) and folder / "tokenizer.json" not in tree.files:
        ours += ["sentencepiece", "protobuf"]
    entry = "" if folder == tree.folder else tree.name(folder)
    requirements = merged(ours, tree.asked(folder))
    return Detected(runtime="transformers", entry=entry, requirements=requirements, options={"task": task}, why=why)


def _adapter(tree: Tree) -> Detected | None:
    if any(tree.predicts(path) for path in tree.of(Kind.PYTHON)) or tree.find(*OTHERS):
        return None
    raise InvalidModel(
        "This is an adapter (such as LoRA) without the model that it changes.",
        help="Merge it first: model.merge_and_unload().save_pretrained(FOLDER), add the tokenizer, deploy FOLDER.",
    )


def _check_tokenizer(tree: Tree, folder: Path) -> None:
    if not any(folder / name in tree.files for name in TOKENIZERS):
        raise InvalidModel(
            "The Hugging Face folder holds no tokenizer.",
            help="Save it into the same folder: tokenizer.save_pretrained(FOLDER).",
        )


def _check_plain(config: dict[str, Any]) -> None:
    quantised = config.get("quantization_config")
    if quantised:
        how = quantised.get("quant_method", "") if isinstance(quantised, dict) else ""
        raise InvalidModel(
            f"The weights are quantised{f' by {str(how)[:40]}' if how else ''}, which is not served.",
            help="Deploy the model with plain weights (float32, float16 or bfloat16).",
        )


def _object(tree: Tree, path: Path) -> dict[str, Any]:
    said = tree.json(path)
    if not isinstance(said, dict):
        raise InvalidModel("config.json is not a JSON object.", help="Save the model again with save_pretrained.")
    return said


LAYOUTS = (huggingface,)
