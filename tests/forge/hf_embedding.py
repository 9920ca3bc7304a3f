# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A plain BERT: the mean of its last hidden states over each text's own tokens."""

import torch
from hf_shared import TEXTS, bert_tokenizer, saved, small, told
from transformers import BertConfig, BertModel

tokenizer = bert_tokenizer()
model = BertModel(BertConfig(**small()))
saved(model, tokenizer)
rows = []
for text in TEXTS:
    with torch.no_grad():
        rows.append(
            model(**tokenizer(text, truncation=True, return_tensors="pt")).last_hidden_state[0].mean(0).tolist()
        )
told({"text": TEXTS}, {"embedding": rows})
