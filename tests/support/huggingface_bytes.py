"""Hugging Face folders by hand: configuration, a safetensors file of one tensor, the file of a tokenizer."""

from __future__ import annotations

import json


def safetensors(size: int = 16, promised: int | None = None) -> bytes:
    header = {"__metadata__": {"format": "pt"}, "w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    if promised is not None:
        header["w"]["data_offsets"][1] = promised
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"\0" * size


def config(name="BertForSequenceClassification", **more) -> bytes:
    said = {"model_type": "bert", "architectures": [name], "transformers_version": "4.57.1", **more}
    return json.dumps(said).encode()


def index(*names: str) -> bytes:
    return json.dumps({"weight_map": {f"w{at}": name for at, name in enumerate(names)}}).encode()


def modules(*kinds: str, path: str = "") -> bytes:
    listed = [
        {
            "idx": at,
            "name": str(at),
            "path": path if at == 0 else f"{at}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for at, kind in enumerate(kinds)
    ]
    return json.dumps(listed).encode()


TOKENIZER = {"tokenizer.json": b"{}"}
WHOLE = {"config.json": config(), "model.safetensors": safetensors(), **TOKENIZER}
SENTENCES = {
    **WHOLE,
    "config.json": config("BertModel"),
    "modules.json": modules("Transformer", "Pooling", "Normalize"),
}
