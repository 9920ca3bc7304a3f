"""Spans of a text: named entities, and answers to questions, as transformers' own pipelines find them.

Data flow: texts -> tokens with their places in the text -> a score for each token -> neighbours of one label put
together, or the likeliest start and end -> the piece of the text with its label or score and its place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from inferry.errors import InvalidInput, InvalidModel
from inferry.runtimes.tensors import Array
from inferry.runtimes.transformers_files import Texts

WINDOW, STRIDE = 384, 128  # tokens of a context that is looked at in parts, and how much these share
LONGEST_ANSWER = 15  # tokens


def _check_places(texts: Texts) -> None:
    if not texts.tokenizer.is_fast:
        raise InvalidModel(
            "The tokenizer does not say where in the text its tokens are.",
            help="Save a fast one beside the model: a tokenizer.json.",
        )


def find_entities(texts: Texts, names: list[str], given: list[str]) -> list[list[dict[str, Any]]]:
    """For each text its entities in order: {text, label, score, start, end}, places in characters."""
    _check_places(texts)
    rows = texts.rows(given, return_offsets_mapping=True, return_special_tokens_mask=True)
    found: list[list[dict[str, Any]]] = [[] for _ in rows]
    left = texts.tokenizer.padding_side == "left"
    for chosen, output, _ in texts.run(rows):
        for at, logits in zip(chosen, output.logits, strict=True):
            size = len(rows[at]["input_ids"])
            scores = torch.softmax(logits[-size:] if left else logits[:size], -1).numpy()
            found[at] = _entities(given[at], rows[at], scores, names)
    return found


def _entities(text: str, row: dict[str, Any], scores: Array, names: list[str]) -> list[dict[str, Any]]:
    """Neighbouring tokens of one label are one entity, unless a later one says that another begins (B-)."""
    groups: list[tuple[str, list[float], list[int]]] = []
    for (start, end), special, row_scores in zip(
        row["offset_mapping"], row["special_tokens_mask"], scores, strict=True
    ):
        if special:
            continue
        best = int(row_scores.argmax())
        begins, label = names[best][:2] == "B-", names[best][2:] if names[best][:2] in {"B-", "I-"} else names[best]
        score = float(row_scores[best])
        if groups and groups[-1][0] == label and not begins:
            groups[-1][1].append(score)
            groups[-1][2][1] = end
        else:
            groups.append((label, [score], [start, end]))
    return [
        {"text": text[start:end], "label": label, "score": round(float(np.mean(scored)), 4), "start": start, "end": end}
        for label, scored, (start, end) in groups
        if label != "O"
    ]


def answer_questions(texts: Texts, questions: list[str], contexts: list[str]) -> dict[str, Array]:
    """For each question the likeliest piece of its context: answer, score from 0 to 1, start, end in characters."""
    _check_places(texts)
    best: list[tuple[float, int, int]] = []
    for question, context in zip(questions, contexts, strict=True):
        rows, spans = _windows(texts, question, context), []
        for chosen, output, _ in texts.run(rows):
            spans += [_best_span(rows[at], output, place) for place, at in enumerate(chosen)]
        best.append(max(spans))
    answers = np.empty(len(best), dtype=object)
    answers[:] = [context[start:end] for context, (_, start, end) in zip(contexts, best, strict=True)]
    return {
        "answer": answers,
        "score": np.array([score for score, _, _ in best], dtype=np.float32),
        "start": np.array([start for _, start, _ in best], dtype=np.int64),
        "end": np.array([end for _, _, end in best], dtype=np.int64),
    }


def _windows(texts: Texts, question: str, context: str) -> list[dict[str, Any]]:
    """The question with each part of the context, and `context_mask`: which tokens are the context's."""
    limit = min(texts.limit, WINDOW)
    asked = len(texts.tokenizer(question, add_special_tokens=False)["input_ids"])
    stride = min(STRIDE, limit // 2)
    if asked + stride + 8 > limit:
        raise InvalidInput(
            f"The question has {asked} tokens, too many for a model that takes {limit} with the context."
        )
    if not context.strip():
        raise InvalidInput("The context is empty.")
    made = texts.tokenizer(
        question, context, truncation="only_second", max_length=limit, stride=stride,
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    rows = []
    for at in range(len(made["input_ids"])):
        row = {name: made[name][at] for name in made if name != "overflow_to_sample_mapping"}
        rows.append({**row, "context_mask": [one == 1 for one in made.sequence_ids(at)]})
    return rows


def _best_span(row: dict[str, Any], output: Any, at: int) -> tuple[float, int, int]:
    """Score, start and end of the likeliest answer in one window; padding is on the right."""
    inside = np.array(row["context_mask"])
    start, end = (
        _softmax(np.where(inside, logits[at, : len(inside)].numpy(), -1e4))
        for logits in (output.start_logits, output.end_logits)
    )
    pairs = np.tril(np.triu(np.outer(start, end)), LONGEST_ANSWER - 1)
    first, last = np.unravel_index(int(pairs.argmax()), pairs.shape)
    return float(pairs[first, last]), row["offset_mapping"][first][0], row["offset_mapping"][last][1]


def _softmax(scores: Array) -> Array:
    grown = np.exp(scores - scores.max())
    return np.asarray(grown / grown.sum())
