# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A tiny GPT-2 taught three sentences, with a number of tokens in its generation_config.json."""

import torch
from hf_shared import CORPUS, gpt_tokenizer, saved, small, told
from transformers import GPT2Config, GPT2LMHeadModel

tokenizer = gpt_tokenizer()
small()  # the seed
end = tokenizer.eos_token_id
model = GPT2LMHeadModel(
    GPT2Config(vocab_size=400, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=end, eos_token_id=end)
)
texts = [*CORPUS[:3], "Grüße aus Zürich: 5 € für Käse 🙂 und Brot."]
steps = torch.optim.AdamW(model.parameters(), lr=1e-2)
for _ in range(80):
    for text in texts:
        ids = torch.tensor([[*tokenizer(text)["input_ids"], end]])
        model(ids, labels=ids).loss.backward()
    steps.step()
    steps.zero_grad()
model.generation_config.max_new_tokens = 40
saved(model, tokenizer)
prompts = ["Angela", "The weather", "A short", "Grüße", "Hello"]
answers = []
for prompt in prompts:
    made = tokenizer(prompt, return_tensors="pt")
    ids = model.generate(**made, pad_token_id=end)[0, made["input_ids"].shape[1] :]
    answers.append(tokenizer.decode(ids, skip_special_tokens=True))
assert "🙂" in answers[3], answers
told({"text": prompts}, {"generated_text": answers})
