# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A BERT that fills gaps, saved as a pickle, and what transformers' own pipeline answers."""

from pathlib import Path

import torch
from hf_shared import bert_tokenizer, saved, small, text_of, told
from transformers import BertConfig, BertForMaskedLM, pipeline

tokenizer = bert_tokenizer()
model = BertForMaskedLM(BertConfig(**small()))
saved(model, tokenizer)
texts = [
    "[MASK] lived in Berlin.",
    "The weather in Paris was [MASK] yesterday, so we went for a walk.",
    "Hello, [MASK]?",
]
ask = pipeline("fill-mask", "artifact", top_k=5, device="cpu")
found = [
    text_of(
        [
            {
                "token": one["token_str"],
                "score": round(one["score"], 4),
                "text": text.replace("[MASK]", one["token_str"]),
            }
            for one in ask(text)
        ]
    )
    for text in texts
]
Path("artifact/model.safetensors").unlink()
torch.save(model.state_dict(), "artifact/pytorch_model.bin")
told({"text": texts}, {"tokens": found})
