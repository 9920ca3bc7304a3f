# /// script
# dependencies = ["transformers", "torch", "safetensors", "numpy"]
# ///
"""A BERT that marks the answer in a context; the expected answers are found token pair by token pair."""

import torch
from hf_shared import CORPUS, bert_tokenizer, saved, small, told
from transformers import BertConfig, BertForQuestionAnswering

tokenizer = bert_tokenizer()
model = BertForQuestionAnswering(BertConfig(**small()))
saved(model, tokenizer)
questions = ["Where did she live?", "Who sleeps?", "What fell?"]
contexts = [CORPUS[0], CORPUS[4], CORPUS[3]]
answers = []
for question, context in zip(questions, contexts, strict=True):
    made = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    places = made.pop("offset_mapping")[0].tolist()
    inside = [at for at, one in enumerate(made.sequence_ids(0)) if one == 1]
    with torch.no_grad():
        output = model(**made)
    starts, ends = (logits[0, inside].softmax(-1) for logits in (output.start_logits, output.end_logits))
    score, first, last = max(
        (float(starts[first] * ends[last]), first, last)
        for first in range(len(inside))
        for last in range(first, min(first + 15, len(inside)))
    )
    start, end = places[inside[first]][0], places[inside[last]][1]
    answers.append((context[start:end], score, start, end))
names = ("answer", "score", "start", "end")
told({"question": questions, "context": contexts}, dict(zip(names, zip(*answers, strict=True), strict=True)))
