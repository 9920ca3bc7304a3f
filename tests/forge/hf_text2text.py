# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A tiny T5, taught three pairs of sentences, that searches with two beams, as its generation_config.json says."""

from itertools import pairwise

import torch
from hf_shared import CORPUS, gpt_tokenizer, saved, small, told
from transformers import T5Config, T5ForConditionalGeneration

tokenizer = gpt_tokenizer()
tokenizer.pad_token = tokenizer.eos_token
small()  # the seed
config = T5Config(
    vocab_size=400, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, pad_token_id=0, eos_token_id=0,
    decoder_start_token_id=0,
)  # fmt: skip
model = T5ForConditionalGeneration(config)
steps = torch.optim.AdamW(model.parameters(), lr=1e-2)
for _ in range(60):
    for text, other in pairwise(CORPUS[:4]):
        ids, wanted = ([*tokenizer(one)["input_ids"][:20], 0] for one in (text, other))
        model(input_ids=torch.tensor([ids]), labels=torch.tensor([wanted])).loss.backward()
    steps.step()
    steps.zero_grad()
model.generation_config.max_new_tokens, model.generation_config.num_beams = 12, 2
saved(model, tokenizer)
answers = []
for text in CORPUS[:3]:
    made = tokenizer(text, return_tensors="pt", return_token_type_ids=False)
    answers.append(tokenizer.decode(model.generate(**made)[0], skip_special_tokens=True))
told({"text": CORPUS[:3]}, {"generated_text": answers})
