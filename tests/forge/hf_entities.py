# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A BERT that marks names and places, and what transformers' own pipeline answers."""

from hf_shared import TEXTS, bert_tokenizer, saved, small, text_of, told
from transformers import BertConfig, BertForTokenClassification, pipeline

NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]

tokenizer = bert_tokenizer()
saved(BertForTokenClassification(BertConfig(**small(), num_labels=5, id2label=dict(enumerate(NAMES)))), tokenizer)
ask = pipeline("token-classification", "artifact", aggregation_strategy="simple", device="cpu")
short = [text for text in TEXTS if len(tokenizer(text)["input_ids"]) <= 64]
found = [
    text_of(
        [
            {"text": text[one["start"] : one["end"]], "label": one["entity_group"], "score": round(float(one["score"]), 4),
             "start": one["start"], "end": one["end"]}
            for one in ask(text)
        ]
    )
    for text in short
]  # fmt: skip
told({"text": short}, {"entities": found})
