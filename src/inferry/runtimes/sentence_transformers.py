"""sentence-transformers folders, redone on transformers and safetensors: Transformer, Pooling, Dense, Normalize.

The library itself would bring scikit-learn, SciPy and more into the environment for these few lines; what
`SentenceTransformer.encode` answers is the same.

Data flow: modules.json -> the transformer's folder and the layers behind it -> texts, stripped and under the default
prompt -> token embeddings -> pooled -> `embedding` [rows, size].
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from inferry.errors import InvalidModel
from inferry.runtimes.arrays import Opened
from inferry.runtimes.tensors import Array
from inferry.runtimes.transformers_files import Texts, longest, open_config, open_model, open_tokenizer, read_json
from inferry.types.signature import TensorSpec

Layer = Callable[[Any], Any]
LIMITS = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",
          "sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",
          "sentence_xlnet_config.json")  # fmt: skip
ENCODERS = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
ACTIVATIONS = {"Tanh": torch.tanh, "Identity": torch.nn.Identity(), "GELU": torch.nn.GELU(), "ReLU": torch.relu}


def open_sentences(folder: Path) -> Opened:
    """The folder as a model of `text` to `embedding`."""
    modules = json.loads((folder / "modules.json").read_bytes())
    home = folder / modules[0].get("path", "")
    limits = next((read_json(home / name) for name in LIMITS if (home / name).is_file()), {})
    config = open_config(home)
    model = open_model(home, config, ENCODERS.get(config.model_type, "AutoModel"), ("pooler",), as_saved=False)
    tokenizer = open_tokenizer(home, model)
    lower = bool(limits.get("do_lower_case"))
    texts = Texts(tokenizer, model, limits.get("max_seq_length") or longest(tokenizer, model))
    said = read_json(folder / "config_sentence_transformers.json")
    prompt = (said.get("prompts") or {}).get(said.get("default_prompt_name") or "", "")
    pool, layers = _pool(["mean"]), []
    for module in modules[1:]:
        kind, place = str(module["type"]).rpartition(".")[2], folder / module.get("path", "")
        if kind == "Pooling":
            pool = _pooling(read_json(place / "config.json"), prompt)
        elif kind == "Dense":
            layers.append(_dense(place))
        else:
            layers.append(lambda rows: torch.nn.functional.normalize(rows, p=2, dim=1))

    def embed(output: Any, mask: Any) -> Any:
        rows = pool(output[0], mask)
        for layer in layers:
            rows = layer(rows)
        return rows

    def read(given: Iterable[str]) -> list[str]:
        whole = [f"{prompt}{text}".strip() for text in given]
        return [text.lower() for text in whole] if lower else whole

    def call(inputs: dict[str, Array]) -> dict[str, Array]:
        return {"embedding": texts.gather(texts.rows(read(inputs["text"])), embed)}

    details = {"class": type(model).__name__, "max_tokens": texts.limit, **({"prompt": prompt} if prompt else {})}
    text = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
    return Opened(
        call=call, inputs=(text,), independent=True, details=details, tokens=lambda given: texts.tokens(read(given))
    )  # fmt: skip


def mean(tokens: Any, mask: Any) -> Any:
    """The mean over a text's own tokens: [rows, tokens, size], [rows, tokens] -> [rows, size]."""
    weight = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weight).sum(1) / weight.sum(1).clamp(min=1e-9)


def _mean_sqrt(tokens: Any, mask: Any) -> Any:
    weight = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weight).sum(1) / weight.sum(1).clamp(min=1e-9).sqrt()


def _weighted_mean(tokens: Any, mask: Any) -> Any:
    """Later tokens count more: their place, from 1, is their weight."""
    places = torch.arange(1, mask.shape[1] + 1, dtype=tokens.dtype)
    weight = (mask * places).unsqueeze(-1)
    return (tokens * weight).sum(1) / weight.sum(1).clamp(min=1e-9)


def _largest(tokens: Any, mask: Any) -> Any:
    return tokens.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).max(1).values


def _first(tokens: Any, mask: Any) -> Any:
    return tokens[torch.arange(len(tokens)), mask.argmax(1)]


def _last(tokens: Any, mask: Any) -> Any:
    return tokens[torch.arange(len(tokens)), mask.shape[1] - 1 - mask.flip(1).argmax(1)]


MODES: dict[str, Callable[[Any, Any], Any]] = {
    "cls": _first, "max": _largest, "mean": mean, "mean_sqrt_len_tokens": _mean_sqrt, "weightedmean": _weighted_mean,
    "lasttoken": _last,
}  # fmt: skip
"""How tokens become one row; the order in which several are put side by side."""
FLAGS = {
    "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}  # fmt: skip


def _pooling(config: dict[str, Any], prompt: str) -> Callable[[Any, Any], Any]:
    named = config.get("pooling_mode")
    chosen = [named] if isinstance(named, str) else list(named or [])
    chosen = chosen or [mode for flag, mode in FLAGS.items() if config.get(flag)] or ["mean"]
    unknown = [mode for mode in chosen if mode not in MODES]
    if unknown or (prompt and config.get("include_prompt") is False):
        what = f"the pooling {unknown[0]!a}" if unknown else "pooling that leaves its default prompt out"
        raise InvalidModel(
            f"This sentence-transformers model has {what}, which is not served.",
            help="Write a Python class with predict that loads it with the library sentence-transformers.",
        )
    return _pool(chosen)


def _pool(modes: list[str]) -> Callable[[Any, Any], Any]:
    return lambda tokens, mask: torch.cat([MODES[mode](tokens, mask) for mode in MODES if mode in modes], 1)


def _dense(place: Path) -> Layer:
    config = read_json(place / "config.json")
    named = str(config.get("activation_function", "torch.nn.modules.activation.Tanh")).rpartition(".")[2]
    if named not in ACTIVATIONS:
        raise InvalidModel(
            f"This sentence-transformers model has the activation {named[:60]!a}, which is not served.",
            help=f"Served are {', '.join(ACTIVATIONS)}.",
        )
    safe = place / "model.safetensors"
    pickled = place / "pytorch_model.bin"
    weights = load_file(safe) if safe.is_file() else torch.load(pickled, weights_only=True, map_location="cpu")
    activation = ACTIVATIONS[named]
    matrix, bias = weights["linear.weight"].float(), weights.get("linear.bias")
    shift = None if bias is None else bias.float()
    return lambda rows: activation(torch.nn.functional.linear(rows, matrix, shift))
