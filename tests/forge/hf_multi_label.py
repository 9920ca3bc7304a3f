# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A multi-label RoBERTa in shards; its positions begin behind the padding token."""

import torch
from hf_shared import TEXTS, bert_tokenizer, small, text_of, told
from transformers import RobertaConfig, RobertaForSequenceClassification

NAMES = ["politics", "weather", "animals", "money"]

tokenizer = bert_tokenizer()
sizes = small(max_position_embeddings=64, type_vocab_size=2, pad_token_id=0)
config = RobertaConfig(
    **sizes, num_labels=4, id2label=dict(enumerate(NAMES)), problem_type="multi_label_classification"
)
model = RobertaForSequenceClassification(config).eval()
model.save_pretrained("artifact", max_shard_size="40KB")
tokenizer.save_pretrained("artifact")
scores = []
for text in TEXTS:
    with torch.no_grad():
        logits = model(**tokenizer(text, truncation=True, max_length=63, return_tensors="pt")).logits
    scores.append(logits.sigmoid()[0].tolist())
chosen = [text_of([name for name, score in zip(NAMES, row, strict=True) if score >= 0.5]) for row in scores]
told({"text": TEXTS}, {"labels": chosen, "probabilities": scores})
