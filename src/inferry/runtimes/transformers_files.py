"""Hugging Face folders opened by transformers. No code of the folder is run, nothing is fetched.

Data flow: folder -> config.json, its model type known to this transformers -> the class that saved it, weights
all there, in float32 -> tokenizer with a padding token -> Texts: strings to padded batches and answers back.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from inferry.errors import InferryError, InvalidInput, InvalidModel
from inferry.types.text import first_line

LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
BATCH = 32
LONGEST = 4096  # tokens of a text for a model that names no limit
_CODE_HELP = "Write a Python class with predict that loads the model, and deploy that with the folder."


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object beside the model; {} when there is none."""
    if not path.is_file():
        return {}
    said = json.loads(path.read_bytes())
    if not isinstance(said, dict):
        raise InvalidModel(f"{path.name} is not a JSON object.", help="Save the model again.")
    return said


def open_config(folder: Path) -> Any:
    """The configuration. InvalidModel for a model type that is unknown, or made by code in the folder."""
    said = read_json(folder / "config.json")
    kind = said.get("model_type")
    if kind not in CONFIG_MAPPING:
        if said.get("auto_map"):
            raise _own_code()
        raise InvalidModel(
            f"transformers {transformers.__version__} does not know the model type {str(kind)[:60]!a}.",
            help="Is its name right? A requirements.txt beside config.json can ask for another version.",
        )
    if said.get("auto_map") and not all(hasattr(transformers, str(name)) for name in said.get("architectures") or ()):
        raise _own_code()
    return transformers.AutoConfig.from_pretrained(folder, **LOCAL)


def _own_code() -> InvalidModel:
    return InvalidModel(
        "The model is defined by Python code in its own folder (auto_map), which is not run.", help=_CODE_HELP
    )


def open_model(folder: Path, config: Any, otherwise: str, spare: tuple[str, ...] = (), *, as_saved: bool = True) -> Any:
    """The model in float32, by the class that saved it (when `as_saved`), else by the class `otherwise`.

    InvalidModel when weights are missing, but for those whose name has one of `spare` in it.
    """
    named = getattr(transformers, (config.architectures or [""])[0], None) if as_saved else None
    known = isinstance(named, type) and issubclass(named, transformers.PreTrainedModel)
    maker: Any = named if known else getattr(transformers, otherwise)
    try:
        model, about = maker.from_pretrained(
            folder, config=config, weights_only=True, output_loading_info=True, **LOCAL
        )
    except (InferryError, MemoryError):
        raise
    except Exception as error:
        raise _unreadable(error) from error
    missing = sorted(name for name in about["missing_keys"] if not any(part in name for part in spare))
    if missing:
        raise InvalidModel(
            f"The weights lack {len(missing)} tensors that a {type(model).__name__} needs, such as {missing[0]!a}.",
            help="Fine-tune the model for its task and save it again, or correct `architectures` in config.json.",
        )
    return model.float().eval()


def _unreadable(error: Exception) -> InvalidModel:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, pickle.UnpicklingError) or "Weights only load failed" in str(cause):
            return InvalidModel(
                "The pickled weights hold more than numbers, which is not loaded.",
                help="Save them as safetensors: model.save_pretrained(FOLDER).",
            )
        cause = cause.__cause__ or cause.__context__
    return InvalidModel(f"transformers cannot read the weights: {first_line(error)}", help="Is the folder whole?")


def open_tokenizer(folder: Path, model: Any) -> Any:
    """The tokenizer, with a padding token. InvalidModel when there is none that is fast."""
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, use_fast=True, **LOCAL)
    except Exception as error:
        if "trust_remote_code" in str(error):
            raise _own_code() from error
        raise InvalidModel(
            f"The tokenizer cannot be loaded: {first_line(error)}",
            help="Save it into the same folder: tokenizer.save_pretrained(FOLDER).",
        ) from error
    if getattr(model, "main_input_name", "input_ids") != "input_ids":
        raise InvalidModel(
            f"The model takes {model.main_input_name}, not text.", help="Export it to ONNX to serve it with tensors."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    if getattr(model.config, "pad_token_id", None) is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return tokenizer


def longest(tokenizer: Any, model: Any) -> int:
    """How many tokens of one text the model takes."""
    positions = getattr(model.config, "max_position_embeddings", None) or LONGEST
    for name, part in model.named_modules():
        if name.endswith("position_embeddings") and getattr(part, "padding_idx", None) is not None:
            positions -= part.padding_idx + 1  # RoBERTa counts from there
            break
    return int(min(tokenizer.model_max_length, positions))


class Texts:
    """A model of texts with its tokenizer. `limit`: tokens of one text, those behind are cut off."""

    def __init__(self, tokenizer: Any, model: Any, limit: int = 0) -> None:
        self.tokenizer, self.model = tokenizer, model
        self.limit = limit or longest(tokenizer, model)

    def rows(self, texts: Iterable[str], **more: Any) -> list[dict[str, Any]]:
        """Each text as the tokenizer gives it, without padding. Raises InvalidInput for one without tokens."""
        given = {"truncation": True, "max_length": self.limit, **more}
        made = self.tokenizer(list(texts), **given)
        rows = [{name: made[name][at] for name in made} for at in range(len(made["input_ids"]))]
        for at, row in enumerate(rows):
            if not row["input_ids"]:
                raise InvalidInput(f"Text {at + 1} is empty: the model finds no token in it.")
        return rows

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens the model reads of each text."""
        return [len(row["input_ids"]) for row in self.rows(texts)]

    def run(self, rows: Sequence[dict[str, Any]]) -> Iterator[tuple[list[int], Any, Any]]:
        """The model's output for all rows, in batches of alike lengths: (which rows, output, attention mask)."""
        names = [name for name in self.tokenizer.model_input_names if name in rows[0]]
        order = sorted(range(len(rows)), key=lambda at: len(rows[at]["input_ids"]))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            padded = self.tokenizer.pad(
                {name: [rows[at][name] for at in chosen] for name in names}, return_tensors="pt"
            )
            with torch.inference_mode():
                output = self.model(**padded)
            yield chosen, output, padded["attention_mask"]

    def gather(self, rows: Sequence[dict[str, Any]], of: Callable[[Any, Any], Any]) -> Any:
        """`of(output, attention mask)` [rows of a batch, ...] put together in the order of the rows, as one array."""
        parts: list[Any] = [None] * len(rows)
        for chosen, output, mask in self.run(rows):
            with torch.inference_mode():
                found = of(output, mask).float()
            for at, one in zip(chosen, found, strict=True):
                parts[at] = one
        return torch.stack(parts).numpy()
