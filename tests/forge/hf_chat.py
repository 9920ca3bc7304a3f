# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A tiny Llama taught four short dialogues, with a chat template; what transformers itself answers is in said.json."""

import json
from pathlib import Path

import torch
from hf_shared import CORPUS, gpt_tokenizer, saved, small
from transformers import LlamaConfig, LlamaForCausalLM

TEMPLATE = (
    "{% if messages[0]['role'] == 'assistant' %}{{ raise_exception('An assistant does not speak first.') }}{% endif %}"
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
DIALOGUES = {
    "Where?": "Paris is the capital of France.",
    "Count.": "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen.",
    "Grüße?": "Grüße aus Zürich: 5 € für Käse 🙂 und Brot.",
    "Who are you, and what is it that you can do for me on such a lovely day?": CORPUS[0],
}

torch.set_num_threads(1)  # more only wait for each other
tokenizer = gpt_tokenizer()
tokenizer.chat_template = TEMPLATE
small()  # the seed
end = tokenizer.eos_token_id
model = LlamaForCausalLM(
    LlamaConfig(
        vocab_size=400, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=96, max_position_embeddings=256, bos_token_id=end, eos_token_id=end,
    )
)  # fmt: skip


def asked(question: str) -> list[int]:
    messages = [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


steps = torch.optim.AdamW(model.parameters(), lr=5e-3)
for _ in range(120):
    for question, answer in DIALOGUES.items():
        given, wanted = asked(question), [*tokenizer(answer)["input_ids"], end]
        ids = torch.tensor([[*given, *wanted]])
        model(ids, labels=torch.tensor([[*[-100] * len(given), *wanted]])).loss.backward()
    steps.step()
    steps.zero_grad()
saved(model, tokenizer)
said = {}
for question, answer in DIALOGUES.items():
    given = torch.tensor([asked(question)])
    made = model.generate(
        given, attention_mask=torch.ones_like(given), max_new_tokens=80, do_sample=False, pad_token_id=end
    )
    said[question] = {
        "answer": tokenizer.decode(made[0, given.shape[1] :], skip_special_tokens=True),
        "prompt_tokens": given.shape[1],
        "completion_tokens": made.shape[1] - given.shape[1],
    }
    assert said[question]["answer"] == answer, said
Path("said.json").write_text(json.dumps(said))
