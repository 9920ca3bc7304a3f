# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A BERT that tells three classes apart, and what transformers' own pipeline answers."""

from hf_shared import TEXTS, bert_tokenizer, saved, small, told
from transformers import BertConfig, BertForSequenceClassification, pipeline

NAMES = ["bad", "so so", "good"]

tokenizer = bert_tokenizer()
model = BertForSequenceClassification(BertConfig(**small(), num_labels=3, id2label=dict(enumerate(NAMES))))
saved(model, tokenizer)
ask = pipeline("text-classification", "artifact", top_k=None, device="cpu")
found = [{one["label"]: one["score"] for one in row} for row in ask(TEXTS, truncation=True)]
told(
    {"text": TEXTS},
    {
        "label": [max(scores, key=scores.get) for scores in found],
        "probabilities": [[scores[name] for name in NAMES] for scores in found],
    },
)
