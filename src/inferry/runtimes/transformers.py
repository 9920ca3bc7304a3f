"""Hugging Face transformers and sentence-transformers folders on the CPU.

Data flow: folder and the task that detection found -> config, model, tokenizer (transformers_files) -> the task's
function: named arrays in, named arrays out. Texts come as `text` BYTES [-1], pictures as `pixel_values`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TRANSFORMERS_VERBOSITY": "error"}
# Read when these are imported.
import numpy as np
import torch
import transformers

from inferry.errors import InferryError, InvalidInput
from inferry.interfaces.runtime import LoadedModel
from inferry.runtimes.arrays import ArrayModel, ArrayRuntime, Opened
from inferry.runtimes.causal import Writer, WritingModel
from inferry.runtimes.decoder import memory_of
from inferry.runtimes.generation import TextGenerator
from inferry.runtimes.sentence_transformers import mean, open_sentences
from inferry.runtimes.tensors import Array, json_texts
from inferry.runtimes.transformers_files import Texts, open_config, open_model, open_tokenizer
from inferry.runtimes.transformers_spans import answer_questions, find_entities
from inferry.types.signature import Signature, TensorSpec

TEXT = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
EXAMPLES = ("Hello, how are you?", "The weather in Paris was lovely yesterday, and we went for a long walk.")
TOP = 5
GENERATING = frozenset({"text-generation", "text2text-generation"})
TEXTS_ONLY = "text-to-text"  # of a language model that cannot be asked step by step, so not at OpenAI's doors


class TransformersRuntime(ArrayRuntime):
    """The runtime plugin "transformers". Option `task`: as detection found it."""

    imports: ClassVar[tuple[str, ...]] = ("torch", "transformers", "transformers.modeling_utils")
    borrows: ClassVar[bool] = True
    computes_beside: ClassVar[bool] = False

    def model(self, opened: Opened, signature: Signature | None, load_ms: float) -> LoadedModel:
        """An array model; a causal language model is asked in OpenAI's words too."""
        arrays = ArrayModel(opened, signature, load_ms)
        return WritingModel(arrays, opened.writer) if opened.writer is not None else arrays

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Open the folder at `path` for its task."""
        torch.set_num_threads(options.get("threads", 1))
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        task = options["task"]
        opened = _generate(path, options) if task in GENERATING else OPENERS[task](path)
        opened.task = opened.task or task
        if TEXT.name in {spec.name for spec in opened.inputs} and not opened.example:
            opened.example = {TEXT.name: np.array(EXAMPLES, dtype=object)}
        opened.details |= {"transformers": transformers.__version__}
        return opened


def _texts(folder: Path, otherwise: str, spare: tuple[str, ...] = ()) -> Texts:
    model = open_model(folder, open_config(folder), otherwise, spare)
    return Texts(open_tokenizer(folder, model), model)


def labels_of(config: Any) -> list[str]:
    """The names of the classes in the order of the scores."""
    return [str(config.id2label.get(at, f"LABEL_{at}")) for at in range(config.num_labels)]


def _details(model: Any) -> dict[str, Any]:
    return {"class": type(model).__name__, "parameters": sum(one.numel() for one in model.parameters())}


def _classify_texts(folder: Path) -> Opened:
    texts = _texts(folder, "AutoModelForSequenceClassification")
    config = texts.model.config
    answer, labels = _scores(labels_of(config), config.problem_type)

    def call(inputs: dict[str, Array]) -> dict[str, Array]:
        return answer(texts.gather(texts.rows(inputs["text"]), lambda output, _: output.logits))

    return _classifier(call, (TEXT,), labels, texts.model)


def _classify_images(folder: Path) -> Opened:
    config = open_config(folder)
    model = open_model(folder, config, "AutoModelForImageClassification")
    answer, labels = _scores(labels_of(config), config.problem_type)
    size = getattr(config, "image_size", None) or -1
    height, width = size if isinstance(size, list | tuple) else (size, size)
    shape = (-1, getattr(config, "num_channels", 3), height, width)

    def call(inputs: dict[str, Array]) -> dict[str, Array]:
        with torch.inference_mode():
            logits = model(pixel_values=torch.tensor(inputs["pixel_values"])).logits.numpy()
        return {**answer(logits), "logits": logits}

    return _classifier(call, (TensorSpec(name="pixel_values", datatype="FP32", shape=shape),), labels, model)


def _classifier(call: Callable[..., Any], inputs: tuple[TensorSpec, ...], labels: list[str], model: Any) -> Opened:
    chosen = TensorSpec(name="labels", datatype="BYTES", shape=(-1,), json=True)
    return Opened(
        call=call, inputs=inputs, labels=labels, outputs=(chosen,), independent=True, details=_details(model)
    )  # fmt: skip


def _scores(labels: list[str], problem: str | None) -> tuple[Callable[[Array], dict[str, Array]], list[str]]:
    """What is made of logits [rows, classes], and the names of the probabilities' columns (none: a number)."""
    names = np.array(labels, dtype=object)

    def one_of(logits: Array) -> dict[str, Array]:
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return {"label": names[logits.argmax(axis=1)], "probabilities": shifted / shifted.sum(axis=1, keepdims=True)}

    def any_of(logits: Array) -> dict[str, Array]:
        likely = _sigmoid(logits)
        return {"labels": json_texts([names[row >= 0.5].tolist() for row in likely]), "probabilities": likely}

    def number(logits: Array) -> dict[str, Array]:
        values = logits if problem == "regression" else _sigmoid(logits)
        return {"score": values[:, 0] if values.shape[1] == 1 else values}

    if problem == "regression" or len(labels) == 1:
        return number, []
    return (any_of if problem == "multi_label_classification" else one_of), labels


def _sigmoid(logits: Array) -> Array:
    return np.asarray(torch.sigmoid(torch.from_numpy(logits)).numpy())


def _embed(folder: Path) -> Opened:
    config = open_config(folder)
    model = open_model(folder, config, "AutoModel", ("pooler",))
    tokenizer = open_tokenizer(folder, model)
    texts = Texts(tokenizer, model.get_encoder() if config.is_encoder_decoder else model)

    def call(inputs: dict[str, Array]) -> dict[str, Array]:
        return {"embedding": texts.gather(texts.rows(inputs["text"]), lambda output, mask: mean(output[0], mask))}

    details = {**_details(model), "pooling": "mean"}
    return Opened(call=call, inputs=(TEXT,), independent=True, details=details, tokens=texts.tokens)


def _fill(folder: Path) -> Opened:
    """The likeliest tokens in place of the one mask token of each text."""
    texts = _texts(folder, "AutoModelForMaskedLM")
    tokenizer = texts.tokenizer

    def call(inputs: dict[str, Array]) -> dict[str, Array]:
        given = list(inputs["text"])
        rows = texts.rows(given)
        if any(row["input_ids"].count(tokenizer.mask_token_id) != 1 for row in rows):
            raise InvalidInput(f"Each text must have the mask token {tokenizer.mask_token} once.")
        told: list[Any] = [None] * len(rows)
        for chosen, output, _ in texts.run(rows):
            for at, logits in zip(chosen, output.logits, strict=True):
                # Padding may be on either side, so the mask is looked for again from the end it is not on.
                place = rows[at]["input_ids"].index(tokenizer.mask_token_id)
                place += logits.shape[0] - len(rows[at]["input_ids"]) if tokenizer.padding_side == "left" else 0
                scores, ids = logits[place].softmax(-1).topk(min(TOP, logits.shape[-1]))
                likely = zip(ids.tolist(), scores.tolist(), strict=True)
                told[at] = [_filled(given[at], one, score) for one, score in likely]
        return {"tokens": json_texts(told)}

    def _filled(text: str, one: int, score: float) -> dict[str, Any]:
        token = tokenizer.decode([one]).strip()
        return {"token": token, "score": round(score, 4), "text": text.replace(tokenizer.mask_token, token)}

    example = np.array([f"Hello, {tokenizer.mask_token} are you?", f"{tokenizer.mask_token} was a day."], dtype=object)
    return Opened(
        call=call, inputs=(TEXT,), independent=True, details=_details(texts.model), example={TEXT.name: example},
        outputs=(TensorSpec(name="tokens", datatype="BYTES", shape=(-1,), json=True),),
    )  # fmt: skip


def _find_entities(folder: Path) -> Opened:
    texts = _texts(folder, "AutoModelForTokenClassification")
    names = labels_of(texts.model.config)
    return Opened(
        call=lambda inputs: {"entities": json_texts(find_entities(texts, names, list(inputs["text"])))},
        inputs=(TEXT,), independent=True, details=_details(texts.model),
        outputs=(TensorSpec(name="entities", datatype="BYTES", shape=(-1,), json=True),),
    )  # fmt: skip


def _answer_questions(folder: Path) -> Opened:
    texts = _texts(folder, "AutoModelForQuestionAnswering")
    specs = tuple(TensorSpec(name=name, datatype="BYTES", shape=(-1,)) for name in ("question", "context"))
    asked = np.array(["Where was the weather lovely?", "What did we do?"], dtype=object)
    told = np.array([EXAMPLES[1], EXAMPLES[1]], dtype=object)
    return Opened(
        call=lambda inputs: answer_questions(texts, list(inputs["question"]), list(inputs["context"])),
        inputs=specs, independent=True, details=_details(texts.model), example={"question": asked, "context": told},
    )  # fmt: skip


def _generate(folder: Path, options: dict[str, Any]) -> Opened:
    """Texts one after the other: a short one does not wait for a long one's end."""
    config = open_config(folder)
    seq2seq = bool(config.is_encoder_decoder)
    model = open_model(folder, config, "AutoModelForSeq2SeqLM" if seq2seq else "AutoModelForCausalLM")
    tokenizer = open_tokenizer(folder, model)
    generator = TextGenerator(model, tokenizer)
    writer = None if seq2seq else _writer(model, tokenizer, options)

    def call(inputs: dict[str, Array]) -> dict[str, Array]:
        told = np.empty(len(inputs["text"]), dtype=object)
        told[:] = ["".join(generator.pieces(text)) for text in inputs["text"]]
        return {"generated_text": told}

    details = {**_details(model), "max_new_tokens": generator.most}
    return Opened(
        call=call, inputs=(TEXT,), stacks=False, details=details, example={TEXT.name: np.array(EXAMPLES[:1], object)},
        task="" if writer or seq2seq else TEXTS_ONLY, writer=writer,
        notes=() if writer or seq2seq else ("It cannot be asked token by token, so not at OpenAI's doors.",),
    )  # fmt: skip


def _writer(model: Any, tokenizer: Any, options: dict[str, Any]) -> Writer | None:
    """What asks the model step by step; None when it cannot be asked so."""
    if not memory_of(model):
        return None
    try:
        return Writer(model, tokenizer, options)
    except (InferryError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - it is served at the other doors all the same
        traceback.print_exc(file=sys.stderr)
        return None


OPENERS: dict[str, Callable[[Path], Opened]] = {
    "text-classification": _classify_texts,
    "token-classification": _find_entities,
    "question-answering": _answer_questions,
    "fill-mask": _fill,
    "feature-extraction": _embed,
    "image-classification": _classify_images,
    "sentence-similarity": open_sentences,
}
"""Task -> what opens a folder for it."""
