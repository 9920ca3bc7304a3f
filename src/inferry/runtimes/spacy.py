"""spaCy pipelines.

Data flow: folder -> pipeline -> `predict`: texts -> documents -> by what the pipeline's components set: label and
probabilities of its categories; entities, spans and tokens of each text as one JSON text; else its vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from inferry.errors import InvalidModel
from inferry.runtimes.arrays import ArrayRuntime, Opened
from inferry.runtimes.tensors import Array
from inferry.types.signature import TensorSpec

Read = Callable[[Any], Any]
_TOKEN = {"token.tag": "tag_", "token.pos": "pos_", "token.lemma": "lemma_", "token.dep": "dep_"}


class SpacyRuntime(ArrayRuntime):
    """The runtime plugin "spacy"."""

    imports: ClassVar[tuple[str, ...]] = ("spacy",)

    def open(self, path: Path, options: dict[str, Any]) -> Opened:
        """Which outputs there are is what the components say that they assign."""
        import spacy

        nlp = spacy.load(path)
        sets = {name for pipe in nlp.pipe_names for name in nlp.get_pipe_meta(pipe).assigns}
        kinds = {nlp.get_pipe_meta(pipe).factory for pipe in nlp.pipe_names}
        labels = [
            label
            for pipe in nlp.pipe_names
            if "doc.cats" in nlp.get_pipe_meta(pipe).assigns
            for label in nlp.pipe_labels.get(pipe, [])
        ]
        reads = dict(_reads(sets))
        vector = not reads and not labels and nlp.vocab.vectors_length
        if not (reads or labels or vector):
            raise InvalidModel(
                "The spaCy pipeline has no component that answers.",
                help="It needs a text categoriser, an entity recogniser, a tagger, a parser or word vectors.",
            )
        exclusive = "textcat" in kinds and "textcat_multilabel" not in kinds

        def call(inputs: dict[str, Array]) -> dict[str, Array]:
            documents = list(nlp.pipe(inputs["text"].tolist()))
            answer: dict[str, Array] = {}
            if labels:
                scores = np.array([[one.cats[label] for label in labels] for one in documents], dtype=np.float32)
                if exclusive:
                    answer["label"] = np.array(labels, dtype=object)[scores.argmax(axis=1)]
                answer["probabilities"] = scores
            for name, read in reads.items():
                answer[name] = np.array([msgspec.json.encode(read(one)).decode() for one in documents], dtype=object)
            if vector:
                answer["vector"] = np.stack([one.vector for one in documents])
            return answer

        text = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
        details = {"language": nlp.lang, "pipeline": nlp.pipe_names}
        return Opened(call=call, inputs=[text], table=True, labels=labels, independent=True, details=details)


def _reads(sets: set[str]) -> Iterator[tuple[str, Read]]:
    """Output name -> what it reads of a document."""
    if "doc.ents" in sets:
        yield "entities", lambda one: [_span(span) for span in one.ents]
    if "doc.spans" in sets:
        yield "spans", lambda one: {key: [_span(span) for span in group] for key, group in one.spans.items()}
    token = {name.removeprefix("token."): field for name, field in _TOKEN.items() if name in sets}
    if token:
        yield "tokens", lambda one: [_token(word, token) for word in one]


def _span(span: Any) -> dict[str, Any]:
    return {"text": span.text, "label": span.label_, "start": span.start_char, "end": span.end_char}


def _token(word: Any, fields: dict[str, str]) -> dict[str, Any]:
    """A word with its place in the text, and the head it hangs on (by number) when the pipeline parses."""
    found = {"text": word.text, "start": word.idx, "end": word.idx + len(word.text)}
    found |= {name: getattr(word, field) for name, field in fields.items()}
    return found | ({"head": word.head.i} if "dep" in fields else {})
