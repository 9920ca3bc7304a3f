"""What the hf_* scripts share: a tokenizer of their own, and folders and expectations written alike."""

from __future__ import annotations

import json

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "Angela Merkel lived in Berlin and worked for the government of Germany.",
    "The weather in Paris was lovely yesterday, so we went for a long walk along the river.",
    "A short text.",
    "Stock markets fell sharply after the bank of Japan raised its rates again this morning.",
    "My cat sleeps all day; the dog of the neighbours does not, and barks.",
    "Hello, how are you?",
]
TEXTS = [*CORPUS, "Unknown words like zyzzyva come in pieces.", "Berlin", "good " * 90, "café in Zürich"]


def bert_tokenizer(limit: int = 64) -> PreTrainedTokenizerFast:
    """Word pieces with [CLS] and [SEP], lower case."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=limit, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip


def gpt_tokenizer(end: str = "<|end|>") -> PreTrainedTokenizerFast:
    """Bytes in pairs, no padding token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=[end], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end)


def small(**more) -> dict:
    """A tiny model's sizes, with weights far enough apart that its answers differ."""
    torch.manual_seed(7)
    return {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
        "vocab_size": 200, "max_position_embeddings": 64, "initializer_range": 0.6, **more,
    }  # fmt: skip


def saved(model, tokenizer=None) -> None:
    """Both into the folder `artifact`."""
    model.eval().save_pretrained("artifact")
    if tokenizer is not None:
        tokenizer.save_pretrained("artifact")


def told(inputs: dict, expected: dict) -> None:
    """Inputs and what the library itself answers; lists of dicts as JSON text."""
    np.savez("inputs.npz", **{name: np.array(value) for name, value in inputs.items()})
    np.savez("expected.npz", **{name: np.array(value) for name, value in expected.items()})


def text_of(value) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
