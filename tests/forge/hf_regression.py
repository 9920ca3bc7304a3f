# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A GPT-2 that gives a text one number, with a tokenizer that knows no padding."""

import torch
from hf_shared import CORPUS, gpt_tokenizer, saved, small, told
from transformers import GPT2Config, GPT2ForSequenceClassification

tokenizer = gpt_tokenizer()
small()  # the seed
config = GPT2Config(
    vocab_size=400, n_positions=128, n_embd=32, n_layer=2, n_head=2, num_labels=1, problem_type="regression",
    initializer_range=0.5,
)  # fmt: skip
model = GPT2ForSequenceClassification(config)
saved(model, tokenizer)
scores = []
for text in CORPUS:
    with torch.no_grad():
        scores.append(float(model(**tokenizer(text, return_tensors="pt", return_token_type_ids=False)).logits))
told({"text": CORPUS}, {"score": scores})
